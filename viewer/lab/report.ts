/** The lab's report: one self-contained HTML file with tables and plots. */
import type { Outcome } from "./judge.ts";
import {
  fovealTime,
  isBest,
  type Measure,
  medianRatio,
  NARROW_MEGABITS,
  ours,
  type Pair,
  summary,
  visibleError,
} from "./summary.ts";

const WIDTH = 460;
const HEIGHT = 150;
const COLOURS = ["#0b57d0", "#8ab4f8", "#b3261e", "#b06000", "#e8a33d", "#188038", "#7627bb", "#5f6368"];

export function html(pairs: readonly Pair[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>StreamXR: the lab</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1000px; padding: 0 1rem; color: #202124 }
pre { overflow-x: auto; font-size: 12px }
svg { font: 11px system-ui, sans-serif; overflow: visible }
section { display: grid; grid-template-columns: repeat(auto-fill, minmax(${WIDTH}px, 1fr)); gap: 1rem }
figure { margin: 0 } figcaption { font-size: 13px }
</style>
<h1>The lab</h1>
<h2>Other policies against ours, medians at ≤ ${NARROW_MEGABITS} Mbit/s</h2>
<section>${bars(pairs, visibleError, "visible error ÷ ours")}${bars(pairs, fovealTime, "foveal time ÷ ours")}</section>
<h2>Numbers</h2>
<pre>${escaped(summary(pairs))}</pre>
<h2>Visible error over time</h2>
<p>Octaves above the visible limit, weighted by the acuity of the eye. Of each family, the best policy is shown.</p>
<section>${pairs.map(curves).join("\n")}</section>
</html>
`;
}

function bars(pairs: readonly Pair[], measure: Measure, title: string): string {
  const narrow = pairs.filter(({ megabits }) => megabits <= NARROW_MEGABITS);
  const policies = (narrow[0]?.results ?? []).map(({ policy }) => policy);
  const largestRatio = 4;
  const rows = policies.map((policy, i) => {
    const ratio = medianRatio(narrow, policy, measure);
    const width = (Math.min(largestRatio, ratio) / largestRatio) * (WIDTH - 190);
    const y = i * 18;
    return `<text x="120" y="${y + 12}" text-anchor="end">${escaped(policy)}</text><rect x="128" y="${y + 2}" width="${width.toFixed(1)}" height="13" fill="${policy === "ours" ? COLOURS[0] : "#9aa0a6"}"/><text x="${(134 + width).toFixed(1)}" y="${y + 12}">${ratio.toFixed(2)}</text>`;
  });
  const height = policies.length * 18;
  return `<figure><svg width="${WIDTH}" height="${height}" role="img">${rows.join("")}</svg><figcaption>${title}</figcaption></figure>`;
}

function curves(pair: Pair): string {
  const families = [...new Set(pair.results.map(({ family }) => family))];
  const shown = families.map((family) =>
    pair.results
      .filter((each) => each.family === family)
      .reduce((a, b) => (visibleError(b.outcome) < visibleError(a.outcome) ? b : a)),
  );
  const span = ours(pair)?.series.at(-1)?.[0] ?? 1;
  const top = Math.max(1, ...shown.flatMap(({ outcome }) => outcome.series.map(([, octaves]) => octaves)));
  const lines = shown.map(({ outcome }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    return `<polyline points="${points(outcome, span, top)}" fill="none" stroke="${colour}" stroke-width="1.4"/>`;
  });
  const legend = shown.map(
    ({ policy }, i) =>
      `<tspan x="${WIDTH - 105}" dy="13" fill="${COLOURS[i % COLOURS.length]}">${escaped(policy)}</tspan>`,
  );
  const mark = isBest(pair, visibleError) ? "" : ` (best: ${escaped(bestOf(pair))})`;
  return `<figure><svg width="${WIDTH}" height="${HEIGHT + 20}" role="img"><path d="M0 0V${HEIGHT}H${WIDTH}" fill="none" stroke="#dadce0"/>${lines.join("")}<text y="2">${legend.join("")}</text><text y="${HEIGHT + 15}">0</text><text x="${WIDTH}" y="${HEIGHT + 15}" text-anchor="end">${(span / 1000).toFixed(0)} s</text><text x="4" y="10">${top.toFixed(0)} octaves</text></svg><figcaption>${escaped(`${pair.scene}, ${pair.head}, ${pair.network}`)}${mark}</figcaption></figure>`;
}

function bestOf(pair: Pair): string {
  return pair.results.reduce((a, b) => (visibleError(b.outcome) < visibleError(a.outcome) ? b : a)).policy;
}

/** Every fourth sample: about one point per three pixels. */
function points({ series }: Outcome, span: number, top: number): string {
  return series
    .filter((_, i) => i % 4 === 0)
    .map(
      ([ms, octaves]) => `${((WIDTH * ms) / span).toFixed(0)},${(HEIGHT * (1 - octaves / top)).toFixed(1)}`,
    )
    .join(" ");
}

function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
