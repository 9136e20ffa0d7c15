/** The requests to abort: their files are no longer seen or needed. Bases and manifests are never aborted. */
import { movesTrees } from "./animations.ts";
import type { AssetFile, AssetState } from "./asset.ts";
import type { TreeDemand } from "./demand.ts";
import type { InFlight } from "./in-flight.ts";
import { isHeld } from "./memory.ts";

/** @param treeDemands by asset and tree */
export function* filesToAbort(
  assets: readonly AssetState[],
  treeDemands: readonly (readonly TreeDemand[])[],
  inFlight: InFlight,
): Generator<AssetFile> {
  const mayAbort = (file: AssetFile) => file.loadState === "loading" && !inFlight.nearlyDone(file);
  for (const [a, asset] of assets.entries()) yield* animations(asset, treeDemands[a] ?? [], mayAbort);
  for (const treeDemand of treeDemands.flat()) yield* refinements(treeDemand, mayAbort);
  for (const [a, asset] of assets.entries()) yield* textureLevels(asset, treeDemands[a] ?? [], mayAbort);
}

function* animations(
  asset: AssetState,
  treeDemands: readonly TreeDemand[],
  mayAbort: (file: AssetFile) => boolean,
): Generator<AssetFile> {
  for (const file of asset.animations) {
    if (!file || !mayAbort(file)) continue;
    const { animation, reach } = file.download;
    const isSeen =
      !movesTrees(reach) ||
      treeDemands.some((treeDemand, tree) => treeDemand.nearlyVisible(0, reach[tree] ?? 0));
    if (!isSeen || !asset.plays(animation)) yield file;
  }
}

function* refinements(treeDemand: TreeDemand, mayAbort: (file: AssetFile) => boolean): Generator<AssetFile> {
  const { tree, refinements } = treeDemand.state;
  for (const file of refinements) {
    if (!file || !mayAbort(file)) continue;
    const { region } = file.download;
    if (!treeDemand.nearlyVisible(region, tree.regions[region]?.error ?? 0)) yield file;
  }
}

/** A level is aborted if a finer one is held, or if the texels of the held coarser one are small enough. */
function* textureLevels(
  asset: AssetState,
  treeDemands: readonly TreeDemand[],
  mayAbort: (file: AssetFile) => boolean,
): Generator<AssetFile> {
  for (const [texture, files] of asset.textures.entries()) {
    let held = asset.drawnLevels[texture] ?? 0;
    for (const file of files) {
      if (!file || !isHeld(file)) continue;
      const { level } = file.download;
      if (mayAbort(file)) {
        const width = asset.manifest?.textures[texture]?.levels[held]?.width ?? 1;
        if (level <= held || !texelsNearlyVisible(treeDemands, texture, width)) {
          yield file;
          continue;
        }
      }
      held = Math.max(held, level);
    }
  }
}

/** Whether the texels of a texture with this width are visible, or nearly so, on any drawn region. */
function texelsNearlyVisible(treeDemands: readonly TreeDemand[], texture: number, width: number): boolean {
  return treeDemands.some((treeDemand) => {
    const { textures, uvLength, cut } = treeDemand.state;
    return [...cut.drawn].some(
      (region) =>
        textures[region]?.includes(texture) &&
        treeDemand.nearlyVisible(region, (uvLength[region] ?? 0) / width),
    );
  });
}
