/** What the eye demands of the regions of one asset, seen from one view: the planner's sight of the world. */
import { type AssetState, IDENTITY, type TreeState } from "./asset.ts";
import type { Region } from "./bundle/bundle.ts";
import { facesAway, look, type Matrix4, noSight, type Sight, type View } from "./gaze.ts";

/** What the eye demands of a region, at the most demanding of all nodes that draw it. */
export interface Demand {
  /** Geometric error of the region there, metres. */
  readonly error: number;
  /** The largest error that nobody sees there, metres. */
  readonly need: number;
  /** How much of what is seen it is (see `Sight.weight`); 0: no node that draws it is seen. */
  readonly weight: number;
  /** Metres per unit of the tree's space at that node. */
  readonly scale: number;
  /** The same two where the fovea to turn to it: see `Sight.area`. */
  readonly area: number;
  readonly leastNeed: number;
  /** Half the angle under which its sphere is seen at the nearest, radians. */
  readonly radius: number;
  /** How many nodes draw it in view, or are about to: what looks away is drawn, too, though nobody sees it. */
  readonly drawings: number;
  /** The fovea may be there when the next file has come, or on its way from there. */
  readonly foveal: boolean;
}

/** How likely it is that the head goes on as it moves, until the next file has come; else it stops here. */
const AHEAD_LIKELIHOOD = 0.5;
/** The eye jumps several times a second: how likely it is to land on what is in view but not looked at. */
export const GLANCE_WEIGHT = 0.1;
/** A texture's need is taken on pieces that are seen under less than this: within them it hardly differs, radians. */
const PATCH_RADIUS = 0.1;
/** What is in flight stays wanted this far past the edge of the view (as a share of its distance, 3°) … */
const EDGE_SLACK = 0.05;
/** … and past its need, so that a trembling head does not start and abort the same file again and again. */
const NEED_SLACK = 0.8;

export function demandOf(asset: AssetState, tree: number, region: number, view: View): Demand {
  const state = asset.trees[tree];
  if (!state?.tree.regions[region])
    throw new RangeError(`${asset.id}: there is no region ${region} in tree ${tree}`);
  return new TreeSight(asset, state, view).demand(region);
}

/** Octaves of visible error × weight. */
export interface Benefit {
  readonly gain: number;
  /** Of that, where the fovea may be. */
  readonly foveal: number;
}

interface Placement {
  readonly matrix: Matrix4;
  readonly scale: number;
  /** Without shear or uneven scale the angles of a cone of normals hold. */
  readonly conformal: boolean;
}

/** One tree seen from one view; remembers what it has looked at. */
export class TreeSight {
  readonly state: TreeState;
  readonly #view: View;
  readonly #placements: readonly Placement[];
  readonly #demands: (Demand | undefined)[];
  readonly #patches: (readonly number[] | undefined)[];
  readonly #sight: Sight = noSight();
  readonly #sightAhead: Sight = noSight();
  /** What was looked at last is in the view, whether seen or looking away. */
  #inView = false;

  constructor(asset: AssetState, state: TreeState, view: View) {
    this.state = state;
    this.#view = view;
    this.#placements = (state.placements ?? [asset.world]).map(placement);
    this.#demands = new Array(state.tree.regions.length);
    this.#patches = new Array(state.tree.regions.length);
  }

