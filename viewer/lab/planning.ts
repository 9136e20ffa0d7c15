/** How long the planner takes: trees of 2,001 regions in all, from the first plan to when nothing is left to fetch. */
import { AssetState } from "../src/core/asset.ts";
import type { Region, Tree } from "../src/core/bundle/bundle.ts";
import type { View } from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { DEFAULT_LIMITS, plan } from "../src/core/scheduler.ts";
import type { Bundle } from "./scene.ts";
import { median } from "./summary.ts";

const TREES = 23;
const TIERS = 3;
const RUNS = 400;
const NETWORK: NetworkEstimate = {
  bytesPerSecond: 1e6,
  fastBytesPerSecond: 1e6,
  slowBytesPerSecond: 1e6,
  ttfbMs: 40,
  measured: true,
};
const LIMITS = { ...DEFAULT_LIMITS, gpuBytes: 1e12, triangles: 1e12, drawCalls: 1e12 };

/** @param template a bundle whose first manifest lends what is not counted here */
export function planningTable({ catalogue, manifests }: Bundle): string {
  const [name, manifest] = [...manifests][0] ?? fail();
  const entry = catalogue.assets[name] ?? fail();
  const asset = new AssetState("many", entry);
  for (const { download } of [asset.base, asset.manifestFile]) {
    asset.begin(download, 0);
    asset.arrive(download, 0);
    asset.ready(download, 0);
  }
  const trees = Array.from({ length: TREES }, (_, i) => quadTree(i));
  asset.setManifest({ ...manifest, trees, textures: [], materials: [] });
  const regions = trees.reduce((sum, tree) => sum + tree.regions.length, 0);
  const view = (turn: number): View => ({
    eye: [0, 1.6, 0],
    gaze: [Math.sin(turn), 0, -Math.cos(turn)],
    gazeUncertaintyDegrees: 15,
    pixelsPerDegree: 22,
    near: 0.05,
    frustum: [],
  });
  const timed = (): number => {
    const times: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const from = view(i / 100);
      const began = performance.now();
      plan([asset], from, NETWORK, LIMITS, 0);
      times.push(performance.now() - began);
    }
    return median(times);
  };
  const first = timed();
  const files = trees.flatMap((_, t) => (asset.trees[t]?.refinements ?? []).flatMap((file) => file ?? []));
  for (const { download } of files) asset.ready(download, 0);
  const settled = timed();
  return `Planning ${regions} regions, all of them in view, median of ${RUNS} plans while the head turns: ${first.toFixed(2)} ms with nothing loaded, ${settled.toFixed(2)} ms when everything is there.`;
}

/** Four children per region, each a quarter of its parent's place; errors fall fourfold. */
function quadTree(seed: number): Tree {
  const [x, z] = [3 * Math.sin(seed), 3 * Math.cos(seed)];
  const regions: Region[] = [];
  const add = (parent: number | null, tier: number, cx: number, cz: number, half: number): void => {
    const index = regions.length;
    if (parent !== null) regions[parent]?.children.push(index);
    const uri = `o/00/${(seed * 1000 + index).toString(16).padStart(32, "0")}.glb`;
    regions.push({
      parent,
      children: [],
      tier,
      sphere: [cx, 1, cz, half * 1.5],
      cone: null,
      primitives: [0],
      triangles: 4000,
      vertices: 2000,
      error: 0.05 / 4 ** tier,
      metresPerUv: null,
      gpuBytes: 1000,
      refinement: tier < TIERS ? { uri, bytes: 30_000, gpuBytes: 100_000 } : null,
    });
    if (tier === TIERS) return;
    for (const [dx, dz] of [
      [-1, -1],
      [-1, 1],
      [1, -1],
      [1, 1],
    ] as const) {
      add(index, tier + 1, cx + (dx * half) / 2, cz + (dz * half) / 2, half / 2);
    }
  };
  add(null, 0, x, z, 0.5);
  return {
    kind: "static",
    space: "asset",
    nodes: [0],
    scale: 1,
    grid: { origin: [-5, -5, -5], range: 10, bits: 20 },
    primitives: [{ material: null, attributes: ["POSITION"] }],
    regions: regions as Tree["regions"],
  };
}

function fail(): never {
  throw new Error("the bundle is empty");
}
