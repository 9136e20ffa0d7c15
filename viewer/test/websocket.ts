/**
 * A WebSocket for Node 18 and 20, which have none: as much of RFC 6455 and of the browser's interface as the
 * tests of a real relay need. No extensions, no fragments.
 */
import { createHash, randomBytes } from "node:crypto";
import { type ClientRequest, request } from "node:http";
import type { Socket } from "node:net";

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

export class NodeWebSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  readonly OPEN = 1;
  readyState = 0;
  binaryType = "arraybuffer";
  onopen: ((event: object) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  private readonly upgrade: ClientRequest;
  private line: Socket | null = null;
  private unread = Buffer.alloc(0);
  private code = 1006;
  private reason = "";

  constructor(url: string, protocol: string, origin?: string) {
    const key = randomBytes(16).toString("base64");
    this.upgrade = request(url.replace(/^ws/, "http"), {
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": protocol,
        ...(origin ? { Origin: origin } : {}),
      },
    });
    this.upgrade.on("upgrade", (response, line, head) => {
      const want = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      if (response.headers["sec-websocket-accept"] !== want) {
        line.destroy();
        this.ended();
        return;
      }
      this.line = line as Socket;
      this.readyState = 1;
      line.on("data", (bytes: Buffer) => this.receive(bytes));
      line.on("error", () => {});
      line.on("close", () => this.ended());
      this.onopen?.({});
      if (head.length > 0) this.receive(head);
    });
    this.upgrade.on("response", (response) => {
      response.resume();
      this.ended();
    });
    this.upgrade.on("error", () => this.ended());
    this.upgrade.end();
  }

  get bufferedAmount(): number {
    return this.line?.writableLength ?? 0;
  }

  send(data: string | Uint8Array): void {
    this.write(typeof data === "string" ? TEXT : BINARY, Buffer.from(data as Uint8Array));
  }

  close(code = 1000): void {
    if (this.readyState === 1) {
      this.readyState = 2;
      this.write(CLOSE, Buffer.from([code >> 8, code & 255]));
      this.line?.end();
    } else if (this.readyState === 0) {
      this.upgrade.destroy();
    }
  }

  /** The line is gone, without a word to the other side. */
  cut(): void {
    this.line?.destroy();
  }

  private write(opcode: number, payload: Buffer): void {
    const mask = randomBytes(4);
    const length =
      payload.length < 126
        ? Buffer.from([0x80 | payload.length])
        : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 255]);
    const masked = payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0));
    this.line?.write(Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, masked]));
  }

  private receive(bytes: Buffer): void {
    this.unread = Buffer.concat([this.unread, bytes]);
    for (;;) {
      const [first, second] = this.unread;
      if (first === undefined || second === undefined) return;
      const header = second < 126 ? 2 : 4;
      if (this.unread.length < header) return;
      const length = second < 126 ? second : this.unread.readUInt16BE(2);
      if (this.unread.length < header + length) return;
      const payload = this.unread.subarray(header, header + length);
      this.unread = this.unread.subarray(header + length);
      this.take(first & 15, payload);
    }
  }

  private take(opcode: number, payload: Buffer): void {
    if (opcode === TEXT) this.onmessage?.({ data: payload.toString("utf8") });
    else if (opcode === BINARY) this.onmessage?.({ data: new Uint8Array(payload).buffer });
    else if (opcode === PING) this.write(PONG, payload);
    else if (opcode === CLOSE) {
      this.code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.reason = payload.subarray(2).toString("utf8");
      this.readyState = 2;
      this.write(CLOSE, payload.subarray(0, 2));
      this.line?.end();
    }
  }

  private ended(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code: this.code, reason: this.reason });
  }
}
