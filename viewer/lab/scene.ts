/** Scenes of a really built bundle: which assets stand where, and how one moves among them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AssetState } from "../src/core/asset.ts";
import type { Catalogue, CatalogueEntry, Manifest } from "../src/core/bundle/bundle.ts";
import { parseCatalogue, parseManifest } from "../src/core/bundle/manifest.ts";
import type { Matrix4 } from "../src/core/gaze.ts";
import type { Stand } from "./head.ts";

export interface Bundle {
  readonly catalogue: Catalogue;
  /** By asset of the catalogue. */
  readonly manifests: ReadonlyMap<string, Manifest>;
}

export interface Scene {
  readonly name: string;
  readonly stand: Stand;
  readonly placed: readonly Placed[];
}

export interface Placed {
  /** Unique in the scene. */
  readonly id: string;
  readonly entry: CatalogueEntry;
  readonly manifest: Manifest;
  readonly world: Matrix4;
}

/** Names of the bundle's assets around the room, from straight ahead to the right, all the way round. */
const AROUND = [
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
/** Metres from the middle of the room to what stands in it, and the height of eyes. */
const ROOM_RADIUS = 2.2;
const EYE_HEIGHT = 1.6;

/** @throws Error when something is missing or not what it should be */
export async function readBundle(folder: string): Promise<Bundle> {
  const json = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, name), "utf8"));
  const catalogue = parseCatalogue(await json("bundle.json"));
  const manifests = new Map<string, Manifest>();
  for (const [name, entry] of Object.entries(catalogue.assets)) {
    manifests.set(name, parseManifest(await json(entry.manifest.uri)));
  }
  return { catalogue, manifests };
}

/** One asset, 1.3 m away, walked around. */
export function oneAsset(bundle: Bundle, name: string): Scene {
  const placed = place(bundle, name, name, 0, 0);
  const { min, max } = placed.entry.bounds;
  const size = Math.max(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
  const distance = size / 2 + 0.8;
  return {
    name,
    placed: [placed],
    stand: {
      at: [0, Math.min(EYE_HEIGHT, max[1] - min[1]), distance],
      walk: { centre: [0, 0, 0], radius: distance, outwards: false },
    },
  };
}

/**
 * What a trace of the viewer's inspector was recorded with, where it stood.
 *
 * @throws Error when the bundle does not have it, or no longer
 */
export function tracedScene({ catalogue, manifests }: Bundle, name: string, json: unknown): Scene {
  const { assets } = (json ?? {}) as { readonly assets?: unknown };
  if (!Array.isArray(assets) || assets.length === 0) throw new Error(`${name}: "assets" names none`);
  const placed = assets.map(({ id, manifest: uri, world }, i): Placed => {
    const found = Object.entries(catalogue.assets).find(([, { manifest }]) => manifest.uri === uri);
    const manifest = found && manifests.get(found[0]);
    if (!found || !manifest) throw new Error(`${name}: the bundle has no ${uri}: was it built anew since?`);
    const fits = Array.isArray(world) && world.length === 16 && world.every(Number.isFinite);
    if (!fits) throw new Error(`${name}: the "world" of asset ${i} is no matrix`);
    return { id: `${id}`, entry: found[1], manifest, world };
  });
  const nowhere: Stand = {
    at: [0, 0, 0],
    walk: { centre: [0, 0, 0], radius: 1, outwards: false },
  };
  return { name, placed, stand: nowhere };
}

/** Ten things around one who stands in the middle; small ones stand on something of the height of a table. */
export function room(bundle: Bundle): Scene {
  const names = AROUND.filter((name) => bundle.manifests.has(name));
  const placed = names.map((name, i) => {
    const angle = (2 * Math.PI * i) / names.length;
    const x = ROOM_RADIUS * Math.sin(angle);
    const z = -ROOM_RADIUS * Math.cos(angle);
    return place(bundle, name, `${name}#${i}`, x, z);
  });
  return {
    name: "room",
    placed,
    stand: { at: [0, EYE_HEIGHT, 0], walk: { centre: [0, 0, 0], radius: 0.9, outwards: true } },
  };
}

/** New states of all assets: nothing has arrived yet. */
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
  const low = max[1] - min[1] < 1 ? 1.1 : 0;
  const world = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
  return {
    id,
    entry,
    manifest,
    world: [...world, x - (min[0] + max[0]) / 2, low - min[1], z - (min[2] + max[2]) / 2, 1],
  };
}
