/** A link in virtual time. Bodies share its rate, and arrive in chunks after a latency. */
import type { BandwidthEstimator, Transfer } from "../src/core/network/bandwidth.ts";

export interface LinkOptions {
  /** Bytes per millisecond at a time. */
  readonly rate: (now: number) => number;
  readonly latencyMs: number;
  readonly chunkBytes: number;
  /** Number of requests in flight at once. */
  readonly parallel: number;
  readonly fileBytes: (index: number) => number;
}

/**
 * Fetches one file after another for `ms` milliseconds and aborts the last ones. The estimator gets the
 * events of a page.
 *
 * @param onStep called after each millisecond
 */
export function download(
  estimator: BandwidthEstimator,
  options: LinkOptions,
  ms: number,
  onStep: (now: number) => void = () => {},
): void {
  interface PendingResponse {
    readonly transfer: Transfer;
    readonly firstByteAt: number;
    missing: number;
    /** Bytes since the last chunk. */
    unreported: number;
    hasHeaders: boolean;
  }
  const pending: PendingResponse[] = [];
  let index = 0;
  for (let now = 0; now < ms; now++) {
    while (pending.length < options.parallel) {
      pending.push({
        transfer: estimator.opened(now),
        firstByteAt: now + options.latencyMs,
        missing: options.fileBytes(index++),
        unreported: 0,
        hasHeaders: false,
      });
    }
    const streaming = pending.filter(({ firstByteAt }) => firstByteAt <= now);
    for (const response of streaming) {
      if (!response.hasHeaders) response.transfer.headers(now);
      response.hasHeaders = true;
      const bytes = Math.min(response.missing, options.rate(now) / streaming.length);
      response.missing -= bytes;
      response.unreported += bytes;
      if (response.unreported >= options.chunkBytes || response.missing <= 0) {
        response.transfer.received(now + 1, response.unreported);
        response.unreported = 0;
      }
      if (response.missing <= 0) {
        response.transfer.closed(now + 1);
        pending.splice(pending.indexOf(response), 1);
      }
    }
    onStep(now + 1);
  }
  for (const { transfer } of pending) transfer.closed(ms);
}
