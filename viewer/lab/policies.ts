/**
 * The policies that the lab compares. All share the fetch layer: the base of an asset precedes its
 * refinements, and the link and the limits on bytes in flight are the same. They differ in the files that
 * they want, in their order, and in whether they abort files that they no longer want.
 */
import type { AssetFile, AssetState, Download, TreeState } from "../src/core/asset.ts";
import { eccentricity, insideFrustum, type View } from "../src/core/gaze.ts";
import { InFlight } from "../src/core/in-flight.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import type { RenderCost } from "../src/core/render-budget.ts";
import { DEFAULT_LIMITS, type PendingPlan, plan, type StreamLimits } from "../src/core/scheduler.ts";
import { childrenOf } from "../src/core/tree.ts";

export interface Policy {
  readonly name: string;
  /** The policy "ours" is compared with the best of each family: distance at several ranges, and so on. */
  readonly family: string;
  /** @param budget of a frame; `replay` draws no more under any policy */
  begin(budget: RenderCost): Decide;
}

export type Decide = (
  assets: readonly AssetState[],
  view: View,
  network: NetworkEstimate,
  now: number,
) => Decision;

/** As `Plan`. `waiting` holds at least the first file that does not fit on the link. */
export interface Decision extends PendingPlan {
  readonly start: readonly { readonly download: Download }[];
  readonly abort: readonly Download[];
  readonly evict: readonly Download[];
}

/** A device that draws all loaded files. */
export const UNLIMITED: RenderCost = { triangles: 1e9, drawCalls: 1e6 };
/** The memory of a desktop: no policy evicts, so the comparison is of bytes and not of caches. */
export const LIMITS: StreamLimits = { ...DEFAULT_LIMITS, gpuBytes: 4 * 1024 ** 3, ...UNLIMITED };

/** Thresholds of the original project's server: bytes per second, and degrees. */
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
    rankedPolicy("original", "original", originalSelection, byEccentricity, false),
    ...[1, 2, 4].map((metres) =>
      rankedPolicy(`distance ${metres} m`, "distance", distanceSelection(metres), byDistance, true),
    ),
    ...[1, 2, 4, 16].map((pixels) =>
      rankedPolicy(`SSE ${pixels} px`, "SSE", screenSpaceErrorSelection(pixels), byDistance, true),
    ),
    // All bases precede all refinements.
    rankedPolicy("file order", "file order", fileOrderSelection, (_sphere, index) => index - 1e6, false),
  ];
}

function sharpEverywhere(view: View): View {
  const { predicted, ...rest } = view;
  const sharp = { ...rest, gazeUncertaintyDegrees: 180 };
  return predicted ? { ...sharp, predicted: sharpEverywhere(predicted) } : sharp;
}

/** A file that a policy wants. The lowest rank comes first. */
interface RankedFile {
  readonly file: AssetFile;
  readonly rank: number;
}

/** The refinements and texture levels of an asset that a policy wants. */
type Selection = (
  asset: AssetState,
  index: number,
  view: View,
  network: NetworkEstimate,
) => Iterable<RankedFile>;
/** The rank of an asset as a whole, which its base, manifest and playing animation have. */
type AssetRank = (sphere: Sphere, index: number, view: View) => number;

function rankedPolicy(
  name: string,
  family: string,
  selection: Selection,
  assetRank: AssetRank,
  aborts: boolean,
): Policy {
  const decide: Decide = (assets, view, network) => {
    const inFlight = new InFlight(assets, network, LIMITS.inFlightMs);
    const wanted = assets.flatMap((asset, index): RankedFile[] => {
      const rank = assetRank(assetSphere(asset), index, view);
      const playing = asset.animations.flatMap((file) =>
        file && asset.plays(file.download.animation) ? [file] : [],
      );
      const basics = [asset.base, asset.manifestFile, ...playing].map((file) => ({ file, rank }));
      return [...basics, ...selection(asset, index, view, network)];
    });
    // The sort is stable: among equal ranks the base is first.
    wanted.sort((a, b) => a.rank - b.rank);
    const abort = aborts ? unwantedDownloads(assets, wanted, inFlight) : [];
    for (const download of abort) inFlight.remove(download);
    const start: { download: Download }[] = [];
    const absent = wanted.flatMap(({ file }) => (file.loadState === "absent" ? [file] : []));
    for (const file of absent) {
      if (!inFlight.fits(file.download)) break;
      inFlight.add(file.download, file.download.bytes);
      start.push(file);
    }
    return { start, abort, evict: [], waiting: absent.slice(start.length), awaitsManifest: false };
  };
  return { name, family, begin: () => decide };
}

