/**
 * The policies that the lab compares. All share the fetch layer: an asset's base before what refines it, as much in
 * flight, the same link. They differ in which files they want, in what order, and whether they abort what they no
 * longer want.
 */
import type { AssetFile, AssetState, Download, TreeState } from "../src/core/asset.ts";
import { eccentricity, insideFrustum, nearestDistance, type View } from "../src/core/gaze.ts";
import { InFlight } from "../src/core/in-flight.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import type { RenderCost } from "../src/core/render-budget.ts";
import { DEFAULT_LIMITS, plan, type StreamLimits } from "../src/core/scheduler.ts";

export interface Policy {
  readonly name: string;
  /** The best of a family is what ours is compared with: distance at several ranges, screen-space error at several. */
  readonly family: string;
  /** @param budget of a frame: `replay` draws no more, whatever has come */
  begin(budget: RenderCost): Decide;
}

/** What to do now, as the scheduler's plan says it. */
export type Decide = (
  assets: readonly AssetState[],
  view: View,
  network: NetworkEstimate,
  now: number,
) => {
  readonly start: readonly { readonly download: Download }[];
  readonly abort: readonly Download[];
  readonly evict: readonly Download[];
  /** What there is no room for on the link, the first one at least. */
  readonly waiting: readonly { readonly download: Download }[];
  readonly awaited: boolean;
};

/** A device that draws whatever has come. */
export const EVERYTHING: RenderCost = { triangles: 1e9, drawCalls: 1e6 };
/** Desktop memory: no policy evicts, so that bytes are compared and not caches. */
export const LIMITS: StreamLimits = { ...DEFAULT_LIMITS, gpuBytes: 4 * 1024 ** 3, ...EVERYTHING };

/** What the original project's server decides by: bytes per second, degrees. */
const ORIGINAL_BYTES_PER_SECOND = 500_000;
const ORIGINAL_FOVEA = 15;
const ORIGINAL_MIDDLE = 60;

export const OURS: Policy = {
  name: "ours",
  family: "ours",
  begin: (budget) => (assets, view, network, now) =>
    plan(assets, view, network, { ...LIMITS, ...budget }, now),
};

export function allPolicies(): Policy[] {
  return [
    OURS,
    {
      name: "ours without gaze",
      family: "no gaze",
      begin: (budget) => (assets, view, network, now) =>
        plan(assets, sharpEverywhere(view), network, { ...LIMITS, ...budget }, now),
    },
    ranked("original", "original", originalWants, byEccentricity, false),
    ...[1, 2, 4].map((metres) =>
      ranked(`distance ${metres} m`, "distance", distanceWants(metres), byDistance, true),
    ),
    ...[1, 2, 4, 16].map((pixels) =>
      ranked(`SSE ${pixels} px`, "SSE", screenSpaceWants(pixels), byDistance, true),
    ),
    // Bases before everything else: seen at all before seen well.
    ranked("file order", "file order", fileOrderWants, (_at, index) => index - 1e6, false),
  ];
}

function sharpEverywhere(view: View): View {
  const { predicted, ...rest } = view;
  const blind = { ...rest, gazeUncertaintyDegrees: 180 };
  return predicted ? { ...blind, predicted: sharpEverywhere(predicted) } : blind;
}

/** A file that a policy wants; the lowest rank comes first. */
interface Want {
  readonly file: AssetFile;
  readonly rank: number;
}

type Wants = (asset: AssetState, index: number, view: View, network: NetworkEstimate) => Iterable<Want>;
/** How an asset as a whole ranks among the wants: there come its base and its manifest. */
type Rank = (at: Place, index: number, view: View) => number;

