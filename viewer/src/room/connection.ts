import type { ClientMessage } from "./messages.ts";
import { encodeControl } from "./messages-json.ts";

export interface ConnectionEvents {
  opened(): void;
  received(data: unknown): void;
  /** The connection is lost; `reason` may be empty. */
  lost(code: number, reason: string): void;
}

/**
 * Close codes that the client sends. After a normal closure the relay frees the seat, else it keeps it for a
 * while.
 */
export const NORMAL_CLOSURE = 1000;
export const CONNECTION_ABANDONED = 4000;

/** A relay sends a keyframe every second. After this long without a message, the connection is dead. */
const SILENCE_MS = 10_000;
/** Bytes that the network has not taken yet. With more of them, a frame would be old before it leaves. */
const MAX_BUFFERED_BYTES = 4096;
/** Close code of a connection that broke off without a close frame. */
const ABNORMAL_CLOSURE = 1006;

/** One WebSocket to a room. Reports each event until `close` is called. */
export class Connection {
  readonly #socket: WebSocket;
  readonly #watchdog: ReturnType<typeof setInterval>;
  #receivedAt = performance.now();
  #closed = false;

  constructor(socket: WebSocket, events: ConnectionEvents) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    // Events of a closed socket may still be in the queue.
    socket.onopen = () => {
      if (!this.#closed) events.opened();
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (this.#closed) return;
      this.#receivedAt = performance.now();
      events.received(data);
    };
    socket.onclose = ({ code, reason }: CloseEvent) => {
      if (!this.#closed) events.lost(code, reason);
    };
    this.#watchdog = setInterval(() => {
      const silence = performance.now() - this.#receivedAt;
      if (silence > SILENCE_MS) events.lost(ABNORMAL_CLOSURE, "the relay is silent");
    }, SILENCE_MS / 4);
  }

  /** False if the connection is not open. */
  sendControl(message: ClientMessage): boolean {
    if (!this.#isOpen) return false;
    this.#socket.send(encodeControl(message));
    return true;
  }

  /** False if the connection is not open, or so busy that the frame would be old before it leaves. */
  sendFrame(frame: Uint8Array<ArrayBuffer>): boolean {
    if (!this.#isOpen || this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) return false;
    this.#socket.send(frame);
    return true;
  }

  close(code: number): void {
    this.#closed = true;
    clearInterval(this.#watchdog);
    this.#socket.close(code);
  }

  get #isOpen(): boolean {
    return !this.#closed && this.#socket.readyState === this.#socket.OPEN;
  }
}
