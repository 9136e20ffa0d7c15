import type { WebGLRenderer } from "three";
import type { AssetState, Download } from "./core/asset.ts";
import type { StreamXR } from "./index.ts";

/** Milliseconds between two readings: numbers that change faster cannot be read. */
const PERIOD_MS = 250;
/** Readings in the bandwidth curve: 30 s. */
const CURVE = 120;
/** Rows of files in flight. */
const FILES = 4;

const STYLE = `
#hud { position: fixed; left: 16px; top: 16px; width: 292px; max-height: calc(100vh - 96px); overflow: auto; z-index: 2;
  padding: 14px 16px 12px; border-radius: 14px; color: #e8eef4; background: rgba(20, 27, 36, 0.86); box-shadow: 0 10px 40px rgba(20, 27, 36, 0.25);
  font: 12px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; }
#hud .big { font-size: 24px; line-height: 1.15; font-weight: 600; letter-spacing: -0.01em; }
#hud .big small { font-size: 13px; font-weight: 500; color: #9fb0c0; margin-left: 4px; }
#hud .quiet { color: #9fb0c0; }
#hud canvas { display: block; width: 100%; height: 34px; margin: 6px 0 4px; }
#hud h2 { margin: 11px 0 4px; font-size: 10.5px; font-weight: 600; letter-spacing: 0.08em; text-transform: uppercase; color: #7d90a3; }
#hud .row { display: flex; justify-content: space-between; gap: 10px; }
#hud .row b { font-weight: 500; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#hud .bar { display: flex; height: 5px; margin: 3px 0 8px; border-radius: 3px; overflow: hidden; background: rgba(255, 255, 255, 0.1); }
#hud .bar i { display: block; height: 100%; }
#hud .alarm { color: #ff9d8f; }
@media (max-width: 520px) { #hud { left: 8px; right: 8px; top: 8px; width: auto; max-height: 46vh; } }
@media (max-height: 420px) { #hud { max-height: calc(100vh - 70px); top: 8px; } }
`;

/** What is streaming, in numbers: bandwidth, tiers, bytes, memory, and the queue. */
export class Hud {
  private readonly root = node("section", { id: "hud" });
  private readonly rate = node("div", { className: "big" });
  private readonly averages = node("div", { className: "quiet" });
  private readonly curve = node("canvas", {});
  private readonly totals = node("div", {});
  private readonly assets = node("div", {});
  private readonly queue = node("div", {});
  private readonly readings: number[] = [];
  private lastTime = 0;
  private lastBytes = 0;
  private frames = 0;

  constructor(
    private readonly streamxr: StreamXR,
    private readonly renderer: WebGLRenderer,
  ) {
    const title = (text: string): HTMLElement => node("h2", { textContent: text });
    this.root.ariaLabel = "What is streaming";
    this.root.append(this.rate, this.averages, this.curve, this.totals);
    this.root.append(title("Assets"), this.assets, title("In flight"), this.queue);
    document.head.append(node("style", { textContent: STYLE }));
    document.body.append(this.root);
    this.lastBytes = streamxr.session.bandwidth.totalBytes;
  }

  get visible(): boolean {
    return !this.root.hidden;
  }

  set visible(visible: boolean) {
    this.root.hidden = !visible;
    this.lastTime = 0;
  }

