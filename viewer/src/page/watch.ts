/** Shows assets as they are built, with `?watch=1`. Loaded on demand. */
import type { CatalogueEntry } from "../core/bundle/bundle.ts";
import type { Exhibition } from "./exhibition.ts";

/** Time between two reads of the catalogue. A server answers 304 while it is unchanged. */
const PERIOD_MS = 1000;

/**
 * Reads the catalogue repeatedly.
 * @param onAdded called with new entries of the catalogue
 */
export function watchCatalogue(
  { options, session, catalogue }: Exhibition,
  onAdded: (entries: readonly (readonly [string, CatalogueEntry])[]) => void,
): void {
  const check = async (): Promise<void> => {
    try {
      const { assets } = await session.reopen(options.bundle);
      const added = Object.entries(assets).filter(([id]) => !Object.hasOwn(catalogue, id));
      if (added.length > 0) onAdded(added);
    } catch {
      // The server may be restarting; the next read tries again.
    }
    setTimeout(check, PERIOD_MS);
  };
  setTimeout(check, PERIOD_MS);
}
