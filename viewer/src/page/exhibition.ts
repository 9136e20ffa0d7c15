import type { AssetState } from "../core/asset.ts";
import type { CatalogueEntry } from "../core/bundle/bundle.ts";
import type { Layout } from "../layout.ts";
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