  /** Call once per frame, after drawing. `now` in milliseconds. */
  update(now: number): void {
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

  private showNetwork(now: number, elapsed: number): void {
    const { bandwidth } = this.streamxr.session;
    const { bytesPerSecond, fastBytesPerSecond, slowBytesPerSecond, ttfbMs, measured } =
      bandwidth.network(now);
    const [value, unit] = bits(bytesPerSecond).split(" ");
    this.rate.replaceChildren(
      value ?? "",
      node("small", { textContent: measured ? (unit ?? "") : `${unit}, assumed` }),
    );
    this.averages.textContent = `fast ${bits(fastBytesPerSecond)} · slow ${bits(slowBytesPerSecond)} · ${ttfbMs.toFixed(0)} ms`;
    this.averages.title = "Fast and slow average, and the time to the first byte";
    this.readings.push(((bandwidth.totalBytes - this.lastBytes) * 1000) / elapsed);
    this.lastBytes = bandwidth.totalBytes;
    if (this.readings.length > CURVE) this.readings.shift();
    drawCurve(this.curve, this.readings, bytesPerSecond);
  }

  private showTotals(elapsed: number): void {
    const { streamer, bandwidth } = this.streamxr.session;
    const { render } = this.renderer.info;
    const files = streamer.assets.flatMap((asset) => [...asset.files]);
    const ready = (kind: Download["kind"]): number =>
      files
        .filter(({ stage, download }) => stage === "ready" && download.kind === kind)
        .reduce((sum, { download }) => sum + download.bytes, 0);
    this.totals.replaceChildren(
      row("Received", bytes(bandwidth.totalBytes)),
      row("Bases", bytes(ready("base")), "quiet"),
      row("Geometry", bytes(ready("refinement")), "quiet"),
      row("Pictures", bytes(ready("texture")), "quiet"),
      row("GPU memory", `${bytes(streamer.plan?.gpuBytes ?? 0)} of ${bytes(streamer.limits.gpuBytes)}`),
      row(
        "Frame",
        `${((this.frames * 1000) / elapsed).toFixed(0)} fps · ${count(render.triangles)} tri. · ${render.calls} draws`,
      ),
    );
  }

  private showQueue(): void {
    const { streamer, failures } = this.streamxr.session;
    const rows = streamer.loading
      .slice(0, FILES)
      .flatMap(({ download, received }) => [
        row(label(download), `${bytes(received)} / ${bytes(download.bytes)}`),
        bar([{ share: received / Math.max(1, download.bytes), colour: "#7fd1c7" }]),
      ]);
    const more = streamer.loading.length - FILES;
    if (more > 0) rows.push(row(`and ${more} more`, "", "quiet"));
    const waiting = streamer.plan?.waiting.length ?? 0;
    if (waiting > 0) rows.push(row("Waiting", String(waiting), "quiet"));
    if (rows.length === 0) rows.push(row("Nothing: all that can be seen is here", "", "quiet"));
    for (const { download, error } of failures.slice(-2))
      rows.push(row(`${label(download)}: ${error.message}`, "", "alarm"));
    this.queue.replaceChildren(...rows);
  }
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
    .map(([tier, drawn]) => ({ share: drawn / Math.max(1, triangles), colour: tierColour(tier, finest) }));
  const tiers = [...byTier.keys()].sort((a, b) => a - b);
  const shown = tiers[0] === tiers.at(-1) ? `${tiers[0] ?? 0}` : `${tiers[0]}–${tiers.at(-1)}`;
  const widths = manifest.textures.map(({ levels }, i) => ({
    now: levels[asset.levels[i] ?? 0]?.width ?? 0,
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

function tierColour(tier: number, finest: number): string {
  const t = finest === 0 ? 1 : tier / finest;
  return `hsl(${32 + 140 * t} ${62 - 8 * t}% ${60}%)`;
}

function drawCurve(canvas: HTMLCanvasElement, readings: readonly number[], estimate: number): void {
  const ratio = Math.min(2, devicePixelRatio);
  const wide = Math.round(canvas.clientWidth * ratio);
  const high = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.clearRect(0, 0, wide, high);
  const top = Math.max(estimate * 1.3, ...readings, 1);
  const x = (i: number): number => wide - ((readings.length - 1 - i) / (CURVE - 1)) * wide;
  const y = (rate: number): number => high - 1 - (rate / top) * (high - 3);
  pen.beginPath();
  pen.moveTo(x(0), high);
  readings.forEach((rate, i) => {
    pen.lineTo(x(i), y(rate));
  });
  pen.lineTo(wide, high);
  pen.fillStyle = "rgba(127, 209, 199, 0.28)";
  pen.fill();
  pen.strokeStyle = "rgba(255, 255, 255, 0.45)";
  pen.setLineDash([3 * ratio, 3 * ratio]);
  pen.beginPath();
  pen.moveTo(0, y(estimate));
  pen.lineTo(wide, y(estimate));
  pen.stroke();
  pen.setLineDash([]);
}

function label(download: Download): string {
  const { asset, kind } = download;
  if (kind === "refinement") return `${asset.id} region ${download.tree}.${download.region}`;
  if (kind === "texture") {
    const size = asset.manifest?.textures[download.texture]?.levels[download.level]?.width;
    return `${asset.id} picture ${download.texture}${size ? `, ${size} px` : ""}`;
  }
  return `${asset.id} ${kind}`;
}

function row(left: string, right: string, className = ""): HTMLElement {
  const line = node("div", { className: `row ${className}` });
  line.append(node("b", { textContent: left, title: left }), node("span", { textContent: right }));
  return line;
}

function bar(segments: readonly { readonly share: number; readonly colour: string }[]): HTMLElement {
  const line = node("div", { className: "bar" });
  for (const { share, colour } of segments) {
    const part = node("i", {});
    part.style.width = `${(100 * Math.min(1, share)).toFixed(2)}%`;
    part.style.background = colour;
    line.append(part);
  }
  return line;
}

function node<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<Pick<HTMLElementTagNameMap[K], "className" | "textContent" | "title" | "id">>,
): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(tag), properties);
}

function bits(bytesPerSecond: number): string {
  const rate = bytesPerSecond * 8;
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(rate >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${(rate / 1e3).toFixed(0)} kbit/s`;
}

function bytes(amount: number): string {
  if (amount >= 1e6) return `${(amount / 1e6).toFixed(amount >= 1e8 ? 0 : 1)} MB`;
  return `${(amount / 1e3).toFixed(0)} KB`;
}

function count(amount: number): string {
  return amount >= 1e4 ? `${(amount / 1e3).toFixed(0)}k` : amount.toFixed(0);
}

/** A length in the unit in which it is a small number. */
function length(metres: number): string {
  if (metres === 0) return "exact";
  if (metres >= 0.01) return `±${(metres * 100).toFixed(1)} cm`;
  if (metres >= 0.0001) return `±${(metres * 1000).toFixed(1)} mm`;
  return `±${(metres * 1e6).toFixed(0)} µm`;
}