function ranked(name: string, family: string, wants: Wants, rank: Rank, aborts: boolean): Policy {
  const decide: Decide = (assets, view, network) => {
    const inFlight = InFlight.of(assets, network, LIMITS.inFlightMs);
    const flying = assets.flatMap((asset) =>
      [...asset.files].filter(({ loadState }) => loadState === "loading"),
    );
    const wanted = assets.flatMap((asset, index): Want[] => {
      const own = rank(aroundOf(asset), index, view);
      const playing = asset.animations.flatMap((file) =>
        file && asset.plays(file.download.animation) ? [file] : [],
      );
      const basics = [asset.base, asset.manifestFile, ...playing].map((file) => ({ file, rank: own }));
      return [...basics, ...wants(asset, index, view, network)];
    });
    // A stable sort: at the same rank the base is first.
    wanted.sort((a, b) => a.rank - b.rank);
    const abort: Download[] = [];
    if (aborts) {
      const keep = new Set(wanted.map(({ file }) => file));
      for (const file of flying) {
        if (keep.has(file) || inFlight.nearlyDone(file)) continue;
        abort.push(file.download);
        inFlight.remove(file.download);
      }
    }
    const start: { download: Download }[] = [];
    const absent = wanted.flatMap(({ file }) => (file.loadState === "absent" ? [file] : []));
    for (const file of absent) {
      if (!inFlight.fits(file.download)) break;
      inFlight.add(file.download, file.download.bytes);
      start.push(file);
    }
    return { start, abort, evict: [], waiting: absent.slice(start.length), awaited: false };
  };
  return { name, family, begin: () => decide };
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly radius: number;
  readonly scale: number;
}

function placeOf(asset: AssetState, state: TreeState, region: number): Place {
  const [x, y, z, radius] = state.tree.regions[region]?.sphere ?? [0, 0, 0, 0];
  const m = asset.world;
  const el = (i: number) => m[i] ?? 0;
  const at = (row: number) => el(row) * x + el(4 + row) * y + el(8 + row) * z + el(12 + row);
  const scale = Math.hypot(el(0), el(1), el(2));
  return { x: at(0), y: at(1), z: at(2), radius: radius * scale, scale };
}

/** The sphere around an asset's bounds. */
function aroundOf({ entry, world: m }: AssetState): Place {
  const { min, max } = entry.bounds;
  const centre = [0, 1, 2].map((i) => ((min[i] ?? 0) + (max[i] ?? 0)) / 2);
  const el = (i: number) => m[i] ?? 0;
  const at = (row: number) =>
    centre.reduce((sum, each, column) => sum + el(4 * column + row) * each, el(12 + row));
  const scale = Math.hypot(el(0), el(1), el(2));
  const radius = (Math.hypot(...[0, 1, 2].map((i) => (max[i] ?? 0) - (min[i] ?? 0))) / 2) * scale;
  return { x: at(0), y: at(1), z: at(2), radius, scale };
}

/** What is out of view comes after all that is in it. */
const OUT_OF_VIEW = 1e6;

const byEccentricity: Rank = ({ x, y, z, radius }, _index, view) => eccentricity(view, x, y, z, radius);

const byDistance: Rank = ({ x, y, z, radius }, _index, view) =>
  nearestDistance(view, x, y, z, radius) + (insideFrustum(view, x, y, z, radius) > 0 ? 0 : OUT_OF_VIEW);

/**
 * Refinements and levels that a rule wants, walking down through what is there or on its way.
 *
 * @param rule for a region whose refinement may be next, or that has pictures: how it ranks; null: not wanted
 */
function* walk(
  asset: AssetState,
  refine: (state: TreeState, region: number, at: Place) => number | null,
  paint: (
    state: TreeState,
    region: number,
    at: Place,
    texture: number,
  ) => { readonly level: number; readonly rank: number } | null,
): Generator<Want> {
  const best = new Map<number, { level: number; rank: number }>();
  for (const state of asset.trees) {
    const open = [0];
    for (let region = open.pop(); region !== undefined; region = open.pop()) {
      const at = placeOf(asset, state, region);
      for (const texture of state.textures[region] ?? []) {
        const want = paint(state, region, at, texture);
        if (!want) continue;
        const known = best.get(texture);
        best.set(texture, {
          level: Math.max(want.level, known?.level ?? 0),
          rank: Math.min(want.rank, known?.rank ?? Number.POSITIVE_INFINITY),
        });
      }
      const file = state.refinements[region];
      if (!file) continue;
      const rank = refine(state, region, at);
      if (rank === null) continue;
      yield { file, rank };
      if (file.loadState !== "absent") open.push(...(state.tree.regions[region]?.children ?? []));
    }
  }
  for (const [texture, { level, rank }] of best) {
    const file = asset.textures[texture]?.[level];
    if (file && level > (asset.drawnLevels[texture] ?? 0)) yield { file, rank };
  }
}

