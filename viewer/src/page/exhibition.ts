import type { AssetState } from "../core/asset.ts";
import type { CatalogueEntry } from "../core/bundle/bundle.ts";
import { type Layout, layOut, matrixOf } from "../layout.ts";
import type { Session } from "../session.ts";
import type { PageOptions } from "./options.ts";

/** The interface between `page.ts`, which starts to load the assets, and `main.ts`, which draws them. */
export interface Exhibition {
  readonly options: PageOptions;
  readonly session: Session;
  /**
   * All entries of the catalogue, also those that the page does not show. It grows while the page watches the
   * bundle.
   */
  readonly catalogue: Record<string, CatalogueEntry>;
  /** By id. */
  readonly assets: Map<string, AssetState>;
  layout: Layout;
  /** Of the camera: degrees, vertical. */
  readonly fieldOfView: number;
}

/** Starts to stream new entries of the catalogue, and lays all assets out anew. */
export function addAssets(
  exhibition: Exhibition,
  entries: readonly (readonly [string, CatalogueEntry])[],
): void {
  const { options, session, catalogue, assets } = exhibition;
  for (const [id, entry] of entries) {
    catalogue[id] = entry;
    if (options.assets === null || options.assets.includes(id)) {
      assets.set(id, session.add(id, entry, options.bundle));
    }
  }
  exhibition.layout = layOut([...assets].map(([id, { entry }]) => ({ id, bounds: entry.bounds })));
  for (const place of exhibition.layout.places) {
    const asset = assets.get(place.id);
    if (asset) asset.world = matrixOf(place);
  }
}
