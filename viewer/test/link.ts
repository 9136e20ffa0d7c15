/** A link in virtual time: bodies share its rate, latency is apart, chunks arrive when they are full. */
import type { BandwidthEstimator, Transfer } from "../src/core/network/bandwidth.ts";

export interface LinkOptions {
  /** Bytes per millisecond at a time. */
  readonly rate: (now: number) => number;
  readonly latencyMs: number;
  readonly chunkBytes: number;
  /** Requests in flight at once. */
  readonly parallel: number;
  readonly fileBytes: (index: number) => number;
}

/** Fetches one file after another for `ms` milliseconds and aborts the last ones, telling the estimator what a page would see. */
export function download(
  estimator: BandwidthEstimator,
  options: LinkOptions,
  ms: number,
  each: (now: number) => void = () => {},
): void {
  interface Flight {
    readonly transfer: Transfer;
    readonly firstByteAt: number;
    left: number;
    unsaid: number;
    headers: boolean;
  }
  const flights: Flight[] = [];
  let index = 0;
  for (let now = 0; now < ms; now++) {
    while (flights.length < options.parallel) {
      flights.push({
        transfer: estimator.opened(now),
        firstByteAt: now + options.latencyMs,
        left: options.fileBytes(index++),
        unsaid: 0,
        headers: false,
      });
    }
    const streaming = flights.filter(({ firstByteAt }) => firstByteAt <= now);
    for (const flight of streaming) {
      if (!flight.headers) flight.transfer.headers(now);
      flight.headers = true;
      const bytes = Math.min(flight.left, options.rate(now) / streaming.length);
      flight.left -= bytes;
      flight.unsaid += bytes;
      if (flight.unsaid >= options.chunkBytes || flight.left <= 0) {
        flight.transfer.received(now + 1, flight.unsaid);
        flight.unsaid = 0;
      }
      if (flight.left <= 0) {
        flight.transfer.closed(now + 1);
        flights.splice(flights.indexOf(flight), 1);
      }
    }
    each(now + 1);
  }
  for (const { transfer } of flights) transfer.closed(ms);
}
