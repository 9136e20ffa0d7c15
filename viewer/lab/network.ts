/** Networks over time: generated ones, and recorded ones from JSON files. */
import { seeded } from "./random.ts";
import { partOf } from "./recorded.ts";

export interface NetworkTrace {
  readonly name: string;
  /** Time from sending a request to its first byte on an idle link, milliseconds. */
  readonly rttMs: number;
  /** Bytes per millisecond at a time in milliseconds. */
  rate(now: number): number;
  /** The most that it ever delivers, Mbit/s: for sorting results by how narrow the link is. */
  readonly megabits: number;
}

/** A file in traces/network: piecewise constant from each time on; repeated after the last time. */
export interface NetworkFile {
  readonly format: "streamxr/network";
  readonly rttMs: number;
  /** Pairs of milliseconds, from 0 and rising, and Mbit/s. */
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

/** @throws Error that names the file and what is wrong with it */
export function recordedNetwork(name: string, json: unknown): NetworkTrace {
  const { format, rttMs, samples } = partOf(json, "network") as Partial<NetworkFile>;
  const wrong = (what: string) => new Error(`${name}: ${what}`);
  if (format !== "streamxr/network") throw wrong('"format" is not "streamxr/network"');
  if (!(typeof rttMs === "number" && rttMs >= 0)) throw wrong('"rttMs" is no time');
  if (!Array.isArray(samples) || samples.length < 2) throw wrong('"samples" needs two pairs or more');
  samples.forEach(([ms, megabits], i) => {
    const before = samples[i - 1]?.[0] ?? -1;
    if (!(ms > before && megabits >= 0 && Number.isFinite(megabits))) throw wrong(`sample ${i} is no pair`);
  });
  if (samples[0]?.[0] !== 0) throw wrong("sample 0 is not at 0 ms");
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

/** Cells are shared and signals fade: a random walk in octaves around 8 Mbit/s, between 1 and 30, twice a second. */
function lte(seed: number): [number, number][] {
  const random = seeded(seed);
  let octave = 3;
  return Array.from({ length: 120 }, (_, i): [number, number] => {
    octave = Math.min(Math.log2(30), Math.max(0, octave + (random() - 0.5) * 1.6 + (3 - octave) * 0.08));
    return [i * 500, 2 ** octave];
  });
}

/** 8 Mbit/s; every few seconds a loss stops everything for 0.3–1.5 s, and half the rate is left for 2 s after. */
function stalls(seed: number): [number, number][] {
  const random = seeded(seed);
  const samples: [number, number][] = [[0, 8]];
  for (let now = 1500 + 2000 * random(); now < 60_000; now += 4000 + 4000 * random()) {
    const silence = 300 + 1200 * random();
    samples.push([now, 0], [now + silence, 4], [now + silence + 2000, 8]);
  }
  return samples;
}
