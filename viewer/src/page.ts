/**
 * The demo page: reads its address, asks for the catalogue and the bases while three.js is still on its way, and
 * hands over to `show.ts` when it has come.
 */
import type { AssetState } from "./core/asset.ts";
import type { CatalogueEntry } from "./core/bundle.ts";
import { HEAD_GAZE_UNCERTAINTY, type View } from "./core/gaze.ts";
import { pixelTolerance } from "./device.ts";
import { frame, type Layout, layOut, matrixOf } from "./layout.ts";
import { notice } from "./notices.ts";
import { type PageOptions, readOptions } from "./options.ts";
import { Session } from "./session.ts";

/** Degrees, vertical. */
export const FIELD_OF_VIEW = 45;

export interface Exhibition {
  readonly options: PageOptions;
  readonly session: Session;
  readonly assets: ReadonlyMap<string, AssetState>;
  readonly layout: Layout;
}

/** Files whose timing the browser keeps: which of them came from its cache is read there. The default is 250. */
const TIMINGS = 5000;

async function main(): Promise<void> {
  performance.setResourceTimingBufferSize(TIMINGS);
  const options = readOptions(new URL(location.href));
  for (const complaint of options.complaints) notice(complaint);
  // Together with the catalogue, not after it. A failure is met where it is awaited.
  const show = import("./show.ts");
  show.catch(() => {});
  const session = new Session({
    record: options.debug,
    ...(options.memory ? { limits: { gpuBytes: options.memory } } : {}),
  });
  session.onFailure = ({ kind, asset, uri }, error) => {
    if (kind === "base" || kind === "manifest")
      notice(`${asset.id} cannot be shown in full: ${error.message}`);
    else console.warn(`StreamXR: ${asset.id} keeps a coarser ${kind}: ${uri}: ${error.message}`);
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
  const view = firstView(layout);
  const update = (): void => session.streamer.update(view, performance.now());
  update();
  const early = setInterval(update, 50);
  try {
    const { start } = await show;
    clearInterval(early);
    await start({ options, session, assets: states, layout });
  } finally {
    clearInterval(early);
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

function firstView(layout: Layout): View {
  const { eye, target } = frame(layout, FIELD_OF_VIEW, innerWidth / Math.max(1, innerHeight));
  const [x, y, z] = [target[0] - eye[0], target[1] - eye[1], target[2] - eye[2]];
  const length = Math.hypot(x, y, z);
  return {
    eye,
    gaze: [x / length, y / length, z / length],
    gazeUncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
    pixelsPerDegree: (innerHeight * devicePixelRatio) / FIELD_OF_VIEW / pixelTolerance(navigator),
    near: 0.01,
    frustum: [],
  };
}

main().catch((error: unknown) => {
  console.error(error);
  notice(error instanceof Error ? error.message : String(error));
  document.getElementById("progress")?.classList.add("done");
  const caption = document.getElementById("caption");
  if (caption) caption.textContent = "Nothing to show";
});
