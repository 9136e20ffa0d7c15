/**
 * The start of the demo page: reads its address, requests the catalogue and the bases while three.js is still
 * loading, and then calls `main.ts`.
 */
import type { CatalogueEntry } from "../core/bundle/bundle.ts";
import { pixelTolerance } from "../device.ts";
import { frame, layOut, matrixOf, viewFrom } from "../layout.ts";
import { pageSession, type Session } from "../session.ts";
import type { Exhibition } from "./exhibition.ts";
import { notice } from "./notices.ts";
import { type PageOptions, readOptions } from "./options.ts";

/** Degrees, vertical: of the page's camera. */
const FIELD_OF_VIEW = 45;
/** Files whose timing the browser keeps, to tell which came from its cache. Its default is 250. */
const TIMING_BUFFER = 5000;

async function start(): Promise<void> {
  performance.setResourceTimingBufferSize(TIMING_BUFFER);
  const options = readOptions(new URL(location.href));
  for (const warning of options.warnings) notice(warning);
  // Loads beside the catalogue, not after it. An error is thrown at `await code`.
  const code = import("./main.ts");
  code.catch(() => {});
  const session = openSession(options);
  const exhibition = await openExhibition(options, session);
  const stop = planAhead(exhibition);
  try {
    const { show } = await code;
    stop();
    const gallery = await show(exhibition);
    if (options.watch) {
      const { watchCatalogue } = await import("./watch.ts");
      watchCatalogue(exhibition, (added) => {
        addAssets(exhibition, added);
        gallery.arrange(added.map(([id]) => id));
      });
    }
  } finally {
    stop();
  }
}

function openSession({ debug, memory, triangles }: PageOptions): Session {
  const session = pageSession({
    record: debug,
    limits: { ...(memory ? { gpuBytes: memory } : {}), ...(triangles ? { triangles } : {}) },
  });
  session.onFailure = ({ kind, asset, uri }, error) => {
    if (kind === "base" || kind === "manifest") {
      notice(`${asset.id} cannot be shown in full: ${error.message}`);
    } else {
      const effect = kind === "animation" ? "stands still" : `keeps a coarser ${kind}`;
      console.warn(`StreamXR: ${asset.id} ${effect}: ${uri}: ${error.message}`);
    }
  };
  return session;
}

/** Starts to stream the chosen assets, each at its place. */
async function openExhibition(options: PageOptions, session: Session): Promise<Exhibition> {
  const { assets } = await session.open(options.bundle);
  if (!options.watch) warnOfMissing(assets, options.assets);
  const exhibition: Exhibition = {
    options,
    session,
    catalogue: {},
    assets: new Map(),
    layout: layOut([]),
    fieldOfView: FIELD_OF_VIEW,
  };
  addAssets(exhibition, Object.entries(assets));
  return exhibition;
}

/** Starts to stream new entries of the catalogue, and lays all assets out anew. */
function addAssets(exhibition: Exhibition, entries: readonly (readonly [string, CatalogueEntry])[]): void {
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

/**
 * Plans downloads for the first view before there is a camera.
 * @returns stops it
 */
function planAhead({ options, session, layout }: Exhibition): () => void {
  const aspect = innerWidth / Math.max(1, innerHeight);
  const tolerance = pixelTolerance(navigator) * (options.tolerance ?? 1);
  const heightPixels = (innerHeight * devicePixelRatio) / tolerance;
  const viewpoint = options.camera ?? frame(layout, FIELD_OF_VIEW, aspect);
  return session.planAhead(viewFrom(viewpoint, FIELD_OF_VIEW, aspect, heightPixels));
}

/** Tells the visitor which assets of the page's address are not in the catalogue. */
function warnOfMissing(
  catalogue: Readonly<Record<string, CatalogueEntry>>,
  names: readonly string[] | null,
): void {
  const all = Object.keys(catalogue);
  if (all.length === 0) notice("The bundle has no assets yet: build some, and load the page again.", "quiet");
  for (const name of names ?? []) {
    if (Object.hasOwn(catalogue, name)) continue;
    notice(`There is no asset “${name}”. The bundle has: ${all.join(", ") || "none"}.`);
  }
}

start().catch((error: unknown) => {
  console.error(error);
  notice(error instanceof Error ? error.message : String(error));
  document.getElementById("progress")?.classList.add("done");
  const caption = document.getElementById("caption");
  if (caption) caption.textContent = "Nothing to show";
});
