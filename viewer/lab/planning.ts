/**
 * Measures the time of a plan for trees of some 2,000 regions, before any file has loaded and after all have.
 */
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

/** @param bundle whose first manifest is the template for the trees' asset */
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
  const medianPlanMs = (): number => {
    const times: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const turned = view(i / 100);
      const start = performance.now();
      plan([asset], turned, NETWORK, LIMITS, 0);
      times.push(performance.now() - start);
    }
    return median(times);
  };
  const beforeLoading = medianPlanMs();
  const files = trees.flatMap((_, t) => (asset.trees[t]?.refinements ?? []).flatMap((file) => file ?? []));
  for (const { download } of files) asset.ready(download, 0);
  const afterLoading = medianPlanMs();
  return `Planning ${regions} regions, all of them in view, median of ${RUNS} plans while the head turns: ${beforeLoading.toFixed(2)} ms with nothing loaded, ${afterLoading.toFixed(2)} ms with all files loaded.`;
}

/**
 * A tree with four children per region, each on a quarter of its parent's area, and errors that fall
 * fourfold.
 */
function quadTree(seed: number): Tree {
  const [x, z] = [3 * Math.sin(seed), 3 * Math.cos(seed)];
  const regions: Region[] = [];
  const addRegion = (parent: number | null, tier: number, cx: number, cz: number, half: number): void => {
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
      addRegion(index, tier + 1, cx + (dx * half) / 2, cz + (dz * half) / 2, half / 2);
    }
  };
  addRegion(null, 0, x, z, 0.5);
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
