/**
 * What a session looked like, by numbers that are the same for every policy: they are taken on the leaves of the
 * region trees, whatever is drawn there, and on every picture on them.
 */
import type { AssetState, Download } from "../src/core/asset.ts";
import { TreeSight } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import type { Scene } from "./scene.ts";

export interface Outcome {
  /** Until something of what is in view is drawn. */
  readonly firstFrameMs: number;
  /** Until nothing where the fovea may be is above what can be seen there, for the first time. */
  readonly fovealNeedMs: number;
  /** All time in which something there was. */
  readonly fovealMs: number;
  /** Octaves of visible error × visual weight (square degrees as the fovea counts them), over time: × s. */
  readonly error: number;
  /** The same for an eye that is as sharp everywhere: octaves × square degrees × s. */
  readonly plainError: number;
  /** Bytes that the link carried. */
  readonly bytes: number;
  /** Of them, of files that were never drawn inside the view; aborted ones too. */
  readonly unseen: number;
  readonly aborted: number;
  /** Milliseconds and average octaves of visible error at each sample, for plots. */
  readonly series: readonly (readonly [number, number])[];
}

/** An eye of which nobody knows where it looks must be taken to look everywhere. */
const EVERYWHERE = 180;

interface Leaf {
  readonly region: number;
  /** From the leaf up to the root. */
  readonly path: readonly number[];
  /** Geometric error that the leaf itself has, in units of the tree's space: nothing gets below. */
  readonly least: number;
}

export class Judge {
  readonly #assets: readonly AssetState[];
  /** By asset and tree. */
  readonly #leaves: readonly (readonly (readonly Leaf[])[])[];
  /** The same assets with everything described: what there is to see, known from the beginning. */
  readonly #truth: readonly AssetState[];
  readonly #seen = new Set<Download>();
  readonly #series: [number, number][] = [];
  #firstFrame: number | null = null;
  #fovealNeed: number | null = null;
  #foveal = 0;
  #error = 0;
  #plain = 0;
  #now = 0;

  constructor(scene: Scene, assets: readonly AssetState[], truth: readonly AssetState[]) {
    this.#assets = assets;
    this.#truth = truth;
    truth.forEach((asset, a) => {
      asset.setManifest(scene.placed[a]?.manifest ?? fail());
    });
    this.#leaves = truth.map(({ trees }) =>
      trees.map(({ tree, halfStep }) =>
        tree.regions.flatMap(({ children, error }, region) => {
          if (children.length > 0) return [];
          const path: number[] = [];
          for (let r: number | null = region; r !== null; r = tree.regions[r]?.parent ?? null) path.push(r);
          return [{ region, path, least: Math.max(error, halfStep) }];
        }),
      ),
    );
  }

  /** The moments before this one, since the last, looked as this one does. */
  look(view: View, now: number): void {
    const span = (now - this.#now) / 1000;
    this.#now = now;
    let [error, plain, weights, unmet] = [0, 0, 0, false];
    const everywhere: View = { ...view, gazeUncertaintyDegrees: EVERYWHERE };
    this.#truth.forEach((truth, a) => {
      const asset = this.#assets[a] as AssetState;
      const shown = asset.base.loadState === "ready";
      truth.trees.forEach((state, t) => {
        const [sight, sharp] = [new TreeSight(truth, state, view), new TreeSight(truth, state, everywhere)];
        const drawn = asset.trees[t]?.cut.drawn;
        for (const leaf of this.#leaves[a]?.[t] ?? []) {
          const { need, weight, scale } = sight.demand(leaf.region);
          if (weight === 0) continue;
          const sharpest = sharp.demand(leaf.region);
          const region = leaf.path.find((each) => drawn?.has(each)) ?? 0;
          const before = shown ? (state.tree.regions[region]?.error ?? 0) : diagonal(truth);
          const lengths = this.#texels(truth, asset, t, leaf.region, shown);
          const octaves = above(before * scale, leaf.least * scale, need) + sum(lengths, scale, need);
          error += weight * octaves;
          weights += weight;
          plain +=
            sharpest.weight *
            (above(before * scale, leaf.least * scale, sharpest.need) + sum(lengths, scale, sharpest.need));
          // As sharp as anywhere: the fovea may be here.
          if (octaves > 1e-3 && need <= sharpest.need * (1 + 1e-9)) unmet = true;
          if (shown) this.#note(asset, truth, t, region);
        }
      });
      if (shown && weights > 0) this.#firstFrame ??= now;
    });
    this.#error += error * span;
    this.#plain += plain * span;
    if (unmet) this.#foveal += span * 1000;
    else this.#fovealNeed ??= now;
    this.#series.push([now, weights > 0 ? error / weights : 0]);
  }

  /** @param delivered every file that has arrived */
  outcome(delivered: readonly Download[], carried: number, aborted: number): Outcome {
    let unseen = aborted;
    const uris = new Map<string, boolean>();
    for (const download of delivered) {
      const seen = download.kind === "manifest" || this.#seen.has(download);
      uris.set(download.uri, seen || uris.get(download.uri) === true);
      if (download.kind === "base" && !uris.get(download.uri)) uris.set(download.uri, false);
    }
    const counted = new Set<string>();
    for (const { uri, bytes } of delivered) {
      if (uris.get(uri) || counted.has(uri)) continue;
      counted.add(uri);
      unseen += bytes;
    }
    return {
      firstFrameMs: this.#firstFrame ?? this.#now,
      fovealNeedMs: this.#fovealNeed ?? this.#now,
      fovealMs: this.#foveal,
      error: this.#error,
      plainError: this.#plain,
      bytes: carried,
      unseen,
      aborted,
      series: this.#series,
    };
  }

  /** Of each picture on a leaf: what a texel is long now and what it is long at its finest. */
  #texels(
    truth: AssetState,
    asset: AssetState,
    tree: number,
    region: number,
    shown: boolean,
  ): (readonly [number, number])[] {
    const state = truth.trees[tree] ?? fail();
    const length = state.uvLength[region] ?? 0;
    return (state.textures[region] ?? []).map((texture) => {
      const levels = truth.manifest?.textures[texture]?.levels ?? fail();
      const width = shown ? (levels[asset.drawnLevels[texture] ?? 0]?.width ?? 1) : 1;
      return [length / width, length / (levels.at(-1)?.width ?? 1)] as const;
    });
  }

  /** What is drawn and seen has earned its bytes. */
  #note(asset: AssetState, truth: AssetState, tree: number, region: number): void {
    this.#seen.add(asset.base.download);
    for (const file of asset.animations) if (file) this.#seen.add(file.download);
    const parent = truth.trees[tree]?.tree.regions[region]?.parent ?? null;
    const file = parent === null ? null : asset.trees[tree]?.refinements[parent];
    if (file) this.#seen.add(file.download);
    for (const texture of truth.trees[tree]?.textures[region] ?? []) {
      const level = asset.textures[texture]?.[asset.drawnLevels[texture] ?? 0];
      if (level) this.#seen.add(level.download);
    }
  }
}

/** Octaves between what is there and the least that can be seen, or the best that there is. */
function above(now: number, best: number, need: number): number {
  return Math.max(0, Math.log2(now / Math.max(best, need, 1e-9)));
}

function sum(lengths: readonly (readonly [number, number])[], scale: number, need: number): number {
  let octaves = 0;
  for (const [now, best] of lengths) octaves += above(now * scale, best * scale, need);
  return octaves;
}

function diagonal({ entry: { bounds } }: AssetState): number {
  const { min, max } = bounds;
  return Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
}

function fail(): never {
  throw new Error("the scene and the assets are not of one bundle");
}
