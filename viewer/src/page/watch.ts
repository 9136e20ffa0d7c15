/** Shows assets as they are built, with `?watch=1`. Loaded on demand. */
import { addAssets, type Exhibition } from "./exhibition.ts";

/** Time between two reads of the catalogue. A server answers 304 while it is unchanged. */
const PERIOD_MS = 1000;

/**
 * Reads the catalogue repeatedly, and adds its new assets to the exhibition.
 * @param onAdded called with the ids of new entries of the catalogue
 */
export function watchCatalogue(exhibition: Exhibition, onAdded: (ids: readonly string[]) => void): void {
  const { options, session, catalogue } = exhibition;
  const check = async (): Promise<void> => {
    try {
      const { assets } = await session.reopen(options.bundle);
      const added = Object.entries(assets).filter(([id]) => !Object.hasOwn(catalogue, id));
      if (added.length > 0) {
        addAssets(exhibition, added);
        onAdded(added.map(([id]) => id));
      }
    } catch {
      // The server may be restarting; the next read tries again.
    }
    setTimeout(check, PERIOD_MS);
  };
  setTimeout(check, PERIOD_MS);
}
