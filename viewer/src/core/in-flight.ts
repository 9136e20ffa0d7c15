/** The bytes in flight, and the limits on further requests. */
import type { AssetFile, AssetState, Download } from "./asset.ts";
import type { NetworkEstimate } from "./network/bandwidth.ts";

/** With fewer requests, the link is idle between the last byte of one file and the first byte of the next. */
const MIN_REQUESTS = 2;
/**
 * Responses share the link, so two that run together are both late. The next request is sent when the bytes
 * in flight will have arrived by its answer: a time to first byte ahead, and this much more for a frame, the
 * page's own work and the variance of answers.
 */
const LEAD_MS = 50;
/** Limit before a measurement: two initial windows of TCP, or the bytes received so far, as in slow start. */
const UNMEASURED_BYTES = 32_000;
/** A file that needs no more than this arrives before an abort would free the link. */
const NEARLY_DONE_MS = 100;
/** The bytes in the server's socket arrive despite an abort: no more than this, … */
const SOCKET_BYTES = 256 * 1024;
/** … and no more than the link takes in this time, milliseconds: sockets grow with the link. */
const SOCKET_MS = 500;

export class InFlight {
  /** Missing bytes by uri: two assets that share a file share its request. */
  readonly #bytes = new Map<string, number>();
  readonly #bytesPerMs: number;
  /** Limit on the bytes in flight, the next request included. */
  readonly #cap: number;
  /** No request is started while more bytes than this are in flight: it would only slow them down. */
  readonly #threshold: number;
  /** The same while a manifest in flight will reveal better files. */
  readonly #manifestThreshold: number;

  /**
   * @param assets whose loading files are in flight
   * @param capMs limit on the bytes in flight, as time at the estimated bandwidth
   */
  constructor(assets: readonly AssetState[], network: NetworkEstimate, capMs: number) {
    const { bytesPerSecond, ttfbMs, measured } = network;
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#cap = this.#bytesPerMs * capMs;
    this.#manifestThreshold = measured ? this.#bytesPerMs * ttfbMs : 0;
    this.#threshold = measured
      ? this.#bytesPerMs * (ttfbMs + LEAD_MS)
      : Math.max(UNMEASURED_BYTES, receivedBytes(assets));
    for (const { files } of assets) {
      for (const file of files) {
        if (file.loadState === "loading") this.add(file.download, missingBytes(file));
      }
    }
  }

  add({ uri }: Download, bytes: number): void {
    if (!this.#bytes.has(uri)) this.#bytes.set(uri, bytes);
  }

  remove({ uri }: Download): void {
    this.#bytes.delete(uri);
  }

  /**
   * Whether a request may be started now. Files are fetched one after the other, with some overlap: at most
   * the cap's bytes, or two requests of which one may be larger.
   *
   * @param awaitsManifest a manifest in flight will reveal better files
   */
  fits({ uri, bytes }: Download, awaitsManifest = false): boolean {
    if (this.#bytes.size === 0 || this.#bytes.has(uri)) return true;
    let sum = 0;
    for (const each of this.#bytes.values()) sum += each;
    if (sum > (awaitsManifest ? this.#manifestThreshold : this.#threshold)) return false;
    if (sum + bytes <= this.#cap) return true;
    return this.#bytes.size < MIN_REQUESTS && Math.min(sum, bytes) <= this.#cap;
  }

  /** Whether the rest of a file would arrive despite an abort, or before it. */
  nearlyDone(file: AssetFile): boolean {
    const inSocket = Math.min(SOCKET_BYTES, this.#bytesPerMs * SOCKET_MS);
    return missingBytes(file) <= Math.max(inSocket, this.#bytesPerMs * NEARLY_DONE_MS);
  }
}

function missingBytes({ download, received }: AssetFile): number {
  return Math.max(0, download.bytes - received);
}

/** Bytes received of all files that are held. */
function receivedBytes(assets: readonly AssetState[]): number {
  let sum = 0;
  for (const asset of assets) {
    for (const { download, received, loadState } of asset.files) {
      if (loadState === "loading") sum += received;
      else if (loadState === "preparing" || loadState === "ready") sum += download.bytes;
    }
  }
  return sum;
}
