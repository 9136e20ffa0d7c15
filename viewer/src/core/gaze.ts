/**
 * What the eye can see of a region: eccentricity, acuity, visibility, and where the view will be in a moment.
 *
 * All lengths are metres in world space, all angles degrees, all times milliseconds.
 *
 * Acuity: the smallest angle that can be told apart grows linearly with eccentricity, ω(e) = ω0 + m·e
 * (Guenter, Finch, Drucker, Tan, Snyder: Foveated 3D Graphics, SIGGRAPH Asia 2012). docs/streaming.md has the
 * derivation and the sources.
 */

export type Vec3 = readonly [number, number, number];
/** Unit quaternion x, y, z, w. */
export type Quaternion = readonly [number, number, number, number];
/** A plane `n·p + d = 0` as `[nx, ny, nz, d]` with unit normal; what lies on the positive side is inside. */
export type Plane = readonly [number, number, number, number];
/** 4×4 matrix in column-major order, as glTF and WebGL store it. */
export type Matrix4 = ArrayLike<number>;

/** What is known about the viewer's eyes at one moment. */
export interface View {
  /** Position of the eye, or the point between both. */
  readonly eye: Vec3;
  /** Unit vector: where the eye looks as far as we know (an eye tracker's ray, else the head's forward). */
  readonly gaze: Vec3;
  /** How far the true gaze may be from `gaze`: `EYE_TRACKED_UNCERTAINTY`, `HEAD_GAZE_UNCERTAINTY` or between. */
  readonly gazeUncertaintyDegrees: number;
  /** Pixels of the display per degree at the centre of the picture; see `pixelsPerDegree`. */
  readonly pixelsPerDegree: number;
  /** Distance of the near plane: nothing is seen from closer. */
  readonly near: number;
  /** What is drawn lies inside all of these; empty: everything around. In XR, of the frustum that holds both eyes. */
  readonly frustum: readonly Plane[];
  /** Where the view is expected to be when the next file will have arrived; see `predictView`. */
  readonly predicted?: View;
  /** Of a view ahead: the head still turns so fast then that the eyes jump along, and see nothing until they rest. */
  readonly sweeps?: boolean;
  /** Of a view ahead: where the gaze goes on to from there. What lies on its way will be looked at, too. */
  readonly gazeArcEnd?: Vec3;
}

/** Angle of a cycle at the fovea: 1/48°, as Guenter et al. 2012 take it (about 20/20 vision), degrees. */
export const FOVEAL_ANGLE = 1 / 48;
/** Slope m of the acuity model, degrees per degree: the conservative end of Guenter et al.'s 1.32–1.65 arcmin/°. */
export const ACUITY_SLOPE = 0.022;
/** Smallest error that counts on the display, pixels. */
export const PIXEL_TOLERANCE = 1;
/** Accuracy of headsets' eye trackers with calibration drift and latency, degrees. */
export const EYE_TRACKED_UNCERTAINTY = 3;
/** Without a tracker: most of the time the eyes are within this angle of the head's forward, degrees. */
export const HEAD_GAZE_UNCERTAINTY = 15;
/** A head's motion is not carried further than this: later it has turned or stopped, milliseconds and degrees. */
export const PREDICTION_LIMIT_MS = 1000;
export const PREDICTION_LIMIT_DEGREES = 30;
/** A head that turns faster carries the eyes along in jumps, in which nothing is seen, degrees per second. */
export const SWEEP_SPEED = 100;
/** Poses over this span give the head's velocity: shorter is noise of the tracker, longer is the past, milliseconds. */
const VELOCITY_SPAN_MS = 100;
/** A gaze ray within this angle of the head's forward may be the head itself, degrees. */
const HEAD_DIRECTED_DEGREES = 0.5;

const DEGREES = 180 / Math.PI;
/** Half a degree: less is no turn, radians. */
const LEAST_TURN = 0.5 / DEGREES;

/**
 * Angle between the gaze and the nearest edge of a sphere, degrees: max(0, angle(gaze, c − eye) − asin(R/|c − eye|)).
 * 0 inside the sphere.
 */
export function eccentricity(view: View, x: number, y: number, z: number, radius: number): number {
  const dx = x - view.eye[0];
  const dy = y - view.eye[1];
  const dz = z - view.eye[2];
  const distance = Math.sqrt(dx * dx + dy * dy + dz * dz);
  if (distance <= radius) return 0;
  return Math.max(0, angleTo(view, dx, dy, dz, distance) - Math.asin(radius / distance)) * DEGREES;
}

