/**
 * The render budget: the finest cut of all trees within a number of triangles and of draw calls per frame.
 *
 * Most pages stay below it, and every region is as fine as its loaded files allow. Above it the regions
 * compete: from the bases down, regions are opened in the order of their gain per share of the budget, until
 * none fits. Regions that stay closed keep their files in memory, and open as soon as the eye turns to them.
 * docs/streaming.md has the formula.
 */
import type { AssetFile, RefinementDownload } from "./asset.ts";
import type { TreeDemand } from "./demand.ts";
import { Heap } from "./heap.ts";
import { childrenOf } from "./tree.ts";

/** Per frame. The pictures of both eyes count once where they are drawn together. */
export interface RenderCost {
  readonly triangles: number;
  readonly drawCalls: number;
}

/** Hysteresis: an open region closes only for another one that is more efficient by this factor. */
const KEEP_MARGIN = 1.5;
/** Share of the budget that may be in flight to displace regions that are open. */
const TURNOVER_SHARE = 0.25;
/** Bases are always drawn. If they alone fill the budget, this share of it is added for refinements. */
const MIN_REFINEMENT_SHARE = 0.25;

const NOTHING: RenderCost = { triangles: 0, drawCalls: 0 };

/** A region that can be opened. */
interface Opening {
  readonly treeDemand: TreeDemand;
  /** The region itself and all regions below it that are not available. */
  readonly opened: readonly number[];
  /** The regions that are drawn in its place. */
  readonly drawn: readonly number[];
  /** The additional cost. */
  readonly cost: RenderCost;
  /** Gain ÷ share of the budget. */
  readonly efficiency: number;
}

/** A cut of all trees within the budget. */
interface CutSelection {
  /** By tree: the open regions. */
  readonly openable: ReadonlyMap<TreeDemand, ReadonlySet<number>>;
  readonly drawn: RenderCost;
  /** The lowest efficiency of an open region. */
  readonly marginalEfficiency: number;
}

/** The division of the budget in one plan. */
export class RenderPlan {
  readonly #treeDemands: readonly TreeDemand[];
  readonly #budget: RenderCost;
  readonly #basesCost: RenderCost;
  /** Whether the finest cut fits, so that nothing has to be closed. */
  readonly #allFits: boolean;
  /** Cost of the selected cuts. */
  readonly drawn: RenderCost;
  #cachedSelection: CutSelection | null = null;
  /** Cost of the refinements in flight. */
  #pendingTriangles = 0;
  #pendingDrawCalls = 0;

