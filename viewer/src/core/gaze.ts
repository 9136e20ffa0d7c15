/**
 * Eccentricity, acuity, need and visual weight of the bounding sphere of a region.
 *
 * Lengths are metres in world space. Angles are degrees unless a comment says radians.
 *
 * The acuity model: the smallest angle that the eye resolves grows linearly with eccentricity,
 * ω(e) = ω0 + m·e (Guenter, Finch, Drucker, Tan, Snyder: Foveated 3D Graphics, SIGGRAPH Asia 2012).
 * docs/streaming.md has the derivation and the sources.
 */

export type Vec3 = readonly [number, number, number];
/** Unit quaternion x, y, z, w. */
export type Quaternion = readonly [number, number, number, number];
/** A plane `n·p + d = 0` as `[nx, ny, nz, d]` with unit normal; points on its positive side are inside. */
export type Plane = readonly [number, number, number, number];
/** 4×4 matrix in column-major order, as glTF and WebGL store it. */
export type Matrix4 = ArrayLike<number>;

/** The state of the viewer's eyes and display at one moment. */
export interface View {
  /** Position of the eye, or the point between both. */
  readonly eye: Vec3;
  /** Unit vector of the best known gaze: an eye tracker's ray, else the head's forward. */
  readonly gaze: Vec3;
  /**
   * Largest angle between `gaze` and the true gaze: `EYE_TRACKED_UNCERTAINTY`, `HEAD_GAZE_UNCERTAINTY` or a
   * value between.
   */
  readonly gazeUncertaintyDegrees: number;
  /** Pixels of the display per degree at the centre of the picture; see `pixelsPerDegree`. */
  readonly pixelsPerDegree: number;
  /** Distance of the near plane. Points closer than this are not drawn. */
  readonly near: number;
  /** Planes around the drawn volume; empty: all directions. In XR they enclose the frusta of both eyes. */
  readonly frustum: readonly Plane[];
  /** The view expected at the arrival of the next file; see `predictView`. */
  readonly predicted?: View;
  /** In a predicted view: the head still turns faster than `SWEEP_SPEED`, so the eyes follow in saccades. */
  readonly sweeps?: boolean;
  /** In a predicted view: the gaze moves on along the arc from `gaze` to this unit vector. */
  readonly gazeArcEnd?: Vec3;
}

/**
 * ω0, the angle of the finest cycle at the fovea: 1/48° in Guenter et al. 2012 (about 20/20 vision), degrees.
 */
const FOVEAL_ANGLE = 1 / 48;
/**
 * m, the slope of the acuity model, degrees per degree: the low end of Guenter et al.'s 1.32–1.65 arcmin/°.
 */
const ACUITY_SLOPE = 0.022;
/** Smallest error that is visible on the display, pixels. */
const PIXEL_TOLERANCE = 1;
/** Accuracy of headsets' eye trackers, with calibration drift and latency, degrees. */
export const EYE_TRACKED_UNCERTAINTY = 3;
/** Without an eye tracker, the gaze is mostly within this angle of the head's forward, degrees. */
export const HEAD_GAZE_UNCERTAINTY = 15;

const DEGREES = 180 / Math.PI;

/**
 * Angle between the gaze and the nearest edge of a sphere, degrees; 0 inside the sphere:
 * max(0, angle(gaze, c − eye) − asin(R/|c − eye|)).
 */
export function eccentricity(view: View, x: number, y: number, z: number, radius: number): number {
  const dx = x - view.eye[0];
  const dy = y - view.eye[1];
  const dz = z - view.eye[2];
  const distance = Math.sqrt(dx * dx + dy * dy + dz * dz);
  if (distance <= radius) return 0;
  return Math.max(0, angleToGaze(view, dx, dy, dz, distance) - Math.asin(radius / distance)) * DEGREES;
}

/**
 * Angle between the gaze and a direction, radians. For a gaze that moves along an arc, the smallest angle.
 *
 * @param distance length of (dx, dy, dz)
 */
function angleToGaze(
  { gaze, gazeArcEnd }: View,
  dx: number,
  dy: number,
  dz: number,
  distance: number,
): number {
  const cosStart = (dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) / distance;
  if (!gazeArcEnd) return Math.acos(clampCosine(cosStart));
  const cosEnd = (dx * gazeArcEnd[0] + dy * gazeArcEnd[1] + dz * gazeArcEnd[2]) / distance;
  const cosArc = dot(gaze, gazeArcEnd);
  // The nearest point of the arc is one of its ends.
  if (cosStart <= cosArc * cosEnd || cosEnd <= cosArc * cosStart) {
    return Math.acos(clampCosine(Math.max(cosStart, cosEnd)));
  }
  // The direction lies beside the arc: the angle to the arc's plane.
  const sineSquared = 1 - cosArc * cosArc;
  return Math.acos(
    clampCosine(
      Math.sqrt((cosStart * cosStart + cosEnd * cosEnd - 2 * cosArc * cosStart * cosEnd) / sineSquared),
    ),
  );
}

/**
 * Half the angle of the finest cycle that the eye resolves at an eccentricity, degrees, but at least the
 * limit of the display: max(τ/ppd, ½(ω0 + m·e')) with e' = max(0, e − u) and u the uncertainty of the gaze.
 */
