/** The bytes that are on their way, and how many more there may be. */
import type { Download, FileState } from "./asset.ts";

/** Fewer requests than this leave the link idle between one file's last byte and the next one's first. */
const MIN_REQUESTS = 2;
/** What is down to this much time arrives before an abort would free the link … */
const NEARLY_DONE_MS = 100;
/** … and so much is in the server's socket already, and comes whether it is wanted or not: but no more than this … */
const SOCKET_BYTES = 256 * 1024;
/** … and than what the link takes from it in this time, milliseconds: sockets grow with the link. */
const SOCKET_MS = 500;

/** Bytes of a file that are still to come. */
export function remaining({ download, received }: FileState): number {
  return Math.max(0, download.bytes - received);
}

export class InFlight {
  /** By uri: two assets that share a file share its request. */
  readonly #bytes = new Map<string, number>();
  readonly #bytesPerMs: number;
  readonly #cap: number;

  /** @param capMs bytes in flight, as time at the bandwidth */
  constructor(bytesPerSecond: number, capMs: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#cap = this.#bytesPerMs * capMs;
  }

  has({ uri }: Download): boolean {
    return this.#bytes.has(uri);
  }

  add({ uri }: Download, bytes: number): void {
    if (!this.#bytes.has(uri)) this.#bytes.set(uri, bytes);
  }

  remove({ uri }: Download): void {
    this.#bytes.delete(uri);
  }

  /** At most the cap's bytes; but always two requests, of which one may be larger than the cap. */
  fits({ uri, bytes }: Download): boolean {
    if (this.#bytes.size === 0 || this.#bytes.has(uri)) return true;
    let sum = 0;
    for (const each of this.#bytes.values()) sum += each;
    if (sum + bytes <= this.#cap) return true;
    return this.#bytes.size < MIN_REQUESTS && Math.min(sum, bytes) <= this.#cap;
  }

  nearlyDone(file: FileState): boolean {
    const sent = Math.min(SOCKET_BYTES, this.#bytesPerMs * SOCKET_MS);
    return remaining(file) <= Math.max(sent, this.#bytesPerMs * NEARLY_DONE_MS);
  }
}
