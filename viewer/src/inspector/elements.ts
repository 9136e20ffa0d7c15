/** Elements of the panel, and the formats of its numbers. */

export const STYLE = `
#hud { position: fixed; left: 16px; top: 16px; width: 340px; max-height: calc(100vh - 96px); overflow: auto; z-index: 2;
  padding: 14px 16px 12px; border-radius: 14px; color: #e8eef4; background: rgba(20, 27, 36, 0.92); box-shadow: 0 10px 40px rgba(20, 27, 36, 0.25);
  font: 12px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; scrollbar-width: thin; scrollbar-color: #45525f transparent; }
#hud .big { font-size: 24px; line-height: 1.15; font-weight: 600; letter-spacing: -0.01em; }
#hud .big small { font-size: 13px; font-weight: 500; color: #9fb0c0; margin-left: 4px; }
#hud .quiet { color: #9fb0c0; }
#hud .key::before { content: ""; display: inline-block; width: 8px; height: 8px; border-radius: 2px; margin-right: 4px; background: var(--key); }
#hud .keys { display: flex; flex-wrap: wrap; gap: 0 9px; color: #9fb0c0; font-size: 11px; margin-bottom: 4px; }
#hud canvas { display: block; width: 100%; height: 40px; margin: 6px 0 4px; }
#hud h2 { margin: 11px 0 4px; font-size: 10.5px; font-weight: 600; letter-spacing: 0.08em; text-transform: uppercase; color: #7d90a3; }
#hud .row { display: flex; justify-content: space-between; gap: 10px; }
#hud .row b { font-weight: 500; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#hud .row span { white-space: nowrap; }
#hud .bar { display: flex; height: 5px; margin: 3px 0 7px; border-radius: 3px; overflow: hidden; background: rgba(255, 255, 255, 0.1); }
#hud .bar i { display: block; height: 100%; }
#hud .alarm { color: #ff9d8f; }
#hud .alarm b { white-space: normal; overflow-wrap: anywhere; }
#hud table { width: 100%; border-collapse: collapse; table-layout: fixed; }
#hud th { font-weight: 500; color: #7d90a3; text-align: right; padding: 0; }
#hud th:first-child { text-align: left; width: 52%; }
#hud td { padding: 0; text-align: right; white-space: nowrap; }
#hud td:first-child { text-align: left; overflow: hidden; text-overflow: ellipsis; }
#hud tr.waiting { color: #9fb0c0; }
#hud tr.loading td:first-child { background: linear-gradient(90deg, rgba(127, 209, 199, 0.32) var(--part), transparent var(--part)); border-radius: 3px; }
#hud .tools { display: flex; gap: 6px; margin: 10px 0; }
#hud .tools button { flex: 1; padding: 4px 0; border: 0; border-radius: 7px; font: inherit; font-size: 11.5px; color: #e8eef4; background: rgba(255, 255, 255, 0.1); cursor: pointer; backdrop-filter: none; }
#hud .tools button:hover { background: rgba(255, 255, 255, 0.18); }
#hud .tools button:focus-visible { outline: 2px solid #7fd1c7; outline-offset: 1px; }
#hud .tools button[aria-pressed="true"] { color: #14202b; background: #7fd1c7; }
#hud .tools kbd { font: inherit; opacity: 0.6; margin-left: 4px; }
#hud .legend { margin: 0 0 8px; }
#hud .legend i { display: block; height: 7px; border-radius: 4px; }
@media (max-width: 520px) { #hud { left: 8px; right: 8px; top: 8px; width: auto; max-height: 46vh; } }
@media (max-height: 420px) { #hud { max-height: calc(100vh - 70px); top: 8px; } }
`;

export function node<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<Pick<HTMLElementTagNameMap[K], "className" | "textContent" | "title" | "id">>,
): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(tag), properties);
}

export function title(text: string): HTMLElement {
  return node("h2", { textContent: text });
}

export function row(left: string, right: string, className = ""): HTMLElement {
  const line = node("div", { className: `row ${className}` });
  line.append(node("b", { textContent: left, title: left }), node("span", { textContent: right }));
  return line;
}

export interface Segment {
  /** Part of the bar, 0 to 1. */
  readonly share: number;
  readonly color: string;
}

export function bar(segments: readonly Segment[]): HTMLElement {
  const line = node("div", { className: "bar" });
  for (const { share, color } of segments) {
    const part = node("i", {});
    part.style.width = `${(100 * Math.min(1, share)).toFixed(2)}%`;
    part.style.background = color;
    line.append(part);
  }
  return line;
}

/** A legend with one colour for each text. */
export function keys(entries: readonly (readonly [color: string, text: string])[]): HTMLElement {
  const line = node("div", { className: "keys" });
  for (const [color, text] of entries) {
    const key = node("span", { className: "key", textContent: text });
    key.style.setProperty("--key", color);
    line.append(key);
  }
  return line;
}

/** A strip of colours with a text at each end. */
export function legend(colors: readonly string[], from: string, to: string): HTMLElement {
  const box = node("div", { className: "legend" });
  const strip = node("i", {});
  strip.style.background = `linear-gradient(90deg, ${colors.join(", ")})`;
  box.append(strip, row(from, to, "quiet"));
  return box;
}

export function formatBits(bytesPerSecond: number): string {
  const rate = bytesPerSecond * 8;
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(rate >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${(rate / 1e3).toFixed(0)} kbit/s`;
}

export function formatBytes(amount: number): string {
  if (amount >= 1e9) return `${(amount / 1e9).toFixed(2)} GB`;
  if (amount >= 1e6) return `${(amount / 1e6).toFixed(amount >= 1e8 ? 0 : 1)} MB`;
  if (amount >= 1e4 || amount === 0) return `${(amount / 1e3).toFixed(0)} KB`;
  return `${(amount / 1e3).toFixed(1)} KB`;
}

export function formatCount(amount: number): string {
  return amount >= 1e4 ? `${(amount / 1e3).toFixed(0)}k` : amount.toFixed(0);
}

/** A number with two or three significant digits. */
export function formatNumber(amount: number): string {
  if (amount === 0) return "0";
  if (amount >= 1e9) return `${(amount / 1e9).toFixed(2)} GB`;
  if (amount >= 1e6) return `${(amount / 1e6).toPrecision(3)}M`;
  if (amount >= 1e3) return `${(amount / 1e3).toPrecision(3)}k`;
  return amount >= 0.01 ? String(Number(amount.toPrecision(2))) : amount.toExponential(0);
}

/** An error in metres, in a suitable unit. */
export function formatLength(metres: number): string {
  if (metres === 0) return "exact";
  if (metres >= 0.01) return `±${(metres * 100).toFixed(1)} cm`;
  if (metres >= 0.0001) return `±${(metres * 1000).toFixed(1)} mm`;
  return `±${(metres * 1e6).toFixed(0)} µm`;
}