/** Angle between the gaze, or the nearest of the arc along which it goes on, and what lies so far from the eye, radians. */
function angleTo({ gaze, gazeArcEnd }: View, dx: number, dy: number, dz: number, distance: number): number {
  const first = (dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) / distance;
  if (!gazeArcEnd) return Math.acos(clamp1(first));
  const last = (dx * gazeArcEnd[0] + dy * gazeArcEnd[1] + dz * gazeArcEnd[2]) / distance;
  const way = dot(gaze, gazeArcEnd);
  // Past one of the ends; or beside the arc, so far from its plane.
  if (first <= way * last || last <= way * first) return Math.acos(clamp1(Math.max(first, last)));
  return Math.acos(
    clamp1(Math.sqrt((first * first + last * last - 2 * way * first * last) / (1 - way * way))),
  );
}

/**
 * Half the angle of the finest cycle that the eye tells apart at an eccentricity, degrees, but never less than the
 * display can show: max(τ/ppd, ½(ω0 + m·e')), e' = max(0, e − u).
 */
export function acuityAngle(view: View, eccentricityDegrees: number): number {
  return acuityWithin(view, eccentricityDegrees - view.gazeUncertaintyDegrees);
}

/** @param degrees past what the gaze may be at; below 0: within that */
function acuityWithin(view: View, degrees: number): number {
  const sure = Math.max(0, degrees);
  return Math.max(PIXEL_TOLERANCE / view.pixelsPerDegree, (FOVEAL_ANGLE + ACUITY_SLOPE * sure) / 2);
}

/**
 * The geometric error, in metres, that nobody can see anywhere on a sphere: d·tan(α) with α from `acuityAngle` and
 * d the distance of the sphere's nearest point, at least the near plane's.
 */
export function needAt(view: View, x: number, y: number, z: number, radius: number): number {
  return (
    nearestDistance(view, x, y, z, radius) *
    Math.tan(acuityAngle(view, eccentricity(view, x, y, z, radius)) / DEGREES)
  );
}

/** Distance from the eye to the nearest point of a sphere, at least the near plane's. */
export function nearestDistance(view: View, x: number, y: number, z: number, radius: number): number {
  return Math.max(view.near, Math.hypot(x - view.eye[0], y - view.eye[1], z - view.eye[2]) - radius);
}

/**
 * How much of a sphere is inside the frustum, 0 to 1: by each plane the share of its diameter on the inner side, and
 * of those the least. 0 is certain (wholly outside); between, an estimate.
 */
export function insideFrustum(view: View, x: number, y: number, z: number, radius: number): number {
  let inside = 1;
  for (let i = 0; i < view.frustum.length; i++) {
    const plane = view.frustum[i] as Plane;
    const depth = plane[0] * x + plane[1] * y + plane[2] * z + plane[3];
    if (depth <= -radius) return 0;
    if (depth < radius) inside = Math.min(inside, (depth + radius) / (2 * radius));
  }
  return inside;
}

/**
 * Whether every face of a region looks away from the eye, wherever in the sphere it lies and wherever in the cone its
 * normal points: angle(axis, c − eye) + half angle + asin(R/d) < 90°. Only for single-sided, opaque, rigid regions.
 *
 * @param axis unit vector of the cone in world space
 * @param cosine of the cone's half angle
 */
export function facesAway(
  view: View,
  x: number,
  y: number,
  z: number,
  radius: number,
  axis: Vec3,
  cosine: number,
): boolean {
  const dx = x - view.eye[0];
  const dy = y - view.eye[1];
  const dz = z - view.eye[2];
  const distance = Math.sqrt(dx * dx + dy * dy + dz * dz);
  // A cone of 90° or more has faces in every direction of a half space: some always look back.
  if (distance <= radius || cosine <= 0) return false;
  const toAxis = Math.acos(clamp1((dx * axis[0] + dy * axis[1] + dz * axis[2]) / distance));
  return toAxis + Math.acos(clamp1(cosine)) + Math.asin(radius / distance) < Math.PI / 2;
}

