/**
 * Measures the visible errors of a session. The measures are the same for every policy: they are taken on the
 * leaves of the region trees, for any region that is drawn there, and on every picture on them.
 */
import type { AssetState, Download } from "../src/core/asset.ts";
import { TreeDemand } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import type { Scene } from "./scene.ts";

export interface Outcome {
  /** Time until anything in view is drawn. */
  readonly firstFrameMs: number;
  /** Time until no error where the fovea may be is visible, for the first time. */
  readonly fovealNeedMs: number;
  /** Total time with a visible error where the fovea may be. */
  readonly fovealMs: number;
  /** Octaves of visible error × visual weight (square degrees at foveal acuity), integrated over seconds. */
  readonly error: number;
  /**
   * The same for an eye that is equally sharp everywhere: octaves × square degrees, integrated over seconds.
   */
  readonly plainError: number;
  /** Bytes that the link carried. */
  readonly bytes: number;
  /** Of these, bytes of files that were never drawn inside the view, those of aborted requests included. */
  readonly unseen: number;
  /** Of the unseen bytes, those of bases, which every policy fetches before anything else. */
  readonly unseenBases: number;
  /** Of the unseen bytes, those of aborted requests. */
  readonly aborted: number;
  /** Milliseconds and mean octaves of visible error at each sample, for plots. */
  readonly series: readonly (readonly [number, number])[];
}

/** With this gaze uncertainty, the eye is equally sharp everywhere. */
const EVERYWHERE_DEGREES = 180;

interface Leaf {
  readonly region: number;
  /** Regions from the leaf up to the root. */
  readonly path: readonly number[];
  /** The finest possible error: that of the leaf itself, in units of the tree's space. */
  readonly finest: number;
}

/** Length of a texel now and at the finest level, in units of the tree's space. */
type TexelLengths = readonly [now: number, finest: number];

/** Sums over all leaves at one moment. */
interface Sums {
  error: number;
  plainError: number;
  weight: number;
  isVisibleInFovea: boolean;
}

export class Judge {
  readonly #assets: readonly AssetState[];
  /** The same assets with their manifests from the beginning. */
  readonly #groundTruth: readonly AssetState[];
  /** By asset and tree. */
  readonly #leaves: readonly (readonly (readonly Leaf[])[])[];
  readonly #seen = new Set<Download>();
  readonly #series: [number, number][] = [];
  #firstFrame: number | null = null;
  #fovealNeed: number | null = null;
  #fovealMs = 0;
  #error = 0;
  #plainError = 0;
  #now = 0;

