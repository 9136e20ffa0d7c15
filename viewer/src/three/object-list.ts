import type { AssetState } from "../core/asset.ts";
import type { Manifest, SourceObject } from "../core/bundle/bundle.ts";
import { parseObjects } from "../core/bundle/objects.ts";
import type { Fetcher } from "../core/network/fetcher.ts";

const MANIFEST_POLL_MS = 50;

const lists = new WeakMap<AssetState, Promise<readonly SourceObject[]>>();

/**
 * The objects of an asset. The first call fetches their file; all calls share one list, and after a failure
 * the next call tries again.
 * @param signal aborts when the asset is unloaded
 */
export function readObjects(
  state: AssetState,
  fetch: Fetcher["fetch"],
  signal: AbortSignal,
): Promise<readonly SourceObject[]> {
  let objects = lists.get(state);
  if (!objects) {
    objects = load(state, fetch, signal);
    lists.set(state, objects);
    objects.catch(() => lists.delete(state));
  }
  return objects;
}

async function load(
  state: AssetState,
  fetch: Fetcher["fetch"],
  signal: AbortSignal,
): Promise<readonly SourceObject[]> {
  const { objects } = await manifestOf(state, signal);
  if (!objects) return [];
  const bytes = await fetch(objects, signal);
  return parseObjects(JSON.parse(new TextDecoder().decode(bytes)), objects.count);
}

async function manifestOf(state: AssetState, signal: AbortSignal): Promise<Manifest> {
  for (;;) {
    signal.throwIfAborted();
    if (state.manifest) return state.manifest;
    if (state.manifestFile.retryAt === Number.POSITIVE_INFINITY) {
      throw new Error(`the manifest of ${state.id} cannot be loaded`);
    }
    await new Promise((resolve) => setTimeout(resolve, MANIFEST_POLL_MS));
  }
}