  demand(region: number): Demand {
    const known = this.#demands[region];
    if (known) return known;
    const best = {
      error: 0,
      need: Number.POSITIVE_INFINITY,
      weight: 0,
      scale: this.#placements[0]?.scale ?? 1,
      area: 0,
      leastNeed: Number.POSITIVE_INFINITY,
      radius: 0,
      drawings: 0,
      foveal: false,
    };
    const { predicted } = this.#view;
    for (const at of this.#placements) {
      const sight = this.#look(region, at, this.#view, 0, this.#sight);
      let drawn = this.#inView;
      if (predicted) {
        merge(sight, this.#look(region, at, predicted, 0, this.#sightAhead), predicted.sweeps === true);
        drawn ||= this.#inView;
      }
      if (drawn) best.drawings++;
      this.#take(best, at, sight);
    }
    const children = this.state.tree.regions[region]?.children ?? [];
    // A sphere holds those of all its parts, and much besides: what is seen are the parts.
    if (best.weight > 0 && children.length > 0 && children.every((part) => this.demand(part).weight === 0)) {
      best.weight = best.area = 0;
      best.foveal = false;
    }
    best.error = (this.state.tree.regions[region]?.error ?? 0) * best.scale;
    this.#demands[region] = best;
    return best;
  }

  /** What a region gains when a texture of it goes from one width to another, pixels. */
  textureBenefit(region: number, before: number, after: number): Benefit {
    const demand = this.demand(region);
    const length = (this.state.uvLength[region] ?? 0) * demand.scale;
    const gain = demand.weight === 0 ? 0 : gainOf(demand, length / before, length / after, 0);
    return { gain, foveal: demand.foveal ? gain : 0 };
  }

  /**
   * Octaves of visible error × weight of a tree that stands still where it should move.
   *
   * @param reach how far a point of it gets, in units of the tree's space
   */
  motionGain(reach: number): number {
    const demand = this.demand(0);
    return demand.weight === 0 ? 0 : gainOf(demand, reach * demand.scale, 0, 0);
  }

  /**
   * Octaves of visible error that the refinement of `file` takes away from where `shown` is drawn, times weight:
   * log2(max(error, need, half a grid step) before ÷ after). Over the same pieces of surface whatever the tier, so that
   * a way in two steps gains as much as one.
   *
   * @param shown the region that is drawn now: `file` itself, or an ancestor in a chain of only children
   */
  refinementBenefit(shown: number, file: number): Benefit {
    const { regions } = this.state.tree;
    const before = regions[shown]?.error ?? 0;
    let [gain, foveal] = [0, 0];
    for (const child of regions[file]?.children ?? []) {
      const after = regions[child]?.error ?? 0;
      for (const patch of this.patches(child)) {
        const demand = this.demand(patch);
        const { scale } = demand;
        const each = gainOf(demand, before * scale, after * scale, this.state.halfStep * scale);
        gain += each;
        if (demand.foveal) foveal += each;
      }
    }
    return { gain, foveal };
  }

  refinementGain(shown: number, file: number): number {
    return this.refinementBenefit(shown, file).gain;
  }

  /** Weight of what is seen of the tree where the fovea may be. */
  fovealWeight(): number {
    let sum = 0;
    for (const patch of this.patches()) {
      const { weight, foveal } = this.demand(patch);
      if (foveal) sum += weight;
    }
    return sum;
  }

  /** Whether a region is seen, and its error with it. Nothing below it is needed where not. */
  isTooCoarse(region: number): boolean {
    const { weight, leastNeed, error, scale } = this.demand(region);
    return weight > 0 && error > Math.max(leastNeed, this.state.halfStep * scale);
  }

  /** Regions that together cover what is seen of a region, small enough that each is seen as one. */
  patches(region = 0): readonly number[] {
    const known = this.#patches[region];
    if (known) return known;
    const patches: number[] = [];
    const { weight, radius } = this.demand(region);
    if (weight > 0) {
      const { children } = this.state.tree.regions[region] as Region;
      if (children.length === 0 || radius < PATCH_RADIUS) patches.push(region);
      else for (const child of children) patches.push(...this.patches(child));
    }
    this.#patches[region] = patches;
    return patches;
  }

  /**
   * Whether a detail of this size (an error, a texel) in a region is seen, or nearly so: by a little less than what
   * made it worth asking for.
   *
   * @param size in units of the tree's space
   */
  nearlySeen(region: number, size: number): boolean {
    return this.#placements.some((at) =>
      [this.#view, this.#view.predicted].some((view) => {
        if (!view) return false;
        const { weight, leastNeed } = this.#look(region, at, view, EDGE_SLACK, this.#sight);
        return weight > 0 && size * at.scale > NEED_SLACK * leastNeed;
      }),
    );
  }

  /**
   * The demand of several nodes is the greatest weight and the least need in proportion to its node's scale, even if
   * they are of two nodes: then nothing that one of them needs is missed.
   */
  #take(best: { -readonly [K in keyof Demand]: Demand[K] }, at: Placement, sight: Sight) {
    const { weight } = sight;
    // A node that is not seen says nothing beside one that is; but overlays show a need even of what is not seen.
    if (weight === 0 && best.weight > 0) return;
    if ((weight > 0 && best.weight === 0) || sight.need / at.scale < best.need / best.scale) {
      best.need = sight.need;
      best.leastNeed = sight.leastNeed;
      best.scale = at.scale;
    }
    best.weight = Math.max(best.weight, weight);
    best.area = Math.max(best.area, sight.area);
    best.radius = Math.max(best.radius, sight.radius);
    best.foveal ||= sight.foveal;
  }

  /** The sphere of a region, wider by a share of its distance, as one node draws it and one view sees it. */
  #look(region: number, at: Placement, view: View, slack: number, into: Sight): Sight {
    const { sphere, cone } = this.state.tree.regions[region] as Region;
    const m = at.matrix;
    const x = el(m, 0) * sphere[0] + el(m, 4) * sphere[1] + el(m, 8) * sphere[2] + el(m, 12);
    const y = el(m, 1) * sphere[0] + el(m, 5) * sphere[1] + el(m, 9) * sphere[2] + el(m, 13);
    const z = el(m, 2) * sphere[0] + el(m, 6) * sphere[1] + el(m, 10) * sphere[2] + el(m, 14);
    const distance = slack === 0 ? 0 : Math.hypot(x - view.eye[0], y - view.eye[1], z - view.eye[2]);
    const radius = sphere[3] * at.scale + slack * distance;
    const sight = look(view, x, y, z, radius, into);
    this.#inView = sight.weight > 0;
    if (sight.weight > 0 && cone && at.conformal && this.state.cullable[region]) {
      const nx = (el(m, 0) * cone[0] + el(m, 4) * cone[1] + el(m, 8) * cone[2]) / at.scale;
      const ny = (el(m, 1) * cone[0] + el(m, 5) * cone[1] + el(m, 9) * cone[2]) / at.scale;
      const nz = (el(m, 2) * cone[0] + el(m, 6) * cone[1] + el(m, 10) * cone[2]) / at.scale;
      if (facesAway(view, x, y, z, radius, [nx, ny, nz], cone[3])) {
        sight.weight = sight.area = 0;
        sight.foveal = false;
      }
    }
    return sight;
  }
}

