import type { Box } from "./core/bundle/bundle.ts";
import { HEAD_GAZE_UNCERTAINTY, type Plane, type Vec3, type View } from "./core/gaze.ts";

/**
 * The place of an asset on the page: it is scaled about its own origin and then moved, so that it stands on y
 * = 0.
 */
export interface Place {
  readonly id: string;
  readonly scale: number;
  /** Metres. */
  readonly position: readonly [number, number, number];
}

export interface Layout {
  readonly places: readonly Place[];
  /** Radius on the floor, about the origin, of a circle around all assets, metres. */
  readonly radius: number;
  /** Height of the tallest asset, metres. */
  readonly height: number;
  /** Largest z of all assets, metres. */
  readonly front: number;
}

/** Metres. */
export interface Viewpoint {
  readonly eye: readonly [number, number, number];
  readonly target: readonly [number, number, number];
}

/**
 * Limits of the longest side, metres. An asset within them is shown true to scale; a smaller one is enlarged
 * and a larger one reduced. So a brooch and a building can stand side by side before a person of normal
 * height, on a screen or in a headset.
 */
const SMALLEST_SIDE = 0.6;
const LARGEST_SIDE = 1.8;
/** Metres between two neighbours. */
const GAP = 0.35;
/** Assets per row; further rows stand behind. */
const ROW_LENGTH = 7;
/** Least radius and height of a layout, metres: also of an empty one. */
const SMALLEST_LAYOUT = 0.3;

/** An asset in its size on the page. */
interface Sized {
  readonly id: string;
  readonly bounds: Box;
  readonly scale: number;
  /** Of the scaled box, metres. */
  readonly width: number;
  readonly height: number;
  readonly depth: number;
}

/**
 * Puts assets side by side on the floor: the largest in the middle of the front row, smaller ones outwards.
 */
export function layOut(assets: readonly { readonly id: string; readonly bounds: Box }[]): Layout {
  const sized = assets
    .map(toSize)
    .sort((a, b) => b.width * b.height - a.width * a.height || (a.id < b.id ? -1 : 1));
  const places: Place[] = [];
  let radius = SMALLEST_LAYOUT;
  let front = 0;
  let back = 0;
  for (let first = 0; first < sized.length; first += ROW_LENGTH) {
    const row = sized.slice(first, first + ROW_LENGTH);
    const deepest = Math.max(...row.map(({ depth }) => depth));
    const z = first === 0 ? 0 : back - deepest / 2;
    const centres = rowCentres(row.map(({ width }) => width));
    row.forEach((asset, i) => {
      const x = centres[i] as number;
      places.push(placeAt(asset, x, z));
      front = Math.max(front, z + asset.depth / 2);
      radius = Math.max(radius, Math.hypot(Math.abs(x) + asset.width / 2, Math.abs(z) + asset.depth / 2));
    });
    back = z - deepest / 2 - GAP * 2;
  }
  const height = Math.max(SMALLEST_LAYOUT, ...sized.map((asset) => asset.height));
  return { places, radius, front, height };
}

function toSize({ id, bounds }: { readonly id: string; readonly bounds: Box }): Sized {
  const { min, max } = bounds;
  const [width, height, depth] = [max[0] - min[0], max[1] - min[1], max[2] - min[2]];
  const longest = Math.max(width, height, depth);
  const shown = Math.min(LARGEST_SIDE, Math.max(SMALLEST_SIDE, longest));
  // A box that is a point, or broken, has no side to scale by.
  const scale = longest > 0 && Number.isFinite(longest) ? shown / longest : 1;
  return { id, bounds, scale, width: width * scale, height: height * scale, depth: depth * scale };
}

/** The x of each asset in a row: the first in the middle, then right and left in turns. */
function rowCentres(widths: readonly number[]): number[] {
  /** Distance from the middle that is taken on each side. */
  const taken = { left: 0, right: 0 };
  return widths.map((width, order) => {
    if (order === 0) {
      taken.left = taken.right = width / 2;
      return 0;
    }
    const side = order % 2 === 1 ? "right" : "left";
    const x = taken[side] + GAP + width / 2;
    taken[side] = x + width / 2;
    return side === "left" ? -x : x;
  });
}

/** Puts the middle of an asset's floor area at (x, z). */
function placeAt({ id, bounds: { min, max }, scale }: Sized, x: number, z: number): Place {
  const [centreX, centreZ] = [(min[0] + max[0]) / 2, (min[2] + max[2]) / 2];
  return { id, scale, position: [x - centreX * scale, -min[1] * scale, z - centreZ * scale] };
}

/**
 * A viewpoint that has all assets in the picture, from the front and a little above.
 * @param fovDegrees vertical field of view
 * @param aspect width ÷ height of the picture
 */
export function frame({ radius, height, front }: Layout, fovDegrees: number, aspect: number): Viewpoint {
  const half = Math.tan((fovDegrees * Math.PI) / 360);
  // The eye is right of the middle: from there, the nearer end of a row is wider and closer.
  const wide = (radius + 0.17 * front) / (half * aspect) + 0.17 * radius;
  const high = (height * 0.62) / half;
  const distance = Math.max(wide, high) * 1.12 + front;
  const target = [0, height * 0.46, 0] as const;
  return { eye: [distance * 0.16, target[1] + distance * 0.2, distance * 0.97], target };
}

/** Distance to a single asset, relative to the one at which it just fits. */
const MARGIN = 1.08;

/**
 * A viewpoint that has a box of any place and size in the picture, from the front and a little above.
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

/** Half the diagonal of a box; 1 if the box is a point, or broken. */
export function radiusOf({ min, max }: Box): number {
  const radius = Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]) / 2;
  return radius > 0 && Number.isFinite(radius) ? radius : 1;
}

/**
 * The view from a viewpoint, for planning before there is a camera.
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
  // Straight up or down, any horizontal direction may be the right.
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

/** The matrix from asset space to the world, column-major. */
export function matrixOf({ scale: s, position: [x, y, z] }: Place): number[] {
  return [s, 0, 0, 0, 0, s, 0, 0, 0, 0, s, 0, x, y, z, 1];
}
