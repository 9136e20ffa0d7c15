import type { Camera, WebGLRenderer } from "three";
import type { AssetState, Download } from "../core/asset.ts";
import type { Manifest } from "../core/bundle/bundle.ts";
import type { Candidate } from "../core/choices.ts";
import type { StreamXR } from "../index.ts";
import { drawCurve, type Reading } from "./curve.ts";
import {
  bar,
  formatBits,
  formatBytes,
  formatCount,
  formatLength,
  formatNumber,
  keys,
  legend,
  node,
  row,
  type Segment,
  STYLE,
  title,
} from "./elements.ts";
import { GazeMarks } from "./gaze-marks.ts";
import { type ColorBy, needColor, Overlay, tierColor } from "./overlay.ts";
import { nameOf, Trace } from "./trace.ts";

/** Milliseconds between two updates: people cannot read numbers that change faster. */
const PERIOD_MS = 250;
/** Rows of the queue. */
const QUEUE_ROWS = 8;

const KINDS: readonly (readonly [kind: Download["kind"], name: string, color: string])[] = [
  ["base", "bases", "#f0b27a"],
  ["animation", "motion", "#c9a0e8"],
  ["refinement", "geometry", "#7fd1c7"],
  ["texture", "pictures", "#8fb4f0"],
];
const FAST_COLOR = "#ffd479";
const SLOW_COLOR = "#8fb4f0";
const TTFB_COLOR = "#5d6e7e";
const MEMORY_COLOR = "#c3cdd6";
const ALARM_COLOR = "#ff9d8f";
const GAZE_NAMES = { eye: "eyes", pinch: "pinch", pointer: "mouse", head: "head" } as const;

/**
 * The inspector: a panel with bandwidth, bytes by kind, memory, assets and queue, and marks in the picture:
 * regions in the colours of their tiers or needs, and the gaze. It records a trace from its construction on.
 *
 * Keys: 1 tiers, 2 error relative to need, 3 gaze, 4 saves the trace.
 */
export class Hud {
  readonly trace: Trace;
  readonly #streamxr: StreamXR;
  readonly #renderer: WebGLRenderer;
  readonly #overlay: Overlay;
  readonly #marks = new GazeMarks();
  readonly #panel = node("section", { id: "hud" });
  readonly #rate = node("div", { className: "big" });
  readonly #averages = node("div", {});
  readonly #curve = node("canvas", {});
  readonly #totals = node("div", {});
  readonly #assets = node("div", {});
  readonly #queue = node("div", {});
  readonly #legend = node("div", {});
  /** By key. */
  readonly #buttons = new Map<string, HTMLButtonElement>();
  readonly #readings: Reading[] = [];
  /** Time of the last update of the panel; 0 before the first after it was opened. */
  #updatedAt = 0;
  /** Received bytes at the last update. */
  #bytesBefore: number;
  /** Frames since the last update. */
  #frames = 0;