/**
 * What is seen now and what is about to be seen, as one: when a file has come, the head has moved on or stopped. An
 * eye that jumps in the meantime lands on what is in view either way, and nothing is finished for what it leaves.
 */
function merge(now: Sight, ahead: Sight, sweeps: boolean): void {
  if (ahead.weight > 0 && (now.weight === 0 || ahead.need < now.need)) {
    now.need = ahead.need;
    now.leastNeed = ahead.leastNeed;
  }
  now.weight += AHEAD_LIKELIHOOD * (ahead.weight - now.weight);
  now.area = sweeps ? Math.min(now.area, ahead.area) : now.area + AHEAD_LIKELIHOOD * (ahead.area - now.area);
  now.radius = Math.max(now.radius, ahead.radius);
  now.foveal = ahead.foveal;
}

/** Octaves of visible error × weight between two errors, neither counted below `floor`; with a glance's share. */
function gainOf(
  { weight, need, area, leastNeed }: Demand,
  before: number,
  after: number,
  floor: number,
): number {
  const glance = GLANCE_WEIGHT * area;
  const glanced = octaves(before, after, Math.max(leastNeed, floor));
  if (need === leastNeed || glanced === 0) return (weight + glance) * glanced;
  return weight * octaves(before, after, Math.max(need, floor)) + glance * glanced;
}

function octaves(before: number, after: number, floor: number): number {
  return before <= floor ? 0 : Math.log2(before / Math.max(after, floor));
}

function placement(matrix: Matrix4): Placement {
  const x = Math.hypot(el(matrix, 0), el(matrix, 1), el(matrix, 2));
  const y = Math.hypot(el(matrix, 4), el(matrix, 5), el(matrix, 6));
  const z = Math.hypot(el(matrix, 8), el(matrix, 9), el(matrix, 10));
  const scale = Math.max(x, y, z);
  const skew =
    Math.abs(columnDot(matrix, 0, 4)) + Math.abs(columnDot(matrix, 4, 8)) + Math.abs(columnDot(matrix, 0, 8));
  const conformal = Math.min(x, y, z) > 0.999 * scale && skew < 0.001 * scale * scale;
  return { matrix, scale, conformal };
}

function columnDot(m: Matrix4, a: number, b: number): number {
  return el(m, a) * el(m, b) + el(m, a + 1) * el(m, b + 1) + el(m, a + 2) * el(m, b + 2);
}

function el(matrix: Matrix4, i: number): number {
  return matrix[i] ?? IDENTITY[i] ?? 0;
}
