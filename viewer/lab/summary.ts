/** The outcomes as tables for the terminal. */
import type { Outcome } from "./judge.ts";

/** One head and one network in one scene, under every policy. */
export interface Pair {
  readonly scene: string;
  readonly head: string;
  readonly network: string;
  readonly megabits: number;
  /** With `--bound`: see `errorLowerBound`. */
  readonly errorLowerBound?: number;
  readonly results: readonly Result[];
}

export interface Result {
  readonly policy: string;
  readonly family: string;
  readonly outcome: Outcome;
}

/** Outcomes within this ratio, or within one sample of the judge, count as equal. */
const TOLERANCE = 0.02;
const RESOLUTION_MS = 50;
/** The goals for ratios apply to links up to this rate, Mbit/s. */
export const NARROW_MEGABITS = 10;

export type Measure = (outcome: Outcome) => number;
export const fovealNeed: Measure = ({ fovealNeedMs }) => fovealNeedMs;
export const fovealTime: Measure = ({ fovealMs }) => fovealMs;
export const visibleError: Measure = ({ error }) => error;
export const plainError: Measure = ({ plainError: error }) => error;

export const ours = ({ results }: Pair): Outcome | undefined =>
  results.find(({ policy }) => policy === "ours")?.outcome;

/** Whether ours is the best policy of a pair, or within 2 % of it. */
export function isBest(pair: Pair, measure: Measure): boolean {
  const mine = ours(pair);
  if (!mine) return false;
  const slack = measure === fovealNeed || measure === fovealTime ? RESOLUTION_MS : 1e-9;
  const best = Math.min(...pair.results.map(({ outcome }) => measure(outcome)));
  return measure(mine) <= best * (1 + TOLERANCE) + slack;
}

/** Median over pairs of a policy's measure ÷ ours. */
export function medianRatio(pairs: readonly Pair[], policy: string, measure: Measure): number {
  const ratios = pairs.flatMap((pair) => {
    const mine = ours(pair);
    const other = pair.results.find((each) => each.policy === policy)?.outcome;
    return mine && other ? [(measure(other) + 1e-9) / (measure(mine) + 1e-9)] : [];
  });
  return median(ratios);
}

export function summary(pairs: readonly Pair[]): string {
  const scenes = [...new Set(pairs.map(({ scene }) => scene))];
  const parts = scenes.map((scene) =>
    table(
      scene,
      pairs.filter((pair) => pair.scene === scene),
    ),
  );
  const narrow = pairs.filter(({ megabits }) => megabits <= NARROW_MEGABITS);
  if (scenes.length > 1) parts.push(table("all", pairs));
  if (narrow.length > 0) parts.push(table(`all pairs at ≤ ${NARROW_MEGABITS} Mbit/s`, narrow));
  return [...parts, goals(pairs)].join("\n\n");
}

function table(title: string, pairs: readonly Pair[]): string {
  const header = [
    "policy",
    "first frame",
    "foveal need",
    "foveal time",
    "÷ ours",
    "visible error",
    "÷ ours",
    "plain ÷ ours",
    "MB",
    "never seen",
    "aborted",
  ];
  const policies = pairs[0]?.results.map(({ policy }) => policy) ?? [];
  const rows = policies.map((policy) => {
    const outcomes = pairs.flatMap(({ results }) =>
      results.filter((each) => each.policy === policy).map(({ outcome }) => outcome),
    );
    const middle = (measure: Measure) => median(outcomes.map(measure));
    const share = (part: Measure) =>
      `${Math.round(100 * middle((each) => part(each) / Math.max(1, each.bytes)))} %`;
    return [
      policy,
      `${(middle(({ firstFrameMs }) => firstFrameMs) / 1000).toFixed(2)} s`,
      `${(middle(fovealNeed) / 1000).toFixed(2)} s`,
      `${(middle(fovealTime) / 1000).toFixed(2)} s`,
      medianRatio(pairs, policy, fovealTime).toFixed(2),
      middle(visibleError).toFixed(0),
      medianRatio(pairs, policy, visibleError).toFixed(2),
      medianRatio(pairs, policy, plainError).toFixed(2),
      (middle(({ bytes }) => bytes) / 1e6).toFixed(2),
      share(({ unseen }) => unseen),
      share(({ aborted }) => aborted),
    ];
  });
  const bounds = pairs.flatMap((pair) => {
    const mine = ours(pair);
    return mine && pair.errorLowerBound !== undefined ? [pair.errorLowerBound / mine.error] : [];
  });
  const bound = `No choice of files gets below ${median(bounds).toFixed(2)} of our visible error (median; ${Math.min(...bounds).toFixed(2)} to ${Math.max(...bounds).toFixed(2)}).`;
  const parts = [`${title}: medians over ${pairs.length} pairs of traces`, markdown([header, ...rows])];
  return [...parts, ...(bounds.length > 0 ? [bound] : [])].join("\n\n");
}

function goals(pairs: readonly Pair[]): string {
  const count = (measure: Measure) => pairs.filter((pair) => isBest(pair, measure)).length;
  const lost = (measure: Measure, name: string) =>
    pairs
      .filter((pair) => !isBest(pair, measure))
      .map((pair) => {
        const best = pair.results.reduce((a, b) => (measure(b.outcome) < measure(a.outcome) ? b : a));
        const ratio = measure(ours(pair) ?? best.outcome) / measure(best.outcome);
        return `  ${name}: ${pair.scene}, ${pair.head}, ${pair.network}: ${ratio.toFixed(2)} × ${best.policy}`;
      });
  const unseen = pairs.map((pair) => {
    const mine = ours(pair);
    return mine ? mine.unseen / Math.max(1, mine.bytes) : 1;
  });
  return [
    `Best or within ${100 * TOLERANCE} %, of ${pairs.length} pairs: foveal need ${count(fovealNeed)}, foveal time ${count(fovealTime)}, visible error ${count(visibleError)}, plain error ${count(plainError)}.`,
    `Bytes never drawn inside the view: median ${percent(median(unseen))}, largest ${percent(Math.max(...unseen))}, over 15 % in ${unseen.filter((share) => share > 0.15).length} pairs.`,
    ...lost(fovealNeed, "foveal need"),
    ...lost(fovealTime, "foveal time"),
    ...lost(visibleError, "visible error"),
  ].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  const [header = [], ...rest] = rows;
  return [line(header), rule, ...rest.map(line)].join("\n");
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
