/** Heads over time: generated ones, which go by the scene they look at, and recorded ones from JSON files. */

import {
  EYE_TRACKED_UNCERTAINTY,
  HEAD_GAZE_UNCERTAINTY,
  type HeadPose,
  type Plane,
  predictionHorizon,
  predictView,
  type Quaternion,
  type Vec3,
  type View,
} from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { seeded } from "./random.ts";
import { partOf } from "./recorded.ts";

/** How a head may move in a scene. Metres and radians. */
export interface Stand {
  /** Where it stands, at the height of its eyes. */
  readonly at: Vec3;
  /** What it walks around, on a circle; or in which circle it walks, looking outwards. */
  readonly walk: { readonly centre: Vec3; readonly radius: number; readonly outwards: boolean };
}

export interface Moment {
  readonly position: Vec3;
  /** Radians to the left of −z, and upwards. */
  readonly yaw: number;
  readonly pitch: number;
  /** Of the eyes against the head, where they are tracked. */
  readonly eyes?: { readonly yaw: number; readonly pitch: number };
}

export interface HeadTrace {
  readonly name: string;
  readonly durationMs: number;
  moment(now: number): Sample;
}

interface Sample {
  readonly position: Vec3;
  readonly orientation: Quaternion;
  /** Unit vector of the tracked eyes; absent: only the head is known. */
  readonly gaze?: Vec3;
}

/**
 * A file in traces/head, as the viewer records it: metres in the scene's space, orientations that turn −z into the
 * head's forward. What comes after the last sample stays as it is.
 */
export interface HeadFile {
  readonly format: "streamxr/head";
  /** [ms, x, y, z, qx, qy, qz, qw], and where eyes were tracked also [gx, gy, gz], a unit vector in world space. */
  readonly samples: readonly (readonly number[])[];
}

export const SESSION_MS = 20_000;
/** A headset's eye: degrees to each side, and pixels per degree at the centre (about those of a Quest 3). */
const HALF_WIDTH_DEGREES = 48;
const HALF_HEIGHT_DEGREES = 45;
const PIXELS_PER_DEGREE = 22;
const NEAR = 0.05;
/** As three/view.ts has it: how far ahead to look. */
const TYPICAL_BYTES = 100_000;

const RADIANS = Math.PI / 180;

export function generatedHeads(stand: Stand): HeadTrace[] {
  const trace = (name: string, at: (now: number) => Moment): HeadTrace => ({
    name,
    durationMs: SESSION_MS,
    moment: (now) => sampleOf(at(now)),
  });
  return [
    trace("still", (now) => still(stand, now)),
    trace("looks around", (now) => looksAround(stand, now)),
    trace("walks", (now) => walks(stand, now)),
    trace("turns fast", turnsFast(stand, 3)),
    trace("eyes tracked", eyesTracked(stand, 5)),
  ];
}

/** @throws Error that names the file and what is wrong with it */
export function recordedHead(name: string, json: unknown): HeadTrace {
  const { format, samples } = partOf(json, "head") as Partial<HeadFile>;
  const wrong = (what: string) => new Error(`${name}: ${what}`);
  if (format !== "streamxr/head") throw wrong('"format" is not "streamxr/head"');
  if (!Array.isArray(samples) || samples.length < 2) throw wrong('"samples" needs two or more');
  samples.forEach((sample, i) => {
    const fits = Array.isArray(sample) && (sample.length === 8 || sample.length === 11);
    if (!fits || !sample.every(Number.isFinite)) throw wrong(`sample ${i} is not of 8 or 11 numbers`);
    if (i > 0 && !(sample[0] > (samples[i - 1]?.[0] ?? 0)))
      throw wrong(`sample ${i} is not after the one before`);
  });
  const start = samples[0]?.[0] ?? 0;
  const moment = (now: number): Sample => {
    let i = samples.length - 1;
    while (i > 0 && (samples[i]?.[0] ?? 0) - start > now) i--;
    const [, x = 0, y = 0, z = 0, qx = 0, qy = 0, qz = 0, qw = 1, ...gaze] = samples[i] as number[];
    const pose = { position: [x, y, z] as const, orientation: [qx, qy, qz, qw] as const };
    return gaze.length === 3 ? { ...pose, gaze: gaze as unknown as Vec3 } : pose;
  };
  return { name, durationMs: Math.min(60_000, (samples.at(-1)?.[0] ?? 0) - start), moment };
}

/** What a viewer knows of the eyes at a moment. */
export function viewAt(head: HeadTrace, now: number): View {
  const { position: eye, orientation, gaze } = head.moment(now);
  const turned = (v: Vec3) => rotateBy(orientation, v);
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
    gaze: gaze ?? turned([0, 0, -1]),
    gazeUncertaintyDegrees: gaze ? EYE_TRACKED_UNCERTAINTY : HEAD_GAZE_UNCERTAINTY,
    pixelsPerDegree: PIXELS_PER_DEGREE,
    near: NEAR,
    frustum: normals.map((normal): Plane => {
      const n = turned(normal);
      return [...n, -(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2])];
    }),
  };
}

