import type { AssetState } from "../core/asset.ts";
import type { Layout } from "../layout.ts";
import type { Session } from "../session.ts";
import type { PageOptions } from "./options.ts";

/** The interface between `page.ts`, which starts to load the assets, and `main.ts`, which draws them. */
export interface Exhibition {
  readonly options: PageOptions;
  readonly session: Session;
  /** By id. */
  readonly assets: ReadonlyMap<string, AssetState>;
  readonly layout: Layout;
  /** Of the camera: degrees, vertical. */
  readonly fieldOfView: number;
}
