/**
 * How fast the network delivers, from the arrival of body bytes of all requests together.
 *
 * Per-request throughput is wrong as soon as requests run in parallel (each sees its share of the link), so bytes of
 * all bodies are counted over the time in which bodies stream. Two time-weighted exponential averages, a fast and a
 * slow one, and the smaller counts, as in hls.js and dash.js; an average is divided by the weight it has seen so far
 * (the bias correction of Adam, Kingma and Ba 2015). docs/streaming.md explains the rest.
 *
 * Times are milliseconds of one monotonic clock, passed in; rates are bytes per second.
 */

export interface NetworkEstimate {
  /** The estimate: the smaller of both averages; before the first, the initial guess or what surely is there. */
  readonly bytesPerSecond: number;
  readonly fastBytesPerSecond: number;
  readonly slowBytesPerSecond: number;
  /** Median time from request to headers of the last requests. */
  readonly ttfbMs: number;
  /** False while there is only a guess. */
  readonly measured: boolean;
}

/** Busy time per sample: long enough to hold several packets' round trips, short enough to see a step at once. */
export const WINDOW_MS = 200;
/** And bytes per sample, or a second: bodies arrive in chunks, and one of up to 64 KB may fall to either side. */
const WINDOW_BYTES = 65_536;
const LONGEST_WINDOW_MS = 1000;
export const FAST_HALF_LIFE_MS = 1500;
export const SLOW_HALF_LIFE_MS = 6000;
/** The first bytes of a connection show its slow start, not the link: about two initial windows of 10 packets. */
export const WARM_UP_BYTES = 32_768;
/** After an idle second or more TCP starts slowly again (RFC 5681 §4.1; the least timeout of RFC 6298). */
export const IDLE_RESTART_MS = 1000;
/** Before anything is measured: 4 Mbit/s, slow LTE. Too low costs a second, too high congests a slow link for many. */
export const INITIAL_BYTES_PER_SECOND = 500_000;
/** Before anything is measured: a mobile round trip and a cache in the same country, milliseconds. */
export const INITIAL_TTFB_MS = 100;
/** Bodies are streaming but nothing has arrived for so long: the estimate sinks before the next byte comes. */
const STALL_MS = 1000;
/** Chunks this close after one that is left out were sent in the same, unmeasured, time. */
const BURST_MS = 5;
/** A step of the link: at least so many windows and so long in a row further than this to one side of the estimate. */
const STEP_WINDOWS = 3;
const STEP_MS = 1000;
const STEP_RATIO = 1.15;
/** Windows that can still be corrected when a request turns out to have come from the cache: 6 s or more. */
const CORRECTABLE_WINDOWS = 32;
/** Odd, so that the median is a sample. */
const TTFB_SAMPLES = 9;

/** One request, from sending to its end. Every method takes the time now. */
export interface Transfer {
  headers(now: number): void;
  received(now: number, bytes: number): void;
  /** The body's end, a failure or an abort. A cache hit says nothing about the network: it is taken back. */
  closed(now: number, options?: { readonly cached?: boolean }): void;
}

interface Window {
  bytes: number;
  ms: number;
  /** The link may have stood idle meanwhile, since we had asked for too little: a lower bound, which may only raise. */
  floor: boolean;
  /** Who brought the bytes. */
  readonly parts: Map<Transfer, number>;
}

interface Average {
  readonly sum: number;
  readonly ms: number;
}

interface Averages {
  /** The greatest lower bound while there is nothing better, bytes per second. */
  readonly bound: number;
  readonly fast: Average;
  readonly slow: Average;
  /** The windows in a row on one side of the estimate. */
  readonly run: {
    readonly side: number;
    readonly windows: number;
    readonly bytes: number;
    readonly ms: number;
  };
}

const UNKNOWN: Average = { sum: 0, ms: 0 };
const NO_RUN = { side: 0, windows: 0, bytes: 0, ms: 0 };

export class BandwidthEstimator {
  readonly #initial: number;
  /** Folded windows too old to be corrected. */
  #settled: Averages = { bound: 0, fast: UNKNOWN, slow: UNKNOWN, run: NO_RUN };
  /** Closed windows that can still be corrected, and what they make of `#settled`. */
  #recent: Window[] = [];
  #averages: Averages = this.#settled;
  /** Only the time in which some body streamed throughout. */
  #exact: Window = emptyWindow();
  /** All time in which something was asked for. */
  #asked: Window = emptyWindow();
  /** Since the last arrival: time with a body streaming, and time with requests but no body. */
  #gap = { streaming: 0, waiting: 0 };
  #clock = 0;
  #lastArrival = 0;
  #leftOutAt = Number.NEGATIVE_INFINITY;
  #warmUp = WARM_UP_BYTES;
  #waiting = 0;
  #streaming = 0;
  #ttfbs: { readonly transfer: Transfer; readonly ms: number }[] = [];
  #total = 0;

  /** @param initial bytes per second before anything is measured, e.g. `navigator.connection.downlink` */
  constructor(initial: number = INITIAL_BYTES_PER_SECOND) {
    this.#initial = initial;
  }

