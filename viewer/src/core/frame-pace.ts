/**
 * The share of the render budget that the device can draw in time, by the time between its frames.
 *
 * The share falls as soon as frames are late. It rises again only after a number of windows in time, and this
 * number doubles whenever a rise was too much: the congestion control of a network, applied to a GPU.
 */

/** Frames per window. The median of a window is judged. */
const WINDOW = 24;
/** A longer interval is not a frame: the tab slept, or a shader was compiled, milliseconds. */
const LONGEST_FRAME_MS = 250;
/** A shorter interval is not a frame: a page may update several renderers in one frame, milliseconds. */
const SHORTEST_FRAME_MS = 2;
/** A frame is late if it takes this many times the display's frame time. */
const LATE = 1.25;
/** Factors on the share. */
const DECREASE = 0.8;
const INCREASE = 1.25;
/** The lowest share. If frames are still late, the cause is not the drawn detail. */
const MIN_SHARE = 1 / 3;
/** Windows in time before a rise, at first and at most. */
const PATIENCE = 4;
const MAX_PATIENCE = 256;

export class FramePace {
  /** Share of the render budget, 1/3 to 1. */
  share = 1;
  #lastFrame: number | null = null;
  #window: number[] = [];
  #windowsInTime = 0;
  #patience = PATIENCE;
  /** The last change was a rise. */
  #rose = false;

  /**
   * Call at the beginning of each frame.
   *
   * @param now milliseconds
   * @param framesPerSecond frame rate of the display
   */
  frame(now: number, framesPerSecond: number): void {
    const duration = now - (this.#lastFrame ?? now);
    if (this.#lastFrame !== null && duration < SHORTEST_FRAME_MS) return;
    this.#lastFrame = now;
    if (duration < SHORTEST_FRAME_MS || duration > LONGEST_FRAME_MS) return;
    this.#window.push(duration);
    if (this.#window.length < WINDOW) return;
    const median = this.#window.sort((a, b) => a - b)[WINDOW / 2] ?? 0;
    this.#window = [];
    if (median > (LATE * 1000) / framesPerSecond) this.#decrease();
    else if (++this.#windowsInTime >= this.#patience) this.#increase();
  }

  #decrease(): void {
    if (this.#rose) this.#patience = Math.min(MAX_PATIENCE, 2 * this.#patience);
    this.#rose = false;
    this.#windowsInTime = 0;
    this.share = Math.max(MIN_SHARE, DECREASE * this.share);
  }

  #increase(): void {
    this.#windowsInTime = 0;
    if (this.share === 1) {
      this.#patience = PATIENCE;
      this.#rose = false;
      return;
    }
    this.share = Math.min(1, INCREASE * this.share);
    this.#rose = true;
  }
}
