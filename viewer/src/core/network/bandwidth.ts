/**
 * The bandwidth of the network, from the arrival of the body bytes of all requests together.
 *
 * The throughput of one request is misleading as soon as requests run in parallel, since each has only a
 * share of the link. So the bytes of all bodies are counted over the time in which bodies stream.
 * docs/streaming.md explains the rest.
 *
 * Times are milliseconds of one monotonic clock, passed in; rates are bytes per second.
 */
import {
  type Averages,
  fastRate,
  isMeasured,
  NO_AVERAGES,
  rateOf,
  type Sample,
  slowRate,
  withSample,
} from "./averages.ts";

export interface NetworkEstimate {
  /** The smaller of both averages; before a measurement, the initial guess or a greater lower bound. */
  readonly bytesPerSecond: number;
  readonly fastBytesPerSecond: number;
  readonly slowBytesPerSecond: number;
  /** Median time from request to response headers, of the last requests. */
  readonly ttfbMs: number;
  /** False as long as the rates are a guess. */
  readonly measured: boolean;
}

/** Streaming time per window: several round trips of packets, but short enough to show a step soon. */
const WINDOW_MS = 200;
/**
 * Bytes per window: bodies arrive in chunks of up to 64 KB, and one chunk may fall into either of two
 * windows. A window with fewer bytes ends after a second.
 */
const WINDOW_BYTES = 65_536;
const LONGEST_WINDOW_MS = 1000;
/** The first bytes of a connection show its slow start: about two initial windows of 10 packets. */
export const WARM_UP_BYTES = 32_768;
/** After this idle time TCP starts slowly again (RFC 5681 §4.1; the least timeout of RFC 6298). */
const IDLE_RESTART_MS = 1000;
/** Guess before a measurement: 4 Mbit/s, slow LTE. Too low costs a second, too high congests a slow link. */
export const INITIAL_BYTES_PER_SECOND = 500_000;
/** Guess before any measurement: a mobile round trip and a cache in the same country, milliseconds. */
const INITIAL_TTFB_MS = 100;
/** After this silence in the middle of a body, the estimate falls before the next byte arrives. */
const STALL_MS = 1000;
/** Chunks that arrive this soon after an excluded chunk were sent in the same, unmeasured, time. */
const BURST_MS = 5;
/** Windows that can be corrected when a request turns out to have come from the cache: 6 s or more. */
const CORRECTABLE_WINDOWS = 32;
/** Odd, so that the median is a sample. */
const TTFB_SAMPLES = 9;

/** Events of one request. Each method takes the present time. */
export interface Transfer {
  headers(now: number): void;
  received(now: number, bytes: number): void;
  /** The body ended, failed or was aborted. The bytes of a cached response are subtracted again. */
  closed(now: number, options?: { readonly cached?: boolean }): void;
}

interface Window extends Sample {
  bytes: number;
  ms: number;
  isLowerBound: boolean;
  readonly bytesByTransfer: Map<Transfer, number>;
}

export class BandwidthEstimator {
  readonly #initial: number;
  /** The averages of all windows that are too old to be corrected. */
  #settled: Averages = NO_AVERAGES;
  /** Closed windows that can still be corrected. */
  #recent: Window[] = [];
  /** The averages of all closed windows. */
  #averages: Averages = NO_AVERAGES;
  /** The open window of time in which a body streamed throughout. */
  #streamingWindow: Window = emptyWindow();
  /** The open window of all time with requests. It counts only as a lower bound. */
  #requestWindow: Window = emptyWindow();
  /** Time since the last arrival, with a body streaming and with requests but no body. */
  #gap = { streaming: 0, waiting: 0 };
  #clock = 0;
  #lastArrival = 0;
  /** The last arrival that was not measured exactly. */
  #excludedAt = Number.NEGATIVE_INFINITY;
  /** Bytes of the slow start that are still to come. */
  #warmUp = WARM_UP_BYTES;
  /** Numbers of requests without and with response headers. */
  #waiting = 0;
  #streaming = 0;
  #ttfbs: { readonly transfer: Transfer; readonly ms: number }[] = [];
  #total = 0;

  /** @param initial guess before a measurement, bytes per second, e.g. `navigator.connection.downlink` */
  constructor(initial: number = INITIAL_BYTES_PER_SECOND) {
    this.#initial = initial;
  }

  /** All body bytes so far, cached responses included. */
  get totalBytes(): number {
    return this.#total;
  }