/** What the eye makes of a sphere. */
export interface Sight {
  /**
   * How much of what is seen it is: square degrees as the fovea would count them, solid angle × (α(0) / α(e))², 0
   * outside the frustum. Resolvable cells go with 1/α², and so does, up to a factor, the share of the visual cortex:
   * two equal errors matter as their weights.
   */
  weight: number;
  /** The geometric error that nobody can see there, metres: see `needAt`. */
  need: number;
  /** Solid angle inside the frustum, square degrees: the weight if the fovea were there. */
  area: number;
  /** The error that nobody can see there even with the fovea, metres. */
  leastNeed: number;
  /** Half the angle under which it is seen, radians; π/2 from inside. */
  radius: number;
  /** The fovea is there, or may be within a moment: tracked eyes, too, jump about in what lies before the head. */
  foveal: boolean;
}

export function noSight(): Sight {
  return { weight: 0, need: 0, area: 0, leastNeed: 0, radius: 0, foveal: false };
}

/** `Sight` of a sphere, written into `into` (planning looks at thousands per frame). */
export function look(
  view: View,
  x: number,
  y: number,
  z: number,
  radius: number,
  into: Sight = noSight(),
): Sight {
  const dx = x - view.eye[0];
  const dy = y - view.eye[1];
  const dz = z - view.eye[2];
  const distance = Math.sqrt(dx * dx + dy * dy + dz * dz);
  const isInside = distance <= radius;
  const sine = isInside ? 1 : radius / distance;
  into.radius = Math.asin(sine);
  const away = isInside ? 0 : Math.max(0, angleTo(view, dx, dy, dz, distance) - into.radius) * DEGREES;
  const alpha = acuityAngle(view, away);
  const sharpest = acuityAngle(view, 0);
  const jumps = Math.max(view.gazeUncertaintyDegrees, HEAD_GAZE_UNCERTAINTY);
  const nearest = Math.max(view.near, distance - radius);
  into.leastNeed = nearest * Math.tan(sharpest / DEGREES);
  into.need = alpha === sharpest ? into.leastNeed : nearest * Math.tan(alpha / DEGREES);
  const inside = insideFrustum(view, x, y, z, radius);
  const steradians = 2 * Math.PI * (1 - Math.sqrt(1 - sine * sine));
  into.area = inside * steradians * DEGREES * DEGREES;
  into.weight = into.area * (sharpest / alpha) ** 2;
  into.foveal = into.weight > 0 && acuityWithin(view, away - jumps) <= sharpest;
  return into;
}

/**
 * Pixels per degree at the centre of the picture: half the height × projection[5] is the focal length in pixels.
 *
 * @param projection perspective projection matrix (of one eye)
 * @param viewportHeight pixels of that eye's viewport
 */
export function pixelsPerDegree(projection: Matrix4, viewportHeight: number): number {
  return (viewportHeight / 2) * Math.abs(projection[5] ?? 1) * Math.tan(1 / DEGREES);
}

/**
 * The frustum of a view-projection matrix as six planes that point inwards (Gribb and Hartmann 2001), for clip space
 * with −w ≤ z ≤ w.
 */
export function frustumPlanes(viewProjection: Matrix4): Plane[] {
  const m = (row: number, column: number) => viewProjection[column * 4 + row] ?? 0;
  const planes: Plane[] = [];
  for (const axis of [0, 1, 2]) {
    for (const sign of [1, -1]) {
      const nx = m(3, 0) + sign * m(axis, 0);
      const ny = m(3, 1) + sign * m(axis, 1);
      const nz = m(3, 2) + sign * m(axis, 2);
      const d = m(3, 3) + sign * m(axis, 3);
      const length = Math.hypot(nx, ny, nz);
      // An infinite far plane has no normal, and nothing is beyond it.
      if (length > 1e-12) planes.push([nx / length, ny / length, nz / length, d / length]);
    }
  }
  return planes;
}

/** Where the head was. Orientation turns −z into its forward, as in WebXR and three.js. */
export interface HeadPose {
  readonly time: number;
  readonly position: Vec3;
  readonly orientation: Quaternion;
}

/**
 * The view as the head's motion will have it after `horizonMs`: the eye moves and everything turns about it with the
 * velocity of the last 0.1 s, for at most 1 s and 30°, and no further than where a turn that slows down comes to rest.
 * From there the gaze goes on: until that second is over, at most 30° more. Null when the head rests or too little is
 * known.
 *
 * @param poses in order of time; the last one belongs to `view`
 */