  /** @param groundTruth new states of the scene's assets, for the judge alone */
  constructor(scene: Scene, assets: readonly AssetState[], groundTruth: readonly AssetState[]) {
    this.#assets = assets;
    this.#groundTruth = groundTruth;
    groundTruth.forEach((asset, a) => {
      asset.setManifest(scene.placed[a]?.manifest ?? fail());
    });
    this.#leaves = groundTruth.map(({ trees }) =>
      trees.map(({ tree, halfGridStep }) =>
        tree.regions.flatMap(({ children, error }, region) => {
          if (children.length > 0) return [];
          const path: number[] = [];
          for (let r: number | null = region; r !== null; r = tree.regions[r]?.parent ?? null) path.push(r);
          return [{ region, path, finest: Math.max(error, halfGridStep) }];
        }),
      ),
    );
  }

  /** Measures one moment, which stands for the time since the last one. */
  sample(view: View, now: number): void {
    const seconds = (now - this.#now) / 1000;
    this.#now = now;
    const sums: Sums = { error: 0, plainError: 0, weight: 0, isVisibleInFovea: false };
    this.#groundTruth.forEach((_, a) => {
      this.#measure(a, view, sums);
      if (this.#assets[a]?.base.loadState === "ready" && sums.weight > 0) this.#firstFrame ??= now;
    });
    this.#error += sums.error * seconds;
    this.#plainError += sums.plainError * seconds;
    if (sums.isVisibleInFovea) this.#fovealMs += seconds * 1000;
    else this.#fovealNeed ??= now;
    this.#series.push([now, sums.weight > 0 ? sums.error / sums.weight : 0]);
  }

  /** @param delivered all files that have arrived */
  outcome(delivered: readonly Download[], carried: number, aborted: number): Outcome {
    let unseen = aborted;
    let unseenBases = 0;
    const seenByUri = new Map<string, boolean>();
    for (const download of delivered) {
      const isSeen = download.kind === "manifest" || this.#seen.has(download);
      seenByUri.set(download.uri, isSeen || seenByUri.get(download.uri) === true);
    }
    const counted = new Set<string>();
    for (const { uri, bytes, kind } of delivered) {
      if (seenByUri.get(uri) || counted.has(uri)) continue;
      counted.add(uri);
      unseen += bytes;
      if (kind === "base") unseenBases += bytes;
    }
    return {
      firstFrameMs: this.#firstFrame ?? this.#now,
      fovealNeedMs: this.#fovealNeed ?? this.#now,
      fovealMs: this.#fovealMs,
      error: this.#error,
      plainError: this.#plainError,
      bytes: carried,
      unseen,
      unseenBases,
      aborted,
      series: this.#series,
    };
  }

  /** Adds the errors on all leaves of one asset. */
  #measure(a: number, view: View, sums: Sums): void {
    const asset = this.#assets[a] as AssetState;
    const groundTruth = this.#groundTruth[a] as AssetState;
    const isShown = asset.base.loadState === "ready";
    const everywhere: View = { ...view, gazeUncertaintyDegrees: EVERYWHERE_DEGREES };
    groundTruth.trees.forEach((state, t) => {
      const demand = new TreeDemand(groundTruth, state, view);
      const plainDemand = new TreeDemand(groundTruth, state, everywhere);
      const drawn = asset.trees[t]?.cut.drawn;
      for (const { region: leaf, path, finest } of this.#leaves[a]?.[t] ?? []) {
        const { need, weight, scale } = demand.of(leaf);
        if (weight === 0) continue;
        const plain = plainDemand.of(leaf);
        const region = path.find((each) => drawn?.has(each)) ?? 0;
        const error = isShown ? (state.tree.regions[region]?.error ?? 0) : diagonal(groundTruth);
        const texels = this.#texels(groundTruth, asset, t, leaf, isShown);
        const octaves = visibleOctaves(error, finest, texels, need, scale);
        sums.error += weight * octaves;
        sums.weight += weight;
        sums.plainError += plain.weight * visibleOctaves(error, finest, texels, plain.need, scale);
        // The need is that of an eye that is equally sharp everywhere: the fovea may be here.
        if (octaves > 1e-3 && need <= plain.need * (1 + 1e-9)) sums.isVisibleInFovea = true;
        if (isShown) this.#markSeen(asset, groundTruth, t, region);
      }
    });
  }

  /** The texels of each picture on a leaf. */
  #texels(
    groundTruth: AssetState,
    asset: AssetState,
    tree: number,
    leaf: number,
    isShown: boolean,
  ): TexelLengths[] {
    const state = groundTruth.trees[tree] ?? fail();
    const length = state.uvLength[leaf] ?? 0;
    return (state.textures[leaf] ?? []).map((texture) => {
      const levels = groundTruth.manifest?.textures[texture]?.levels ?? fail();
      const width = isShown ? (levels[asset.drawnLevels[texture] ?? 0]?.width ?? 1) : 1;
      return [length / width, length / (levels.at(-1)?.width ?? 1)] as const;
    });
  }

  /** The files that a drawn region needs have been of use. */
  #markSeen(asset: AssetState, groundTruth: AssetState, tree: number, region: number): void {
    this.#seen.add(asset.base.download);
    for (const file of asset.animations) if (file) this.#seen.add(file.download);
    const parent = groundTruth.trees[tree]?.tree.regions[region]?.parent ?? null;
    const file = parent === null ? null : asset.trees[tree]?.refinements[parent];
    if (file) this.#seen.add(file.download);
    for (const texture of groundTruth.trees[tree]?.textures[region] ?? []) {
      const level = asset.textures[texture]?.[asset.drawnLevels[texture] ?? 0];
      if (level) this.#seen.add(level.download);
    }
  }
}

/**
 * Octaves of the visible errors of geometry and pictures, above the need or the finest possible error.
 *
 * @param error geometric error, in units of the tree's space, like `finest` and `texels`
 * @param need metres
 * @param scale metres per unit of the tree's space
 */
function visibleOctaves(
  error: number,
  finest: number,
  texels: readonly TexelLengths[],
  need: number,
  scale: number,
): number {
  let texelOctaves = 0;
  for (const [now, best] of texels) texelOctaves += octavesAbove(now * scale, best * scale, need);
  return octavesAbove(error * scale, finest * scale, need) + texelOctaves;
}

function octavesAbove(error: number, finest: number, need: number): number {
  return Math.max(0, Math.log2(error / Math.max(finest, need, 1e-9)));
}

function diagonal({ entry: { bounds } }: AssetState): number {
  const { min, max } = bounds;
  return Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
}

function fail(): never {
  throw new Error("the scene and the assets are not of one bundle");
}
