import type { Box } from "./core/bundle/bundle.ts";
import { HEAD_GAZE_UNCERTAINTY, type Plane, type Vec3, type View } from "./core/gaze.ts";

/** Where an asset of the page stands: scaled about its own origin, then moved, so that it stands on y = 0. */
export interface Place {
  readonly id: string;
  readonly scale: number;
  /** Metres. */
  readonly position: readonly [number, number, number];
}

export interface Layout {
  readonly places: readonly Place[];
  /** Metres from the origin, along the floor, that hold everything. */
  readonly radius: number;
  /** Metres of the tallest. */
  readonly height: number;
  /** Metres from the origin to the front of what stands in front. */
  readonly front: number;
}

export interface Viewpoint {
  readonly eye: readonly [number, number, number];
  readonly target: readonly [number, number, number];
}

/**
 * Rule for sizes: an asset whose longest side is between 0.6 m and 1.8 m is shown true to scale; a smaller one is
 * enlarged to 0.6 m and a larger one reduced to 1.8 m. So a brooch and a building can stand side by side and both
 * be looked at by somebody of human height, on a screen or in a headset.
 */
const SMALLEST_SIDE = 0.6;
const LARGEST_SIDE = 1.8;
/** Metres between two neighbours. */
const GAP = 0.35;
/** Assets in a row; more stand in rows behind. */
const ROW = 7;

/** Puts assets side by side on the floor, the largest in the middle of the front row, smaller ones outwards. */
export function layOut(assets: readonly { readonly id: string; readonly bounds: Box }[]): Layout {
  const sized = assets
    .map(({ id, bounds: { min, max } }) => {
      const sides = [max[0] - min[0], max[1] - min[1], max[2] - min[2]] as const;
      const longest = Math.max(...sides);
      const shown = Math.min(LARGEST_SIDE, Math.max(SMALLEST_SIDE, longest));
      // A single point (or a broken box) has no side to measure by.
      const scale = longest > 0 && Number.isFinite(longest) ? shown / longest : 1;
      return {
        id,
        min,
        max,
        scale,
        width: sides[0] * scale,
        height: sides[1] * scale,
        depth: sides[2] * scale,
      };
    })
    .sort((a, b) => b.width * b.height - a.width * a.height || (a.id < b.id ? -1 : 1));

  const places: Place[] = [];
  let radius = 0.3;
  let front = 0;
  let back = 0;
  for (let start = 0; start < sized.length; start += ROW) {
    const row = sized.slice(start, start + ROW);
    const deepest = Math.max(...row.map(({ depth }) => depth));
    const z = start === 0 ? 0 : back - deepest / 2;
    // Right, left, right …: `reach` is how far each side is taken.
    const reach = { left: 0, right: 0 };
    row.forEach(({ id, min, max, scale, width, depth }, order) => {
      let x = 0;
      if (order === 0) reach.left = reach.right = width / 2;
      else {
        const side = order % 2 === 1 ? "right" : "left";
        x = reach[side] + GAP + width / 2;
        reach[side] = x + width / 2;
        if (side === "left") x = -x;
      }
      const centre = [(min[0] + max[0]) / 2, (min[2] + max[2]) / 2] as const;
      places.push({ id, scale, position: [x - centre[0] * scale, -min[1] * scale, z - centre[1] * scale] });
      front = Math.max(front, z + depth / 2);
      radius = Math.max(radius, Math.hypot(Math.abs(x) + width / 2, Math.abs(z) + depth / 2));
    });
    back = z - deepest / 2 - GAP * 2;
  }
  return { places, radius, front, height: Math.max(0.3, ...sized.map(({ height }) => height)) };
}

/**
 * Where to look from to have everything in the picture, from the front and a little above.
 * @param fovDegrees vertical field of view
 * @param aspect width ÷ height of the picture
 */
export function frame({ radius, height, front }: Layout, fovDegrees: number, aspect: number): Viewpoint {
  const half = Math.tan((fovDegrees * Math.PI) / 360);
  // The eye stands to the right: of a row seen at that angle the nearer end is wider and less far away.
  const wide = (radius + 0.17 * front) / (half * aspect) + 0.17 * radius;
  const high = (height * 0.62) / half;
  const distance = Math.max(wide, high) * 1.12 + front;
  const target = [0, height * 0.46, 0] as const;
  return { eye: [distance * 0.16, target[1] + distance * 0.2, distance * 0.97], target };
}

/** Air around a single asset, as a share of what would just fit. */
const MARGIN = 1.08;

/**
 * Where to look from to have a box in the picture wherever it is and however large, from the front and a little
 * above.
 * @param fovDegrees vertical field of view
 * @param aspect width ÷ height of the picture
 */
export function frameBox({ min, max }: Box, fovDegrees: number, aspect: number): Viewpoint {
  const target = [(min[0] + max[0]) / 2, (min[1] + max[1]) / 2, (min[2] + max[2]) / 2] as const;
  const radius = radiusOf({ min, max });
  const vertical = (fovDegrees * Math.PI) / 360;
  const narrower = Math.min(vertical, Math.atan(Math.tan(vertical) * aspect));
  const distance = (MARGIN * radius) / Math.sin(narrower);
  const [x, y, z] = [0.32, 0.24, 0.916]; // a unit vector
  return { eye: [target[0] + distance * x, target[1] + distance * y, target[2] + distance * z], target };
}

/** Half the diagonal; 1 for a box that is a point, or broken. */
export function radiusOf({ min, max }: Box): number {
  const radius = Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]) / 2;
  return radius > 0 && Number.isFinite(radius) ? radius : 1;
}

/**
 * What is seen from a viewpoint, as far as it is known before there is a camera.
 * @param fovDegrees vertical field of view
 * @param aspect width ÷ height of the picture
 */
export function viewFrom(
  { eye, target }: Viewpoint,
  fovDegrees: number,
  aspect: number,
  heightPixels: number,
): View {
  const forward = unit([target[0] - eye[0], target[1] - eye[1], target[2] - eye[2]]);
  // Of who looks straight up or down, any direction is the right.
  const right = unit([-forward[2] || 1e-9, 0, forward[0]]);
  const up = cross(right, forward);
  const high = Math.tan((fovDegrees * Math.PI) / 360);
  const side = (axis: Vec3, sign: number, half: number): Plane => {
    const n = unit([0, 1, 2].map((i) => sign * (axis[i] ?? 0) + half * (forward[i] ?? 0)));
    return [...n, -(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2])];
  };
  return {
    eye,
    gaze: forward,
    gazeUncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
    pixelsPerDegree: heightPixels / fovDegrees,
    near: 0.01,
    frustum: [1, -1].flatMap((sign) => [side(right, sign, high * aspect), side(up, sign, high)]),
  };
}

function unit([x = 0, y = 0, z = 0]: readonly number[]): Vec3 {
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
}

function cross(a: Vec3, b: Vec3): Vec3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

/** Asset space → world of a place, column-major. */
export function matrixOf({ scale: s, position: [x, y, z] }: Place): number[] {
  return [s, 0, 0, 0, 0, s, 0, 0, 0, 0, s, 0, x, y, z, 1];
}