export function acuityAngle(view: View, eccentricityDegrees: number): number {
  return acuityBeyond(view, eccentricityDegrees - view.gazeUncertaintyDegrees);
}

/** @param degrees e − u of `acuityAngle`; negative values count as 0 */
function acuityBeyond(view: View, degrees: number): number {
  const certain = Math.max(0, degrees);
  return Math.max(PIXEL_TOLERANCE / view.pixelsPerDegree, (FOVEAL_ANGLE + ACUITY_SLOPE * certain) / 2);
}

/**
 * The part of a sphere inside the frustum, 0 to 1: for each plane the share of the diameter on its inner
 * side, and of these the least. 0 is exact (the sphere is wholly outside), values between 0 and 1 are
 * estimates.
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
 * Whether every face of a region is a back face, for any point of its sphere and any normal of its cone:
 * angle(axis, c − eye) + half angle + asin(R/d) < 90°. Only for rigid regions with single-sided, opaque
 * materials.
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
  // A cone of 90° or more holds normals of a whole half space, and some of them face the eye.
  if (distance <= radius || cosine <= 0) return false;
  const toAxis = Math.acos(clampCosine((dx * axis[0] + dy * axis[1] + dz * axis[2]) / distance));
  return toAxis + Math.acos(clampCosine(cosine)) + Math.asin(radius / distance) < Math.PI / 2;
}

/** How a sphere appears in one view. */
export interface SphereVisibility {
  /**
   * Visual weight: solid angle × (α(0) / α(e))², in square degrees at foveal acuity; 0 outside the frustum.
   * The number of resolvable cells grows with 1/α², and so does, up to a factor, the share of the visual
   * cortex. The importance of two equal errors is in proportion to their weights.
   */
  weight: number;
  /** The largest invisible geometric error, metres: d·tan α(e), with d the distance of the nearest point. */
  need: number;
  /** Solid angle inside the frustum, square degrees: the weight if the fovea were there. */
  solidAngle: number;
  /** The need if the fovea were there, metres. */
  fovealNeed: number;
  /** Half the angle under which the sphere is seen, radians; π/2 from inside. */
  angularRadius: number;
  /**
   * The fovea is there, or may be within a moment. Tracked eyes, too, jump about within the angle that a head
   * without a tracker leaves open.
   */
  foveal: boolean;
}

export function noVisibility(): SphereVisibility {
  return { weight: 0, need: 0, solidAngle: 0, fovealNeed: 0, angularRadius: 0, foveal: false };
}

/** @param result is overwritten and returned: a plan evaluates thousands of spheres */
export function visibilityOf(
  view: View,
  x: number,
  y: number,
  z: number,
  radius: number,
  result: SphereVisibility = noVisibility(),
): SphereVisibility {
  const dx = x - view.eye[0];
  const dy = y - view.eye[1];
  const dz = z - view.eye[2];
  const distance = Math.sqrt(dx * dx + dy * dy + dz * dz);
  const isInside = distance <= radius;
  const sine = isInside ? 1 : radius / distance;
  result.angularRadius = Math.asin(sine);
  const degrees = isInside
    ? 0
    : Math.max(0, angleToGaze(view, dx, dy, dz, distance) - result.angularRadius) * DEGREES;
  const alpha = acuityAngle(view, degrees);
  const fovealAlpha = acuityAngle(view, 0);
  const nearest = Math.max(view.near, distance - radius);
  result.fovealNeed = nearest * Math.tan(fovealAlpha / DEGREES);
  result.need = alpha === fovealAlpha ? result.fovealNeed : nearest * Math.tan(alpha / DEGREES);
  const inside = insideFrustum(view, x, y, z, radius);
  const steradians = 2 * Math.PI * (1 - Math.sqrt(1 - sine * sine));
  result.solidAngle = inside * steradians * DEGREES * DEGREES;
  result.weight = result.solidAngle * (fovealAlpha / alpha) ** 2;
  const saccadeRange = Math.max(view.gazeUncertaintyDegrees, HEAD_GAZE_UNCERTAINTY);
  result.foveal = result.weight > 0 && acuityBeyond(view, degrees - saccadeRange) <= fovealAlpha;
  return result;
}

/**
 * Pixels per degree at the centre of the picture. Half the height × projection[5] is the focal length,
 * pixels.
 *
 * @param projection perspective projection matrix (of one eye)
 * @param viewportHeight pixels of that eye's viewport
 */
export function pixelsPerDegree(projection: Matrix4, viewportHeight: number): number {
  return (viewportHeight / 2) * Math.abs(projection[5] ?? 1) * Math.tan(1 / DEGREES);
}

/**
 * The frustum of a view-projection matrix as six planes that point inwards (Gribb and Hartmann 2001), for
 * clip space with −w ≤ z ≤ w.
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
      // An infinite far plane has no normal and bounds nothing.
      if (length > 1e-12) planes.push([nx / length, ny / length, nz / length, d / length]);
    }
  }
  return planes;
}

export function dot(a: Vec3, b: Vec3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** Rounding can carry a cosine past ±1. */
function clampCosine(x: number): number {
  return Math.max(-1, Math.min(1, x));
}
