/** The refinements that are worth fetching, and which tiers they may skip: see docs/streaming.md. */
import type { AssetFile, RefinementDownload, TreeState } from "./asset.ts";
import type { Choice, Item, Outlook, RankedCandidate } from "./choices.ts";
import type { Benefit, TreeSight } from "./demand.ts";
import { type Block, blocksOf, EPSILON, type Job, ratioOf } from "./order.ts";
import { childrenOf } from "./tree.ts";

export class Refinements {
  readonly #outlook: Outlook;
  readonly #offer: (item: Item) => void;

  /** @param offer hears what can follow something that is taken */
  constructor(outlook: Outlook, offer: (item: Item) => void) {
    this.#outlook = outlook;
    this.#offer = offer;
  }

  *items(all: readonly (readonly TreeSight[])[]): Generator<Item> {
    for (const sights of all) {
      for (const sight of sights) {
        for (const region of this.#open(sight, 0)) {
          const item = this.#refinement(sight, region);
          if (item) yield item;
        }
      }
    }
  }

  /** The regions that will be drawn, by what is there or on its way, and that are seen too coarse. */
  *#open(sight: TreeSight, region: number): Generator<number> {
    if (!sight.isTooCoarse(region)) return;
    // What has arrived for it is more than may be drawn: a tier that was skipped may be less.
    if (this.#outlook.isClosed(sight, region)) yield region;
    else if (!goesDeeper(sight.state, region, this.#outlook)) yield region;
    else for (const child of childrenOf(sight.state, region)) yield* this.#open(sight, child);
  }

  /**
   * Tiers may be skipped, as what lies between two of them is a waste on a fast link: of only children always; those of
   * several when the refinements of all of them are wanted anyway.
   */
  #refinement(sight: TreeSight, shown: number): Item | null {
    const { refinements } = sight.state;
    const options: Choice[] = [];
    const closed = this.#outlook.isClosed(sight, shown);
    let followers: () => readonly Job[] = () => NONE;
    // A tier that nobody can tell from the one before it is no reason to skip that one.
    const isFiner = ({ gain }: Benefit) => gain > (options.at(-1)?.candidate.gain ?? 0) + EPSILON;
    for (let region: number | undefined = shown; region !== undefined; ) {
      const file: AssetFile<RefinementDownload> | null = refinements[region] ?? null;
      if (!file || (closed && this.#outlook.isComing(file))) break;
      const children = childrenOf(sight.state, region);
      let benefit = sight.refinementBenefit(shown, region);
      const missing: AssetFile<RefinementDownload>[] = [];
      for (const child of closed ? [] : children) {
        const below = refinements[child];
        if (!below) continue;
        // What is there of the tier below is drawn as soon as this one is.
        if (this.#outlook.isComing(below)) benefit = sumOf(benefit, blockOf(sight, below.download));
        else missing.push(below);
      }
      const may = this.#outlook.mayStart(file) && isFiner(benefit);
      if (may) {
        options.push(this.#refinementOption(sight, shown, [file], benefit, children));
        followers = () => this.#followers(sight, children);
      }
      if (this.#mayTogether(sight, children, missing)) {
        const block = new Map(missing.map((each) => [each, blockOf(sight, each.download)]));
        missing.sort((a, b) => ratioOf(block.get(b) as Block) - ratioOf(block.get(a) as Block));
        const parts = [...block.values()];
        const all = parts.reduce(sumOf, benefit);
        if (isFiner(all)) {
          const option = this.#refinementOption(sight, shown, missing, all, [shown]);
          options.push(may ? { ...option, parts } : option);
          const grandchildren = children.flatMap((child) => childrenOf(sight.state, child));
          followers = () => this.#followers(sight, grandchildren);
        }
      }
      region = children.length === 1 ? children[0] : undefined;
    }
    const last = options.pop();
    if (!last) return null;
    const [block] = last.blocks;
    return [...options, { ...last, blocks: blocksOf({ ...(block as Block), followers: followers() }) }];
  }

  /**
   * Whether the tier of several regions may be skipped: the refinements of all of them are wanted, and can be had. Only
   * where the fovea may be is all that is to come worth more than some of it sooner.
   *
   * @param missing of these refinements
   */
  #mayTogether(
    sight: TreeSight,
    regions: readonly number[],
    missing: readonly AssetFile<RefinementDownload>[],
  ): boolean {
    const { refinements } = sight.state;
    return (
      regions.length > 1 &&
      missing.length > 0 &&
      regions.some((region) => sight.demand(region).foveal) &&
      regions.every((region) => refinements[region]) &&
      missing.every((file) => this.#outlook.mayStart(file) && sight.isTooCoarse(file.download.region))
    );
  }

  /**
   * @param files of which none is useful without the others: the first is asked for first
   * @param next regions that may be refined then
   */
  #refinementOption(
    sight: TreeSight,
    shown: number,
    files: readonly AssetFile<RefinementDownload>[],
    benefit: Benefit,
    next: readonly number[],
  ): Choice {
    const { state } = sight;
    const { gain, foveal } = benefit;
    const bytes = files.reduce((sum, { download }) => sum + download.bytes, 0);
    const { download } = files[0] as AssetFile<RefinementDownload>;
    const candidate: RankedCandidate = {
      download,
      gain,
      score: gain / bytes,
      current: () => this.#outlook.isClosed(sight, shown) || !goesDeeper(state, shown, this.#outlook),
      taken: () => {
        if (files.length > 1) {
          this.#offer([this.#refinementOption(sight, shown, files.slice(1), benefit, next)]);
          return;
        }
        for (const region of next) {
          for (const open of this.#open(sight, region)) {
            const item = this.#refinement(sight, open);
            if (item) this.#offer(item);
          }
        }
      },
    };
    return { candidate, blocks: [{ gain, bytes, foveal }] };
  }

  /** The refinements of regions, each with what can follow it. */
  #followers(sight: TreeSight, regions: readonly number[]): readonly Job[] {
    let jobs: Job[] | null = null;
    for (const region of regions) {
      const file = sight.state.refinements[region];
      if (!file || !this.#outlook.mayStart(file) || !sight.isTooCoarse(region)) continue;
      const { gain, foveal } = sight.refinementBenefit(region, region);
      const followers = this.#followers(sight, childrenOf(sight.state, region));
      jobs ??= [];
      jobs.push({ gain, bytes: file.download.bytes, foveal, followers });
    }
    return jobs ?? NONE;
  }
}

const NONE: readonly Job[] = [];

/** Whether a region is, or will be, covered by something finer than itself. */
function goesDeeper(state: TreeState, region: number, outlook: Outlook): boolean {
  const file = state.refinements[region];
  if (!file) return false;
  if (outlook.isComing(file)) return true;
  return childrenOf(state, region).every((child) => goesDeeper(state, child, outlook));
}

/** Of a refinement where its region is drawn. */
function blockOf(sight: TreeSight, { region, bytes }: RefinementDownload): Block {
  const { gain, foveal } = sight.refinementBenefit(region, region);
  return { gain, bytes, foveal };
}

function sumOf(a: Benefit, b: Benefit): Benefit {
  return { gain: a.gain + b.gain, foveal: a.foveal + b.foveal };
}
