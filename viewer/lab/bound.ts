/**
 * What no policy can get below: at each moment the least visible error that so many bytes could buy, had all of them
 * been chosen for that very moment. Whoever does not know the future cannot reach it with a head that moves.
 */
import type { AssetState, TreeState } from "../src/core/asset.ts";
import { TreeSight } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import { type HeadTrace, viewAt } from "./head.ts";
import type { NetworkTrace } from "./network.ts";
import { PREPARE_MS } from "./replay.ts";
import { assetsOf, type Scene } from "./scene.ts";

const LOOK_MS = 100;

/** Points of a concave curve, bytes against gain, both rising. */
type Curve = readonly (readonly [number, number])[];

/** The least integral of visible error, as the judge takes it, that the bytes of a link can leave. */
export function leastError(scene: Scene, head: HeadTrace, network: NetworkTrace): number {
  const truth = assetsOf(scene);
  truth.forEach((asset, a) => {
    const manifest = scene.placed[a]?.manifest;
    if (manifest) asset.setManifest(manifest);
  });
  let arrived = 0;
  let carriedTo = 0;
  let error = 0;
  for (let now = LOOK_MS; now < head.durationMs; now += LOOK_MS) {
    const until = now - network.rttMs - PREPARE_MS;
    for (; carriedTo < until; carriedTo++) arrived += network.rate(carriedTo);
    const view = viewAt(head, now);
    const curves = truth.map((asset) => curveOf(asset, view));
    const missing = curves.reduce((sum, each) => sum + each.missing, 0);
    error += ((missing - valueAt(added(curves.map(({ curve }) => curve)), arrived)) * LOOK_MS) / 1000;
  }
  return error;
}

/** What bytes of one asset can bring for one view, and what is missing without any. */
function curveOf(asset: AssetState, view: View): { readonly curve: Curve; readonly missing: number } {
  const { min, max } = asset.entry.bounds;
  const diagonal = Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
  const parts: Curve[] = [];
  /** By texture and level: what it takes away of what the base's level leaves. */
  const gains = asset.textures.map((levels) => levels.map(() => 0));
  let [missing, afterBase] = [0, 0];
  for (const state of asset.trees) {
    const tree = new TreeBound(state, new TreeSight(asset, state, view));
    parts.push(tree.openings());
    for (const leaf of tree.leavesOf(0)) {
      missing += tree.octaves(leaf, diagonal);
      afterBase += tree.octaves(leaf, state.tree.regions[0]?.error ?? 0);
      for (const texture of state.textures[leaf] ?? []) {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const length = state.uvLength[leaf] ?? 0;
        const best = length / (levels.at(-1)?.width ?? 1);
        const atBase = tree.octaves(leaf, length / (levels[0]?.width ?? 1), best);
        missing += tree.octaves(leaf, length, best);
        afterBase += atBase;
        levels.forEach(({ width }, level) => {
          const sums = gains[texture] ?? [];
          sums[level] = (sums[level] ?? 0) + atBase - tree.octaves(leaf, length / width, best);
        });
      }
    }
  }
  gains.forEach((sums, texture) => {
    const files = asset.textures[texture] ?? [];
    parts.push(hull([[0, 0], ...sums.map((gain, i) => [files[i]?.download.bytes ?? 0, gain] as const)]));
  });
  const { base, manifest } = asset.entry;
  const gain = missing - afterBase;
  const finer = moved(added(parts), base.bytes + manifest.bytes, gain);
  return { curve: hull([[0, 0], [base.bytes, gain], ...finer]), missing };
}

/** One tree as the judge sees it: by its leaves. */
class TreeBound {
  readonly #state: TreeState;
  readonly #sight: TreeSight;

  constructor(state: TreeState, sight: TreeSight) {
    this.#state = state;
    this.#sight = sight;
  }

  leavesOf(region: number): readonly number[] {
    const children = this.#childrenOf(region);
    return children.length === 0 ? [region] : children.flatMap((child) => this.leavesOf(child));
  }

  /** Octaves × weight that are seen of an error on a leaf, above the best that there is. */
  octaves(leaf: number, error: number, best = Math.max(this.#error(leaf), this.#state.halfStep)): number {
    const { need, weight, scale } = this.#sight.demand(leaf);
    const least = Math.max(best * scale, need, 1e-9);
    return weight === 0 ? 0 : weight * Math.max(0, Math.log2((error * scale) / least));
  }

  openings(region = 0): Curve {
    return hull([[0, 0], ...(this.#opened(region, this.#error(region)) ?? [])]);
  }

  /** What is gained over an error where a region gives way to finer ones: its own children or any below. */
  #opened(region: number, error: number): Curve | null {
    const file = this.#state.refinements[region];
    if (!file) return null;
    const children = this.#childrenOf(region);
    const leaves = children.flatMap((child) => this.leavesOf(child).map((leaf) => [leaf, child] as const));
    let gain = 0;
    for (const [leaf, child] of leaves) {
      gain += this.octaves(leaf, error) - this.octaves(leaf, this.#error(child));
    }
    const finer = added(children.map((child) => this.openings(child)));
    const direct = moved(finer, file.download.bytes, gain);
    const below = children.map((child) => this.#opened(child, error));
    if (!below.every((each) => each !== null)) return direct;
    let [bytes, first] = [0, 0];
    const rest = below.map((each): Curve => {
      const [b, g] = each[0] ?? [0, 0];
      bytes += b;
      first += g;
      return moved(each, -b, -g);
    });
    return hull([...direct, ...moved(added(rest), bytes, first)]);
  }

  #error(region: number): number {
    return this.#state.tree.regions[region]?.error ?? 0;
  }

  #childrenOf(region: number): readonly number[] {
    return this.#state.tree.regions[region]?.children ?? [];
  }
}

function moved(curve: Curve, bytes: number, gain: number): Curve {
  return curve.map(([b, g]) => [b + bytes, g + gain] as const);
}

/** The upper hull. */
function hull(points: Curve): Curve {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const upper: (readonly [number, number])[] = [];
  for (const point of sorted) {
    const last = upper.at(-1);
    if (last && point[1] <= last[1]) continue;
    while (upper.length > 1) {
      const [b, a] = [upper.at(-1) ?? point, upper.at(-2) ?? point];
      if ((b[1] - a[1]) * (point[0] - b[0]) > (point[1] - b[1]) * (b[0] - a[0])) break;
      upper.pop();
    }
    upper.push(point);
  }
  return upper;
}

/** Of curves that all begin at (0, 0). */
function added(curves: readonly Curve[]): Curve {
  const steps = curves.flatMap((curve) =>
    curve.slice(1).map(([b, g], i) => [b - (curve[i]?.[0] ?? 0), g - (curve[i]?.[1] ?? 0)] as const),
  );
  steps.sort((a, b) => b[1] * a[0] - a[1] * b[0]);
  const sum: [number, number][] = [[0, 0]];
  for (const [bytes, gain] of steps) {
    const [b, g] = sum.at(-1) ?? [0, 0];
    sum.push([b + bytes, g + gain]);
  }
  return sum;
}

function valueAt(curve: Curve, bytes: number): number {
  for (let i = 1; i < curve.length; i++) {
    const [b, g] = curve[i] ?? [0, 0];
    const [a, f] = curve[i - 1] ?? [0, 0];
    if (bytes < b) return f + ((g - f) * (bytes - a)) / (b - a);
  }
  return curve.at(-1)?.[1] ?? 0;
}
