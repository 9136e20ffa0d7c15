/** Head movements over time: generated ones that depend on the scene, and recorded ones from JSON files. */

import {
  EYE_TRACKED_UNCERTAINTY,
  HEAD_GAZE_UNCERTAINTY,
  type Plane,
  type Quaternion,
  type Vec3,
  type View,
} from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { type HeadPose, predictionHorizon, predictView } from "../src/core/prediction.ts";
import { seeded } from "./random.ts";
import { partOf } from "./recorded.ts";

/** The place of a generated head in a scene, metres. */
export interface Standpoint {
  /** At the height of the eyes. */
  readonly at: Vec3;
  /** The circle of a walk, on which the head faces the centre or, with `outwards`, away from it. */
  readonly walk: { readonly centre: Vec3; readonly radius: number; readonly outwards: boolean };
}

/** Pose of a generated head. Angles are radians, `yaw` to the left of −z and `pitch` upwards. */
export interface HeadAngles {
  readonly position: Vec3;
  readonly yaw: number;
  readonly pitch: number;
  /** Tracked eyes, relative to the head. */
  readonly eyes?: { readonly yaw: number; readonly pitch: number };
}

export interface HeadTrace {
  readonly name: string;
  readonly durationMs: number;
  sampleAt(now: number): HeadSample;
}

interface HeadSample {
  readonly position: Vec3;
  readonly orientation: Quaternion;
  /** Unit vector of the tracked eyes; absent without an eye tracker. */
  readonly gaze?: Vec3;
}

/**
 * A file in traces/head, in the format of the viewer's inspector: metres in the scene's space, orientations
 * that turn −z into the head's forward. After the last sample the head rests.
 */
interface HeadFile {
  readonly format: "streamxr/head";
  /**
   * [ms, x, y, z, qx, qy, qz, qw], and with an eye tracker also [gx, gy, gz], a unit vector in world space.
   */
  readonly samples: readonly (readonly number[])[];
}

/** Duration of a generated trace. */
export const SESSION_MS = 20_000;
/** Longest session of a recorded head. */
const LONGEST_SESSION_MS = 60_000;
/** A headset's eye: degrees to each side, and pixels per degree at the centre (about those of a Quest 3). */
const HALF_WIDTH_DEGREES = 48;
const HALF_HEIGHT_DEGREES = 45;
const PIXELS_PER_DEGREE = 22;
const NEAR = 0.05;
/** Size of the file that the view is predicted for, as in three/view.ts. */
const TYPICAL_BYTES = 100_000;

const RADIANS = Math.PI / 180;

export function generatedHeads(standpoint: Standpoint): HeadTrace[] {
  const trace = (name: string, anglesAt: (now: number) => HeadAngles): HeadTrace => ({
    name,
    durationMs: SESSION_MS,
    sampleAt: (now) => sampleOf(anglesAt(now)),
  });
  return [
    trace("still", (now) => still(standpoint, now)),
    trace("looks around", (now) => looksAround(standpoint, now)),
    trace("walks", (now) => walks(standpoint, now)),
    trace("turns fast", turnsFast(standpoint, 3)),
    trace("eyes tracked", eyesTracked(standpoint, 5)),
  ];
}