export function predictView(view: View, poses: readonly HeadPose[], horizonMs: number): View | null {
  const last = poses.at(-1);
  if (!last) return null;
  const first = poseBefore(poses, last.time);
  const span = last.time - first.time;
  const horizon = Math.min(Math.max(0, horizonMs), PREDICTION_LIMIT_MS);
  if (span <= 0 || horizon === 0) return null;

  const { axis, angle } = turn(first.orientation, last.orientation);
  const limit = PREDICTION_LIMIT_DEGREES / DEGREES;
  const earlier = poseBefore(poses, first.time);
  const before = first.time - earlier.time;
  const slowing =
    before > 0
      ? (turn(earlier.orientation, first.orientation).angle / before - angle / span) / ((before + span) / 2)
      : 0;
  const turned = turnedIn(horizon, angle / span, span, slowing);
  const ahead = Math.min(turned.angle, limit);
  const step: Vec3 = [
    ((last.position[0] - first.position[0]) * horizon) / span,
    ((last.position[1] - first.position[1]) * horizon) / span,
    ((last.position[2] - first.position[2]) * horizon) / span,
  ];
  // Less than a centimetre and half a degree: the same view, not worth planning for twice.
  if (ahead < LEAST_TURN && Math.hypot(...step) < 0.01) return null;

  const eye: Vec3 = [view.eye[0] + step[0], view.eye[1] + step[1], view.eye[2] + step[2]];
  const frustum = view.frustum.map((plane): Plane => {
    const normal: Vec3 = [plane[0], plane[1], plane[2]];
    const depth = dot(normal, view.eye) + plane[3];
    const rotated = rotate(normal, axis, ahead);
    return [...rotated, depth - dot(rotated, eye)];
  });
  const { predicted: _, ...rest } = view;
  const sweeps = 1000 * turned.speed * DEGREES > SWEEP_SPEED;
  const next: View = { ...rest, eye, gaze: rotate(view.gaze, axis, ahead), frustum, sweeps };
  const until = turnedIn(PREDICTION_LIMIT_MS, angle / span, span, slowing).angle;
  const further = Math.min(until, ahead + limit);
  return further - ahead < LEAST_TURN ? next : { ...next, gazeArcEnd: rotate(view.gaze, axis, further) };
}

/** The latest pose that is at least `VELOCITY_SPAN_MS` before a time, but no more than twice that; else the oldest such. */
function poseBefore(poses: readonly HeadPose[], time: number): HeadPose {
  const near = poses.filter((pose) => pose.time <= time && time - pose.time <= 2 * VELOCITY_SPAN_MS);
  const far = near.filter((pose) => time - pose.time >= VELOCITY_SPAN_MS);
  return (far.at(-1) ?? near[0]) as HeadPose;
}

/**
 * How far a head turns in a time, and how fast it turns then: it keeps the speed that it has now, or comes to rest where
 * that falls.
 *
 * @param speed on average over the last `span`, radians per millisecond
 * @param slowing what the speed falls by, per millisecond; below 0: grows by
 */
function turnedIn(
  ms: number,
  speed: number,
  span: number,
  slowing: number,
): { readonly angle: number; readonly speed: number } {
  const now = Math.max(0, speed - (slowing * span) / 2);
  if (slowing <= 0) return { angle: now * ms, speed: now };
  const until = Math.min(ms, now / slowing);
  return { angle: until * (now - (slowing * until) / 2), speed: now - slowing * until };
}

/**
 * How long after now a file that is requested now will be drawn, milliseconds: time to first byte + bytes ÷ bandwidth,
 * at most `PREDICTION_LIMIT_MS`.
 */
export function predictionHorizon(ttfbMs: number, bytes: number, bytesPerSecond: number): number {
  return Math.min(PREDICTION_LIMIT_MS, ttfbMs + (1000 * bytes) / Math.max(1, bytesPerSecond));
}

/**
 * Whether a WebXR `gaze` input source follows the eyes: some devices report the head's own direction. True when one of
 * the last rays departed from the head's forward of the same moment.
 *
 * @param samples pairs of unit vectors of the same moments: the source's ray and the head's forward
 */
export function isEyeTracked(samples: readonly { readonly ray: Vec3; readonly forward: Vec3 }[]): boolean {
  const cosine = Math.cos(HEAD_DIRECTED_DEGREES / DEGREES);
  return samples.some(({ ray, forward }) => dot(ray, forward) < cosine);
}

/** The turn that leads from one orientation to another, as a unit axis in world space and an angle of 0 to π. */
function turn(from: Quaternion, to: Quaternion): { axis: Vec3; angle: number } {
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

function dot(a: Vec3, b: Vec3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function clamp1(x: number): number {
  return Math.max(-1, Math.min(1, x));
}
