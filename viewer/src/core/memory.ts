/** GPU memory: what takes it, and what is released first when something else needs it more. */
import type { AssetFile, AssetState, TreeState } from "./asset.ts";
import type { TreeSight } from "./demand.ts";
import type { RenderPlan } from "./render-budget.ts";
import { childrenOf } from "./tree.ts";

/** What is released for something else must be so many times less useful per byte … */
const EVICTION_MARGIN = 1.5;
/** … and must have been there so long, or two things that do not fit together would chase each other, milliseconds. */
const RESIDENCE_MS = 2000;
/** Releases per plan: freeing is work for the host's frame. */
export const MAX_EVICTIONS = 16;

/** A loaded file, and the visible gain per byte of GPU memory that goes with it. */
export interface Resident {
  readonly file: AssetFile;
  readonly use: number;
}

/** Whether a file takes GPU memory, now or as soon as it has arrived. */
export function isHeld(file: AssetFile): boolean {
  return file.loadState === "loading" || file.loadState === "preparing" || file.loadState === "ready";
}

/** GPU memory of a file, bytes; of a base, once the manifest has told. */
export function gpuBytesOf({ download }: AssetFile): number {
  return download.kind === "base" ? (download.asset.manifest?.base.gpuBytes ?? 0) : download.gpuBytes;
}

/** Whether a resident is so much less useful than a gain of so many bytes that it should go for it. */
export function mayMakeWay(resident: Resident, gain: number, gpuBytes: number): boolean {
  return resident.use * EVICTION_MARGIN < gain / Math.max(1, gpuBytes);
}

/**
 * The file whose release loses the least visible detail per byte: a refinement under which nothing finer is held, or
 * a texture's level above the base's. What a frame has no room for loses nothing. Null when nothing may go.
 *
 * @param sights by asset and tree
 * @param isComing whether a file is there or on its way, in the plan so far
 */
export function leastUseful(
  assets: readonly AssetState[],
  sights: readonly (readonly TreeSight[])[],
  render: RenderPlan,
  now: number,
  isComing: (file: AssetFile) => boolean,
): Resident | null {
  const mayGo = (file: AssetFile) =>
    file.loadState === "ready" && now - file.since >= RESIDENCE_MS && isComing(file);
  const anyBelow = (state: TreeState, region: number): boolean =>
    childrenOf(state, region).some((child) => {
      const file = state.refinements[child];
      return file ? isComing(file) || anyBelow(state, child) : false;
    });

  let least: Resident | null = null;
  const offer = (file: AssetFile, gain: number) => {
    const use = gain / Math.max(1, file.download.gpuBytes);
    if (least === null || use < least.use) least = { file, use };
  };
  for (const sight of sights.flat()) {
    for (const file of sight.state.refinements) {
      if (!file || !mayGo(file) || anyBelow(sight.state, file.download.region)) continue;
      const { region } = file.download;
      const shown = sight.state.cut.shownFor(region);
      offer(file, render.isClosed(sight, shown) ? 0 : sight.refinementGain(shown, region));
    }
  }
  assets.forEach((asset, a) => {
    for (const file of asset.textures.flat()) {
      if (file && mayGo(file)) offer(file, levelGain(asset, sights[a] ?? [], file.download));
    }
  });
  return least;
}

/** What all that is seen would lose by falling back to the base's level. */
function levelGain(
  asset: AssetState,
  sights: readonly TreeSight[],
  { texture, level }: { readonly texture: number; readonly level: number },
): number {
  const levels = asset.manifest?.textures[texture]?.levels;
  let gain = 0;
  for (const sight of sights) {
    for (const region of sight.patches()) {
      if (!sight.state.textures[region]?.includes(texture)) continue;
      gain += sight.textureBenefit(region, levels?.[0]?.width ?? 1, levels?.[level]?.width ?? 1).gain;
    }
  }
  return gain;
}