/** @throws Error with the name of the file and the problem if it is not a head trace */
export function recordedHead(name: string, json: unknown): HeadTrace {
  const { format, samples } = partOf(json, "head") as Partial<HeadFile>;
  const problem = (text: string) => new Error(`${name}: ${text}`);
  if (format !== "streamxr/head") throw problem('"format" is not "streamxr/head"');
  if (!Array.isArray(samples) || samples.length < 2) throw problem('"samples" needs two or more');
  samples.forEach((sample, i) => {
    const isArray = Array.isArray(sample) && (sample.length === 8 || sample.length === 11);
    if (!isArray || !sample.every(Number.isFinite)) throw problem(`sample ${i} is not of 8 or 11 numbers`);
    if (i > 0 && !(sample[0] > (samples[i - 1]?.[0] ?? 0))) {
      throw problem(`sample ${i} is not after the one before`);
    }
  });
  const start = samples[0]?.[0] ?? 0;
  const sampleAt = (now: number): HeadSample => {
    let i = samples.length - 1;
    while (i > 0 && (samples[i]?.[0] ?? 0) - start > now) i--;
    const [, x = 0, y = 0, z = 0, qx = 0, qy = 0, qz = 0, qw = 1, ...gaze] = samples[i] as number[];
    const pose = { position: [x, y, z] as const, orientation: [qx, qy, qz, qw] as const };
    return gaze.length === 3 ? { ...pose, gaze: gaze as unknown as Vec3 } : pose;
  };
  const durationMs = Math.min(LONGEST_SESSION_MS, (samples.at(-1)?.[0] ?? 0) - start);
  return { name, durationMs, sampleAt };
}

/** The view at a moment, as the viewer's page would measure it. */
export function viewAt(head: HeadTrace, now: number): View {
  const { position: eye, orientation, gaze } = head.sampleAt(now);
  const [cw, sw] = [Math.cos(HALF_WIDTH_DEGREES * RADIANS), Math.sin(HALF_WIDTH_DEGREES * RADIANS)];
  const [ch, sh] = [Math.cos(HALF_HEIGHT_DEGREES * RADIANS), Math.sin(HALF_HEIGHT_DEGREES * RADIANS)];
  const normals: Vec3[] = [
    [cw, 0, -sw],
    [-cw, 0, -sw],
    [0, ch, -sh],
    [0, -ch, -sh],
  ];
  return {
    eye,
    gaze: gaze ?? rotateBy(orientation, [0, 0, -1]),
    gazeUncertaintyDegrees: gaze ? EYE_TRACKED_UNCERTAINTY : HEAD_GAZE_UNCERTAINTY,
    pixelsPerDegree: PIXELS_PER_DEGREE,
    near: NEAR,
    frustum: normals.map((normal): Plane => {
      const n = rotateBy(orientation, normal);
      return [...n, -(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2])];
    }),
  };
}

/** The same view with its prediction, as the viewer's page would add it. */
export function viewWithPrediction(head: HeadTrace, now: number, network: NetworkEstimate): View {
  const view = viewAt(head, now);
  const times = [-200, -100, 0].map((ms) => now + ms).filter((ms) => ms >= 0);
  const poses = times.map((time): HeadPose => ({ time, ...head.sampleAt(time) }));
  const horizon = predictionHorizon(network.ttfbMs, TYPICAL_BYTES, network.bytesPerSecond);
  const predicted = predictView(view, poses, horizon);
  return predicted ? { ...view, predicted } : view;
}

/** A head that rests still sways a little. */
function still({ at }: Standpoint, now: number): HeadAngles {
  const t = now / 1000;
  return {
    position: [at[0] + 0.004 * Math.sin(1.7 * t), at[1] + 0.003 * Math.sin(2.3 * t), at[2]],
    yaw: 0.3 * RADIANS * Math.sin(2.9 * t),
    pitch: 0.3 * RADIANS * Math.sin(2.1 * t + 1),
  };
}

/** Turns to both sides as far as is comfortable, in 12 s, at 60° a second or less. */
function looksAround(standpoint: Standpoint, now: number): HeadAngles {
  const t = now / 1000;
  const yaw =
    55 * RADIANS * Math.sin((2 * Math.PI * t) / 12) + 12 * RADIANS * Math.sin((2 * Math.PI * t) / 5.3);
  return { ...still(standpoint, now), yaw, pitch: 6 * RADIANS * Math.sin((2 * Math.PI * t) / 7) };
}

