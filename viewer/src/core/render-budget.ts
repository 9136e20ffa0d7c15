/**
 * What a frame may draw: the finest cut of all trees within a number of triangles and of draw calls.
 *
 * Most pages never come near it, and then every region is as fine as what has arrived. Beyond it the regions compete:
 * from the bases down, whatever brings most visible detail for its share of the budget is opened, until nothing fits.
 * What lost stays in memory, and is drawn as soon as the eye turns to it. docs/streaming.md has the formula.
 */
import type { AssetFile, RefinementDownload } from "./asset.ts";
import type { TreeSight } from "./demand.ts";
import { Heap } from "./heap.ts";
import { childrenOf } from "./tree.ts";

/** Per frame; of both eyes' pictures together where they are drawn as one. */
export interface RenderCost {
  readonly triangles: number;
  readonly drawCalls: number;
}

/** What is drawn finer stays so unless something else is this many times more worth its place. */
const KEEP_MARGIN = 1.5;
/** So much of the budget, and no more, is for what is on its way and will take the place of something else. */
const TURNOVER = 0.25;
/** Bases are always drawn; where they alone take the budget, so much of it is still left for what is looked at. */
const LEAST_SHARE = 0.25;

/** A region that can be drawn finer, and the regions that will then be drawn in its place. */
interface Opening {
  readonly sight: TreeSight;
  readonly opened: readonly number[];
  readonly shown: readonly number[];
  readonly cost: RenderCost;
  /** Visible gain ÷ share of the budget. */
  readonly worth: number;
}

/** What is drawn of what is there, where not all of it can be. */
interface Choice {
  /** By tree: the regions that are opened. */
  readonly limits: ReadonlyMap<TreeSight, ReadonlySet<number>>;
  readonly drawn: RenderCost;
  /** The least that anything opened is worth. */
  readonly marginal: number;
}

/** The budget as one plan divides it. */
export class RenderPlan {
  readonly #sights: readonly TreeSight[];
  readonly #budget: RenderCost;
  readonly #roots: RenderCost;
  /** Whether everything that has arrived is drawn. */
  readonly #all: boolean;
  /** Of what is drawn. */
  readonly drawn: RenderCost;
  #choice: Choice | null = null;
  #comingTriangles = 0;
  #comingDrawCalls = 0;