  /** A request is sent. */
  opened(now: number): Transfer {
    if (this.#waiting + this.#streaming === 0 && now - this.#clock >= IDLE_RESTART_MS) {
      this.#warmUp = WARM_UP_BYTES;
    }
    this.#advance(now);
    this.#waiting++;
    let state: "waiting" | "streaming" | "closed" = "waiting";
    const transfer: Transfer = {
      headers: (at) => {
        if (state !== "waiting") return;
        this.#advance(at);
        state = "streaming";
        this.#waiting--;
        this.#streaming++;
        this.#ttfbs.push({ transfer, ms: Math.max(0, at - now) });
        if (this.#ttfbs.length > TTFB_SAMPLES) this.#ttfbs.shift();
      },
      received: (at, bytes) => {
        if (state === "waiting") transfer.headers(at);
        if (state === "streaming" && bytes > 0) this.#arrive(transfer, at, bytes);
      },
      closed: (at, { cached = false } = {}) => {
        if (state === "closed") return;
        this.#advance(at);
        if (state === "waiting") this.#waiting--;
        else this.#streaming--;
        state = "closed";
        if (this.#waiting + this.#streaming === 0) this.#gap = { streaming: 0, waiting: 0 };
        if (cached) this.#subtract(transfer);
      },
    };
    return transfer;
  }

  /** The estimate at a time. Changes nothing. */
  estimate(now: number): NetworkEstimate {
    const averages = this.#averagesAt(now);
    const measured = isMeasured(averages);
    const fast = fastRate(averages);
    const slow = slowRate(averages);
    const guess = Math.max(this.#initial, averages.lowerBound);
    return {
      bytesPerSecond: measured ? Math.min(fast, slow) : guess,
      fastBytesPerSecond: measured ? fast : guess,
      slowBytesPerSecond: measured ? slow : guess,
      ttfbMs: median(this.#ttfbs.map(({ ms }) => ms)) ?? INITIAL_TTFB_MS,
      measured,
    };
  }

  /** The averages with the open window, or with a silence in the middle of a body if that lowers the rate. */
  #averagesAt(now: number): Averages {
    const { bytes, ms } = this.#streamingWindow;
    const averages = isFull(this.#streamingWindow)
      ? withSample(this.#averages, this.#streamingWindow)
      : this.#averages;
    const silence = now - this.#lastArrival;
    if (this.#streaming === 0 || silence < STALL_MS) return averages;
    const stalled = withSample(this.#averages, { bytes, ms: ms + silence, isLowerBound: false });
    return rateOf(stalled) < rateOf(averages) ? stalled : averages;
  }

  #advance(now: number): void {
    const elapsed = Math.max(0, now - this.#clock);
    this.#clock = Math.max(this.#clock, now);
    if (this.#streaming > 0) this.#gap.streaming += elapsed;
    else if (this.#waiting > 0) this.#gap.waiting += elapsed;
  }

  #arrive(transfer: Transfer, now: number, bytes: number): void {
    this.#advance(now);
    const { streaming, waiting } = this.#gap;
    this.#gap = { streaming: 0, waiting: 0 };
    this.#lastArrival = this.#clock;
    this.#total += bytes;
    if (this.#warmUp > 0) {
      this.#warmUp -= bytes;
      this.#excludedAt = this.#clock;
      return;
    }
    // Chunks that arrive together stay together: a window ends before the first chunk that arrives later.
    if (streaming + waiting >= 1) this.#closeFullWindows();
    add(this.#requestWindow, transfer, bytes, streaming + waiting);
    if (waiting > 0) {
      // The first chunk after a gap without a body was sent in a time that was not measured.
      this.#requestWindow.isLowerBound = true;
      this.#excludedAt = this.#clock;
    } else if (this.#clock - this.#excludedAt >= BURST_MS) {
      add(this.#streamingWindow, transfer, bytes, streaming);
    }
  }

  #closeFullWindows(): void {
    if (isFull(this.#streamingWindow)) {
      this.#close(this.#streamingWindow);
      this.#streamingWindow = emptyWindow();
    }
    if (isFull(this.#requestWindow)) {
      if (this.#requestWindow.isLowerBound) this.#close(this.#requestWindow);
      this.#requestWindow = emptyWindow();
    }
  }

  #close(window: Window): void {
    this.#recent.push(window);
    this.#averages = withSample(this.#averages, window);
    if (this.#recent.length > CORRECTABLE_WINDOWS) {
      this.#settled = withSample(this.#settled, this.#recent.shift() as Window);
    }
  }

  /** Removes a cached response from all windows that can be corrected. */
  #subtract(transfer: Transfer): void {
    this.#ttfbs = this.#ttfbs.filter((sample) => sample.transfer !== transfer);
    for (const window of [this.#streamingWindow, this.#requestWindow, ...this.#recent]) {
      const bytes = window.bytesByTransfer.get(transfer);
      if (bytes === undefined) continue;
      window.bytesByTransfer.delete(transfer);
      window.bytes -= bytes;
      // The cache's share of the window's time is unknown, so the rest is a lower bound.
      window.isLowerBound = true;
      if (window.bytesByTransfer.size === 0) {
        window.bytes = 0;
        window.ms = 0;
      }
    }
    this.#recent = this.#recent.filter((window) => window.bytesByTransfer.size > 0);
    this.#averages = this.#recent.reduce(withSample, this.#settled);
  }
}

function isFull({ ms, bytes }: Window): boolean {
  return ms >= WINDOW_MS && (bytes >= WINDOW_BYTES || ms >= LONGEST_WINDOW_MS);
}

function emptyWindow(): Window {
  return { bytes: 0, ms: 0, isLowerBound: false, bytesByTransfer: new Map() };
}

function add(window: Window, transfer: Transfer, bytes: number, ms: number): void {
  window.bytes += bytes;
  window.ms += ms;
  window.bytesByTransfer.set(transfer, (window.bytesByTransfer.get(transfer) ?? 0) + bytes);
}

function median(samples: number[]): number | undefined {
  return samples.sort((a, b) => a - b)[samples.length >> 1];
}