/** Downloads in flight that are not wanted and not nearly done. */
function unwantedDownloads(
  assets: readonly AssetState[],
  wanted: readonly RankedFile[],
  inFlight: InFlight,
): Download[] {
  const keep = new Set(wanted.map(({ file }) => file));
  return assets.flatMap(({ files }) =>
    [...files].flatMap((file) =>
      file.loadState === "loading" && !keep.has(file) && !inFlight.nearlyDone(file) ? [file.download] : [],
    ),
  );
}

/** A bounding sphere in world space, metres. */
interface Sphere {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly radius: number;
  /** Metres per unit of the asset's space. */
  readonly scale: number;
}

function regionSphere(asset: AssetState, state: TreeState, region: number): Sphere {
  const [x, y, z, radius] = state.tree.regions[region]?.sphere ?? [0, 0, 0, 0];
  return worldSphere(asset, [x, y, z], radius);
}

/** The sphere around an asset's bounds. */
function assetSphere(asset: AssetState): Sphere {
  const { min, max } = asset.entry.bounds;
  const centre = [0, 1, 2].map((i) => ((min[i] ?? 0) + (max[i] ?? 0)) / 2);
  const radius = Math.hypot(...[0, 1, 2].map((i) => (max[i] ?? 0) - (min[i] ?? 0))) / 2;
  return worldSphere(asset, centre, radius);
}

function worldSphere({ world: m }: AssetState, centre: readonly number[], radius: number): Sphere {
  const el = (i: number) => m[i] ?? 0;
  const [cx = 0, cy = 0, cz = 0] = centre;
  const coordinate = (row: number) => el(row) * cx + el(4 + row) * cy + el(8 + row) * cz + el(12 + row);
  const scale = Math.hypot(el(0), el(1), el(2));
  return { x: coordinate(0), y: coordinate(1), z: coordinate(2), radius: radius * scale, scale };
}

/** Distance from the eye to the nearest point of a sphere, at least that of the near plane. */
function nearestDistance(view: View, { x, y, z, radius }: Sphere): number {
  return Math.max(view.near, Math.hypot(x - view.eye[0], y - view.eye[1], z - view.eye[2]) - radius);
}

function isInView(view: View, { x, y, z, radius }: Sphere): boolean {
  return insideFrustum(view, x, y, z, radius) > 0;
}

function eccentricityOf(view: View, { x, y, z, radius }: Sphere): number {
  return eccentricity(view, x, y, z, radius);
}

/** Assets out of view come after all assets in view. */
const OUT_OF_VIEW_RANK = 1e6;

const byEccentricity: AssetRank = (sphere, _index, view) => eccentricityOf(view, sphere);

const byDistance: AssetRank = (sphere, _index, view) =>
  nearestDistance(view, sphere) + (isInView(view, sphere) ? 0 : OUT_OF_VIEW_RANK);

/**
 * The refinements and texture levels that two rules want, from the root of each tree down through all files
 * that are loaded or in flight.
 *
 * @param refinementRank rank of a region's refinement; null: not wanted
 * @param levelOf level and rank of a texture on a region; null: not wanted
 */
function* selectDownwards(
  asset: AssetState,
  refinementRank: RefinementRule,
  levelOf: LevelRule,
): Generator<RankedFile> {
  const levels = new Map<number, RankedLevel>();
  for (const state of asset.trees) {
    const pending = [0];
    for (let region = pending.pop(); region !== undefined; region = pending.pop()) {
      const sphere = regionSphere(asset, state, region);
      addLevels(levels, levelOf, state, region, sphere);
      const file = state.refinements[region];
      const rank = file ? refinementRank(state, region, sphere) : null;
      if (!file || rank === null) continue;
      yield { file, rank };
      if (file.loadState !== "absent") pending.push(...childrenOf(state.tree, region));
    }
  }
  for (const [texture, { level, rank }] of levels) {
    const file = asset.textures[texture]?.[level];
    if (file && level > (asset.drawnLevels[texture] ?? 0)) yield { file, rank };
  }
}

type RefinementRule = (state: TreeState, region: number, sphere: Sphere) => number | null;
type LevelRule = (state: TreeState, region: number, sphere: Sphere, texture: number) => RankedLevel | null;

