/** Helpers for the tests of plans: networks, and ways to carry out a plan. */
import type { AssetFile, AssetState, Download } from "../src/core/asset.ts";
import type { View } from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { DEFAULT_LIMITS, type Plan, plan, type StreamLimits } from "../src/core/scheduler.ts";
import { network } from "./worlds.ts";

export const SLOW = network(5);
export const FAST = network(100);
export const LIMITS: StreamLimits = DEFAULT_LIMITS;

export const keysOf = (downloads: readonly Download[]) => downloads.map(({ key }) => key);
export const startedKeys = ({ start }: Plan) => start.map(({ download }) => download.key);

/** The files of assets that are in flight. */
export function loadingFiles(assets: readonly AssetState[]): AssetFile[] {
  return assets.flatMap((asset) => [...asset.files].filter(({ loadState }) => loadState === "loading"));
}

/** Carries out the aborts, evictions and starts of a plan. */
export function carryOut({ abort, evict, start }: Plan, now = 0): void {
  for (const download of [...abort, ...evict]) download.asset.drop(download, now);
  for (const { download } of start) download.asset.begin(download, now);
}

/** Makes a file ready. As in the streamer, one level of a texture is kept. */
export function finish(download: Download, now = 0): void {
  download.asset.arrive(download, now);
  download.asset.ready(download, now);
  if (download.kind !== "texture") return;
  for (const replaced of download.asset.replacedLevels(download.texture)) download.asset.drop(replaced, now);
}

/**
 * Plans and loads everything at once, again and again, until a plan starts nothing. Returns the order of
 * arrival.
 */
export function settle(
  assets: readonly AssetState[],
  from: View,
  net: NetworkEstimate = SLOW,
  limits: StreamLimits = LIMITS,
): Download[] {
  const order: Download[] = [];
  for (let now = 0; now < 1e6; now += 100) {
    const made = plan(assets, from, net, limits, now);
    carryOut(made, now);
    if (made.start.length === 0) return order;
    for (const { download } of made.start) {
      finish(download, now);
      order.push(download);
    }
  }
  throw new Error("the plans do not settle");
}
