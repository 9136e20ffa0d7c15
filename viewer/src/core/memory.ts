/** The GPU memory of files, and the files to evict when a more useful one needs their memory. */
import type { AssetFile, AssetState, TreeState } from "./asset.ts";
import type { TreeDemand } from "./demand.ts";
import type { RenderPlan } from "./render-budget.ts";
import { childrenOf } from "./tree.ts";

/** A file is evicted for another only if it is less useful per byte by this factor, … */
const EVICTION_MARGIN = 1.5;
/** … and has been loaded for this long, milliseconds: otherwise two files could alternate. */
const RESIDENCE_MS = 2000;
/** Evictions per plan: freeing memory takes time in the host's frame. */
export const MAX_EVICTIONS = 16;

/** A loaded file, and the visible gain per byte of GPU memory that is lost with it. */
export interface Resident {
  readonly file: AssetFile;
  readonly gainPerByte: number;
}

/** Whether a file takes GPU memory, now or as soon as it has arrived. */
export function isHeld({ loadState }: AssetFile): boolean {
  return loadState === "loading" || loadState === "preparing" || loadState === "ready";
}

/** GPU memory of a file, bytes; 0 for a base whose manifest has not arrived. */
export function gpuBytesOf({ download }: AssetFile): number {
  return download.kind === "base" ? (download.asset.manifest?.base.gpuBytes ?? 0) : download.gpuBytes;
}

/** Whether a file may be evicted for one with this gain and GPU memory. */
export function isWorthEvicting({ gainPerByte }: Resident, gain: number, gpuBytes: number): boolean {
  return gainPerByte * EVICTION_MARGIN < gain / Math.max(1, gpuBytes);
}

/**
 * The file whose eviction loses the least visible gain per byte: a refinement without held refinements below
 * it, or a texture level above the base's. A file that the render budget hides loses nothing. Null if no file
 * may be evicted.
 *
 * @param treeDemands by asset and tree
 * @param now milliseconds
 * @param willBeHeld see `PlanState`
 */
export function leastUsefulFile(
  assets: readonly AssetState[],
  treeDemands: readonly (readonly TreeDemand[])[],
  render: RenderPlan,
  now: number,
  willBeHeld: (file: AssetFile) => boolean,
): Resident | null {
  const mayEvict = (file: AssetFile) =>
    file.loadState === "ready" && now - file.since >= RESIDENCE_MS && willBeHeld(file);
  let least: Resident | null = null;
  const consider = (file: AssetFile, gain: number) => {
    const gainPerByte = gain / Math.max(1, file.download.gpuBytes);
    if (least === null || gainPerByte < least.gainPerByte) least = { file, gainPerByte };
  };
  for (const treeDemand of treeDemands.flat()) {
    const { state } = treeDemand;
    for (const file of state.refinements) {
      if (!file || !mayEvict(file)) continue;
      const { region } = file.download;
      if (hasHeldRefinementBelow(state, region, willBeHeld)) continue;
      const drawn = state.cut.nearestAvailable(region);
      const isHidden = render.isBudgetLimited(treeDemand, drawn);
      consider(file, isHidden ? 0 : treeDemand.refinementBenefit(drawn, region).gain);
    }
  }
  assets.forEach((asset, a) => {
    for (const file of asset.textures.flat()) {
      if (file && mayEvict(file)) consider(file, levelGain(asset, treeDemands[a] ?? [], file.download));
    }
  });
  return least;
}

function hasHeldRefinementBelow(
  state: TreeState,
  region: number,
  willBeHeld: (file: AssetFile) => boolean,
): boolean {
  return childrenOf(state.tree, region).some((child) => {
    const file = state.refinements[child];
    return file ? willBeHeld(file) || hasHeldRefinementBelow(state, child, willBeHeld) : false;
  });
}

/** Gain of a texture level over the base's level, on all visible patches. */
function levelGain(
  asset: AssetState,
  treeDemands: readonly TreeDemand[],
  { texture, level }: { readonly texture: number; readonly level: number },
): number {
  const levels = asset.manifest?.textures[texture]?.levels;
  const [baseWidth, width] = [levels?.[0]?.width ?? 1, levels?.[level]?.width ?? 1];
  let gain = 0;
  for (const treeDemand of treeDemands) {
    for (const patch of treeDemand.patches()) {
      if (!treeDemand.state.textures[patch]?.includes(texture)) continue;
      gain += treeDemand.textureLevelBenefit(patch, baseWidth, width).gain;
    }
  }
  return gain;
}
