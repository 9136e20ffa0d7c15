/** Manifests, assets, views and networks for the tests, built from a few numbers. */
import { createHash } from "node:crypto";
import { AssetState, type Download } from "../src/core/asset.ts";
import type {
  Animation,
  CatalogueEntry,
  Manifest,
  Material,
  Region,
  Texture,
  Tree,
} from "../src/core/bundle/bundle.ts";
import type { TreeRegion } from "../src/core/cut.ts";
import type { Vec3, View } from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";

/** The first 128 bits of the SHA-256, in hexadecimal. */
export function hash(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

export function uri(text: string | Uint8Array, extension = "glb"): string {
  const name = hash(text);
  return `o/${name.slice(0, 2)}/${name}.${extension}`;
}

export interface RegionSketch {
  readonly children?: readonly RegionSketch[];
  readonly error: number;
  readonly sphere?: Region["sphere"];
  readonly cone?: Region["cone"];
  readonly bytes?: number;
  readonly gpuBytes?: number;
}

/** A tree of a manifest. Regions are in breadth-first order, so parents precede their children. */
export function tree(name: string, root: RegionSketch, options: Partial<Tree> = {}): Tree {
  const regions: Region[] = [];
  const queue: { sketch: RegionSketch; parent: number | null; tier: number }[] = [
    { sketch: root, parent: null, tier: 0 },
  ];
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { sketch, parent, tier } = next;
    const index = regions.length;
    if (parent !== null) regions[parent]?.children.push(index);
    const children = sketch.children ?? [];
    regions.push({
      parent,
      children: [],
      tier,
      sphere: sketch.sphere ?? [0, 0, 0, 1],
      cone: sketch.cone ?? null,
      primitives: [0],
      triangles: 100,
      vertices: 60,
      error: sketch.error,
      metresPerUv: 2,
      gpuBytes: 1000,
      refinement:
        children.length === 0
          ? null
          : {
              uri: uri(`${name}/${index}`),
              bytes: sketch.bytes ?? 20_000,
              gpuBytes: sketch.gpuBytes ?? 20_000,
            },
    });
    for (const child of children) queue.push({ sketch: child, parent: index, tier: tier + 1 });
  }
  return {
    kind: "static",
    space: "asset",
    nodes: [0],
    scale: 1,
    grid: { origin: [-1, -1, -1], range: 2, bits: 20 },
    primitives: [{ material: null, attributes: ["POSITION"] }],
    regions: regions as Tree["regions"],
    ...options,
  };
}

/**
 * A tree with `children` per region and `tiers` below the root, split along x between −1 and 1. Errors fall
 * fourfold from tier to tier.
 */
export function evenTree(name: string, children: number, tiers: number, error = 0.1): Tree {
  const sketch = (tier: number, from: number, to: number): RegionSketch => ({
    error: error / 4 ** tier,
    sphere: [(from + to) / 2, 0, 0, (to - from) / 2],
    children:
      tier === tiers
        ? []
        : Array.from({ length: children }, (_, i) =>
            sketch(tier + 1, from + ((to - from) * i) / children, from + ((to - from) * (i + 1)) / children),
          ),
  });
  return tree(name, sketch(0, -1, 1));
}

/** A square texture with its first level in the base. File sizes are in proportion to the pixels. */
export function texture(name: string, widths: readonly number[]): Texture {
  return {
    name,
    role: "color",
    levels: widths.map((width, level) => ({
      uri: level === 0 ? null : uri(`${name}/${width}`, "webp"),
      bytes: Math.round(width * width * 0.1),
      width,
      height: width,
      gpuBytes: Math.round((width * width * 16) / 3),
    })) as Texture["levels"],
  };
}

/** An animation with keyframes in a file of its own. */
export function animation(name: string, reach: readonly number[], bytes = 20_000): Animation {
  return { name, duration: 2, keyframes: { uri: uri(`animation/${name}`), bytes, reach: [...reach] } };
}

export function manifest(
  trees: readonly Tree[],
  textures: readonly Texture[] = [],
  materials: readonly Material[] = [],
  animations: readonly Animation[] = [],
): Manifest {
  return {
    format: "streamxr/manifest",
    version: 1,
    generator: "test",
    asset: "thing",
    source: { name: "thing.glb", sha256: "0".repeat(64), bytes: 1 },
    settings: {},
    unit: "metre",
    up: "y",
    bounds: { min: [-1, -1, -1], max: [1, 1, 1] },
    animations: [...animations],
    materials: [...materials],
    textures: [...textures],
    objects: null,
    base: { uri: uri("base"), bytes: 30_000, gpuBytes: 100_000 },
    trees: [...trees],
  };
}

export function entry(id: string): CatalogueEntry {
  return {
    manifest: { uri: `a/${id}/manifest-${hash(id)}.json`, bytes: 4000 },
    base: { uri: uri(`${id}/base`), bytes: 30_000 },
    bounds: { min: [-1, -1, -1], max: [1, 1, 1] },
    triangles: 1000,
  };
}

/** An asset whose base and manifest have arrived. */
export function arrived(id: string, contents: Manifest): AssetState {
  const asset = new AssetState(id, entry(id));
  for (const { download } of [asset.base, asset.manifestFile]) load(download);
  asset.setManifest(contents);
  return asset;
}

/** Takes a file from its request to ready. */
export function load(download: Download, now = 0): void {
  download.asset.begin(download, now);
  download.asset.arrive(download, now);
  download.asset.ready(download, now);
}

/** Places an asset in the world. */
export function at(asset: AssetState, x: number, y: number, z: number): AssetState {
  asset.world = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1];
  return asset;
}

/** A view of 90° × 90° along −z, at 20 pixels per degree. */
export function view(eye: Vec3 = [0, 0, 3], options: Partial<View> = {}): View {
  const s = Math.SQRT1_2;
  const normals: Vec3[] = [
    [s, 0, -s],
    [-s, 0, -s],
    [0, s, -s],
    [0, -s, -s],
    [0, 0, -1],
  ];
  return {
    eye,
    gaze: [0, 0, -1],
    gazeUncertaintyDegrees: 3,
    pixelsPerDegree: 20,
    near: 0.05,
    frustum: normals.map((n) => [...n, -(n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2])] as const),
    ...options,
  };
}

/** The view from the same place in the opposite direction. */
export function turnedAway(from: View): View {
  const { eye } = from;
  return {
    ...from,
    gaze: [0, 0, 1],
    frustum: from.frustum.map(([x, y, z]) => [x, y, -z, -(x * eye[0] + y * eye[1] - z * eye[2])] as const),
  };
}

export function network(megabits: number, ttfbMs = 40): NetworkEstimate {
  const bytesPerSecond = megabits * 125_000;
  return {
    bytesPerSecond,
    fastBytesPerSecond: bytesPerSecond,
    slowBytesPerSecond: bytesPerSecond,
    ttfbMs,
    measured: true,
  };
}

/** By leaf: the number of drawn regions on the path from the root to it. A cut has 1 on every path. */
export function drawnPerPath(regions: readonly TreeRegion[], drawn: ReadonlySet<number>): number[] {
  return regions.flatMap(({ children }, leaf) => {
    if (children.length > 0) return [];
    let count = 0;
    for (let r: number | null = leaf; r !== null; r = regions[r]?.parent ?? null) if (drawn.has(r)) count++;
    return [count];
  });
}
