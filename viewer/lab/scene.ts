/** Scenes of a built bundle: the places of its assets, and of a head among them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AssetState } from "../src/core/asset.ts";
import type { Catalogue, CatalogueEntry, Manifest } from "../src/core/bundle/bundle.ts";
import { parseCatalogue, parseManifest } from "../src/core/bundle/manifest.ts";
import type { Matrix4 } from "../src/core/gaze.ts";
import type { Standpoint } from "./head.ts";

export interface Bundle {
  readonly catalogue: Catalogue;
  /** By asset of the catalogue. */
  readonly manifests: ReadonlyMap<string, Manifest>;
}

export interface Scene {
  readonly name: string;
  readonly standpoint: Standpoint;
  readonly placed: readonly Placed[];
}

export interface Placed {
  /** Unique in the scene. */
  readonly id: string;
  readonly entry: CatalogueEntry;
  readonly manifest: Manifest;
  readonly world: Matrix4;
}

/** Names of the assets in the room, from straight ahead clockwise. */
const ROOM_ASSETS = [
  "trefoil-55",
  "lantern",
  "trefoil-30",
  "koi",
  "trefoil-46",
  "lantern-70",
  "sculpture",
  "koi-70",
  "trefoil-38",
  "lantern",
];
/** Distance of the assets from the middle of the room, metres. */
const ROOM_RADIUS = 2.2;
/** Height of a table, and of the assets that need one, metres. */
const TABLE_HEIGHT = 1.1;
const TABLE_ASSET_HEIGHT = 1;
/** Metres. */
const EYE_HEIGHT = 1.6;
/** Distance of the eye from the surface of a single asset, metres. */
const VIEWING_DISTANCE = 0.8;

/** @throws Error if a file is missing or not valid */
export async function readBundle(folder: string): Promise<Bundle> {
  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, name), "utf8"));
  const catalogue = parseCatalogue(await readJson("bundle.json"));
  const manifests = new Map<string, Manifest>();
  for (const [name, entry] of Object.entries(catalogue.assets)) {
    manifests.set(name, parseManifest(await readJson(entry.manifest.uri)));
  }
  return { catalogue, manifests };
}

/** One asset, with a head in front of it that can walk around it. */
export function oneAsset(bundle: Bundle, name: string): Scene {
  const placed = place(bundle, name, name, 0, 0);
  const { min, max } = placed.entry.bounds;
  const size = Math.max(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
  const distance = size / 2 + VIEWING_DISTANCE;
  return {
    name,
    placed: [placed],
    standpoint: {
      at: [0, Math.min(EYE_HEIGHT, max[1] - min[1]), distance],
      walk: { centre: [0, 0, 0], radius: distance, outwards: false },
    },
  };
}

/**
 * The assets of a trace of the viewer's inspector, at their places.
 *
 * @throws Error if the trace names no assets, or one that the bundle does not contain
 */
export function tracedScene({ catalogue, manifests }: Bundle, name: string, json: unknown): Scene {
  const { assets } = (json ?? {}) as { readonly assets?: unknown };
  if (!Array.isArray(assets) || assets.length === 0) throw new Error(`${name}: "assets" is empty or missing`);
  const placed = assets.map(({ id, manifest: uri, world }, i): Placed => {
    const found = Object.entries(catalogue.assets).find(([, { manifest }]) => manifest.uri === uri);
    const manifest = found && manifests.get(found[0]);
    if (!found || !manifest)
      throw new Error(`${name}: the bundle has no ${uri}: has it been built again since the recording?`);
    const isMatrix = Array.isArray(world) && world.length === 16 && world.every(Number.isFinite);
    if (!isMatrix) throw new Error(`${name}: the "world" of asset ${i} is not a matrix of 16 numbers`);
    return { id: `${id}`, entry: found[1], manifest, world };
  });
  // A recorded head has its own places.
  const standpoint: Standpoint = {
    at: [0, 0, 0],
    walk: { centre: [0, 0, 0], radius: 1, outwards: false },
  };
  return { name, placed, standpoint };
}

/** Ten assets around a head in the middle. Small ones stand at the height of a table. */
export function room(bundle: Bundle): Scene {
  const names = ROOM_ASSETS.filter((name) => bundle.manifests.has(name));
  const placed = names.map((name, i) => {
    const angle = (2 * Math.PI * i) / names.length;
    const x = ROOM_RADIUS * Math.sin(angle);
    const z = -ROOM_RADIUS * Math.cos(angle);
    return place(bundle, name, `${name}#${i}`, x, z);
  });
  return {
    name: "room",
    placed,
    standpoint: { at: [0, EYE_HEIGHT, 0], walk: { centre: [0, 0, 0], radius: 0.9, outwards: true } },
  };
}

/** New states of all assets, without any file. */
export function assetsOf({ placed }: Scene): AssetState[] {
  return placed.map(({ id, entry, world }) => {
    const asset = new AssetState(id, entry);
    asset.world = world;
    return asset;
  });
}

function place({ catalogue, manifests }: Bundle, name: string, id: string, x: number, z: number): Placed {
  const entry = catalogue.assets[name];
  const manifest = manifests.get(name);
  if (!entry || !manifest) throw new Error(`the bundle has no asset "${name}"`);
  const { min, max } = entry.bounds;
  const bottom = max[1] - min[1] < TABLE_ASSET_HEIGHT ? TABLE_HEIGHT : 0;
  const axes = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
  const origin = [x - (min[0] + max[0]) / 2, bottom - min[1], z - (min[2] + max[2]) / 2, 1];
  return { id, entry, manifest, world: [...axes, ...origin] };
}
