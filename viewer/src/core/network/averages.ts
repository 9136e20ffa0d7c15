/**
 * Two exponential averages of the throughput, a fast and a slow one. The smaller is the estimate, as in
 * hls.js and dash.js. Samples are weighted by their time, and an average is divided by the weight that it has
 * seen so far (the bias correction of Adam, Kingma and Ba 2015). docs/streaming.md explains the rest.
 */

const FAST_HALF_LIFE_MS = 1500;
const SLOW_HALF_LIFE_MS = 6000;
/**
 * A step of the link is recognised by samples in a row that all lie further than this ratio to one side of
 * the estimate: so many of them, over so long. The averages then start anew from these samples.
 */
const STEP_RATIO = 1.15;
const STEP_SAMPLES = 3;
const STEP_MS = 1000;

export interface Sample {
  readonly bytes: number;
  readonly ms: number;
  /** The link may have been idle during the sample, for want of requests. It may only raise the estimate. */
  readonly isLowerBound: boolean;
}

/** An exponential sum, and the time that it has seen. */
interface Average {
  readonly sum: number;
  readonly ms: number;
}

/** Samples in a row on one side of the estimate. */
interface Run {
  /** 1: above the estimate, −1: below, 0: no run. */
  readonly side: number;
  readonly samples: number;
  readonly bytes: number;
  readonly ms: number;
}

export interface Averages {
  /** The greatest lower bound before the first exact sample, bytes per second. */
  readonly lowerBound: number;
  readonly fast: Average;
  readonly slow: Average;
  readonly run: Run;
}

const UNKNOWN: Average = { sum: 0, ms: 0 };
const NO_RUN: Run = { side: 0, samples: 0, bytes: 0, ms: 0 };
export const NO_AVERAGES: Averages = { lowerBound: 0, fast: UNKNOWN, slow: UNKNOWN, run: NO_RUN };

/** Whether there is any sample but lower bounds. */
export function isMeasured({ slow }: Averages): boolean {
  return slow.ms > 0;
}

/** Bytes per second; 0 before the first exact sample. */
export function fastRate({ fast }: Averages): number {
  return mean(fast, FAST_HALF_LIFE_MS);
}

/** Bytes per second; 0 before the first exact sample. */
export function slowRate({ slow }: Averages): number {
  return mean(slow, SLOW_HALF_LIFE_MS);
}

/** The estimate, bytes per second; 0 before the first exact sample. */
export function rateOf(averages: Averages): number {
  return Math.min(fastRate(averages), slowRate(averages));
}

/** The averages after one more sample. */
export function withSample(averages: Averages, sample: Sample): Averages {
  const { fast, slow, lowerBound } = averages;
  const estimate = rateOf(averages);
  const rate = (1000 * sample.bytes) / sample.ms;
  if (sample.isLowerBound) {
    if (!isMeasured(averages)) return { ...averages, lowerBound: Math.max(lowerBound, rate) };
    if (rate <= estimate) return averages;
  }
  const run = nextRun(averages, sample, rate, estimate);
  if (run.samples >= STEP_SAMPLES && run.ms >= STEP_MS) {
    const level = (1000 * run.bytes) / run.ms;
    return { lowerBound, ...blended(UNKNOWN, UNKNOWN, level, run.ms), run: NO_RUN };
  }
  return { lowerBound, ...blended(fast, slow, rate, sample.ms), run };
}

/** The run after one more sample, which continues it, starts another one or ends it. */
function nextRun(averages: Averages, sample: Sample, rate: number, estimate: number): Run {
  let side = 0;
  if (isMeasured(averages)) {
    if (rate > estimate * STEP_RATIO) side = 1;
    else if (rate < estimate / STEP_RATIO) side = -1;
  }
  if (side === 0) return NO_RUN;
  const { samples, bytes, ms } = side === averages.run.side ? averages.run : NO_RUN;
  return { side, samples: samples + 1, bytes: bytes + sample.bytes, ms: ms + sample.ms };
}

function blended(fast: Average, slow: Average, rate: number, ms: number): Pick<Averages, "fast" | "slow"> {
  return { fast: blend(fast, rate, ms, FAST_HALF_LIFE_MS), slow: blend(slow, rate, ms, SLOW_HALF_LIFE_MS) };
}

function blend(average: Average, rate: number, ms: number, halfLife: number): Average {
  const keep = 0.5 ** (ms / halfLife);
  return { sum: keep * average.sum + (1 - keep) * rate, ms: average.ms + ms };
}

/** The mean rate, without the initial zero of the sum. */
function mean(average: Average, halfLife: number): number {
  return average.ms === 0 ? 0 : average.sum / (1 - 0.5 ** (average.ms / halfLife));
}
