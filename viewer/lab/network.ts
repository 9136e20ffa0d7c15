/** Networks over time: generated ones and recorded ones from JSON files. */
import { seeded } from "./random.ts";
import { partOf } from "./recorded.ts";

export interface NetworkTrace {
  readonly name: string;
  /** Time from sending a request to its first byte on an idle link, milliseconds. */
  readonly rttMs: number;
  /** Bytes per millisecond. @param now milliseconds */
  rate(now: number): number;
  /** The highest rate, Mbit/s; results are grouped by it. */
  readonly megabits: number;
}

/** A file in traces/network: rates that hold from each time to the next. It repeats after the last time. */
interface NetworkFile {
  readonly format: "streamxr/network";
  readonly rttMs: number;
  /** Pairs of milliseconds, from 0 and rising, and Mbit/s. The last rate is not used. */
  readonly samples: readonly (readonly [number, number])[];
}

const BYTES_PER_MS = 125;

export function generatedNetworks(): NetworkTrace[] {
  return [
    ...[1, 2, 5, 10, 20, 50].map((megabits) => steps(`${megabits} Mbit/s`, 40, [[0, megabits]])),
    steps("step down 20→4", 40, [
      [0, 20],
      [4000, 4],
    ]),
    steps("step up 2→20", 40, [
      [0, 2],
      [5000, 20],
    ]),
    steps("LTE-like", 60, lte(7)),
    steps("lossy, stalls", 80, stalls(11)),
  ];
}

/** @throws Error with the name of the file and the problem if it is not a network trace */
export function recordedNetwork(name: string, json: unknown): NetworkTrace {
  const { format, rttMs, samples } = partOf(json, "network") as Partial<NetworkFile>;
  const problem = (text: string) => new Error(`${name}: ${text}`);
  if (format !== "streamxr/network") throw problem('"format" is not "streamxr/network"');
  if (!(typeof rttMs === "number" && rttMs >= 0)) throw problem('"rttMs" is not a time');
  if (!Array.isArray(samples) || samples.length < 2) throw problem('"samples" needs two pairs or more');
  samples.forEach(([ms, megabits], i) => {
    const isValid = ms > (samples[i - 1]?.[0] ?? -1) && megabits >= 0 && Number.isFinite(megabits);
    if (!isValid) throw problem(`sample ${i} is not a later time and a rate`);
  });
  if (samples[0]?.[0] !== 0) throw problem("sample 0 is not at 0 ms");
  return steps(name, rttMs, samples, samples.at(-1)?.[0]);
}

function steps(
  name: string,
  rttMs: number,
  samples: readonly (readonly [number, number])[],
  period = Number.POSITIVE_INFINITY,
): NetworkTrace {
  const rate = (now: number) => {
    const at = Number.isFinite(period) ? now % period : now;
    let low = 0;
    for (let high = samples.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if ((samples[middle]?.[0] ?? 0) <= at) low = middle;
      else high = middle;
    }
    return (samples[low]?.[1] ?? 0) * BYTES_PER_MS;
  };
  return { name, rttMs, rate, megabits: Math.max(...samples.map(([, megabits]) => megabits)) };
}

/**
 * A shared cell with fading: a random walk in octaves around 8 Mbit/s, from 1 to 30 Mbit/s, twice a second.
 */
function lte(seed: number): [number, number][] {
  const random = seeded(seed);
  let octave = 3;
  return Array.from({ length: 120 }, (_, i): [number, number] => {
    octave = Math.min(Math.log2(30), Math.max(0, octave + (random() - 0.5) * 1.6 + (3 - octave) * 0.08));
    return [i * 500, 2 ** octave];
  });
}

/** 8 Mbit/s. Every few seconds a loss stops the link for 0.3–1.5 s and halves its rate for another 2 s. */
function stalls(seed: number): [number, number][] {
  const random = seeded(seed);
  const samples: [number, number][] = [[0, 8]];
  for (let now = 1500 + 2000 * random(); now < 60_000; now += 4000 + 4000 * random()) {
    const silence = 300 + 1200 * random();
    samples.push([now, 0], [now + silence, 4], [now + silence + 2000, 8]);
  }
  return samples;
}