/**
 * As CesiumJS selects tiles: in the frustum, refined while error × focal length ÷ distance is over so many pixels,
 * nearest first. Pictures by the same rule, a texel for the error.
 */
function screenSpaceWants(pixels: number): Wants {
  return (asset, _index, view) => {
    const needAt = ({ x, y, z, radius }: Place) =>
      nearestDistance(view, x, y, z, radius) * Math.tan((pixels / view.pixelsPerDegree) * (Math.PI / 180));
    const nearness = ({ x, y, z, radius }: Place) => nearestDistance(view, x, y, z, radius);
    const inView = ({ x, y, z, radius }: Place) => insideFrustum(view, x, y, z, radius) > 0;
    return walk(
      asset,
      (state, region, at) => {
        const error = (state.tree.regions[region]?.error ?? 0) * at.scale;
        return inView(at) && error > needAt(at) ? nearness(at) : null;
      },
      (state, region, at, texture) => {
        if (!inView(at)) return null;
        const length = (state.uvLength[region] ?? 0) * at.scale;
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const enough = levels.findIndex(({ width }) => length / width <= needAt(at));
        return { level: enough < 0 ? levels.length - 1 : enough, rank: nearness(at) };
      },
    );
  };
}

/** In the frustum, nearest first; everything nearer than so many metres to the finest, a tier less for each doubling. */
function distanceWants(metres: number): Wants {
  return (asset, _index, view) => {
    const distance = ({ x, y, z, radius }: Place) => nearestDistance(view, x, y, z, radius);
    const fewer = (at: Place) => Math.max(0, Math.ceil(Math.log2(distance(at) / metres)));
    const inView = ({ x, y, z, radius }: Place) => insideFrustum(view, x, y, z, radius) > 0;
    return walk(
      asset,
      (state, region, at) => {
        const finest = Math.max(...state.tree.regions.map(({ tier }) => tier));
        const tier = state.tree.regions[region]?.tier ?? 0;
        return inView(at) && tier < finest - fewer(at) ? distance(at) : null;
      },
      (_state, _region, at, texture) => {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const level = Math.max(0, levels.length - 1 - fewer(at));
        return inView(at) ? { level, rank: distance(at) } : null;
      },
    );
  };
}

/** Three zones about the gaze and two speeds decide between three qualities: all, half of the tiers, and the base. */
const originalWants: Wants = (asset, _index, view, network) => {
  const fast = network.bytesPerSecond >= ORIGINAL_BYTES_PER_SECOND;
  const qualityAt = ({ x, y, z, radius }: Place) => {
    const degrees = eccentricity(view, x, y, z, radius);
    if (degrees < ORIGINAL_FOVEA) return fast ? 1 : 0.5;
    return degrees < ORIGINAL_MIDDLE && fast ? 0.5 : 0;
  };
  const rank = ({ x, y, z, radius }: Place) => eccentricity(view, x, y, z, radius);
  return walk(
    asset,
    (state, region, at) => {
      const finest = Math.max(...state.tree.regions.map(({ tier }) => tier));
      const tier = state.tree.regions[region]?.tier ?? 0;
      return tier < Math.ceil(finest * qualityAt(at)) ? rank(at) : null;
    },
    (_state, _region, at, texture) => {
      const levels = asset.manifest?.textures[texture]?.levels ?? [];
      return { level: Math.ceil((levels.length - 1) * qualityAt(at)), rank: rank(at) };
    },
  );
};

/** Everything, asset by asset, as the manifest names it: refinements, then the finest level of each picture. */
const fileOrderWants: Wants = function* (asset, index) {
  let rank = index * 1e6;
  for (const { refinements } of asset.trees) {
    for (const file of refinements) if (file) yield { file, rank: rank++ };
  }
  for (const levels of asset.textures) {
    const file = levels.at(-1);
    if (file) yield { file, rank: rank++ };
  }
};