interface RankedLevel {
  readonly level: number;
  readonly rank: number;
}

/** Adds the levels for one region. Of the levels of a texture, the finest counts, at the lowest rank. */
function addLevels(
  levels: Map<number, RankedLevel>,
  levelOf: LevelRule,
  state: TreeState,
  region: number,
  sphere: Sphere,
): void {
  for (const texture of state.textures[region] ?? []) {
    const wanted = levelOf(state, region, sphere, texture);
    if (!wanted) continue;
    const known = levels.get(texture);
    levels.set(texture, {
      level: Math.max(wanted.level, known?.level ?? 0),
      rank: Math.min(wanted.rank, known?.rank ?? Number.POSITIVE_INFINITY),
    });
  }
}

/**
 * The rule of CesiumJS for tiles: a region in the frustum is refined while its screen-space error, error ×
 * focal length ÷ distance, is above a number of pixels, the nearest first. For pictures, the error is a
 * texel.
 */
function screenSpaceErrorSelection(pixels: number): Selection {
  return (asset, _index, view) => {
    const tolerance = (sphere: Sphere) =>
      nearestDistance(view, sphere) * Math.tan((pixels / view.pixelsPerDegree) * (Math.PI / 180));
    return selectDownwards(
      asset,
      (state, region, sphere) => {
        const error = (state.tree.regions[region]?.error ?? 0) * sphere.scale;
        return isInView(view, sphere) && error > tolerance(sphere) ? nearestDistance(view, sphere) : null;
      },
      (state, region, sphere, texture) => {
        if (!isInView(view, sphere)) return null;
        const length = (state.uvLength[region] ?? 0) * sphere.scale;
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const level = levels.findIndex(({ width }) => length / width <= tolerance(sphere));
        return { level: level < 0 ? levels.length - 1 : level, rank: nearestDistance(view, sphere) };
      },
    );
  };
}

/**
 * The finest tier up to so many metres, and one tier less for each doubling. In the frustum, the nearest
 * first.
 */
function distanceSelection(metres: number): Selection {
  return (asset, _index, view) => {
    const tiersLess = (sphere: Sphere) =>
      Math.max(0, Math.ceil(Math.log2(nearestDistance(view, sphere) / metres)));
    return selectDownwards(
      asset,
      (state, region, sphere) => {
        const finest = Math.max(...state.tree.regions.map(({ tier }) => tier));
        const tier = state.tree.regions[region]?.tier ?? 0;
        const isWanted = isInView(view, sphere) && tier < finest - tiersLess(sphere);
        return isWanted ? nearestDistance(view, sphere) : null;
      },
      (_state, _region, sphere, texture) => {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const level = Math.max(0, levels.length - 1 - tiersLess(sphere));
        return isInView(view, sphere) ? { level, rank: nearestDistance(view, sphere) } : null;
      },
    );
  };
}

/**
 * Three zones around the gaze and two bandwidths select one of three qualities: all tiers, half of them, the
 * base.
 */
const originalSelection: Selection = (asset, _index, view, network) => {
  const isFast = network.bytesPerSecond >= ORIGINAL_BYTES_PER_SECOND;
  const qualityAt = (sphere: Sphere) => {
    const degrees = eccentricityOf(view, sphere);
    if (degrees < ORIGINAL_FOVEA) return isFast ? 1 : 0.5;
    return degrees < ORIGINAL_MIDDLE && isFast ? 0.5 : 0;
  };
  return selectDownwards(
    asset,
    (state, region, sphere) => {
      const finest = Math.max(...state.tree.regions.map(({ tier }) => tier));
      const tier = state.tree.regions[region]?.tier ?? 0;
      return tier < Math.ceil(finest * qualityAt(sphere)) ? eccentricityOf(view, sphere) : null;
    },
    (_state, _region, sphere, texture) => {
      const levels = asset.manifest?.textures[texture]?.levels ?? [];
      const level = Math.ceil((levels.length - 1) * qualityAt(sphere));
      return { level, rank: eccentricityOf(view, sphere) };
    },
  );
};

/** All files, asset by asset in the manifest's order: refinements, then the finest level of each picture. */
const fileOrderSelection: Selection = function* (asset, index) {
  let rank = index * 1e6;
  for (const { refinements } of asset.trees) {
    for (const file of refinements) if (file) yield { file, rank: rank++ };
  }
  for (const levels of asset.textures) {
    const file = levels.at(-1);
    if (file) yield { file, rank: rank++ };
  }
};
