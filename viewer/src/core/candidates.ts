/** The files that are worth fetching now, best first; see docs/streaming.md. */
import { animationItems } from "./animations.ts";
import type { AssetFile, AssetState, Download } from "./asset.ts";
import { type Choice, type Item, type PlanState, type RankedCandidate, stepsOf } from "./choices.ts";
import { assetWeight, type TreeDemand } from "./demand.ts";
import type { View } from "./gaze.ts";
import { Heap } from "./heap.ts";
import { type Block, EPSILON, FovealCompletion } from "./order.ts";
import { Refinements } from "./refinements.ts";
import { blocksOfRoute, routesOf } from "./routes.ts";
import { TextureLevels } from "./texture-levels.ts";

/**
 * Gain of a base, in octaves on the whole asset. Against nothing, the octaves of its geometry and pictures
 * are about 50, but a missing object disturbs more than a coarse one.
 */
const BASE_OCTAVES = 200;
/**
 * Gain of a manifest, in octaves on the whole asset for the bytes of base and manifest: about that of the
 * first files that it reveals (18 for an asset close up).
 */
const MANIFEST_OCTAVES = 10;
/**
 * Gain of the completion, in octaves on the whole area where the fovea may be. There, users find every detail
 * that is still missing.
 */
const COMPLETION_OCTAVES = 6;
/** Probability that the eye turns to an asset out of view before the next file arrives. */
const TURN_PROBABILITY = 0.001;
/** Limit for the bases of unseen assets, as a share of all bytes received: data may cost money. */
const UNSEEN_SHARE = 1 / 8;
/** At least this many bytes of such bases are allowed, since users may look elsewhere at first. */
const UNSEEN_BYTES = 150_000;

interface WeightedAsset {
  readonly asset: AssetState;
  readonly weight: number;
}

export class Candidates {
  readonly #assets: readonly AssetState[];
  readonly #view: View;
  readonly #plan: PlanState;
  readonly #heap = new Heap<RankedCandidate>((a, b) => a.score > b.score);
  readonly #completion: FovealCompletion;
  /** By asset in view: the score of its manifest. */
  readonly #manifestScores = new Map<AssetState, number>();
  /** The downloads of all chosen routes. */
  readonly #onRoute = new Set<Download>();

