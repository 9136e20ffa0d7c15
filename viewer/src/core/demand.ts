/** Demand of the eye on the regions of an asset, seen from one view, and the gain of refining them. */
import { type AssetState, IDENTITY, type TreeState } from "./asset.ts";
import type { Region } from "./bundle/bundle.ts";
import {
  facesAway,
  type Matrix4,
  noVisibility,
  type SphereVisibility,
  type View,
  visibilityOf,
} from "./gaze.ts";
import { childrenOf } from "./tree.ts";

/** Demand on one region, at the most demanding node that draws it. Lengths are metres in world space. */
export interface Demand {
  /** Geometric error of the region. */
  readonly error: number;
  /** The largest error that is invisible there. */
  readonly need: number;
  /** Visual weight (see `SphereVisibility.weight`); 0 if no node that draws the region is seen. */
  readonly weight: number;
  /** Metres per unit of the tree's space, at the most demanding node. */
  readonly scale: number;
  /** Weight and need if the fovea were on the region; see `SphereVisibility`. */
  readonly solidAngle: number;
  readonly fovealNeed: number;
  /** Half the angle under which the sphere is seen from the nearest node, radians. */
  readonly angularRadius: number;
  /** Number of nodes in the view or the predicted view. Nodes that face away count: they are drawn, too. */
  readonly visibleInstances: number;
  /** The fovea may be there when the next file arrives, or pass it from there. */
  readonly foveal: boolean;
}
type MutableDemand = { -readonly [K in keyof Demand]: Demand[K] };

/** Octaves of visible error × weight that a file removes. */
export interface Benefit {
  readonly gain: number;
  /** The part of `gain` where the fovea may be. */
  readonly fovealGain: number;
}

/** Probability that the head moves on as predicted until the next file arrives. Otherwise it stops. */
const PREDICTION_PROBABILITY = 0.5;
/**
 * The eye jumps several times a second: probability that it lands on a region before the next file arrives.
 */
const GLANCE_PROBABILITY = 0.1;
/** Angular radius of a patch of surface that is judged as a whole, radians: its need hardly varies. */
const PATCH_RADIUS = 0.1;
/**
 * Hysteresis, so that a trembling head does not start and abort a request again and again: a request goes on
 * while its region is within this margin of the view, as a share of the distance (3°), …
 */
const EDGE_MARGIN = 0.05;
/** … and while its error is above this share of the need. */
const NEED_MARGIN = 0.8;

/** @throws RangeError if the asset has no such region */
export function demandOf(asset: AssetState, tree: number, region: number, view: View): Demand {
  const state = asset.trees[tree];
  if (!state?.tree.regions[region]) {
    throw new RangeError(`asset "${asset.id}" has no region ${region} in tree ${tree}`);
  }
  return new TreeDemand(asset, state, view).of(region);
}

/**
 * Visual weight of the sphere around an asset's bounds. For an asset out of view, the weight it would have in
 * view at foveal acuity.
 */
export function assetWeight(
  { entry, world }: AssetState,
  view: View,
): { readonly weight: number; readonly inView: boolean } {
  const { min, max } = entry.bounds;
  const placement = placementOf(world);
  const centre = [(min[0] + max[0]) / 2, (min[1] + max[1]) / 2, (min[2] + max[2]) / 2] as const;
  const radius = (Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]) / 2) * placement.scale;
  const x = transformed(world, 0, centre);
  const y = transformed(world, 1, centre);
  const z = transformed(world, 2, centre);
  const weightIn = (from: View) => visibilityOf(from, x, y, z, radius).weight;
  const weight = Math.max(weightIn(view), view.predicted ? weightIn(view.predicted) : 0);
  if (weight > 0) return { weight, inView: true };
  return { weight: weightIn({ ...view, frustum: [], gazeUncertaintyDegrees: 180 }), inView: false };
}

