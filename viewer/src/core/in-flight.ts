/** The bytes that are on their way, and how many more there may be. */
import type { AssetFile, AssetState, Download } from "./asset.ts";
import type { NetworkEstimate } from "./network/bandwidth.ts";

/** Fewer requests than this leave the link idle between one file's last byte and the next one's first. */
const MIN_REQUESTS = 2;
/**
 * Responses share the link, so of two that run together both are late. The next one is asked for when what is on its
 * way will be here by the time it answers: after a round trip, a frame, the page's own work, and what answers vary by.
 */
const LEAD_MS = 50;
/** Before anything is measured: two initial windows of TCP, or as much again as has come, as its slow start does. */
const FIRST_BYTES = 32_000;
/** What is down to this much time arrives before an abort would free the link … */
const NEARLY_DONE_MS = 100;
/** … and so much is in the server's socket already, and comes whether it is wanted or not: but no more than this … */
const SOCKET_BYTES = 256 * 1024;
/** … and than what the link takes from it in this time, milliseconds: sockets grow with the link. */
const SOCKET_MS = 500;

/** Bytes of a file that are still to come. */
function remaining({ download, received }: AssetFile): number {
  return Math.max(0, download.bytes - received);
}

/** Bytes that have come of all files that are there or on their way. */
function arrivedBytes(assets: readonly AssetState[]): number {
  let sum = 0;
  for (const asset of assets) {
    for (const { download, received, loadState } of asset.files) {
      if (loadState === "loading") sum += received;
      else if (loadState === "preparing" || loadState === "ready") sum += download.bytes;
    }
  }
  return sum;
}

export class InFlight {
  /** By uri: two assets that share a file share its request. */
  readonly #bytes = new Map<string, number>();
  readonly #bytesPerMs: number;
  readonly #cap: number;
  /** What is asked for with more than this still to come would only slow it down. */
  readonly #soon: number;
  /** So much comes while something better is still being asked for. */
  readonly #meanwhile: number;

  /**
   * @param capMs bytes in flight, as time at the bandwidth
   * @param arrived bytes that have come so far
   */
  constructor({ bytesPerSecond, ttfbMs, measured }: NetworkEstimate, capMs: number, arrived: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#cap = this.#bytesPerMs * capMs;
    this.#meanwhile = measured ? this.#bytesPerMs * ttfbMs : 0;
    this.#soon = measured ? this.#bytesPerMs * (ttfbMs + LEAD_MS) : Math.max(FIRST_BYTES, arrived);
  }

  /** What is on its way to assets. */
  static of(assets: readonly AssetState[], network: NetworkEstimate, capMs: number): InFlight {
    const inFlight = new InFlight(network, capMs, arrivedBytes(assets));
    for (const { files } of assets) {
      for (const file of files) {
        if (file.loadState === "loading") inFlight.add(file.download, remaining(file));
      }
    }
    return inFlight;
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

  /**
   * One after the other; what overlaps is at most the cap's bytes, or two requests, one of which may be larger.
   *
   * @param awaited something better can be asked for as soon as what is on its way has come
   */
  fits({ uri, bytes }: Download, awaited = false): boolean {
    if (this.#bytes.size === 0 || this.#bytes.has(uri)) return true;
    let sum = 0;
    for (const each of this.#bytes.values()) sum += each;
    if (sum > (awaited ? this.#meanwhile : this.#soon)) return false;
    if (sum + bytes <= this.#cap) return true;
    return this.#bytes.size < MIN_REQUESTS && Math.min(sum, bytes) <= this.#cap;
  }

  nearlyDone(file: AssetFile): boolean {
    const sent = Math.min(SOCKET_BYTES, this.#bytesPerMs * SOCKET_MS);
    return remaining(file) <= Math.max(sent, this.#bytesPerMs * NEARLY_DONE_MS);
  }
}
