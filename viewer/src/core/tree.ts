/** The structure of a region tree. */
import type { TreeState } from "./asset.ts";

/** The regions that replace `region` together, one tier finer; empty for a leaf. */
export function childrenOf(state: TreeState, region: number): readonly number[] {
  return state.tree.regions[region]?.children ?? [];
}