  constructor(sights: readonly TreeSight[], budget: RenderCost, isComing: (file: AssetFile) => boolean) {
    const roots = total(sights.map((sight) => costOf(sight, 0)));
    this.#sights = sights;
    this.#roots = roots;
    this.#budget = {
      triangles: Math.max(budget.triangles, roots.triangles + LEAST_SHARE * budget.triangles),
      drawCalls: Math.max(budget.drawCalls, roots.drawCalls + LEAST_SHARE * budget.drawCalls),
    };
    const finest = total(sights.map(costOfFinest));
    for (const sight of sights) {
      for (const file of sight.state.refinements) {
        if (file && file.loadState !== "ready" && isComing(file)) this.take(sight, file.download);
      }
    }
    this.#all = this.#fits(finest, this.#coming);
    this.drawn = this.#all ? finest : this.#chosen.drawn;
  }

  /** The regions of a tree that may be drawn finer; null: all. */
  limit(sight: TreeSight): ReadonlySet<number> | null {
    return this.#all ? null : (this.#chosen.limits.get(sight) ?? null);
  }

  /** Whether what has arrived for a region is not drawn. */
  isClosed(sight: TreeSight, region: number): boolean {
    const limit = this.limit(sight);
    return limit !== null && !limit.has(region) && sight.state.cut.canOpen(region);
  }

  /** Whether a refinement that is still to come could be drawn: there is room, or it is worth the place of others. */
  mayTake(sight: TreeSight, file: RefinementDownload, gain: number): boolean {
    const cost = extraCost(sight, file);
    const share = this.#share(cost);
    if (share <= 0 || this.#fits(this.drawn, this.#coming, cost)) return true;
    if (!this.#fits(this.#roots, cost) || this.#share(this.#coming) > TURNOVER) return false;
    return gain / share > KEEP_MARGIN * this.#chosen.marginal;
  }

  /** It is on its way. */
  take(sight: TreeSight, file: RefinementDownload): void {
    const cost = extraCost(sight, file);
    this.#comingTriangles += cost.triangles;
    this.#comingDrawCalls += cost.drawCalls;
  }

  get #chosen(): Choice {
    this.#choice ??= this.#choose();
    return this.#choice;
  }

  get #coming(): RenderCost {
    return { triangles: this.#comingTriangles, drawCalls: this.#comingDrawCalls };
  }

  #fits(...costs: readonly RenderCost[]): boolean {
    const { triangles, drawCalls } = total(costs);
    return triangles <= this.#budget.triangles && drawCalls <= this.#budget.drawCalls;
  }

  #share({ triangles, drawCalls }: RenderCost): number {
    return triangles / this.#budget.triangles + drawCalls / this.#budget.drawCalls;
  }

  /** Opens the best first. */
  #choose(): Choice {
    const limits = new Map(this.#sights.map((sight) => [sight, new Set<number>()]));
    const heap = new Heap<Opening>((a, b) => a.worth > b.worth);
    const offer = (sight: TreeSight, region: number): void => {
      const opening = this.#opening(sight, region);
      if (opening) heap.push(opening);
    };
    for (const sight of this.#sights) offer(sight, 0);
    let drawn = this.#roots;
    let marginal = Number.POSITIVE_INFINITY;
    for (let best = heap.pop(); best; best = heap.pop()) {
      const { sight, cost, worth } = best;
      if (!this.#fits(drawn, cost)) continue;
      drawn = total([drawn, cost]);
      // What costs nothing takes nobody's place.
      if (this.#share(cost) > 0) marginal = Math.min(marginal, worth);
      for (const region of best.opened) limits.get(sight)?.add(region);
      for (const region of best.shown) offer(sight, region);
    }
    return { limits, drawn, marginal };
  }

  #opening(sight: TreeSight, region: number): Opening | null {
    const { cut } = sight.state;
    if (!cut.canOpen(region)) return null;
    const opened: number[] = [];
    const shown: number[] = [];
    let gain = 0;
    const open = [region];
    for (let each = open.pop(); each !== undefined; each = open.pop()) {
      opened.push(each);
      gain += sight.refinementGain(region, each);
      for (const child of childrenOf(sight.state, each)) (cut.isShowable(child) ? shown : open).push(child);
    }
    const wasOpen = cut.limit === null || cut.limit.has(region);
    const after = total(shown.map((child) => costOf(sight, child)));
    const before = costOf(sight, region);
    const cost = {
      triangles: after.triangles - before.triangles,
      drawCalls: after.drawCalls - before.drawCalls,
    };
    const share = this.#share(cost);
    // Out of view nothing is drawn, and nothing changes.
    if (share <= 0 && gain === 0 && !wasOpen) return null;
    // What nobody can tell from what it replaces is opened where there is room, after all else.
    const worth = share <= 0 ? Number.POSITIVE_INFINITY : (gain * (wasOpen ? KEEP_MARGIN : 1)) / share;
    return { sight, opened, shown, cost, worth };
  }
}

/** What a region costs where it is in view. */
function costOf(sight: TreeSight, region: number): RenderCost {
  const about = sight.state.tree.regions[region];
  const { drawings } = sight.demand(region);
  return {
    triangles: drawings * (about?.triangles ?? 0),
    drawCalls: drawings * (about?.primitives.length ?? 0),
  };
}

/** Of the finest cut of what has arrived. */
function costOfFinest(sight: TreeSight): RenderCost {
  let triangles = 0;
  let drawCalls = 0;
  const { cut } = sight.state;
  const open = [0];
  for (let region = open.pop(); region !== undefined; region = open.pop()) {
    // A sphere holds those of all descendants: nothing of what is out of view is in view.
    if (sight.demand(region).drawings === 0) continue;
    if (cut.canOpen(region)) {
      open.push(...childrenOf(sight.state, region));
      continue;
    }
    const cost = costOf(sight, region);
    triangles += cost.triangles;
    drawCalls += cost.drawCalls;
  }
  return { triangles, drawCalls };
}

/** What the children of a region cost more than what is drawn in their place until they come. */
function extraCost(sight: TreeSight, { region }: RefinementDownload): RenderCost {
  const { cut } = sight.state;
  let shown = region;
  let isChain = true;
  while (!cut.isShowable(shown)) {
    shown = sight.state.tree.regions[shown]?.parent ?? 0;
    isChain &&= childrenOf(sight.state, shown).length === 1;
  }
  const after = total(childrenOf(sight.state, region).map((child) => costOf(sight, child)));
  // Of a region that is drawn as a whole, and has several parts, only one is replaced.
  const before = isChain ? costOf(sight, shown) : { triangles: 0, drawCalls: 0 };
  return {
    triangles: Math.max(0, after.triangles - before.triangles),
    drawCalls: Math.max(0, after.drawCalls - before.drawCalls),
  };
}

function total(costs: readonly RenderCost[]): RenderCost {
  let triangles = 0;
  let drawCalls = 0;
  for (const cost of costs) {
    triangles += cost.triangles;
    drawCalls += cost.drawCalls;
  }
  return { triangles, drawCalls };
}
