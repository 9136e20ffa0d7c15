/** What is worth fetching now, in the order in which it is: see docs/streaming.md. */
import type {
  AnimationDownload,
  AssetState,
  Download,
  FileState,
  RefinementDownload,
  TextureDownload,
  TreeState,
} from "./asset.ts";
import type { Benefit, TreeSight } from "./demand.ts";
import { look, type View } from "./gaze.ts";
import { Heap } from "./heap.ts";
import { childrenOf } from "./memory.ts";
import {
  type Block,
  blocksOf,
  blocksOfRoute,
  Completion,
  EPSILON,
  type Job,
  ratioOf,
  routesOf,
  type Steps,
} from "./order.ts";

/** A file that is worth fetching. */
export interface Wish {
  readonly download: Download;
  /** Visible gain: octaves of error × visual weight. */
  readonly gain: number;
  /** Gain per byte, of the file with what it makes worth fetching: what the plan is ordered by. */
  readonly score: number;
}

/** What the plan so far makes of a file. */
export interface Outlook {
  /** It is there or on its way. */
  isComing(file: FileState): boolean;
  /** It may be asked for. */
  mayStart(file: FileState): boolean;
  /** A frame has no room for what is there in place of a region. */
  isClosed(sight: TreeSight, region: number): boolean;
}

/** How likely it is, before the next file has come, that the eye turns to an asset that is out of view. */
export const TURN_LIKELIHOOD = 0.001;
/** Bases that nobody has seen yet are at most this share of all that has come, since data is paid for … */
const UNSEEN_SHARE = 1 / 8;
/** … but always so much, for who looks past everything at first, bytes. */
const UNSEEN_BYTES = 150_000;

interface Candidate extends Wish {
  /** Still what it was when it was pushed? Wishes for one thing change with each other. */
  readonly current?: () => boolean;
  /** Wishes for what can follow it. */
  readonly taken?: () => void;
  /** There is no memory for it: wishes for the step before it. */
  readonly refused?: () => void;
}

/** One thing that can be had at once or in steps: coarse to fine, each instead of those before it. At least one. */
type Item = readonly Option[];
interface Option {
  readonly candidate: Candidate;
  /** The first block begins with the candidate. */
  readonly blocks: readonly Block[];
  readonly parts?: readonly Block[];
}

export class Wishes {
  readonly #outlook: Outlook;
  readonly #assets: readonly AssetState[];
  /** By asset and tree. */
  readonly #sights: readonly (readonly TreeSight[])[];
  readonly #view: View;
  readonly #heap = new Heap<Candidate>((a, b) => a.score > b.score);
  readonly #completion: Completion;
  /** By asset that is in view: the score of its manifest. */
  readonly #manifestScores = new Map<AssetState, number>();
  /** What is to be fetched of what can be had in steps. */
  readonly #onRoute = new Set<Download>();