  constructor(streamxr: StreamXR, renderer: WebGLRenderer) {
    this.#streamxr = streamxr;
    this.#renderer = renderer;
    this.#overlay = new Overlay((...region) => streamxr.demand(...region));
    this.trace = new Trace(streamxr, performance.now());
    this.#bytesBefore = streamxr.session.bandwidth.totalBytes;
    this.#panel.ariaLabel = "Streaming";
    this.#panel.append(this.#rate, this.#averages, this.#curve, this.#tools(), this.#legend, this.#totals);
    this.#panel.append(title("Assets"), this.#assets, title("Queue: most gain per byte first"), this.#queue);
    document.head.append(node("style", { textContent: STYLE }));
    document.body.append(this.#panel);
    addEventListener("keydown", (event) => this.#onKey(event));
  }

  get visible(): boolean {
    return !this.#panel.hidden;
  }

  set visible(visible: boolean) {
    this.#panel.hidden = !visible;
    this.#updatedAt = 0;
  }

  /**
   * Call once per frame, after drawing; also while hidden, since the trace continues. `now` in milliseconds.
   */
  update(now: number, camera: Camera): void {
    this.trace.record(now);
    if (!this.visible) return;
    this.#drawMarks(now, camera);
    this.#frames++;
    if (this.#updatedAt === 0) {
      this.#updatedAt = now - PERIOD_MS;
      this.#frames = 0;
    }
    const elapsed = now - this.#updatedAt;
    if (elapsed < PERIOD_MS) return;
    this.#showNetwork(now, elapsed);
    this.#showTotals(elapsed);
    this.#assets.replaceChildren(...this.#streamxr.session.streamer.assets.flatMap(assetRows));
    this.#showQueue();
    this.#updatedAt = now;
    this.#frames = 0;
  }

  /** Saves the trace so far as a file for the lab. */
  save(): void {
    const json = JSON.stringify(this.trace.file());
    const link = node("a", {});
    link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
    link.download = `streamxr-trace-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  #drawMarks(now: number, camera: Camera): void {
    const { latest, gaze } = this.#streamxr.view;
    if (!latest || !gaze || (!this.#overlay.colorBy && !this.#marks.visible)) return;
    // The numbers of the panel are those of the page's frame, without the inspector's own draw calls.
    const { autoReset } = this.#renderer.info;
    this.#renderer.info.autoReset = false;
    const { render } = this.#renderer.info;
    const { calls, triangles, points, lines } = render;
    this.#overlay.render(this.#renderer, camera, this.#streamxr.shown, now);
    this.#marks.render(this.#renderer, camera, gaze, latest, this.#streamxr.session.streamer.assets);
    // Not `render.frame`: three.js updates skeletons and geometries once for each of its values.
    Object.assign(render, { calls, triangles, points, lines });
    this.#renderer.info.autoReset = autoReset;
  }

  #tools(): HTMLElement {
    const tools = node("div", { className: "tools" });
    const add = (name: string, key: string, description: string, press: () => void): void => {
      const button = node("button", { textContent: name, title: description });
      button.type = "button";
      button.append(node("kbd", { textContent: key }));
      button.addEventListener("click", press);
      this.#buttons.set(key, button);
      tools.append(button);
    };
    add("Tiers", "1", "Colour regions by tier", () => this.#toggleColors("tier"));
    add("Need", "2", "Colour regions by their error relative to their need", () =>
      this.#toggleColors("need"),
    );
    add("Gaze", "3", "Show the estimated gaze", () => {
      this.#marks.visible = !this.#marks.visible;
      this.#showTools();
    });
    add("Save", "4", "Save a trace of this session for the lab", () => this.save());
    return tools;
  }

  #onKey(event: KeyboardEvent): void {
    const typing = event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey;
    if (this.visible && !typing && !event.repeat) this.#buttons.get(event.key)?.click();
  }

  #toggleColors(colorBy: ColorBy): void {
    this.#overlay.colorBy = this.#overlay.colorBy === colorBy ? null : colorBy;
    this.#showTools();
  }

  /** Shows which tools are on, and the legend of the colours. */
  #showTools(): void {
    const { colorBy } = this.#overlay;
    const pressed = { "1": colorBy === "tier", "2": colorBy === "need", "3": this.#marks.visible };
    for (const [key, isOn] of Object.entries(pressed)) {
      const button = this.#buttons.get(key);
      if (button) button.ariaPressed = String(isOn);
    }
    this.#legend.replaceChildren(...(colorBy ? [legendOf(colorBy)] : []));
  }

  #showNetwork(now: number, elapsed: number): void {
    const { bandwidth } = this.#streamxr.session;
    const { bytesPerSecond, fastBytesPerSecond, slowBytesPerSecond, ttfbMs, measured } =
      bandwidth.estimate(now);
    const [value, unit] = formatBits(bytesPerSecond).split(" ");
    this.#rate.replaceChildren(
      value ?? "",
      node("small", { textContent: measured ? (unit ?? "") : `${unit}, assumed` }),
    );
    this.#averages.replaceChildren(
      measured
        ? keys([
            [FAST_COLOR, `fast ${formatBits(fastBytesPerSecond).split(" ")[0]}`],
            [SLOW_COLOR, `slow ${formatBits(slowBytesPerSecond)}`],
            [TTFB_COLOR, `${ttfbMs.toFixed(0)} ms to first byte`],
          ])
        : node("small", { textContent: "not measured: too few bytes, or they came too quickly" }),
    );
    const rate = ((bandwidth.totalBytes - this.#bytesBefore) * 1000) / elapsed;
    this.#bytesBefore = bandwidth.totalBytes;
    this.#readings.push({ rate, fast: fastBytesPerSecond, slow: slowBytesPerSecond });
    drawCurve(this.#curve, this.#readings, { fast: FAST_COLOR, slow: SLOW_COLOR });
  }

  #showTotals(elapsed: number): void {
    const { streamer, bandwidth } = this.#streamxr.session;
    const { render } = this.#renderer.info;
    const amounts = bytesByKind(streamer.assets);
    const total = amounts.reduce((sum, { amount }) => sum + amount, 0);
    const used = streamer.plan?.gpuBytes ?? 0;
    const { gpuBytes: budget, triangles } = streamer.limits;
    const streamed = formatCount(streamer.plan?.drawn.triangles ?? 0);
    const fps = ((this.#frames * 1000) / elapsed).toFixed(0);
    this.#totals.replaceChildren(
      row("Received", formatBytes(bandwidth.totalBytes)),
      bar(amounts.map(({ amount, color }) => ({ share: amount / Math.max(1, total), color }))),
      keys(amounts.map(({ name, color, amount }) => [color, `${name} ${formatBytes(amount)}`])),
      row("GPU memory", `${formatBytes(used)} of ${formatBytes(budget)}`),
      bar([{ share: used / budget, color: used > budget ? ALARM_COLOR : MEMORY_COLOR }]),
      row("Streamed", `${streamed} of ${formatCount(triangles * streamer.renderShare)} tri.`),
      row("Frame", `${fps} fps · ${formatCount(render.triangles)} tri. · ${render.calls} draws`, "quiet"),
      row("Gaze", this.#gazeText(), "quiet"),
    );
  }

  #gazeText(): string {
    const { gaze, latest } = this.#streamxr.view;
    if (!gaze || !latest) return "–";
    const uncertainty = latest.gazeUncertaintyDegrees.toFixed(0);
    return `${GAZE_NAMES[gaze.source]} ± ${uncertainty}°${latest.predicted ? " · moving" : ""}`;
  }

  #showQueue(): void {
    const { streamer, failures } = this.#streamxr.session;
    const { loading, plan } = streamer;
    const lines = [
      ...loading.map(({ download, received }) => ({
        download,
        candidate: this.trace.candidates.get(download),
        part: received / Math.max(1, download.bytes),
      })),
      ...(plan?.waiting ?? []).map((candidate) => ({ download: candidate.download, candidate, part: null })),
    ];
    const more = lines.length - QUEUE_ROWS;
    const rows: HTMLElement[] = [];
    if (lines.length > 0) rows.push(queueTable(lines.slice(0, QUEUE_ROWS)));
    else rows.push(row("Empty: all visible detail is loaded", "", "quiet"));
    if (more > 0) rows.push(row(`and ${more} more`, "", "quiet"));
    for (const { download, error } of failures.slice(-2)) {
      rows.push(row(`${nameOf(download)}: ${error.message}`, "", "alarm"));
    }
    this.#queue.replaceChildren(...rows);
  }
}

function legendOf(colorBy: ColorBy): HTMLElement {
  const css = (color: { getStyle(): string }): string => color.getStyle();
  if (colorBy === "tier") {
    const colors = [0, 1, 2, 3, 4].map((tier) => css(tierColor(tier, 4)));
    return legend(colors, "coarse", "fine");
  }
  const colors = [-3, 0, 0.01, 1, 2, 3].map((octaves) => css(needColor(octaves)));
  return legend(colors, "error below need", "error 8 × need");
}

/** Bytes of all loaded files, by kind. */
function bytesByKind(
  assets: readonly AssetState[],
): { readonly name: string; readonly color: string; readonly amount: number }[] {
  const loaded = assets.flatMap((asset) =>
    [...asset.files].filter(({ loadState }) => loadState === "ready").map(({ download }) => download),
  );
  return KINDS.map(([kind, name, color]) => {
    const amount = loaded.reduce((sum, download) => sum + (download.kind === kind ? download.bytes : 0), 0);
    return { name, color, amount };
  });
}

interface QueueLine {
  readonly download: Download;
  readonly candidate: Candidate | undefined;
  /** The received part, 0 to 1; null if it is not requested yet. */
  readonly part: number | null;
}

function queueTable(lines: readonly QueueLine[]): HTMLTableElement {
  const table = node("table", {});
  const head = table.createTHead().insertRow();
  const columns = [
    ["next", "Files in flight, then files that wait"],
    ["gain", "Octaves of visible error that the file removes × weight in the view"],
    ["bytes", "Size of the file"],
    ["per KB", "Gain per KB, with a request's latency counted as bytes: the order of the queue"],
  ];
  for (const [text, description] of columns) {
    head.append(node("th", { textContent: text ?? "", title: description ?? "" }));
  }
  const body = table.createTBody();
  for (const { download, candidate, part } of lines) {
    const line = body.insertRow();
    line.className = part === null ? "waiting" : "loading";
    if (part !== null) line.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
    const name = nameOf(download);
    const isDetail = download.kind !== "base" && download.kind !== "manifest";
    const cells = [
      name,
      isDetail && candidate ? formatNumber(candidate.gain) : "first",
      formatBytes(download.bytes),
      isDetail && candidate ? formatNumber(candidate.score * 1000) : "–",
    ];
    for (const cell of cells) line.insertCell().textContent = cell;
    line.title = name;
  }
  return table;
}

/** The rows of one asset; its bar shows the drawn triangles by tier, coarse to fine. */
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
  const triangles = [...byTier.values()].reduce((sum, count) => sum + count, 0);
  const tiers = [...byTier].sort(([a], [b]) => a - b);
  const segments = tiers.map(
    ([tier, drawn]): Segment => ({
      share: drawn / Math.max(1, triangles),
      color: tierColor(tier, finest).getStyle(),
    }),
  );
  const [first, last] = [tiers[0]?.[0] ?? 0, tiers.at(-1)?.[0] ?? 0];
  const shown = first === last ? `${first}` : `${first}–${last}`;
  return [
    row(asset.id, `tier ${shown} of ${finest}`),
    row(`${formatCount(triangles)} tri. · ${formatLength(error)}`, pictureText(asset, manifest), "quiet"),
    bar(segments),
  ];
}

/** The largest drawn width of an asset's pictures, and the largest that there is. */
function pictureText(asset: AssetState, { textures }: Manifest): string {
  const drawn = textures.map(({ levels }, i) => levels[asset.drawnLevels[i] ?? 0]?.width ?? 0);
  const available = textures.map(({ levels }) => levels.at(-1)?.width ?? 0);
  const largest = Math.max(0, ...available);
  return largest > 0 ? `${Math.max(...drawn)} of ${largest} px` : "no pictures";
}