  constructor(
    treeDemands: readonly TreeDemand[],
    budget: RenderCost,
    willBeHeld: (file: AssetFile) => boolean,
  ) {
    const bases = total(treeDemands.map((treeDemand) => costOf(treeDemand, 0)));
    this.#treeDemands = treeDemands;
    this.#basesCost = bases;
    this.#budget = {
      triangles: Math.max(budget.triangles, bases.triangles + MIN_REFINEMENT_SHARE * budget.triangles),
      drawCalls: Math.max(budget.drawCalls, bases.drawCalls + MIN_REFINEMENT_SHARE * budget.drawCalls),
    };
    const finest = total(treeDemands.map(costOfFinestCut));
    for (const treeDemand of treeDemands) {
      for (const file of treeDemand.state.refinements) {
        if (file && file.loadState !== "ready" && willBeHeld(file)) this.reserve(treeDemand, file.download);
      }
    }
    this.#allFits = this.#fits(finest, this.#pending);
    this.drawn = this.#allFits ? finest : this.#selection.drawn;
  }

  /** The regions of a tree that may be opened; null: all. */
  openable(treeDemand: TreeDemand): ReadonlySet<number> | null {
    return this.#allFits ? null : (this.#selection.openable.get(treeDemand) ?? null);
  }

  /** Whether the budget keeps a region closed that could be opened. */
  isBudgetLimited(treeDemand: TreeDemand, region: number): boolean {
    const openable = this.openable(treeDemand);
    return openable !== null && !openable.has(region) && treeDemand.state.cut.canOpen(region);
  }

  /** Whether a refinement could be drawn: it fits, or it is worth displacing open regions. */
  hasRoomFor(treeDemand: TreeDemand, refinement: RefinementDownload, gain: number): boolean {
    const cost = refinementCost(treeDemand, refinement);
    const share = this.#share(cost);
    if (share <= 0 || this.#fits(this.drawn, this.#pending, cost)) return true;
    if (!this.#fits(this.#basesCost, cost) || this.#share(this.#pending) > TURNOVER_SHARE) return false;
    return gain / share > KEEP_MARGIN * this.#selection.marginalEfficiency;
  }

  /** Counts a refinement as in flight. */
  reserve(treeDemand: TreeDemand, refinement: RefinementDownload): void {
    const cost = refinementCost(treeDemand, refinement);
    this.#pendingTriangles += cost.triangles;
    this.#pendingDrawCalls += cost.drawCalls;
  }

  get #selection(): CutSelection {
    this.#cachedSelection ??= this.#select();
    return this.#cachedSelection;
  }

  get #pending(): RenderCost {
    return { triangles: this.#pendingTriangles, drawCalls: this.#pendingDrawCalls };
  }

  #fits(...costs: readonly RenderCost[]): boolean {
    const { triangles, drawCalls } = total(costs);
    return triangles <= this.#budget.triangles && drawCalls <= this.#budget.drawCalls;
  }

  #share({ triangles, drawCalls }: RenderCost): number {
    return triangles / this.#budget.triangles + drawCalls / this.#budget.drawCalls;
  }

  /** Opens regions in the order of efficiency, while they fit. */
  #select(): CutSelection {
    const openable = new Map(this.#treeDemands.map((treeDemand) => [treeDemand, new Set<number>()]));
    const heap = new Heap<Opening>((a, b) => a.efficiency > b.efficiency);
    const add = (treeDemand: TreeDemand, region: number): void => {
      const opening = this.#opening(treeDemand, region);
      if (opening) heap.push(opening);
    };
    for (const treeDemand of this.#treeDemands) add(treeDemand, 0);
    let drawn = this.#basesCost;
    let marginalEfficiency = Number.POSITIVE_INFINITY;
    for (let best = heap.pop(); best; best = heap.pop()) {
      const { treeDemand, cost, efficiency } = best;
      if (!this.#fits(drawn, cost)) continue;
      drawn = total([drawn, cost]);
      // Displacing an opening without cost would free nothing.
      if (this.#share(cost) > 0) marginalEfficiency = Math.min(marginalEfficiency, efficiency);
      for (const region of best.opened) openable.get(treeDemand)?.add(region);
      for (const region of best.drawn) add(treeDemand, region);
    }
    return { openable, drawn, marginalEfficiency };
  }

  #opening(treeDemand: TreeDemand, region: number): Opening | null {
    const { tree, cut } = treeDemand.state;
    if (!cut.canOpen(region)) return null;
    const opened: number[] = [];
    const drawn: number[] = [];
    let gain = 0;
    const pending = [region];
    for (let each = pending.pop(); each !== undefined; each = pending.pop()) {
      opened.push(each);
      gain += treeDemand.refinementBenefit(region, each).gain;
      for (const child of childrenOf(tree, each)) (cut.isAvailable(child) ? drawn : pending).push(child);
    }
    const wasOpen = cut.openable === null || cut.openable.has(region);
    const after = total(drawn.map((child) => costOf(treeDemand, child)));
    const before = costOf(treeDemand, region);
    const cost = {
      triangles: after.triangles - before.triangles,
      drawCalls: after.drawCalls - before.drawCalls,
    };
    const share = this.#share(cost);
    // Out of view nothing is drawn, so the region is left as it is.
    if (share <= 0 && gain === 0 && !wasOpen) return null;
    // An opening without gain is taken last, if there is room.
    const efficiency = share <= 0 ? Number.POSITIVE_INFINITY : (gain * (wasOpen ? KEEP_MARGIN : 1)) / share;
    return { treeDemand, opened, drawn, cost, efficiency };
  }
}

/** Cost of a region, at all nodes in view. */
function costOf(treeDemand: TreeDemand, region: number): RenderCost {
  const { triangles = 0, primitives = [] } = treeDemand.state.tree.regions[region] ?? {};
  const { visibleInstances } = treeDemand.of(region);
  return { triangles: visibleInstances * triangles, drawCalls: visibleInstances * primitives.length };
}

/** Cost of the finest cut of available regions. */
function costOfFinestCut(treeDemand: TreeDemand): RenderCost {
  let triangles = 0;
  let drawCalls = 0;
  const { tree, cut } = treeDemand.state;
  const pending = [0];
  for (let region = pending.pop(); region !== undefined; region = pending.pop()) {
    // The sphere holds all descendants: none of them is in view if it is not.
    if (treeDemand.of(region).visibleInstances === 0) continue;
    if (cut.canOpen(region)) {
      pending.push(...childrenOf(tree, region));
      continue;
    }
    const cost = costOf(treeDemand, region);
    triangles += cost.triangles;
    drawCalls += cost.drawCalls;
  }
  return { triangles, drawCalls };
}

/** Additional cost of a refinement over the region that is drawn in its place until then. */
function refinementCost(treeDemand: TreeDemand, { region }: RefinementDownload): RenderCost {
  const { tree, cut } = treeDemand.state;
  let drawn = region;
  let isChain = true;
  while (!cut.isAvailable(drawn)) {
    drawn = tree.regions[drawn]?.parent ?? 0;
    isChain &&= childrenOf(tree, drawn).length === 1;
  }
  const after = total(childrenOf(tree, region).map((child) => costOf(treeDemand, child)));
  // The drawn region covers several parts, and the refinement replaces only one of them.
  const before = isChain ? costOf(treeDemand, drawn) : NOTHING;
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
