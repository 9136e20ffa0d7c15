/** The animations that are worth fetching: they are to be played and have keyframes in a separate file. */
import type { AnimationDownload, AssetState } from "./asset.ts";
import type { Item, PlanState } from "./choices.ts";
import { assetWeight, type TreeDemand } from "./demand.ts";
import type { View } from "./gaze.ts";
import { type Block, EPSILON, ratioOf } from "./order.ts";

/** @param treeDemands by asset and tree */
export function* animationItems(
  assets: readonly AssetState[],
  treeDemands: readonly (readonly TreeDemand[])[],
  view: View,
  plan: PlanState,
): Generator<Item> {
  for (const [a, asset] of assets.entries()) {
    if (!asset.rendererReady) continue;
    for (const file of asset.animations) {
      if (!file || !plan.canStart(file) || !asset.plays(file.download.animation)) continue;
      const { download } = file;
      const gain = motionGain(download, treeDemands[a] ?? [], view);
      if (gain <= EPSILON) continue;
      const block: Block = { gain, bytes: download.bytes, fovealGain: 0 };
      yield [{ candidate: { download, gain, score: ratioOf(block) }, blocks: [block] }];
    }
  }
}

/** Whether any tree moves while an animation with this reach plays. */
export function movesTrees(reach: readonly number[]): boolean {
  return reach.some((distance) => distance > 0);
}

/** The error of a tree at rest is the reach of its motion. A motion without trees (a light) comes last. */
function motionGain(
  { asset, reach }: AnimationDownload,
  treeDemands: readonly TreeDemand[],
  view: View,
): number {
  if (!movesTrees(reach)) return assetWeight(asset, asset.view ?? view).inView ? 2 * EPSILON : 0;
  return treeDemands.reduce((sum, treeDemand, tree) => sum + treeDemand.motionGain(reach[tree] ?? 0), 0);
}
