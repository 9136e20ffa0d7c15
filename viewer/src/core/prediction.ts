/** The view that a moving head will have when a file arrives, from the poses of the last moments. */
import { dot, type Plane, type Quaternion, type Vec3, type View } from "./gaze.ts";

/** Pose of the head. `orientation` turns −z into the head's forward, as in WebXR and three.js. */
export interface HeadPose {
  /** Milliseconds. */
  readonly time: number;
  /** Metres. */
  readonly position: Vec3;
  readonly orientation: Quaternion;
}

/** Limits of the prediction, milliseconds and degrees: a head keeps up no motion for longer. */
const PREDICTION_LIMIT_MS = 1000;
const PREDICTION_LIMIT_DEGREES = 30;
/** While the head turns faster, the eyes follow in saccades, which see nothing; degrees per second. */
const SWEEP_SPEED = 100;
/**
 * The velocity of the head is its mean over this span, milliseconds: over a shorter span it is noise of the
 * tracker, over a longer one it is out of date.
 */
const VELOCITY_SPAN_MS = 100;

const DEGREES = 180 / Math.PI;
/** Smaller motions need no second view: half a degree, in radians, and a centimetre, in metres. */
const MIN_TURN = 0.5 / DEGREES;
const MIN_STEP = 0.01;

/**
 * Time from the request of a file until it is drawn, milliseconds, at most `PREDICTION_LIMIT_MS`:
 * time to first byte + bytes ÷ bandwidth.
 */
export function predictionHorizon(ttfbMs: number, bytes: number, bytesPerSecond: number): number {
  return Math.min(PREDICTION_LIMIT_MS, ttfbMs + (1000 * bytes) / Math.max(1, bytesPerSecond));
}

/**
 * The view after `horizonMs`, or null if the head rests or the poses are too few.
 *
 * The eye moves, and the view turns about it, with the velocity of the last 0.1 s, for at most 1 s and 30°. A
 * turn that slows down stops where it comes to rest. `gazeArcEnd` is the gaze at the end of that second, at
 * most another 30° further.
 *
 * @param poses in order of time; the last one belongs to `view`
 */
export function predictView(view: View, poses: readonly HeadPose[], horizonMs: number): View | null {
  const motion = headMotion(poses);
  const horizon = Math.min(Math.max(0, horizonMs), PREDICTION_LIMIT_MS);
  if (!motion || horizon === 0) return null;

  const { axis, displacement, spanMs } = motion;
  const turn = turnAfter(motion, horizon);
  const limit = PREDICTION_LIMIT_DEGREES / DEGREES;
  const angle = Math.min(turn.angle, limit);
  const step: Vec3 = [
    (displacement[0] * horizon) / spanMs,
    (displacement[1] * horizon) / spanMs,
    (displacement[2] * horizon) / spanMs,
  ];
  if (angle < MIN_TURN && Math.hypot(...step) < MIN_STEP) return null;

  const eye: Vec3 = [view.eye[0] + step[0], view.eye[1] + step[1], view.eye[2] + step[2]];
  const frustum = view.frustum.map((plane): Plane => {
    const normal: Vec3 = [plane[0], plane[1], plane[2]];
    const depth = dot(normal, view.eye) + plane[3];
    const rotated = rotate(normal, axis, angle);
    return [...rotated, depth - dot(rotated, eye)];
  });
  const { predicted: _, ...rest } = view;
  const sweeps = 1000 * turn.speed * DEGREES > SWEEP_SPEED;
  const predicted: View = { ...rest, eye, gaze: rotate(view.gaze, axis, angle), frustum, sweeps };
  const endAngle = Math.min(turnAfter(motion, PREDICTION_LIMIT_MS).angle, angle + limit);
  if (endAngle - angle < MIN_TURN) return predicted;
  return { ...predicted, gazeArcEnd: rotate(view.gaze, axis, endAngle) };
}

