/**
 * How much of the render budget the device really manages, by the time between its frames.
 *
 * Less is drawn as soon as frames come late, more only after a while, and after ever longer ones where that was too
 * much: the congestion control of a network, for a GPU.
 */

/** Frames whose median is judged. */
const WINDOW = 24;
/** A longer pause is no frame: the tab slept, or something was compiled, milliseconds. */
const LONGEST_MS = 250;
/** Several renderers of one page may be updated in one frame, milliseconds. */
const SHORTEST_MS = 2;
/** Frames that are so many times longer than they should be come late. */
const LATE = 1.25;
const LESS = 0.8;
const MORE = 1.25;
/** Whatever takes the time: below this, drawing less is no cure. */
const LEAST_SHARE = 1 / 3;
/** Windows in time before more is tried, at first and at most. */
const PATIENCE = 4;
const MOST_PATIENCE = 256;

export class FramePace {
  /** Of the render budget, 1/3 to 1. */
  share = 1;
  #last: number | null = null;
  #window: number[] = [];
  #inTime = 0;
  #patience = PATIENCE;
  /** The last change was to more. */
  #tried = false;

  /**
   * A frame begins.
   * @param now milliseconds
   * @param framesPerSecond that should be shown
   */
  frame(now: number, framesPerSecond: number): void {
    const took = now - (this.#last ?? now);
    if (this.#last !== null && took < SHORTEST_MS) return;
    this.#last = now;
    if (took < SHORTEST_MS || took > LONGEST_MS) return;
    this.#window.push(took);
    if (this.#window.length < WINDOW) return;
    const median = this.#window.sort((a, b) => a - b)[WINDOW / 2] ?? 0;
    this.#window = [];
    if (median > (LATE * 1000) / framesPerSecond) this.#drawLess();
    else if (++this.#inTime >= this.#patience) this.#drawMore();
  }

  #drawLess(): void {
    if (this.#tried) this.#patience = Math.min(MOST_PATIENCE, 2 * this.#patience);
    this.#tried = false;
    this.#inTime = 0;
    this.share = Math.max(LEAST_SHARE, LESS * this.share);
  }

  #drawMore(): void {
    this.#inTime = 0;
    if (this.share === 1) {
      this.#patience = PATIENCE;
      this.#tried = false;
      return;
    }
    this.share = Math.min(1, MORE * this.share);
    this.#tried = true;
  }
}
