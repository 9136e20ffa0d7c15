/**
 * The demo page: reads its address, asks for the catalogue and the bases while three.js is still on its way, and
 * hands over to `main.ts` when it has come.
 */
import type { CatalogueEntry } from "../core/bundle/bundle.ts";
import { pixelTolerance } from "../device.ts";
import { frame, layOut, matrixOf, viewFrom } from "../layout.ts";
import { pageSession } from "../session.ts";
import { notice } from "./notices.ts";
import { readOptions } from "./options.ts";

/** Degrees, vertical: of the page's camera. */
const FIELD_OF_VIEW = 45;
/** Files whose timing the browser keeps: which of them came from its cache is read there. The default is 250. */
const TIMINGS = 5000;

async function main(): Promise<void> {
  performance.setResourceTimingBufferSize(TIMINGS);
  const options = readOptions(new URL(location.href));
  for (const complaint of options.complaints) notice(complaint);
  // Together with the catalogue, not after it. A failure is met where it is awaited.
  const code = import("./main.ts");
  code.catch(() => {});
  const session = pageSession({
    record: options.debug,
    limits: {
      ...(options.memory ? { gpuBytes: options.memory } : {}),
      ...(options.triangles ? { triangles: options.triangles } : {}),
    },
  });
  session.onFailure = ({ kind, asset, uri }, error) => {
    if (kind === "base" || kind === "manifest")
      notice(`${asset.id} cannot be shown in full: ${error.message}`);
    else {
      const loss = kind === "animation" ? "stands still" : `keeps a coarser ${kind}`;
      console.warn(`StreamXR: ${asset.id} ${loss}: ${uri}: ${error.message}`);
    }
  };
  const { assets } = await session.open(options.bundle);
  const chosen = choose(assets, options.assets);
  const layout = layOut(chosen.map(([id, { bounds }]) => ({ id, bounds })));
  const states = new Map(chosen.map(([id, entry]) => [id, session.add(id, entry, options.bundle)]));
  for (const place of layout.places) {
    const state = states.get(place.id);
    if (state) state.world = matrixOf(place);
  }
  // Until there is a camera, what it will see decides what comes first.
  const aspect = innerWidth / Math.max(1, innerHeight);
  const viewpoint = options.camera ?? frame(layout, FIELD_OF_VIEW, aspect);
  const stop = session.foresee(
    viewFrom(
      viewpoint,
      FIELD_OF_VIEW,
      aspect,
      (innerHeight * devicePixelRatio) / (pixelTolerance(navigator) * (options.tolerance ?? 1)),
    ),
  );
  try {
    const { start } = await code;
    stop();
    await start({ options, session, assets: states, layout, fieldOfView: FIELD_OF_VIEW });
  } finally {
    stop();
  }
}

function choose(
  assets: Readonly<Record<string, CatalogueEntry>>,
  names: readonly string[] | null,
): [string, CatalogueEntry][] {
  const all = Object.entries(assets);
  if (all.length === 0) notice("The bundle has no assets yet: build some, and load the page again.", "quiet");
  if (!names) return all;
  for (const name of names) {
    if (Object.hasOwn(assets, name)) continue;
    notice(`There is no asset “${name}”. The bundle has: ${all.map(([id]) => id).join(", ") || "none"}.`);
  }
  return all.filter(([id]) => names.includes(id));
}

main().catch((error: unknown) => {
  console.error(error);
  notice(error instanceof Error ? error.message : String(error));
  document.getElementById("progress")?.classList.add("done");
  const caption = document.getElementById("caption");
  if (caption) caption.textContent = "Nothing to show";
});
