/**
 * A lower bound on the visible error of every policy: at each moment, the least error that the bytes so far
 * could buy if all of them had been chosen for this moment. With a moving head it is out of reach without
 * knowledge of the future.
 */
import type { AssetState, TreeState } from "../src/core/asset.ts";
import { TreeDemand } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import { childrenOf } from "../src/core/tree.ts";
import { type HeadTrace, viewAt } from "./head.ts";
import type { NetworkTrace } from "./network.ts";
import { PREPARE_MS } from "./replay.ts";
import { assetsOf, type Scene } from "./scene.ts";

/** Milliseconds between two moments. */
const SAMPLE_MS = 100;

/** Points of a concave curve of gain over bytes, both rising. */
type Curve = readonly Point[];
type Point = readonly [bytes: number, gain: number];

/**
 * The lower bound on the integral of visible error, as the judge measures it, for the bytes that the link
 * carries.
 */
export function errorLowerBound(scene: Scene, head: HeadTrace, network: NetworkTrace): number {
  const assets = assetsOf(scene);
  assets.forEach((asset, a) => {
    const manifest = scene.placed[a]?.manifest;
    if (manifest) asset.setManifest(manifest);
  });
  let bytes = 0;
  let carriedUntil = 0;
  let error = 0;
  for (let now = SAMPLE_MS; now < head.durationMs; now += SAMPLE_MS) {
    const until = now - network.rttMs - PREPARE_MS;
    for (; carriedUntil < until; carriedUntil++) bytes += network.rate(carriedUntil);
    const view = viewAt(head, now);
    const curves = assets.map((asset) => curveOf(asset, view));
    const initialError = curves.reduce((sum, each) => sum + each.initialError, 0);
    const gain = valueAt(sumOf(curves.map(({ curve }) => curve)), bytes);
    error += ((initialError - gain) * SAMPLE_MS) / 1000;
  }
  return error;
}

/** The gain of the bytes of one asset in one view, and the visible error without any. */
function curveOf(asset: AssetState, view: View): { readonly curve: Curve; readonly initialError: number } {
  const { min, max } = asset.entry.bounds;
  const diagonal = Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
  const parts: Curve[] = [];
  /** By texture and level: the gain over the base's level. */
  const levelGains = asset.textures.map((levels) => levels.map(() => 0));
  let [initialError, errorOfBase] = [0, 0];
  for (const state of asset.trees) {
    const tree = new TreeBound(state, new TreeDemand(asset, state, view));
    parts.push(tree.curve());
    for (const leaf of tree.leavesOf(0)) {
      initialError += tree.octaves(leaf, diagonal);
      errorOfBase += tree.octaves(leaf, state.tree.regions[0]?.error ?? 0);
      for (const texture of state.textures[leaf] ?? []) {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const length = state.uvLength[leaf] ?? 0;
        const finest = length / (levels.at(-1)?.width ?? 1);
        const octavesOfBase = tree.octaves(leaf, length / (levels[0]?.width ?? 1), finest);
        initialError += tree.octaves(leaf, length, finest);
        errorOfBase += octavesOfBase;
        levels.forEach(({ width }, level) => {
          const sums = levelGains[texture] ?? [];
          sums[level] = (sums[level] ?? 0) + octavesOfBase - tree.octaves(leaf, length / width, finest);
        });
      }
    }
  }
  levelGains.forEach((gains, texture) => {
    const files = asset.textures[texture] ?? [];
    parts.push(
      upperHull([[0, 0], ...gains.map((gain, i) => [files[i]?.download.bytes ?? 0, gain] as const)]),
    );
  });
  const { base, manifest } = asset.entry;
  const gain = initialError - errorOfBase;
  const finer = shifted(sumOf(parts), base.bytes + manifest.bytes, gain);
  return { curve: upperHull([[0, 0], [base.bytes, gain], ...finer]), initialError };
}

/** One tree, measured on its leaves as the judge does. */
class TreeBound {
  readonly #state: TreeState;
  readonly #demand: TreeDemand;

  constructor(state: TreeState, demand: TreeDemand) {
    this.#state = state;
    this.#demand = demand;
  }