  /** @param treeDemands by asset and tree */
  constructor(
    assets: readonly AssetState[],
    treeDemands: readonly (readonly TreeDemand[])[],
    view: View,
    plan: PlanState,
  ) {
    this.#assets = assets;
    this.#view = view;
    this.#plan = plan;
    this.#addBasesAndManifests();
    const addItem = (item: Item) => this.#addItem(item);
    const items = [
      ...animationItems(assets, treeDemands, view, plan),
      ...new Refinements(plan, addItem).items(treeDemands),
      ...new TextureLevels(plan, addItem).items(assets, treeDemands),
    ];
    const blocks = items.map((item) => item.at(-1)?.blocks ?? []);
    const fovealWeight = treeDemands.flat().reduce((sum, treeDemand) => sum + treeDemand.fovealWeight(), 0);
    this.#completion = new FovealCompletion(blocks.flat(), COMPLETION_OCTAVES * fovealWeight);
    const otherBlocks = blocks.flatMap((each) => each.slice(1));
    const routes = routesOf(items.map(stepsOf), otherBlocks, this.#completion);
    items.forEach((item, i) => {
      for (const step of routes[i] ?? []) this.#onRoute.add((item[step] as Choice).candidate.download);
    });
    for (const item of items) this.#addItem(item);
  }

  /** Removes the best candidate and returns it; undefined if none is left. */
  next(): RankedCandidate | undefined {
    for (let candidate = this.#heap.pop(); candidate; candidate = this.#heap.pop()) {
      if (!candidate.isCurrent || candidate.isCurrent()) return candidate;
    }
    return undefined;
  }

  /** Lower bound on the best score of the files that manifests in flight will reveal; 0 without any. */
  get revealedScoreLowerBound(): number {
    let bound = 0;
    for (const [asset, score] of this.#manifestScores) {
      const { base, manifestFile } = asset;
      if (score <= bound || asset.refinable) continue;
      if (this.#plan.willBeHeld(base) && this.#plan.willBeHeld(manifestFile)) bound = score;
    }
    return bound;
  }

  /**
   * Adds one choice of an item, which falls back to the choice before it if it is refused.
   *
   * @param index of the choice; by default the first one on the item's route
   */
  #addItem(item: Item, index = this.#firstOnRoute(item)): void {
    const choice = item[index];
    if (!choice) return;
    if (item.length === 1) {
      this.#heap.push({ ...choice.candidate, score: this.#completion.rank(choice.blocks[0] as Block) });
      return;
    }
    const last = item.length - 1;
    const route = [...item.keys()].filter(
      (i) => i === index || (i > index && (i === last || this.#isOnRoute(item[i] as Choice))),
    );
    const [first] = blocksOfRoute(stepsOf(item), route, this.#completion);
    const score = this.#completion.rank(first as Block);
    this.#heap.push({ ...choice.candidate, score, onRefused: () => this.#addItem(item, index - 1) });
  }

  /** The last choice if none is on the route: items that are added later have no route of their own. */
  #firstOnRoute(item: Item): number {
    const first = item.findIndex((choice) => this.#isOnRoute(choice));
    return first < 0 ? item.length - 1 : first;
  }

  #isOnRoute({ candidate }: Choice): boolean {
    return this.#onRoute.has(candidate.download);
  }

  #addBasesAndManifests(): void {
    let [heldBytes, unseenBytes] = [0, 0];
    const outOfView: WeightedAsset[] = [];
    for (const asset of this.#assets) {
      const { weight, inView } = assetWeight(asset, asset.view ?? this.#view);
      const held = [...asset.files].filter((file) => this.#plan.willBeHeld(file));
      heldBytes += held.reduce((sum, { download }) => sum + download.bytes, 0);
      if (inView) {
        this.#manifestScores.set(asset, manifestScore(asset, weight));
        this.#addBaseAndManifest(asset, weight);
      } else {
        outOfView.push({ asset, weight });
        // An asset that has been seen has more than its base and manifest.
        const { base, manifestFile } = asset;
        const isUnseen = held.every((file) => file === base || file === manifestFile);
        if (isUnseen && held.includes(base)) unseenBytes += base.download.bytes;
      }
    }
    this.#addUnseen(outOfView, unseenBytes, Math.max(UNSEEN_BYTES, UNSEEN_SHARE * heldBytes));
  }

  /**
   * Adds assets out of view while their bases fit into the limit, the greatest weight per byte first.
   *
   * @param unseenBytes of the bases of unseen assets that are held
   */
  #addUnseen(outOfView: readonly WeightedAsset[], unseenBytes: number, limit: number): void {
    const weightPerByte = ({ asset, weight }: WeightedAsset) => weight / asset.base.download.bytes;
    let bytes = unseenBytes;
    for (const { asset, weight } of [...outOfView].sort((a, b) => weightPerByte(b) - weightPerByte(a))) {
      if (this.#plan.canStart(asset.base)) {
        if (bytes + asset.base.download.bytes > limit) continue;
        bytes += asset.base.download.bytes;
      }
      this.#addBaseAndManifest(asset, TURN_PROBABILITY * weight);
    }
  }

  #addBaseAndManifest(asset: AssetState, weight: number): void {
    const { base, manifestFile } = asset;
    const add = (file: AssetFile, gain: number, score: number) => {
      if (this.#plan.canStart(file)) this.#heap.push({ download: file.download, gain, score });
    };
    const gain = BASE_OCTAVES * weight;
    add(base, gain, (gain + EPSILON) / base.download.bytes);
    add(manifestFile, MANIFEST_OCTAVES * weight, manifestScore(asset, weight));
  }
}

/** Gain per byte of base and manifest together: a manifest is of no use without its base. */
function manifestScore({ base, manifestFile }: AssetState, weight: number): number {
  return (MANIFEST_OCTAVES * weight + EPSILON) / (base.download.bytes + manifestFile.download.bytes);
}
