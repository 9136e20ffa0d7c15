/**
 * Where the eyes look, by what the device tells: an eye tracker, a pinch, a pointer, or only the head.
 *
 * Pure, as all of the core: rays and times come in, a gaze and its uncertainty come out.
 */
import { EYE_TRACKED_UNCERTAINTY, isEyeTracked, type Vec3 } from "./gaze.ts";

/** A ray that may say where the eyes look, as a unit vector in world space. */
export interface GazeRay {
  /**
   * `gaze`: a WebXR source that follows the eyes, or the head under that name. `transient-pointer`: where the user
   * looked when a pinch began; afterwards the hand moves it. `pointer`: the mouse's.
   */
  readonly mode: "gaze" | "transient-pointer" | "pointer";
  /** The same object for as long as it is the same source: one pinch, one move of the mouse. */
  readonly source: object;
  readonly direction: Vec3;
}

export type GazeSource = "eye" | "pinch" | "pointer" | "head";

export interface Gaze {
  readonly source: GazeSource;
  readonly direction: Vec3;
  readonly uncertaintyDegrees: number;
}

/** People look at what they pinch when they pinch it, and elsewhere about a second later, milliseconds. */
export const PINCH_FADE_MS = 1000;
/** The eye is ahead of the mouse or with it, mostly within this, degrees; a mouse at rest says nothing after 3 s. */
export const POINTER_UNCERTAINTY = 8;
export const POINTER_FADE_MS = 3000;
/** A source that has not departed from the head's forward for so long may have lost the eyes, milliseconds. */
const TRUST_MS = 10_000;
/** A head that turns faster outruns a ray that is a frame old, though both are its own, degrees per frame. */
const STILL_DEGREES = 0.5;

const STILL_COSINE = Math.cos((STILL_DEGREES * Math.PI) / 180);

/** Follows the rays of a session over its frames. */
export class GazeTracker {
  #forward: Vec3 | null = null;
  /** When each `gaze` source was last seen to be no other name of the head. */
  readonly #departed = new WeakMap<object, number>();
  /** Pinches and moves of the pointer: where they began, and when. */
  readonly #begun = new WeakMap<object, { readonly direction: Vec3; readonly at: number }>();
  #last: { readonly mode: GazeRay["mode"]; readonly direction: Vec3; readonly at: number } | null = null;

  /**
   * The best guess of the gaze: an eye tracker's ray; else that of the last pinch or move, the less sure the older it
   * is; else the head's forward.
   *
   * @param now milliseconds
   * @param head what is known without any ray
   */
  read(now: number, head: Gaze, rays: readonly GazeRay[]): Gaze {
    const forward = head.direction;
    const still = this.#forward !== null && dot(forward, this.#forward) > STILL_COSINE;
    this.#forward = forward;
    let eye: GazeRay | null = null;
    for (const ray of rays) {
      if (ray.mode === "gaze") {
        if (still && isEyeTracked([{ ray: ray.direction, forward }])) this.#departed.set(ray.source, now);
        if (now - (this.#departed.get(ray.source) ?? Number.NEGATIVE_INFINITY) < TRUST_MS) eye ??= ray;
      } else if (!this.#begun.has(ray.source)) {
        const beginning = { mode: ray.mode, direction: ray.direction, at: now };
        this.#begun.set(ray.source, beginning);
        this.#last = beginning;
      }
    }
    if (eye) return { source: "eye", direction: eye.direction, uncertaintyDegrees: EYE_TRACKED_UNCERTAINTY };
    if (!this.#last) return head;
    const { mode, direction, at } = this.#last;
    const pinch = mode === "transient-pointer";
    const sure = pinch ? EYE_TRACKED_UNCERTAINTY : POINTER_UNCERTAINTY;
    const age = (now - at) / (pinch ? PINCH_FADE_MS : POINTER_FADE_MS);
    if (age >= 1) return head;
    const uncertaintyDegrees = sure + (head.uncertaintyDegrees - sure) * age;
    return { source: pinch ? "pinch" : "pointer", direction, uncertaintyDegrees };
  }
}

function dot(a: Vec3, b: Vec3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