/** Placement of a node that draws a tree. */
interface Placement {
  readonly matrix: Matrix4;
  /** Largest scale along an axis. */
  readonly scale: number;
  /** No shear and no uneven scale: the angles of a cone of normals hold. */
  readonly conformal: boolean;
}

/** Demands on one tree from one view. Each region is evaluated once. */
export class TreeDemand {
  readonly state: TreeState;
  readonly #view: View;
  readonly #placements: readonly Placement[];
  readonly #demands: (Demand | undefined)[];
  readonly #patches: (readonly number[] | undefined)[];
  /** Reused by every evaluation. */
  readonly #visibility = noVisibility();
  readonly #predictedVisibility = noVisibility();
  /** The sphere evaluated last is inside the frustum, culled by its cone or not. */
  #lastInView = false;

  constructor(asset: AssetState, state: TreeState, view: View) {
    this.state = state;
    this.#view = view;
    this.#placements = (state.placements ?? [asset.world]).map(placementOf);
    this.#demands = new Array(state.tree.regions.length);
    this.#patches = new Array(state.tree.regions.length);
  }

  of(region: number): Demand {
    const known = this.#demands[region];
    if (known) return known;
    const { predicted } = this.#view;
    const demand: MutableDemand = {
      error: 0,
      need: Number.POSITIVE_INFINITY,
      weight: 0,
      scale: this.#placements[0]?.scale ?? 1,
      solidAngle: 0,
      fovealNeed: Number.POSITIVE_INFINITY,
      angularRadius: 0,
      visibleInstances: 0,
      foveal: false,
    };
    for (const placement of this.#placements) {
      const visibility = this.#visibilityOf(region, placement, this.#view, 0, this.#visibility);
      let inView = this.#lastInView;
      if (predicted) {
        const later = this.#visibilityOf(region, placement, predicted, 0, this.#predictedVisibility);
        blendPredicted(visibility, later, predicted.sweeps === true);
        inView ||= this.#lastInView;
      }
      if (inView) demand.visibleInstances++;
      mergeInstance(demand, placement.scale, visibility);
    }
    const children = childrenOf(this.state.tree, region);
    // The sphere holds all descendants and empty space between them. It is not seen if none of the parts is.
    if (demand.weight > 0 && children.length > 0 && children.every((child) => this.of(child).weight === 0)) {
      demand.weight = demand.solidAngle = 0;
      demand.foveal = false;
    }
    demand.error = (this.state.tree.regions[region]?.error ?? 0) * demand.scale;
    this.#demands[region] = demand;
    return demand;
  }

  /** Benefit on one region of a texture level with `widthAfter` pixels over one with `widthBefore`. */
  textureLevelBenefit(region: number, widthBefore: number, widthAfter: number): Benefit {
    const demand = this.of(region);
    const length = (this.state.uvLength[region] ?? 0) * demand.scale;
    const gain = demand.weight === 0 ? 0 : gainOf(demand, length / widthBefore, length / widthAfter, 0);
    return { gain, fovealGain: demand.foveal ? gain : 0 };
  }

  /**
   * Gain of an animation: octaves of visible error × weight of the tree at rest against the tree in motion.
   *
   * @param reach largest distance that a point moves, in units of the tree's space
   */
  motionGain(reach: number): number {
    const demand = this.of(0);
    return demand.weight === 0 ? 0 : gainOf(demand, reach * demand.scale, 0, 0);
  }

  /**
   * Benefit of the refinement of `region` while `drawn` is drawn in its place: Σ weight × log2(max(error,
   * need, half a grid step) before ÷ after). The sum is over the same patches of surface for every tier, so
   * two steps together gain as much as one step to the same tier.
   *
   * @param drawn the region itself, or an ancestor in a chain of only children
   */
  refinementBenefit(drawn: number, region: number): Benefit {
    const { tree, halfGridStep } = this.state;
    const before = tree.regions[drawn]?.error ?? 0;
    let [gain, fovealGain] = [0, 0];
    for (const child of childrenOf(tree, region)) {
      const after = tree.regions[child]?.error ?? 0;
      for (const patch of this.patches(child)) {
        const demand = this.of(patch);
        const { scale } = demand;
        const patchGain = gainOf(demand, before * scale, after * scale, halfGridStep * scale);
        gain += patchGain;
        if (demand.foveal) fovealGain += patchGain;
      }
    }
    return { gain, fovealGain };
  }