  leavesOf(region: number): readonly number[] {
    const children = childrenOf(this.#state.tree, region);
    return children.length === 0 ? [region] : children.flatMap((child) => this.leavesOf(child));
  }

  /** Octaves × weight of the visible error on a leaf, above the finest possible error. */
  octaves(leaf: number, error: number, finest = this.#finestError(leaf)): number {
    const { need, weight, scale } = this.#demand.of(leaf);
    const least = Math.max(finest * scale, need, 1e-9);
    return weight === 0 ? 0 : weight * Math.max(0, Math.log2((error * scale) / least));
  }

  /** The gain of the bytes of all refinements below a region that is drawn. */
  curve(region = 0): Curve {
    return upperHull([[0, 0], ...(this.#refinedCurve(region, this.#error(region)) ?? [])]);
  }

  /** The same with the region replaced by its children, or by any regions below. Null for a leaf. */
  #refinedCurve(region: number, error: number): Curve | null {
    const file = this.#state.refinements[region];
    if (!file) return null;
    const children = childrenOf(this.#state.tree, region);
    let gain = 0;
    for (const child of children) {
      for (const leaf of this.leavesOf(child)) {
        gain += this.octaves(leaf, error) - this.octaves(leaf, this.#error(child));
      }
    }
    const finer = sumOf(children.map((child) => this.curve(child)));
    const direct = shifted(finer, file.download.bytes, gain);
    const skipping = children.map((child) => this.#refinedCurve(child, error));
    if (!skipping.every((each) => each !== null)) return direct;
    let [firstBytes, firstGain] = [0, 0];
    const rest = skipping.map((each): Curve => {
      const [bytes, gainOfFirst] = each[0] ?? [0, 0];
      firstBytes += bytes;
      firstGain += gainOfFirst;
      return shifted(each, -bytes, -gainOfFirst);
    });
    return upperHull([...direct, ...shifted(sumOf(rest), firstBytes, firstGain)]);
  }

  #error(region: number): number {
    return this.#state.tree.regions[region]?.error ?? 0;
  }

  #finestError(leaf: number): number {
    return Math.max(this.#error(leaf), this.#state.halfGridStep);
  }
}

function shifted(curve: Curve, bytes: number, gain: number): Curve {
  return curve.map(([b, g]) => [b + bytes, g + gain] as const);
}

/** The upper convex hull of points. */
function upperHull(points: readonly Point[]): Curve {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const hull: Point[] = [];
  for (const point of sorted) {
    const last = hull.at(-1);
    if (last && point[1] <= last[1]) continue;
    while (hull.length > 1) {
      const [b, a] = [hull.at(-1) ?? point, hull.at(-2) ?? point];
      if ((b[1] - a[1]) * (point[0] - b[0]) > (point[1] - b[1]) * (b[0] - a[0])) break;
      hull.pop();
    }
    hull.push(point);
  }
  return hull;
}

/** The greatest sum of gains for the bytes of several curves, which all begin at (0, 0). */
function sumOf(curves: readonly Curve[]): Curve {
  const steps = curves.flatMap((curve) =>
    curve.slice(1).map(([b, g], i) => [b - (curve[i]?.[0] ?? 0), g - (curve[i]?.[1] ?? 0)] as const),
  );
  // The steepest step first.
  steps.sort((a, b) => b[1] * a[0] - a[1] * b[0]);
  const sum: Point[] = [[0, 0]];
  for (const [bytes, gain] of steps) {
    const [b, g] = sum.at(-1) ?? [0, 0];
    sum.push([b + bytes, g + gain]);
  }
  return sum;
}

/** The gain at a number of bytes, interpolated linearly. */
function valueAt(curve: Curve, bytes: number): number {
  for (let i = 1; i < curve.length; i++) {
    const [b, g] = curve[i] ?? [0, 0];
    const [a, f] = curve[i - 1] ?? [0, 0];
    if (bytes < b) return f + ((g - f) * (bytes - a)) / (b - a);
  }
  return curve.at(-1)?.[1] ?? 0;
}
