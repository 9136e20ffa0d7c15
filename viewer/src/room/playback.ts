/**
 * Where something was that is told of now and then: its poses, played back late enough that there is nearly always a
 * later one to move towards. Times are of the relay's clock, milliseconds.
 */

/** Behind the newest pose: two ticks at 30 Hz and some jitter. */
const LEAST_DELAY_MS = 100;
const MOST_DELAY_MS = 600;
/** Intervals of delay: a whole one to move through, and half of one for jitter. */
const INTERVALS = 1.5;
/** Longer between two poses, and it stood still: a pose at least once a second is due even so. */
const PAUSE_MS = 450;
/** Intervals that the delay is judged by: one late frame must not change it. */
const JUDGED = 5;
/** Of the passing time, how much the delay may change by: motion is then a little slower or faster, and never jumps. */
const SLEW = 0.25;
/** After the last pose, motion in progress may be carried on for so long. Longer, and it would fly away. */
const COAST_MS = 120;
/** A second at 60 Hz. */
const KEPT = 64;
/** A clock this far behind is another clock: a relay that restarted. */
const OTHER_CLOCK_MS = 1000;

export interface Played<T> {
  readonly from: T;
  readonly to: T;
  /** 0: at `from`, 1: at `to`; a little above while coasting. */
  readonly t: number;
}

/**
 * The delay for poses that came at these intervals (milliseconds, oldest first): 1.5 times their median, pauses left
 * out. Whoever is far in a large room is told of at 5 Hz, and whoever is near at up to 60.
 */
export function delayFor(intervals: readonly number[]): number {
  const moving = intervals.filter((ms) => ms <= PAUSE_MS).sort((a, b) => a - b);
  const median = moving[Math.floor(moving.length / 2)] ?? 0;
  return Math.min(MOST_DELAY_MS, Math.max(LEAST_DELAY_MS, INTERVALS * median));
}

/** The delay after `passed` more milliseconds, on its way from `current` to `wanted`. */
export function slew(current: number, wanted: number, passed: number): number {
  const most = SLEW * Math.max(0, passed);
  return current + Math.min(most, Math.max(-most, wanted - current));
}

/** One participant's body, or one shared object. */
export class Playback<T> {
  private readonly samples: { readonly at: number; readonly pose: T }[] = [];
  private readonly intervals: number[] = [];
  private wanted = LEAST_DELAY_MS;
  private delay = LEAST_DELAY_MS;
  private readAt: number | null = null;

  /** Milliseconds behind the relay's clock, as shown now. */
  get delayMs(): number {
    return this.delay;
  }

  take(pose: T, at: number): void {
    const last = this.samples.at(-1);
    if (last && at <= last.at) {
      // A late frame is of no use any more.
      if (last.at - at < OTHER_CLOCK_MS) return;
      this.clear();
    } else if (last && at - last.at <= PAUSE_MS) {
      this.intervals.push(at - last.at);
      if (this.intervals.length > JUDGED) this.intervals.shift();
      this.wanted = delayFor(this.intervals);
    }
    this.samples.push({ at, pose });
    if (this.samples.length > KEPT) this.samples.shift();
  }

  /** Forgets the way here: what comes next is shown at once. */
  clear(): void {
    this.samples.length = 0;
    this.readAt = null;
  }

  /** What to show while the relay's clock is `clock`; null before the first pose. */
  read(clock: number): Played<T> | null {
    const first = this.samples[0];
    if (!first) return null;
    this.delay = this.readAt === null ? this.wanted : slew(this.delay, this.wanted, clock - this.readAt);
    this.readAt = clock;
    const at = clock - this.delay;
    let next = this.samples.findIndex((sample) => sample.at >= at);
    // Past the last pose there is only coasting along the last two; before the first, waiting on it.
    if (next < 0) next = this.samples.length - 1;
    const to = this.samples[next] ?? first;
    const from = this.samples[Math.max(0, next - 1)] ?? first;
    const span = to.at - from.at;
    // A pose that stood for longer than a tick was not sent because nothing moved: wait on it, then move.
    const start = Math.max(from.at, to.at - this.delay);
    const t = span > 0 ? Math.max(0, (Math.min(at, to.at + COAST_MS) - start) / (to.at - start)) : 1;
    if (next > 2) this.samples.splice(0, Math.min(next - 2, this.samples.length - 3));
    // Coasting is for motion in progress; a long pause before a step says nothing of the next.
    return { from: from.pose, to: to.pose, t: span > 0 && span <= PAUSE_MS ? t : Math.min(1, t) };
  }
}

/** What a relay's clock says now, from when its ticks arrived: the smallest lag has the least queueing in it. */
export class RelayClock {
  /** Local minus relay clock. */
  private offset = Number.POSITIVE_INFINITY;

  /** @param at relay clock of something that arrived at `now`, local clock */
  hear(at: number, now: number): void {
    if (now - at < this.offset || now - at > this.offset + OTHER_CLOCK_MS) this.offset = now - at;
  }

  /** Null before the first tick. */
  read(now: number): number | null {
    return this.offset === Number.POSITIVE_INFINITY ? null : now - this.offset;
  }
}