  /** Sum of the weights of the patches where the fovea may be. */
  fovealWeight(): number {
    let sum = 0;
    for (const patch of this.patches()) {
      const { weight, foveal } = this.of(patch);
      if (foveal) sum += weight;
    }
    return sum;
  }

  /** Whether the region is seen with a visible error. If not, nothing below it is needed. */
  isTooCoarse(region: number): boolean {
    const { weight, fovealNeed, error, scale } = this.of(region);
    return weight > 0 && error > Math.max(fovealNeed, this.state.halfGridStep * scale);
  }

  /** Descendants that cover the visible part of a region, each small enough to be judged as a whole. */
  patches(region = 0): readonly number[] {
    const known = this.#patches[region];
    if (known) return known;
    const patches: number[] = [];
    const { weight, angularRadius } = this.of(region);
    if (weight > 0) {
      const children = childrenOf(this.state.tree, region);
      if (children.length === 0 || angularRadius < PATCH_RADIUS) patches.push(region);
      else for (const child of children) patches.push(...this.patches(child));
    }
    this.#patches[region] = patches;
    return patches;
  }

  /**
   * Whether a detail of this size (an error, a texel) in a region is visible or nearly so, by the margins for
   * aborts.
   *
   * @param size in units of the tree's space
   */
  nearlyVisible(region: number, size: number): boolean {
    return this.#placements.some((placement) =>
      [this.#view, this.#view.predicted].some((view) => {
        if (!view) return false;
        const { weight, fovealNeed } = this.#visibilityOf(
          region,
          placement,
          view,
          EDGE_MARGIN,
          this.#visibility,
        );
        return weight > 0 && size * placement.scale > NEED_MARGIN * fovealNeed;
      }),
    );
  }

  /**
   * Visibility of a region's sphere at one node in one view.
   *
   * @param margin widens the sphere by this share of its distance
   * @param result is overwritten and returned
   */
  #visibilityOf(
    region: number,
    { matrix, scale, conformal }: Placement,
    view: View,
    margin: number,
    result: SphereVisibility,
  ): SphereVisibility {
    const { sphere, cone } = this.state.tree.regions[region] as Region;
    const x = transformed(matrix, 0, sphere);
    const y = transformed(matrix, 1, sphere);
    const z = transformed(matrix, 2, sphere);
    const distance = margin === 0 ? 0 : Math.hypot(x - view.eye[0], y - view.eye[1], z - view.eye[2]);
    const radius = sphere[3] * scale + margin * distance;
    visibilityOf(view, x, y, z, radius, result);
    this.#lastInView = result.weight > 0;
    if (result.weight > 0 && cone && conformal && this.state.cullable[region]) {
      const nx = rotated(matrix, 0, cone) / scale;
      const ny = rotated(matrix, 1, cone) / scale;
      const nz = rotated(matrix, 2, cone) / scale;
      if (facesAway(view, x, y, z, radius, [nx, ny, nz], cone[3])) {
        result.weight = result.solidAngle = 0;
        result.foveal = false;
      }
    }
    return result;
  }
}

/**
 * Merges the visibility at one more node: the greatest weight, and the least need in proportion to the node's
 * scale, even if they belong to two nodes. So no node gets less than it needs.
 */