  /** All body bytes so far, cache hits included. */
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
        if (cached) this.#takeBack(transfer);
      },
    };
    return transfer;
  }

  /** What is known of the network now. Changes nothing. */
  estimate(now: number): NetworkEstimate {
    let averages = this.#averages;
    if (isFull(this.#exact)) averages = absorb(averages, this.#exact);
    const silence = now - this.#lastArrival;
    if (this.#streaming > 0 && silence >= STALL_MS) {
      const stalled = absorb(this.#averages, {
        bytes: this.#exact.bytes,
        ms: this.#exact.ms + silence,
        floor: false,
      });
      if (rate(stalled) < rate(averages)) averages = stalled;
    }
    const measured = averages.slow.ms > 0;
    const fast = mean(averages.fast, FAST_HALF_LIFE_MS);
    const slow = mean(averages.slow, SLOW_HALF_LIFE_MS);
    const guess = Math.max(this.#initial, averages.bound);
    return {
      bytesPerSecond: measured ? Math.min(fast, slow) : guess,
      fastBytesPerSecond: measured ? fast : guess,
      slowBytesPerSecond: measured ? slow : guess,
      ttfbMs: median(this.#ttfbs.map(({ ms }) => ms)) ?? INITIAL_TTFB_MS,
      measured,
    };
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
      this.#leftOutAt = this.#clock;
      return;
    }
    // Chunks that arrive together belong together: a window ends before the first that comes later.
    if (streaming + waiting >= 1) this.#closeFull();
    add(this.#asked, transfer, bytes, streaming + waiting);
    if (waiting > 0) {
      // The first chunk after a gap without a body was sent in a time we did not measure.
      this.#asked.floor = true;
      this.#leftOutAt = this.#clock;
    } else if (this.#clock - this.#leftOutAt >= BURST_MS) {
      add(this.#exact, transfer, bytes, streaming);
    }
  }

  #closeFull(): void {
    if (isFull(this.#exact)) {
      this.#close(this.#exact);
      this.#exact = emptyWindow();
    }
    if (isFull(this.#asked)) {
      if (this.#asked.floor) this.#close(this.#asked);
      this.#asked = emptyWindow();
    }
  }

  #close(window: Window): void {
    this.#recent.push(window);
    this.#averages = absorb(this.#averages, window);
    if (this.#recent.length > CORRECTABLE_WINDOWS) {
      this.#settled = absorb(this.#settled, this.#recent.shift() as Window);
    }
  }

  #takeBack(transfer: Transfer): void {
    this.#ttfbs = this.#ttfbs.filter((sample) => sample.transfer !== transfer);
    for (const window of [this.#exact, this.#asked, ...this.#recent]) {
      const bytes = window.parts.get(transfer);
      if (bytes === undefined) continue;
      window.parts.delete(transfer);
      window.bytes -= bytes;
      // How much of its time was the cache's is unknown: what is left is a lower bound.
      window.floor = true;
      if (window.parts.size === 0) {
        window.bytes = 0;
        window.ms = 0;
      }
    }
    this.#recent = this.#recent.filter((window) => window.parts.size > 0);
    this.#averages = this.#recent.reduce(absorb, this.#settled);
  }
}

function absorb(averages: Averages, window: Pick<Window, "bytes" | "ms" | "floor">): Averages {
  const { fast, slow, run, bound } = averages;
  const known = slow.ms > 0;
  const before = rate(averages);
  const seen = (1000 * window.bytes) / window.ms;
  if (window.floor && !known) return { ...averages, bound: Math.max(bound, seen) };
  if (window.floor && seen <= before) return averages;

  const side = !known ? 0 : seen > before * STEP_RATIO ? 1 : seen < before / STEP_RATIO ? -1 : 0;
  const begun = side !== 0 && side === run.side ? run : NO_RUN;
  const next =
    side === 0
      ? NO_RUN
      : {
          side,
          windows: begun.windows + 1,
          bytes: begun.bytes + window.bytes,
          ms: begun.ms + window.ms,
        };
  if (next.windows >= STEP_WINDOWS && next.ms >= STEP_MS) {
    const level = (1000 * next.bytes) / next.ms;
    return {
      bound,
      fast: blend(UNKNOWN, level, next.ms, FAST_HALF_LIFE_MS),
      slow: blend(UNKNOWN, level, next.ms, SLOW_HALF_LIFE_MS),
      run: NO_RUN,
    };
  }
  return {
    bound,
    fast: blend(fast, seen, window.ms, FAST_HALF_LIFE_MS),
    slow: blend(slow, seen, window.ms, SLOW_HALF_LIFE_MS),
    run: next,
  };
}

function blend(average: Average, seen: number, ms: number, halfLife: number): Average {
  const keep = 0.5 ** (ms / halfLife);
  return { sum: keep * average.sum + (1 - keep) * seen, ms: average.ms + ms };
}

/** The average of what was seen so far, free of the zero it began with. */
function mean(average: Average, halfLife: number): number {
  return average.ms === 0 ? 0 : average.sum / (1 - 0.5 ** (average.ms / halfLife));
}

function rate({ fast, slow }: Averages): number {
  return Math.min(mean(fast, FAST_HALF_LIFE_MS), mean(slow, SLOW_HALF_LIFE_MS));
}

function isFull({ ms, bytes }: Window): boolean {
  return ms >= WINDOW_MS && (bytes >= WINDOW_BYTES || ms >= LONGEST_WINDOW_MS);
}

function emptyWindow(): Window {
  return { bytes: 0, ms: 0, floor: false, parts: new Map() };
}

function add(window: Window, transfer: Transfer, bytes: number, ms: number): void {
  window.bytes += bytes;
  window.ms += ms;
  window.parts.set(transfer, (window.parts.get(transfer) ?? 0) + bytes);
}

function median(samples: number[]): number | undefined {
  return samples.sort((a, b) => a - b)[samples.length >> 1];
}
