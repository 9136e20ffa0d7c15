/**
 * Plays received poses back with a delay, so that there is nearly always a later pose to move towards (entity
 * interpolation with a jitter buffer). Times are milliseconds of the relay's clock.
 */

/** Delay behind the newest pose: two ticks at 30 Hz and some jitter. */
const SHORTEST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 600;
/** Delay in intervals between poses: one to move through, and a half for jitter. */
const DELAY_INTERVALS = 1.5;
/** A longer interval means a rest: a pose comes at least once a second even without motion. */
const REST_MS = 450;
/** Intervals that decide the delay: a median of several, so that one late frame has no influence. */
const MEASURED_INTERVALS = 5;
/** Change of the delay per passed time: motion becomes a little slower or faster, and never jumps. */
const SLEW_RATE = 0.25;
/** After the newest pose, motion in progress continues for at most this long. */
const COAST_MS = 120;
/** Poses kept: one second at 60 Hz. */
const MAX_SAMPLES = 64;
/** A clock that is behind by more than this belongs to a restarted relay. */
const CLOCK_RESTART_MS = 1000;

/** Two poses and the place between them. */
export interface Played<T> {
  readonly from: T;
  readonly to: T;
  /** 0 at `from`, 1 at `to`; slightly above 1 while motion continues past the newest pose. */
  readonly t: number;
}

/**
 * The delay for poses that came at these intervals (milliseconds, oldest first): 1.5 times their median,
 * without rests. In a large room, poses of far participants come at 5 Hz and those of near ones at up to 60
 * Hz.
 */
export function delayFor(intervals: readonly number[]): number {
  const moving = intervals.filter((ms) => ms <= REST_MS).sort((a, b) => a - b);
  const median = moving[Math.floor(moving.length / 2)] ?? 0;
  return Math.min(LONGEST_DELAY_MS, Math.max(SHORTEST_DELAY_MS, DELAY_INTERVALS * median));
}

/** The delay after `passed` more milliseconds, on its way from `current` to `target`. */
export function slew(current: number, target: number, passed: number): number {
  const limit = SLEW_RATE * Math.max(0, passed);
  return current + Math.min(limit, Math.max(-limit, target - current));
}

/** The poses of one participant or one shared object. */
export class Playback<T> {
  readonly #samples: { readonly at: number; readonly pose: T }[] = [];
  readonly #intervals: number[] = [];
  #targetDelay = SHORTEST_DELAY_MS;
  #delay = SHORTEST_DELAY_MS;
  #readAt: number | null = null;

  /** Takes a received pose; one that is older than the newest is dropped. */
  add(pose: T, at: number): void {
    const last = this.#samples.at(-1);
    if (last && at <= last.at) {
      if (last.at - at < CLOCK_RESTART_MS) return;
      this.clear();
    } else if (last && at - last.at <= REST_MS) {
      this.#intervals.push(at - last.at);
      if (this.#intervals.length > MEASURED_INTERVALS) this.#intervals.shift();
      this.#targetDelay = delayFor(this.#intervals);
    }
    this.#samples.push({ at, pose });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  /** Forgets all poses: the next one is shown at once. */
  clear(): void {
    this.#samples.length = 0;
    this.#readAt = null;
  }

  /** The poses to show between while the relay's clock is `clock`; null before the first pose. */
  read(clock: number): Played<T> | null {
    const first = this.#samples[0];
    if (!first) return null;
    const target = this.#targetDelay;
    this.#delay = this.#readAt === null ? target : slew(this.#delay, target, clock - this.#readAt);
    this.#readAt = clock;
    const at = clock - this.#delay;
    let next = this.#samples.findIndex((sample) => sample.at >= at);
    // Past the newest pose, motion continues along the last two.
    if (next < 0) next = this.#samples.length - 1;
    const to = this.#samples[next] ?? first;
    const from = this.#samples[Math.max(0, next - 1)] ?? first;
    const span = to.at - from.at;
    // The relay sends no pose while nothing moves: after a long interval, wait at `from` and then move.
    const start = Math.max(from.at, to.at - this.#delay);
    const t = span > 0 ? Math.max(0, (Math.min(at, to.at + COAST_MS) - start) / (to.at - start)) : 1;
    if (next > 2) this.#samples.splice(0, Math.min(next - 2, this.#samples.length - 3));
    // Only motion in progress continues; a rest before the newest pose says nothing about the next.
    return { from: from.pose, to: to.pose, t: span > 0 && span <= REST_MS ? t : Math.min(1, t) };
  }
}

/**
 * Estimates the relay's clock from the arrival of its ticks: the smallest difference seen is the one with the
 * least time in queues.
 */
export class RelayClock {
  /** Local clock minus relay's clock, milliseconds. */
  #offset = Number.POSITIVE_INFINITY;

  /**
   * @param at relay's clock when the message was sent
   * @param now local clock when it arrived
   */
  observe(at: number, now: number): void {
    const offset = now - at;
    if (offset < this.#offset || offset > this.#offset + CLOCK_RESTART_MS) this.#offset = offset;
  }

  /** The relay's clock at a local time; null before the first tick. */
  read(now: number): number | null {
    return this.#offset === Number.POSITIVE_INFINITY ? null : now - this.#offset;
  }
}
