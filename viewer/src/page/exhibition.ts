import type { AssetState } from "../core/asset.ts";
import type { Layout } from "../layout.ts";
import type { Session } from "../session.ts";
import type { PageOptions } from "./options.ts";

/** Everything that `page.ts` hands over to `main.ts`: the assets are already loading. */
export interface Exhibition {
  readonly options: PageOptions;
  readonly session: Session;
  /** By id. */
  readonly assets: ReadonlyMap<string, AssetState>;
  readonly layout: Layout;
  /** Of the camera: degrees, vertical. */
  readonly fieldOfView: number;
}
