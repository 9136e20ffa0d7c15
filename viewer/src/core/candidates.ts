/** What is worth fetching now, in the order in which it is: see docs/streaming.md. */
import type { AnimationDownload, AssetFile, AssetState, Download } from "./asset.ts";
import { type Choice, type Item, type Outlook, type RankedCandidate, stepsOf } from "./choices.ts";
import type { TreeSight } from "./demand.ts";
import { look, type View } from "./gaze.ts";
import { Heap } from "./heap.ts";
import { type Block, blocksOfRoute, Completion, EPSILON, ratioOf, routesOf } from "./order.ts";
import { Refinements } from "./refinements.ts";
import { TextureLevels } from "./texture-levels.ts";

/** How likely it is, before the next file has come, that the eye turns to an asset that is out of view. */
const TURN_LIKELIHOOD = 0.001;
/** Bases that nobody has seen yet are at most this share of all that has come, since data is paid for … */
const UNSEEN_SHARE = 1 / 8;
/** … but always so much, for who looks past everything at first, bytes. */
const UNSEEN_BYTES = 150_000;

export class Candidates {
  readonly #outlook: Outlook;
  readonly #assets: readonly AssetState[];
  /** By asset and tree. */
  readonly #sights: readonly (readonly TreeSight[])[];
  readonly #view: View;
  readonly #heap = new Heap<RankedCandidate>((a, b) => a.score > b.score);
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
    const offer = (item: Item) => this.#offer(item);
    const refinements = new Refinements(outlook, offer);
    const levels = new TextureLevels(outlook, offer);
    const items = [...this.#animations(), ...refinements.items(sights), ...levels.items(assets, sights)];
    const blocks = items.map((item) => item.at(-1)?.blocks ?? []);
    const looked = sights.flat().reduce((sum, sight) => sum + sight.fovealWeight(), 0);
    this.#completion = new Completion(blocks.flat(), WHOLE_OCTAVES * looked);
    const rest = blocks.flatMap((each) => each.slice(1));
    const routes = routesOf(items.map(stepsOf), rest, this.#completion);
    items.forEach((item, i) => {
      for (const step of routes[i] ?? []) this.#onRoute.add((item[step] as Choice).candidate.download);
    });
    for (const item of items) this.#offer(item);
  }

  /** The best of what is left. */
  next(): RankedCandidate | undefined {
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
      (i) => i === choice || (i > choice && (i === item.length - 1 || this.#isOnRoute(item[i] as Choice))),
    );
    const [first] = blocksOfRoute(stepsOf(item), route, this.#completion);
    const score = this.#completion.rank(first as Block);
    this.#heap.push({ ...chosen.candidate, score, refused: () => this.#offer(item, choice - 1) });
  }

  #firstOf(item: Item): number {
    const first = item.findIndex((option) => this.#isOnRoute(option));
    return first < 0 ? item.length - 1 : first;
  }

  #isOnRoute({ candidate }: Choice): boolean {
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
    const offer = (file: AssetFile, gain: number, score: number) => {
      if (this.#outlook.mayStart(file)) this.#heap.push({ download: file.download, gain, score });
    };
    const gain = BASE_OCTAVES * weight;
    offer(base, gain, (gain + EPSILON) / base.download.bytes);
    offer(manifestFile, MANIFEST_OCTAVES * weight, manifestScore(asset, weight));
  }

  *#animations(): Generator<Item> {
    for (const [a, asset] of this.#assets.entries()) {
      if (!asset.rendererReady) continue;
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
  const seen = Math.max(weightIn(view), view.predicted ? weightIn(view.predicted) : 0);
  if (seen > 0) return { weight: seen, seen: true };
  return { weight: weightIn({ ...view, frustum: [], gazeUncertaintyDegrees: 180 }), seen: false };
}
