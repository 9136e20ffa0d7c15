/**
 * A WebSocket client for Node 18 and 20, which have none. It implements the part of RFC 6455 and of the
 * browser's interface that the tests against a real relay need: no extensions, no fragments.
 */
import { createHash, randomBytes } from "node:crypto";
import { type ClientRequest, request } from "node:http";
import type { Socket } from "node:net";

/** Opcodes of RFC 6455 §5.2. */
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
  readonly #upgrade: ClientRequest;
  #socket: Socket | null = null;
  /** Received bytes that do not make a whole frame yet. */
  #buffer = Buffer.alloc(0);
  #code = 1006;
  #reason = "";

  constructor(url: string, protocol: string, origin?: string) {
    const key = randomBytes(16).toString("base64");
    this.#upgrade = request(url.replace(/^ws/, "http"), {
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": protocol,
        ...(origin ? { Origin: origin } : {}),
      },
    });
    this.#upgrade.on("upgrade", (response, socket, head) => {
      const expected = createHash("sha1")
        .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest("base64");
      if (response.headers["sec-websocket-accept"] !== expected) {
        socket.destroy();
        this.#handleEnd();
        return;
      }
      this.#socket = socket as Socket;
      this.readyState = 1;
      socket.on("data", (bytes: Buffer) => this.#receive(bytes));
      socket.on("error", () => {});
      socket.on("close", () => this.#handleEnd());
      this.onopen?.({});
      if (head.length > 0) this.#receive(head);
    });
    this.#upgrade.on("response", (response) => {
      response.resume();
      this.#handleEnd();
    });
    this.#upgrade.on("error", () => this.#handleEnd());
    this.#upgrade.end();
  }

  get bufferedAmount(): number {
    return this.#socket?.writableLength ?? 0;
  }

  send(data: string | Uint8Array): void {
    this.#writeFrame(typeof data === "string" ? TEXT : BINARY, Buffer.from(data as Uint8Array));
  }

  close(code = 1000): void {
    if (this.readyState === 1) {
      this.readyState = 2;
      this.#writeFrame(CLOSE, Buffer.from([code >> 8, code & 255]));
      this.#socket?.end();
    } else if (this.readyState === 0) {
      this.#upgrade.destroy();
    }
  }

  /** Breaks the connection without a close frame. */
  cut(): void {
    this.#socket?.destroy();
  }

  #writeFrame(opcode: number, payload: Buffer): void {
    const mask = randomBytes(4);
    const length =
      payload.length < 126
        ? Buffer.from([0x80 | payload.length])
        : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 255]);
    const masked = payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0));
    this.#socket?.write(Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, masked]));
  }

  #receive(bytes: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      const [first, second] = this.#buffer;
      if (first === undefined || second === undefined) return;
      const header = second < 126 ? 2 : 4;
      if (this.#buffer.length < header) return;
      const length = second < 126 ? second : this.#buffer.readUInt16BE(2);
      if (this.#buffer.length < header + length) return;
      const payload = this.#buffer.subarray(header, header + length);
      this.#buffer = this.#buffer.subarray(header + length);
      this.#handleFrame(first & 15, payload);
    }
  }

  #handleFrame(opcode: number, payload: Buffer): void {
    if (opcode === TEXT) this.onmessage?.({ data: payload.toString("utf8") });
    else if (opcode === BINARY) this.onmessage?.({ data: new Uint8Array(payload).buffer });
    else if (opcode === PING) this.#writeFrame(PONG, payload);
    else if (opcode === CLOSE) {
      this.#code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#reason = payload.subarray(2).toString("utf8");
      this.readyState = 2;
      this.#writeFrame(CLOSE, payload.subarray(0, 2));
      this.#socket?.end();
    }
  }

  #handleEnd(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code: this.#code, reason: this.#reason });
  }
}
