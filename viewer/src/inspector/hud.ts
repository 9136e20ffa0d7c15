import type { Camera, WebGLRenderer } from "three";
import type { AssetState, Download } from "../core/asset.ts";
import type { Candidate } from "../core/choices.ts";
import type { StreamXR } from "../index.ts";
import { drawCurve, type Reading } from "./curve.ts";
import {
  bar,
  bits,
  bytes,
  count,
  figure,
  keys,
  legend,
  length,
  node,
  row,
  type Segment,
  STYLE,
  title,
} from "./elements.ts";
import { GazeMarks } from "./gaze-marks.ts";
import { type Colouring, needColour, Overlay, tierColour } from "./overlay.ts";
import { nameOf, Trace } from "./trace.ts";

/** Milliseconds between two readings: numbers that change faster cannot be read. */
const PERIOD_MS = 250;
/** Rows of the queue. */
const QUEUE = 8;

const KINDS: readonly (readonly [Download["kind"], string, string])[] = [
  ["base", "bases", "#f0b27a"],
  ["animation", "motion", "#c9a0e8"],
  ["refinement", "geometry", "#7fd1c7"],
  ["texture", "pictures", "#8fb4f0"],
];
const FAST = "#ffd479";
const SLOW = "#8fb4f0";
const GAZE_NAMES = { eye: "eyes", pinch: "pinch", pointer: "mouse", head: "head" } as const;

/**
 * What is streaming, and why: bandwidth, bytes by kind, memory, assets, the queue; in the picture, on wish, regions in
 * the colours of their tiers or of what the eye still misses, and the gaze. Records a trace from when it is made.
 *
 * Keys: 1 tiers, 2 error against need, 3 gaze, 4 saves the trace.
 */
export class Hud {
  readonly trace: Trace;
  private readonly overlay: Overlay;
  private readonly marks = new GazeMarks();
  private readonly root = node("section", { id: "hud" });
  private readonly rate = node("div", { className: "big" });
  private readonly averages = node("div", {});
  private readonly curve = node("canvas", {});
  private readonly totals = node("div", {});
  private readonly assets = node("div", {});
  private readonly queue = node("div", {});
  private readonly explanation = node("div", {});
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private readonly readings: Reading[] = [];
  private lastTime = 0;
  private lastBytes = 0;
  private frames = 0;

  constructor(
    private readonly streamxr: StreamXR,
    private readonly renderer: WebGLRenderer,
  ) {
    this.overlay = new Overlay((...region) => streamxr.demand(...region));
    this.trace = new Trace(streamxr, performance.now());
    this.root.ariaLabel = "What is streaming";
    this.root.append(this.rate, this.averages, this.curve, this.tools(), this.explanation, this.totals);
    this.root.append(title("Assets"), this.assets, title("Queue: the most gain per byte first"), this.queue);
    document.head.append(node("style", { textContent: STYLE }));
    document.body.append(this.root);
    addEventListener("keydown", this.onKey);
    this.lastBytes = streamxr.session.bandwidth.totalBytes;
  }

  get visible(): boolean {
    return !this.root.hidden;
  }

  set visible(visible: boolean) {
    this.root.hidden = !visible;
    this.lastTime = 0;
  }

  /** Call once per frame, after drawing, visible or not: the trace goes on. `now` in milliseconds. */
  update(now: number, camera: Camera): void {
    this.trace.note(now);
    if (!this.visible) return;
    this.mark(now, camera);
    this.frames++;
    if (this.lastTime === 0) {
      this.lastTime = now - PERIOD_MS;
      this.frames = 0;
    }
    const elapsed = now - this.lastTime;
    if (elapsed < PERIOD_MS) return;
    this.showNetwork(now, elapsed);
    this.showTotals(elapsed);
    this.assets.replaceChildren(...this.streamxr.session.streamer.assets.flatMap(assetRows));
    this.showQueue();
    this.lastTime = now;
    this.frames = 0;
  }