/** Walks on a circle at 0.8 m/s, and bobs with each step. */
function walks({ at, walk: { centre, radius, outwards } }: Standpoint, now: number): HeadAngles {
  const t = now / 1000;
  const along = (0.8 * t) / radius;
  const bob = 0.015 * Math.sin(2 * Math.PI * 1.8 * t);
  const position: Vec3 = [
    centre[0] + radius * Math.sin(along),
    at[1] + bob,
    centre[2] + (outwards ? -1 : 1) * radius * Math.cos(along),
  ];
  const yaw = outwards ? -along : along;
  return { position, yaw: yaw + 8 * RADIANS * Math.sin(1.3 * t), pitch: -4 * RADIANS };
}

/** Rests for 1.2–3 s, then turns by 50–140° in 0.4–0.8 s with minimum jerk (Flash and Hogan 1985). */
function turnsFast(standpoint: Standpoint, seed: number): (now: number) => HeadAngles {
  const random = seeded(seed);
  const turns: { readonly from: number; readonly ms: number; readonly yaw: number }[] = [];
  let yaw = 0;
  for (let from = 2000; from < 60_000; ) {
    const angle = (50 + 90 * random()) * (random() < 0.5 ? -1 : 1);
    const ms = 400 + 400 * random();
    // Most turns away from the front are followed by one back to it.
    yaw = Math.abs(yaw) > 1 && random() < 0.6 ? 0 : yaw + angle * RADIANS;
    turns.push({ from, ms, yaw });
    from += ms + 1200 + 1800 * random();
  }
  return (now) => {
    let yawNow = 0;
    for (const turn of turns) {
      const s = Math.min(1, Math.max(0, (now - turn.from) / turn.ms));
      yawNow += (turn.yaw - yawNow) * s ** 3 * (10 - 15 * s + 6 * s * s);
    }
    return { ...still(standpoint, now), yaw: yawNow };
  };
}

/** Looks around slowly, while the eyes jump 2–4 times a second, up to 14° away from the head's forward. */
function eyesTracked(standpoint: Standpoint, seed: number): (now: number) => HeadAngles {
  const random = seeded(seed);
  const fixations: { readonly from: number; readonly yaw: number; readonly pitch: number }[] = [];
  for (let from = 0; from < 60_000; from += 250 + 250 * random()) {
    const direction = 2 * Math.PI * random();
    const angle = 14 * RADIANS * Math.sqrt(random());
    fixations.push({ from, yaw: angle * Math.cos(direction), pitch: 0.7 * angle * Math.sin(direction) });
  }
  return (now) => {
    let i = 0;
    while ((fixations[i + 1]?.from ?? Number.POSITIVE_INFINITY) <= now) i++;
    const slow = looksAround(standpoint, now / 2);
    return { ...slow, position: standpoint.at, eyes: fixations[i] ?? { yaw: 0, pitch: 0 } };
  };
}

function sampleOf({ position, yaw, pitch, eyes }: HeadAngles): HeadSample {
  const orientation = orientationOf(yaw, pitch);
  if (!eyes) return { position, orientation };
  return {
    position,
    orientation,
    gaze: rotateBy(orientationOf(yaw + eyes.yaw, pitch + eyes.pitch), [0, 0, -1]),
  };
}

/** Yaw about y, then pitch about the x axis of the turned head. */
function orientationOf(yaw: number, pitch: number): Quaternion {
  const [cy, sy, cp, sp] = [Math.cos(yaw / 2), Math.sin(yaw / 2), Math.cos(pitch / 2), Math.sin(pitch / 2)];
  return [cy * sp, sy * cp, -sy * sp, cy * cp];
}

function rotateBy([x, y, z, w]: Quaternion, v: Vec3): Vec3 {
  const tx = 2 * (y * v[2] - z * v[1]);
  const ty = 2 * (z * v[0] - x * v[2]);
  const tz = 2 * (x * v[1] - y * v[0]);
  return [v[0] + w * tx + y * tz - z * ty, v[1] + w * ty + z * tx - x * tz, v[2] + w * tz + x * ty - y * tx];
}