function mergeInstance(demand: MutableDemand, scale: number, visibility: SphereVisibility): void {
  const { weight, need, fovealNeed, solidAngle, angularRadius, foveal } = visibility;
  // A hidden node counts only if no node is seen: overlays show the need of hidden regions, too.
  if (weight === 0 && demand.weight > 0) return;
  if ((weight > 0 && demand.weight === 0) || need / scale < demand.need / demand.scale) {
    demand.need = need;
    demand.fovealNeed = fovealNeed;
    demand.scale = scale;
  }
  demand.weight = Math.max(demand.weight, weight);
  demand.solidAngle = Math.max(demand.solidAngle, solidAngle);
  demand.angularRadius = Math.max(demand.angularRadius, angularRadius);
  demand.foveal ||= foveal;
}

/**
 * Blends the visibility now with the predicted one: by the arrival of a file the head has moved on, or it has
 * stopped. During a sweep, glances land only on spheres in both views. Only the predicted view decides
 * whether a sphere is foveal: nothing is finished for a place that the gaze leaves.
 */
function blendPredicted(now: SphereVisibility, later: SphereVisibility, sweeps: boolean): void {
  if (later.weight > 0 && (now.weight === 0 || later.need < now.need)) {
    now.need = later.need;
    now.fovealNeed = later.fovealNeed;
  }
  now.weight += PREDICTION_PROBABILITY * (later.weight - now.weight);
  now.solidAngle = sweeps
    ? Math.min(now.solidAngle, later.solidAngle)
    : now.solidAngle + PREDICTION_PROBABILITY * (later.solidAngle - now.solidAngle);
  now.angularRadius = Math.max(now.angularRadius, later.angularRadius);
  now.foveal = later.foveal;
}

/**
 * Octaves of visible error × weight between two errors, plus the same for a glance, with its probability.
 *
 * @param floor errors below count as this, metres
 */
function gainOf(
  { weight, need, solidAngle, fovealNeed }: Demand,
  before: number,
  after: number,
  floor: number,
): number {
  const glanceWeight = GLANCE_PROBABILITY * solidAngle;
  const glanceOctaves = octaves(before, after, Math.max(fovealNeed, floor));
  if (need === fovealNeed || glanceOctaves === 0) return (weight + glanceWeight) * glanceOctaves;
  return weight * octaves(before, after, Math.max(need, floor)) + glanceWeight * glanceOctaves;
}

function octaves(before: number, after: number, floor: number): number {
  return before <= floor ? 0 : Math.log2(before / Math.max(after, floor));
}

function placementOf(matrix: Matrix4): Placement {
  const x = Math.hypot(el(matrix, 0), el(matrix, 1), el(matrix, 2));
  const y = Math.hypot(el(matrix, 4), el(matrix, 5), el(matrix, 6));
  const z = Math.hypot(el(matrix, 8), el(matrix, 9), el(matrix, 10));
  const scale = Math.max(x, y, z);
  const skew =
    Math.abs(columnDot(matrix, 0, 4)) + Math.abs(columnDot(matrix, 4, 8)) + Math.abs(columnDot(matrix, 0, 8));
  const conformal = Math.min(x, y, z) > 0.999 * scale && skew < 0.001 * scale * scale;
  return { matrix, scale, conformal };
}

/** One coordinate of a transformed point. */
function transformed(m: Matrix4, row: number, point: ArrayLike<number>): number {
  return rotated(m, row, point) + el(m, 12 + row);
}

/** One coordinate of a transformed direction. */
function rotated(m: Matrix4, row: number, vector: ArrayLike<number>): number {
  return (
    el(m, row) * (vector[0] as number) +
    el(m, 4 + row) * (vector[1] as number) +
    el(m, 8 + row) * (vector[2] as number)
  );
}

function columnDot(m: Matrix4, a: number, b: number): number {
  return el(m, a) * el(m, b) + el(m, a + 1) * el(m, b + 1) + el(m, a + 2) * el(m, b + 2);
}

function el(matrix: Matrix4, i: number): number {
  return matrix[i] ?? IDENTITY[i] ?? 0;
}
