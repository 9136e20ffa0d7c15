/**
 * The gaze and its uncertainty, from the best source that the device has: an eye tracker, a pinch, a pointer,
 * or only the head.
 */
import { dot, EYE_TRACKED_UNCERTAINTY, type Vec3 } from "./gaze.ts";

/** A ray that may show the gaze. */
export interface GazeRay {
  /**
   * `gaze`: a WebXR input source that follows the eyes, or only the head, depending on the device.
   * `transient-pointer`: points where the user looked when a pinch began; afterwards the hand moves it.
   * `pointer`: the mouse.
   */
  readonly mode: "gaze" | "transient-pointer" | "pointer";
  /** Identity of the source: the same object during one pinch or one move of the mouse. */
  readonly source: object;
  /** Unit vector in world space. */
  readonly direction: Vec3;
}

export type GazeSource = "eye" | "pinch" | "pointer" | "head";

export interface Gaze {
  readonly source: GazeSource;
  readonly direction: Vec3;
  readonly uncertaintyDegrees: number;
}

/** Users look at their target when they pinch it, and elsewhere about a second later, milliseconds. */
export const PINCH_FADE_MS = 1000;
/** The eye looks at the mouse or ahead of it, mostly within this angle, degrees. */
export const POINTER_UNCERTAINTY = 8;
/** A mouse that has rested for this long is no sign of the gaze, milliseconds. */
export const POINTER_FADE_MS = 3000;
/** A `gaze` source that has followed the head for this long may have lost the eyes, milliseconds. */
const TRUST_MS = 10_000;
/** A `gaze` ray within this angle of the head's forward may be the head's, degrees. */
const HEAD_DIRECTED_DEGREES = 0.5;
/**
 * A head that turns by more than this in a frame is not at rest, degrees. Its own ray, one frame late, would
 * seem to depart from its forward.
 */
const RESTING_DEGREES = 0.5;

const HEAD_DIRECTED_COSINE = cosine(HEAD_DIRECTED_DEGREES);
const RESTING_COSINE = cosine(RESTING_DEGREES);

/** A pinch or a move of the mouse, as it began. */
interface PointingEvent {
  readonly mode: GazeRay["mode"];
  readonly direction: Vec3;
  /** Milliseconds. */
  readonly startedAt: number;
}

/** Follows the rays of a session from frame to frame. */
export class GazeTracker {
  #lastForward: Vec3 | null = null;
  /** By `gaze` source: the last time when it departed from the forward of a resting head. */
  readonly #departedAt = new WeakMap<object, number>();
  /** The sources of all pinches and mouse moves so far. */
  readonly #pointed = new WeakSet<object>();
  #lastPointing: PointingEvent | null = null;

  /**
   * The best estimate of the gaze: the ray of an eye tracker; else that of the last pinch or mouse move, with
   * an uncertainty that grows with its age; else the head's forward.
   *
   * @param now milliseconds
   * @param head the estimate without any ray
   */
  read(now: number, head: Gaze, rays: readonly GazeRay[]): Gaze {
    const forward = head.direction;
    const isResting = this.#lastForward !== null && dot(forward, this.#lastForward) > RESTING_COSINE;
    this.#lastForward = forward;
    let eye: GazeRay | null = null;
    for (const ray of rays) {
      if (ray.mode === "gaze") {
        if (isResting && dot(ray.direction, forward) < HEAD_DIRECTED_COSINE) {
          this.#departedAt.set(ray.source, now);
        }
        const departedAt = this.#departedAt.get(ray.source) ?? Number.NEGATIVE_INFINITY;
        if (now - departedAt < TRUST_MS) eye ??= ray;
      } else if (!this.#pointed.has(ray.source)) {
        this.#pointed.add(ray.source);
        this.#lastPointing = { mode: ray.mode, direction: ray.direction, startedAt: now };
      }
    }
    if (eye) return { source: "eye", direction: eye.direction, uncertaintyDegrees: EYE_TRACKED_UNCERTAINTY };
    return this.#pointing(now, head);
  }

  /** The gaze by the last pinch or mouse move; by the head once that has faded. */
  #pointing(now: number, head: Gaze): Gaze {
    if (!this.#lastPointing) return head;
    const { mode, direction, startedAt } = this.#lastPointing;
    const isPinch = mode === "transient-pointer";
    const initial = isPinch ? EYE_TRACKED_UNCERTAINTY : POINTER_UNCERTAINTY;
    const age = (now - startedAt) / (isPinch ? PINCH_FADE_MS : POINTER_FADE_MS);
    if (age >= 1) return head;
    const uncertaintyDegrees = initial + (head.uncertaintyDegrees - initial) * age;
    return { source: isPinch ? "pinch" : "pointer", direction, uncertaintyDegrees };
  }
}

function cosine(degrees: number): number {
  return Math.cos((degrees * Math.PI) / 180);
}
