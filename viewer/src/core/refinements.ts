/** The refinements that are worth fetching, and the tiers that they may skip; see docs/streaming.md. */
import type { AssetFile, RefinementDownload, TreeState } from "./asset.ts";
import type { Choice, Item, PlanState, RankedCandidate } from "./choices.ts";
import type { Benefit, TreeDemand } from "./demand.ts";
import { type Block, blocksOf, EPSILON, type Job, ratioOf } from "./order.ts";
import { chainFrom, childrenOf } from "./tree.ts";

type RefinementFile = AssetFile<RefinementDownload>;

export class Refinements {
  readonly #plan: PlanState;
  readonly #addItem: (item: Item) => void;

  /** @param addItem receives the items that can follow a chosen refinement */
  constructor(plan: PlanState, addItem: (item: Item) => void) {
    this.#plan = plan;
    this.#addItem = addItem;
  }

  /** @param treeDemands by asset and tree */
  *items(treeDemands: readonly (readonly TreeDemand[])[]): Generator<Item> {
    for (const treeDemand of treeDemands.flat()) yield* this.#itemsBelow(treeDemand, 0);
  }

  *#itemsBelow(treeDemand: TreeDemand, region: number): Generator<Item> {
    for (const drawn of this.#coarseRegions(treeDemand, region)) {
      const item = this.#item(treeDemand, drawn);
      if (item) yield item;
    }
  }

  /** The regions at or below `region` that are drawn once all held files have arrived, and too coarse. */
  *#coarseRegions(treeDemand: TreeDemand, region: number): Generator<number> {
    if (!treeDemand.isTooCoarse(region)) return;
    const { state } = treeDemand;
    // The tier that has arrived for a limited region is too much for a frame. A skipped tier may fit.
    const isLimited = this.#plan.isBudgetLimited(treeDemand, region);
    if (isLimited || !willBeRefined(state, region, this.#plan)) yield region;
    else for (const child of childrenOf(state.tree, region)) yield* this.#coarseRegions(treeDemand, child);
  }

  /**
   * The choices for a drawn region, down a chain of only children. A tier that lies between two others is a
   * waste on a fast link, so tiers may be skipped: a tier of one region always, a tier of several regions
   * when the refinements of all of them are wanted anyway.
   */
  #item(treeDemand: TreeDemand, drawn: number): Item | null {
    const { tree, refinements } = treeDemand.state;
    const isLimited = this.#plan.isBudgetLimited(treeDemand, drawn);
    const choices: Choice[] = [];
    /** Regions that can be refined after the last choice. */
    let next: readonly number[] = [];
    // A tier that looks the same as the one before it is not worth skipping that one.
    const isFiner = (gain: number) => gain > (choices.at(-1)?.candidate.gain ?? 0) + EPSILON;
    for (const region of chainFrom(tree, drawn)) {
      const file = refinements[region] ?? null;
      if (!file || (isLimited && this.#plan.willBeHeld(file))) break;
      const children = childrenOf(tree, region);
      const { benefit, missing } = this.#tier(treeDemand, drawn, region, isLimited);
      const hasOwnChoice = this.#plan.canStart(file) && isFiner(benefit.gain);
      if (hasOwnChoice) {
        choices.push(this.#choice(treeDemand, drawn, [file], benefit, children));
        next = children;
      }
      if (this.#canSkip(treeDemand, children, missing)) {
        const { parts, ...choice } = this.#jointChoice(treeDemand, drawn, missing, benefit);
        if (isFiner(choice.candidate.gain)) {
          choices.push(hasOwnChoice ? { ...choice, parts } : choice);
          next = children.flatMap((child) => childrenOf(tree, child));
        }
      }
    }
    return choices.length > 0 ? this.#withSuccessors(choices, treeDemand, next) : null;
  }

  /** Adds the refinements that can follow the last choice to its blocks. */
  #withSuccessors(choices: readonly Choice[], treeDemand: TreeDemand, next: readonly number[]): Item {
    const last = choices.at(-1) as Choice;
    const root: Job = { ...(last.blocks[0] as Block), successors: this.#successors(treeDemand, next) };
    return [...choices.slice(0, -1), { ...last, blocks: blocksOf(root) }];
  }

  /**
   * Benefit of the refinement of `region`, and the refinements of its children that are missing. A child's
   * refinement that will be held adds its benefit: it is drawn as soon as this one has arrived.
   */
  #tier(
    treeDemand: TreeDemand,
    drawn: number,
    region: number,
    isLimited: boolean,
  ): { readonly benefit: Benefit; readonly missing: RefinementFile[] } {
    const { tree, refinements } = treeDemand.state;
    let benefit = treeDemand.refinementBenefit(drawn, region);
    const missing: RefinementFile[] = [];
    if (isLimited) return { benefit, missing };
    for (const child of childrenOf(tree, region)) {
      const file = refinements[child];
      if (!file) continue;
      if (this.#plan.willBeHeld(file)) benefit = sumOf(benefit, blockOf(treeDemand, file.download));
      else missing.push(file);
    }
    return { benefit, missing };
  }

  /**
   * Whether a tier of several regions may be skipped: the refinements of all of them are wanted and can be
   * had. Only where the fovea may be is the finest state worth more than a coarser one sooner.
   *
   * @param missing those of the refinements that will not be held
   */
  #canSkip(treeDemand: TreeDemand, regions: readonly number[], missing: readonly RefinementFile[]): boolean {
    const { refinements } = treeDemand.state;
    return (
      regions.length > 1 &&
      missing.length > 0 &&
      regions.some((region) => treeDemand.of(region).foveal) &&
      regions.every((region) => refinements[region]) &&
      missing.every((file) => this.#plan.canStart(file) && treeDemand.isTooCoarse(file.download.region))
    );
  }

  /**
   * The choice of all missing refinements of a tier together.
   *
   * @param benefit of the tier itself
   */
  #jointChoice(
    treeDemand: TreeDemand,
    drawn: number,
    missing: readonly RefinementFile[],
    benefit: Benefit,
  ): Choice & { readonly parts: readonly Block[] } {
    const blocks = new Map(missing.map((file) => [file, blockOf(treeDemand, file.download)]));
    const parts = [...blocks.values()];
    const files = [...missing].sort(
      (a, b) => ratioOf(blocks.get(b) as Block) - ratioOf(blocks.get(a) as Block),
    );
    return { ...this.#choice(treeDemand, drawn, files, parts.reduce(sumOf, benefit), [drawn]), parts };
  }

  /**
   * @param files are of use only together; they are requested in this order
   * @param next regions that can be refined afterwards
   */
  #choice(
    treeDemand: TreeDemand,
    drawn: number,
    files: readonly RefinementFile[],
    benefit: Benefit,
    next: readonly number[],
  ): Choice {
    const { gain, fovealGain } = benefit;
    const bytes = files.reduce((sum, { download }) => sum + download.bytes, 0);
    const { download } = files[0] as RefinementFile;
    const candidate: RankedCandidate = {
      download,
      gain,
      score: gain / bytes,
      isCurrent: () =>
        this.#plan.isBudgetLimited(treeDemand, drawn) || !willBeRefined(treeDemand.state, drawn, this.#plan),
      onTaken: () => {
        if (files.length > 1) {
          this.#addItem([this.#choice(treeDemand, drawn, files.slice(1), benefit, next)]);
          return;
        }
        for (const region of next) {
          for (const item of this.#itemsBelow(treeDemand, region)) this.#addItem(item);
        }
      },
    };
    return { candidate, blocks: [{ gain, bytes, fovealGain }] };
  }

  /** The refinements of regions as jobs, each with its own successors. */
  #successors(treeDemand: TreeDemand, regions: readonly number[]): readonly Job[] {
    let jobs: Job[] | null = null;
    for (const region of regions) {
      const file = treeDemand.state.refinements[region];
      if (!file || !this.#plan.canStart(file) || !treeDemand.isTooCoarse(region)) continue;
      const { gain, bytes, fovealGain } = blockOf(treeDemand, file.download);
      const successors = this.#successors(treeDemand, childrenOf(treeDemand.state.tree, region));
      jobs ??= [];
      jobs.push({ gain, bytes, fovealGain, successors });
    }
    return jobs ?? NO_JOBS;
  }
}

/** Shared by all leaves: a plan builds thousands of jobs. */
const NO_JOBS: readonly Job[] = [];

/** Whether finer regions will cover a region when all held files have arrived. */
function willBeRefined(state: TreeState, region: number, plan: PlanState): boolean {
  const file = state.refinements[region];
  if (!file) return false;
  if (plan.willBeHeld(file)) return true;
  return childrenOf(state.tree, region).every((child) => willBeRefined(state, child, plan));
}

/** A refinement as a block, where its own region is drawn. */
function blockOf(treeDemand: TreeDemand, { region, bytes }: RefinementDownload): Block {
  const { gain, fovealGain } = treeDemand.refinementBenefit(region, region);
  return { gain, bytes, fovealGain };
}

function sumOf(a: Benefit, b: Benefit): Benefit {
  return { gain: a.gain + b.gain, fovealGain: a.fovealGain + b.fovealGain };
}