/** Motion of a head up to its last pose. */
interface HeadMotion {
  /** The time between the poses that the velocities are taken from. */
  readonly spanMs: number;
  /** Metres moved in the span. */
  readonly displacement: Vec3;
  /** Unit axis of the turn, world space. */
  readonly axis: Vec3;
  /** Mean angular speed over the span, radians per millisecond. */
  readonly speed: number;
  /** Decrease of the angular speed, radians per millisecond²; negative while the turn speeds up. */
  readonly deceleration: number;
}

/** Null if the poses span no time. */
function headMotion(poses: readonly HeadPose[]): HeadMotion | null {
  const last = poses.at(-1);
  if (!last) return null;
  const first = poseBefore(poses, last.time);
  const spanMs = last.time - first.time;
  if (spanMs <= 0) return null;
  const { axis, angle } = rotationBetween(first.orientation, last.orientation);
  const speed = angle / spanMs;
  const earlier = poseBefore(poses, first.time);
  const earlierMs = first.time - earlier.time;
  let deceleration = 0;
  if (earlierMs > 0) {
    const earlierSpeed = rotationBetween(earlier.orientation, first.orientation).angle / earlierMs;
    deceleration = (earlierSpeed - speed) / ((earlierMs + spanMs) / 2);
  }
  const displacement: Vec3 = [
    last.position[0] - first.position[0],
    last.position[1] - first.position[1],
    last.position[2] - first.position[2],
  ];
  return { spanMs, displacement, axis, speed, deceleration };
}

/** The latest pose that is one to two `VELOCITY_SPAN_MS` older than a time; else the oldest within two. */
function poseBefore(poses: readonly HeadPose[], time: number): HeadPose {
  const recent = poses.filter((pose) => pose.time <= time && time - pose.time <= 2 * VELOCITY_SPAN_MS);
  const farEnough = recent.filter((pose) => time - pose.time >= VELOCITY_SPAN_MS);
  return (farEnough.at(-1) ?? recent[0]) as HeadPose;
}

/**
 * Angle that a head turns in a time, radians, and its angular speed then, radians per millisecond. The head
 * keeps its present speed, or comes to rest if that speed falls.
 */
function turnAfter(
  { speed, spanMs, deceleration }: HeadMotion,
  ms: number,
): { readonly angle: number; readonly speed: number } {
  const speedNow = Math.max(0, speed - (deceleration * spanMs) / 2);
  if (deceleration <= 0) return { angle: speedNow * ms, speed: speedNow };
  const turningMs = Math.min(ms, speedNow / deceleration);
  return {
    angle: turningMs * (speedNow - (deceleration * turningMs) / 2),
    speed: speedNow - deceleration * turningMs,
  };
}

/** The rotation from one orientation to another: a unit axis in world space and an angle of 0 to π. */
function rotationBetween(from: Quaternion, to: Quaternion): { axis: Vec3; angle: number } {
  const [ax, ay, az, aw] = [-from[0], -from[1], -from[2], from[3]];
  const [bx, by, bz, bw] = to;
  const x = bw * ax + bx * aw + by * az - bz * ay;
  const y = bw * ay - bx * az + by * aw + bz * ax;
  const z = bw * az + bx * ay - by * ax + bz * aw;
  const w = bw * aw - bx * ax - by * ay - bz * az;
  const sine = Math.hypot(x, y, z);
  if (sine < 1e-9) return { axis: [0, 1, 0], angle: 0 };
  // q and −q are one orientation: take the shorter way.
  const sign = w < 0 ? -1 : 1;
  return {
    axis: [(sign * x) / sine, (sign * y) / sine, (sign * z) / sine],
    angle: 2 * Math.atan2(sine, Math.abs(w)),
  };
}

/** Rodrigues' rotation of a vector about a unit axis. */
function rotate(v: Vec3, axis: Vec3, angle: number): Vec3 {
  const c = Math.cos(angle);
  const s = Math.sin(angle);
  const along = dot(v, axis) * (1 - c);
  return [
    v[0] * c + (axis[1] * v[2] - axis[2] * v[1]) * s + axis[0] * along,
    v[1] * c + (axis[2] * v[0] - axis[0] * v[2]) * s + axis[1] * along,
    v[2] * c + (axis[0] * v[1] - axis[1] * v[0]) * s + axis[2] * along,
  ];
}