/** The same with where the head's motion leads, as the viewer adds it. */
export function viewWithPrediction(head: HeadTrace, now: number, network: NetworkEstimate): View {
  const view = viewAt(head, now);
  const times = [-200, -100, 0].map((ms) => now + ms).filter((ms) => ms >= 0);
  const poses = times.map((time): HeadPose => ({ time, ...head.moment(time) }));
  const horizon = predictionHorizon(network.ttfbMs, TYPICAL_BYTES, network.bytesPerSecond);
  const predicted = predictView(view, poses, horizon);
  return predicted ? { ...view, predicted } : view;
}

/** Nobody's head is quite still. */
function still({ at }: Stand, now: number): Moment {
  const t = now / 1000;
  return {
    position: [at[0] + 0.004 * Math.sin(1.7 * t), at[1] + 0.003 * Math.sin(2.3 * t), at[2]],
    yaw: 0.3 * RADIANS * Math.sin(2.9 * t),
    pitch: 0.3 * RADIANS * Math.sin(2.1 * t + 1),
  };
}

/** Both ways as far as a neck likes to turn, in 12 s, at no more than 60° a second. */
function looksAround(stand: Stand, now: number): Moment {
  const t = now / 1000;
  const yaw =
    55 * RADIANS * Math.sin((2 * Math.PI * t) / 12) + 12 * RADIANS * Math.sin((2 * Math.PI * t) / 5.3);
  return { ...still(stand, now), yaw, pitch: 6 * RADIANS * Math.sin((2 * Math.PI * t) / 7) };
}

/** 0.8 m/s on a circle, with the bob of steps. */
function walks({ at, walk: { centre, radius, outwards } }: Stand, now: number): Moment {
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

/** Looks somewhere for 1.2–3 s, then turns 50–140° within 0.4–0.8 s, with the least jerk (Flash and Hogan 1985). */
function turnsFast(stand: Stand, seed: number): (now: number) => Moment {
  const random = seeded(seed);
  const turns: { readonly from: number; readonly ms: number; readonly yaw: number }[] = [];
  let yaw = 0;
  for (let from = 2000; from < 60_000; ) {
    const angle = (50 + 90 * random()) * (random() < 0.5 ? -1 : 1);
    const ms = 400 + 400 * random();
    // Comes back to what is in front again and again: people turn to things.
    yaw = Math.abs(yaw) > 1 && random() < 0.6 ? 0 : yaw + angle * RADIANS;
    turns.push({ from, ms, yaw });
    from += ms + 1200 + 1800 * random();
  }
  return (now) => {
    let at = 0;
    for (const turn of turns) {
      const s = Math.min(1, Math.max(0, (now - turn.from) / turn.ms));
      at += (turn.yaw - at) * s ** 3 * (10 - 15 * s + 6 * s * s);
    }
    return { ...still(stand, now), yaw: at };
  };
}

/** Looks around slowly while the eyes jump, up to 14° off the head, 2–4 times a second. */
function eyesTracked(stand: Stand, seed: number): (now: number) => Moment {
  const random = seeded(seed);
  const fixations: { readonly from: number; readonly yaw: number; readonly pitch: number }[] = [];
  for (let from = 0; from < 60_000; from += 250 + 250 * random()) {
    const angle = 2 * Math.PI * random();
    const away = 14 * RADIANS * Math.sqrt(random());
    fixations.push({ from, yaw: away * Math.cos(angle), pitch: 0.7 * away * Math.sin(angle) });
  }
  return (now) => {
    let i = 0;
    while ((fixations[i + 1]?.from ?? Number.POSITIVE_INFINITY) <= now) i++;
    const slow = looksAround(stand, now / 2);
    return { ...slow, position: stand.at, eyes: fixations[i] ?? { yaw: 0, pitch: 0 } };
  };
}

function sampleOf({ position, yaw, pitch, eyes }: Moment): Sample {
  const orientation = turnBy(yaw, pitch);
  if (!eyes) return { position, orientation };
  return { position, orientation, gaze: rotateBy(turnBy(yaw + eyes.yaw, pitch + eyes.pitch), [0, 0, -1]) };
}

/** Yaw about y, then pitch about the x of the turned head. */
function turnBy(yaw: number, pitch: number): Quaternion {
  const [cy, sy, cp, sp] = [Math.cos(yaw / 2), Math.sin(yaw / 2), Math.cos(pitch / 2), Math.sin(pitch / 2)];
  return [cy * sp, sy * cp, -sy * sp, cy * cp];
}

function rotateBy([x, y, z, w]: Quaternion, v: Vec3): Vec3 {
  const tx = 2 * (y * v[2] - z * v[1]);
  const ty = 2 * (z * v[0] - x * v[2]);
  const tz = 2 * (x * v[1] - y * v[0]);
  return [v[0] + w * tx + y * tz - z * ty, v[1] + w * ty + z * tx - x * tz, v[2] + w * tz + x * ty - y * tx];
}