  constructor(
    assets: readonly AssetState[],
    sights: readonly (readonly TreeSight[])[],
    view: View,
    outlook: Outlook,
  ) {
    this.#assets = assets;
    this.#sights = sights;
    this.#view = view;
    this.#outlook = outlook;
    this.#wishForBasics(view);
    const items = [...this.#animations(), ...this.#refinements(), ...this.#levels()];
    const blocks = items.map((item) => item.at(-1)?.blocks ?? []);
    const looked = sights.flat().reduce((sum, sight) => sum + sight.fovealWeight(), 0);
    this.#completion = new Completion(blocks.flat(), WHOLE_OCTAVES * looked);
    const rest = blocks.flatMap((each) => each.slice(1));
    const routes = routesOf(items.map(stepsOf), rest, this.#completion);
    items.forEach((item, i) => {
      for (const step of routes[i] ?? []) this.#onRoute.add((item[step] as Option).candidate.download);
    });
    for (const item of items) this.#offer(item);
  }

  /** The best of what is left. */
  next(): Candidate | undefined {
    for (let wish = this.#heap.pop(); wish; wish = this.#heap.pop()) {
      if (!wish.current || wish.current()) return wish;
    }
    return undefined;
  }

  /** What is soon known of, since all that it takes is on its way, has at least this score. */
  get promised(): number {
    let promised = 0;
    for (const [asset, score] of this.#manifestScores) {
      const { base, manifestFile } = asset;
      if (score <= promised || asset.refinable) continue;
      if (this.#outlook.isComing(base) && this.#outlook.isComing(manifestFile)) promised = score;
    }
    return promised;
  }

  /** @param choice which of the options: what there is no memory for gives way to the one before it */
  #offer(item: Item, choice = this.#firstOf(item)): void {
    const chosen = item[choice];
    if (!chosen) return;
    if (item.length === 1) {
      this.#heap.push({ ...chosen.candidate, score: this.#completion.rank(chosen.blocks[0] as Block) });
      return;
    }
    const route = [...item.keys()].filter(
      (i) => i === choice || (i > choice && (i === item.length - 1 || this.#isOnRoute(item[i] as Option))),
    );
    const [first] = blocksOfRoute(stepsOf(item), route, this.#completion);
    const score = this.#completion.rank(first as Block);
    this.#heap.push({ ...chosen.candidate, score, refused: () => this.#offer(item, choice - 1) });
  }

  #firstOf(item: Item): number {
    const first = item.findIndex((option) => this.#isOnRoute(option));
    return first < 0 ? item.length - 1 : first;
  }

  #isOnRoute({ candidate }: Option): boolean {
    return this.#onRoute.has(candidate.download);
  }

  /** Bases, which show something at all, and manifests, which tell what else there is. */
  #wishForBasics(view: View): void {
    let [all, unseen] = [0, 0];
    const outOfView: { readonly asset: AssetState; readonly weight: number }[] = [];
    for (const asset of this.#assets) {
      const { weight, seen } = assetWeight(asset, asset.view ?? view);
      let finer = false;
      for (const file of asset.files) {
        if (!this.#outlook.isComing(file)) continue;
        all += file.download.bytes;
        finer ||= file !== asset.base && file !== asset.manifestFile;
      }
      if (seen) {
        this.#manifestScores.set(asset, manifestScore(asset, weight));
        this.#wishForBasicsOf(asset, weight);
      } else outOfView.push({ asset, weight });
      // What has been looked at has more than its base.
      if (!seen && !finer && this.#outlook.isComing(asset.base)) unseen += asset.base.download.bytes;
    }
    const worth = ({ asset, weight }: (typeof outOfView)[number]) => weight / asset.base.download.bytes;
    for (const { asset, weight } of outOfView.sort((a, b) => worth(b) - worth(a))) {
      if (this.#outlook.mayStart(asset.base)) {
        if (unseen + asset.base.download.bytes > Math.max(UNSEEN_BYTES, UNSEEN_SHARE * all)) continue;
        unseen += asset.base.download.bytes;
      }
      this.#wishForBasicsOf(asset, TURN_LIKELIHOOD * weight);
    }
  }

  #wishForBasicsOf(asset: AssetState, weight: number): void {
    const { base, manifestFile } = asset;
    const offer = (file: FileState, gain: number, score: number) => {
      if (this.#outlook.mayStart(file)) this.#heap.push({ download: file.download, gain, score });
    };
    const gain = BASE_OCTAVES * weight;
    offer(base, gain, (gain + EPSILON) / base.download.bytes);
    offer(manifestFile, MANIFEST_OCTAVES * weight, manifestScore(asset, weight));
  }

  *#animations(): Generator<Item> {
    for (const [a, asset] of this.#assets.entries()) {
      if (!asset.drawable) continue;
      for (const file of asset.animations) {
        if (!file || !this.#outlook.mayStart(file) || !asset.plays(file.download.animation)) continue;
        const { download } = file;
        const gain = this.#motionGain(download, this.#sights[a] ?? []);
        if (gain <= EPSILON) continue;
        const block: Block = { gain, bytes: download.bytes, foveal: 0 };
        yield [{ candidate: { download, gain, score: ratioOf(block) }, blocks: [block] }];
      }
    }
  }

  /** What stands still is as wrong as the motion is large. One that moves no tree (a light, a camera) comes last. */
  #motionGain({ asset, reach }: AnimationDownload, sights: readonly TreeSight[]): number {
    if (!movesTrees(reach)) return assetWeight(asset, asset.view ?? this.#view).seen ? 2 * EPSILON : 0;
    return sights.reduce((sum, sight, tree) => sum + sight.motionGain(reach[tree] ?? 0), 0);
  }

  *#refinements(): Generator<Item> {
    for (const sights of this.#sights) {
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
    const options: Option[] = [];
    const closed = this.#outlook.isClosed(sight, shown);
    let followers: () => readonly Job[] = () => NONE;
    // A tier that nobody can tell from the one before it is no reason to skip that one.
    const isFiner = ({ gain }: Benefit) => gain > (options.at(-1)?.candidate.gain ?? 0) + EPSILON;
    for (let region: number | undefined = shown; region !== undefined; ) {
      const file: FileState<RefinementDownload> | null = refinements[region] ?? null;
      if (!file || (closed && this.#outlook.isComing(file))) break;
      const children = childrenOf(sight.state, region);
      let benefit = sight.refinementBenefit(shown, region);
      const missing: FileState<RefinementDownload>[] = [];
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
    missing: readonly FileState<RefinementDownload>[],
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
    files: readonly FileState<RefinementDownload>[],
    benefit: Benefit,
    next: readonly number[],
  ): Option {
    const { state } = sight;
    const { gain, foveal } = benefit;
    const bytes = files.reduce((sum, { download }) => sum + download.bytes, 0);
    const { download } = files[0] as FileState<RefinementDownload>;
    const candidate: Candidate = {
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

  *#levels(): Generator<Item> {
    for (const [a, asset] of this.#assets.entries()) {
      if (!asset.textures.some((levels) => this.#finer(levels).length > 0)) continue;
      const benefits = textureBenefits(asset, this.#sights[a] ?? []);
      for (const texture of asset.textures.keys()) {
        const options = this.#levelOptions(asset.textures[texture] ?? [], benefits[texture] ?? []);
        if (options.length > 0) yield options;
      }
    }
  }

  #levelOptions(
    levels: readonly (FileState<TextureDownload> | null)[],
    benefits: readonly Benefit[],
  ): Option[] {
    const coming = this.#finestComing(levels);
    const now = benefits[coming] ?? NOTHING;
    const options: Option[] = [];
    for (const { download } of this.#finer(levels)) {
      const level = benefits[download.level] ?? NOTHING;
      const gain = level.gain - now.gain;
      if (gain <= (options.at(-1)?.candidate.gain ?? 0) + EPSILON) continue;
      const block: Block = { gain, bytes: download.bytes, foveal: level.foveal - now.foveal };
      const candidate: Candidate = {
        download,
        gain,
        score: ratioOf(block),
        current: () => this.#finestComing(levels) === coming,
        taken: () => this.#offer(this.#levelOptions(levels, benefits)),
      };
      options.push({ candidate, blocks: [block] });
    }
    return options;
  }

  /** Levels that may be asked for and are finer than the finest that is coming. */
  #finer(levels: readonly (FileState<TextureDownload> | null)[]): FileState<TextureDownload>[] {
    const coming = this.#finestComing(levels);
    return levels.flatMap((file) =>
      file && file.download.level > coming && this.#outlook.mayStart(file) ? [file] : [],
    );
  }

  #finestComing(levels: readonly (FileState<TextureDownload> | null)[]): number {
    let finest = 0;
    for (const file of levels) if (file && this.#outlook.isComing(file)) finest = file.download.level;
    return finest;
  }
}

const NONE: readonly Job[] = [];

/** What the options of an item bring; the last one, with what it is to be followed by at once. */
function stepsOf(item: Item): Steps {
  return item.map(({ candidate, blocks, parts }, i) =>
    i === item.length - 1
      ? { ...(blocks[0] as Block), ...(parts ? { parts } : {}) }
      : { gain: candidate.gain, bytes: candidate.download.bytes, foveal: 0 },
  );
}

/** Whether any tree is elsewhere while an animation of this reach plays. */
export function movesTrees(reach: readonly number[]): boolean {
  return reach.some((distance) => distance > 0);
}

/**
 * What a base brings against nothing. In octaves of geometry and pictures it is about 50; but that something is not
 * there at all disturbs more than that it is coarse.
 */
const BASE_OCTAVES = 200;

/** What the first files bring that a manifest tells of, for as many bytes as it and its base have: up close, 18. */
const MANIFEST_OCTAVES = 10;
/**
 * What it is worth that nothing is too coarse where the fovea may be: as much as so many octaves on all of it. A detail
 * that is missing there is found, wherever it is.
 */
const WHOLE_OCTAVES = 6;

/** It brings nothing itself, but the first files that it tells of bring so much for as many bytes as the base has. */
function manifestScore({ base, manifestFile }: AssetState, weight: number): number {
  return (MANIFEST_OCTAVES * weight + EPSILON) / (base.download.bytes + manifestFile.download.bytes);
}

/** Whether a region is, or will be, covered by something finer than itself. */
export function goesDeeper(state: TreeState, region: number, outlook: Outlook): boolean {
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

const NOTHING: Benefit = { gain: 0, foveal: 0 };

/** By texture and level: what all that is seen of an asset gains over the base's level. */
function textureBenefits(asset: AssetState, sights: readonly TreeSight[]): readonly (readonly Benefit[])[] {
  const benefits = asset.textures.map((levels) => levels.map(() => ({ gain: 0, foveal: 0 })));
  for (const sight of sights) {
    for (const region of sight.patches()) {
      for (const texture of sight.state.textures[region] ?? []) {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const width = levels[0]?.width ?? 1;
        benefits[texture]?.forEach((sum, level) => {
          if (level === 0) return;
          const { gain, foveal } = sight.textureBenefit(region, width, levels[level]?.width ?? 1);
          sum.gain += gain;
          sum.foveal += foveal;
        });
      }
    }
  }
  return benefits;
}

/** Visual weight of the sphere around an asset's bounds; of what is not seen, what it would be if it were in view. */
export function assetWeight({ entry, world: m }: AssetState, view: View): { weight: number; seen: boolean } {
  const { min, max } = entry.bounds;
  const centre = [(min[0] + max[0]) / 2, (min[1] + max[1]) / 2, (min[2] + max[2]) / 2] as const;
  const radius = Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]) / 2;
  const el = (i: number) => m[i] ?? 0;
  const at = (row: number) =>
    el(row) * centre[0] + el(4 + row) * centre[1] + el(8 + row) * centre[2] + el(12 + row);
  const scale = Math.max(...[0, 4, 8].map((i) => Math.hypot(el(i), el(i + 1), el(i + 2))));
  const weightIn = (from: View) => look(from, at(0), at(1), at(2), radius * scale).weight;
  const seen = Math.max(weightIn(view), view.ahead ? weightIn(view.ahead) : 0);
  if (seen > 0) return { weight: seen, seen: true };
  return { weight: weightIn({ ...view, frustum: [], gazeUncertaintyDegrees: 180 }), seen: false };
}