  /** Saves the trace so far as a file that the lab replays. */
  save(): void {
    const json = JSON.stringify(this.trace.file());
    const link = node("a", {});
    link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
    link.download = `streamxr-trace-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  private mark(now: number, camera: Camera): void {
    const { latest, gaze } = this.streamxr.view;
    if (!latest || !gaze || (!this.overlay.colouring && !this.marks.visible)) return;
    // What is drawn for the inspector is not what is measured of a frame.
    const { autoReset } = this.renderer.info;
    this.renderer.info.autoReset = false;
    const { render } = this.renderer.info;
    const { calls, triangles, points, lines } = render;
    this.overlay.render(this.renderer, camera, this.streamxr.shown, now);
    this.marks.render(this.renderer, camera, gaze, latest, this.streamxr.session.streamer.assets);
    // Not the frame's number: skeletons and geometries are brought up to date once for each.
    Object.assign(render, { calls, triangles, points, lines });
    this.renderer.info.autoReset = autoReset;
  }

  private tools(): HTMLElement {
    const tools = node("div", { className: "tools" });
    const add = (name: string, key: string, about: string, press: () => void): void => {
      const button = node("button", { textContent: name, title: about });
      button.type = "button";
      button.append(node("kbd", { textContent: key }));
      button.addEventListener("click", press);
      this.buttons.set(key, button);
      tools.append(button);
    };
    add("Tiers", "1", "Colour regions by tier", () => this.colour("tier"));
    add("Need", "2", "Colour regions by error against what the eye sees there", () => this.colour("need"));
    add("Gaze", "3", "Show where the eyes are taken to look", () => {
      this.marks.visible = !this.marks.visible;
      this.explain();
    });
    add("Save", "4", "Save a trace of this session, for the lab", () => this.save());
    return tools;
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const typing = event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey;
    if (this.visible && !typing && !event.repeat) this.buttons.get(event.key)?.click();
  };

  private colour(colouring: Colouring): void {
    this.overlay.colouring = this.overlay.colouring === colouring ? null : colouring;
    this.explain();
  }

  private explain(): void {
    const { colouring } = this.overlay;
    const pressed = { "1": colouring === "tier", "2": colouring === "need", "3": this.marks.visible };
    for (const [key, on] of Object.entries(pressed)) {
      const button = this.buttons.get(key);
      if (button) button.ariaPressed = String(on);
    }
    const css = (colour: { getStyle(): string }): string => colour.getStyle();
    const strips: Record<Colouring, () => HTMLElement> = {
      tier: () =>
        legend(
          [0, 1, 2, 3, 4].map((t) => css(tierColour(t, 4))),
          "coarse",
          "fine",
        ),
      need: () =>
        legend(
          [-3, 0, 0.01, 1, 2, 3].map((octaves) => css(needColour(octaves))),
          "finer than seen",
          "error 8 × need",
        ),
    };
    this.explanation.replaceChildren(...(colouring ? [strips[colouring]()] : []));
  }

  private showNetwork(now: number, elapsed: number): void {
    const { bandwidth } = this.streamxr.session;
    const { bytesPerSecond, fastBytesPerSecond, slowBytesPerSecond, ttfbMs, measured } =
      bandwidth.estimate(now);
    const [value, unit] = bits(bytesPerSecond).split(" ");
    this.rate.replaceChildren(
      value ?? "",
      node("small", { textContent: measured ? (unit ?? "") : `${unit}, assumed` }),
    );
    this.averages.replaceChildren(
      measured
        ? keys([
            [FAST, `fast ${bits(fastBytesPerSecond).split(" ")[0]}`],
            [SLOW, `slow ${bits(slowBytesPerSecond)}`],
            ["#5d6e7e", `${ttfbMs.toFixed(0)} ms to first byte`],
          ])
        : node("small", { textContent: "too little came, or too quickly, to measure it" }),
    );
    const rate = ((bandwidth.totalBytes - this.lastBytes) * 1000) / elapsed;
    this.lastBytes = bandwidth.totalBytes;
    this.readings.push({ rate, fast: fastBytesPerSecond, slow: slowBytesPerSecond });
    drawCurve(this.curve, this.readings, { fast: FAST, slow: SLOW });
  }

  private showTotals(elapsed: number): void {
    const { streamer, bandwidth } = this.streamxr.session;
    const { render } = this.renderer.info;
    const ready = streamer.assets.flatMap((asset) =>
      [...asset.files].filter(({ loadState }) => loadState === "ready").map(({ download }) => download),
    );
    const of = (kind: Download["kind"]): number =>
      ready.reduce((sum, download) => sum + (download.kind === kind ? download.bytes : 0), 0);
    const amounts = KINDS.map(([kind, name, colour]) => ({ name, colour, amount: of(kind) }));
    const whole = amounts.reduce((sum, { amount }) => sum + amount, 0);
    const held = streamer.plan?.gpuBytes ?? 0;
    const { gpuBytes: budget, triangles } = streamer.limits;
    const drawn = streamer.plan?.drawn;
    const { gaze, latest } = this.streamxr.view;
    this.totals.replaceChildren(
      row("Received", bytes(bandwidth.totalBytes)),
      bar(amounts.map(({ amount, colour }) => ({ share: amount / Math.max(1, whole), colour }))),
      keys(amounts.map(({ name, colour, amount }) => [colour, `${name} ${bytes(amount)}`])),
      row("GPU memory", `${bytes(held)} of ${bytes(budget)}`),
      bar([{ share: held / budget, colour: held > budget ? "#ff9d8f" : "#c3cdd6" }]),
      row("Streamed", `${count(drawn?.triangles ?? 0)} of ${count(triangles * streamer.renderShare)} tri.`),
      row(
        "Frame",
        `${((this.frames * 1000) / elapsed).toFixed(0)} fps · ${count(render.triangles)} tri. · ${render.calls} draws`,
        "quiet",
      ),
      row(
        "Gaze",
        gaze && latest
          ? `${GAZE_NAMES[gaze.source]} ± ${latest.gazeUncertaintyDegrees.toFixed(0)}°${latest.predicted ? " · moving" : ""}`
          : "–",
        "quiet",
      ),
    );
  }

  private showQueue(): void {
    const { streamer, failures } = this.streamxr.session;
    const { loading, plan } = streamer;
    const lines = [
      ...loading.map(({ download, received }) => ({
        download,
        wish: this.trace.wishes.get(download),
        part: received / Math.max(1, download.bytes),
      })),
      ...(plan?.waiting ?? []).map((wish) => ({ download: wish.download, wish, part: null })),
    ];
    const more = lines.length - QUEUE;
    const rows: HTMLElement[] = [];
    if (lines.length > 0) rows.push(queueTable(lines.slice(0, QUEUE)));
    else rows.push(row("Nothing: all that can be seen is here", "", "quiet"));
    if (more > 0) rows.push(row(`and ${more} more`, "", "quiet"));
    for (const { download, error } of failures.slice(-2)) {
      rows.push(row(`${nameOf(download)}: ${error.message}`, "", "alarm"));
    }
    this.queue.replaceChildren(...rows);
  }
}

interface QueueLine {
  readonly download: Download;
  readonly wish: Candidate | undefined;
  /** How much of it has arrived; null: it waits. */
  readonly part: number | null;
}

function queueTable(lines: readonly QueueLine[]): HTMLTableElement {
  const table = node("table", {});
  const head = table.createTHead().insertRow();
  const columns = [
    ["next", "What is on its way, then what waits"],
    ["gain", "Octaves of visible error that go away × how much of what is seen it is"],
    ["bytes", "Of the file"],
    ["per KB", "Gain per KB, a request's latency counted as bytes: what the queue is ordered by"],
  ];
  for (const [text, about] of columns)
    head.append(node("th", { textContent: text ?? "", title: about ?? "" }));
  const body = table.createTBody();
  for (const { download, wish, part } of lines) {
    const line = body.insertRow();
    line.className = part === null ? "waiting" : "loading";
    if (part !== null) line.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
    const name = nameOf(download);
    const detail = download.kind !== "base" && download.kind !== "manifest";
    const cells = [
      name,
      detail && wish ? figure(wish.gain) : "first",
      bytes(download.bytes),
      detail && wish ? figure(wish.score * 1000) : "–",
    ];
    for (const cell of cells) line.insertCell().textContent = cell;
    line.title = name;
  }
  return table;
}

/** Name and tiers of one asset: the bar is its drawn triangles by tier, coarse to fine. */
function assetRows(asset: AssetState): HTMLElement[] {
  const { manifest } = asset;
  if (!manifest) return [row(asset.id, "…", "quiet"), bar([])];
  const byTier = new Map<number, number>();
  let finest = 0;
  let error = 0;
  manifest.trees.forEach(({ regions, scale }, tree) => {
    for (const { tier } of regions) finest = Math.max(finest, tier);
    for (const index of asset.cuts[tree]?.drawn ?? []) {
      const region = regions[index];
      if (!region) continue;
      byTier.set(region.tier, (byTier.get(region.tier) ?? 0) + region.triangles);
      error = Math.max(error, region.error * scale);
    }
  });
  const triangles = [...byTier.values()].reduce((sum, each) => sum + each, 0);
  const segments = [...byTier]
    .sort(([a], [b]) => a - b)
    .map(
      ([tier, drawn]): Segment => ({
        share: drawn / Math.max(1, triangles),
        colour: tierColour(tier, finest).getStyle(),
      }),
    );
  const tiers = [...byTier.keys()].sort((a, b) => a - b);
  const shown = tiers[0] === tiers.at(-1) ? `${tiers[0] ?? 0}` : `${tiers[0]}–${tiers.at(-1)}`;
  const widths = manifest.textures.map(({ levels }, i) => ({
    now: levels[asset.drawnLevels[i] ?? 0]?.width ?? 0,
    most: levels.at(-1)?.width ?? 0,
  }));
  const most = Math.max(0, ...widths.map((width) => width.most));
  const pictures = most > 0 ? `${Math.max(...widths.map(({ now }) => now))} of ${most} px` : "no pictures";
  return [
    row(asset.id, `tier ${shown} of ${finest}`),
    row(`${count(triangles)} tri. · ${length(error)}`, pictures, "quiet"),
    bar(segments),
  ];
}
