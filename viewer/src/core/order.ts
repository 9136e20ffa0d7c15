/**
 * In which order to fetch, when some files make sense only after others and some can be left out.
 *
 * The link is one machine, a file is a job that takes its bytes, and what is not there yet costs its gain for as long
 * as it is missing. Jobs that follow others in a tree are ordered best by the ratio of blocks: a job with those of its
 * followers that raise its own ratio (Horn: Single-machine job sequencing with treelike precedence ordering and linear
 * delay penalties, SIAM J. Appl. Math. 23, 1972). docs/streaming.md has the rest.
 */

/** A file that brings a gain for its bytes, and what can only follow it. */
export interface Job {
  readonly gain: number;
  readonly bytes: number;
  readonly followers: readonly Job[];
}

/** Jobs that are done one right after the other. */
export interface Block {
  readonly gain: number;
  readonly bytes: number;
}

export function ratioOf({ gain, bytes }: Block): number {
  return gain / Math.max(1, bytes);
}

/** The blocks of a tree of jobs: the first one begins with its root, and no later one has a greater ratio. */
export function blocksOf(job: Job): Block[] {
  let { gain, bytes } = job;
  const rest = job.followers.map(blocksOf).reduce(merge, []);
  let taken = 0;
  for (const block of rest) {
    if (block.gain * bytes <= gain * block.bytes) break;
    gain += block.gain;
    bytes += block.bytes;
    taken++;
  }
  return [{ gain, bytes }, ...rest.slice(taken)];
}

/** Two lists in falling order of ratio as one. */
function merge(a: readonly Block[], b: readonly Block[]): Block[] {
  if (a.length === 0) return [...b];
  const merged: Block[] = [];
  let j = 0;
  for (const block of a) {
    for (let other = b[j]; other && ratioOf(other) > ratioOf(block); other = b[++j]) merged.push(other);
    merged.push(block);
  }
  return merged.concat(b.slice(j));
}

/** Everything that is to be fetched, in the order of its ratio, for sums over a part of it. */
export class Backlog {
  readonly #ratios: Float64Array;
  /** Sums over all before an index. */
  readonly #gains: Float64Array;
  readonly #bytes: Float64Array;

  constructor(blocks: readonly Block[]) {
    const sorted = [...blocks].sort((a, b) => ratioOf(b) - ratioOf(a));
    this.#ratios = Float64Array.from(sorted, ratioOf);
    this.#gains = new Float64Array(sorted.length + 1);
    this.#bytes = new Float64Array(sorted.length + 1);
    sorted.forEach(({ gain, bytes }, i) => {
      this.#gains[i + 1] = (this.#gains[i] ?? 0) + gain;
      this.#bytes[i + 1] = (this.#bytes[i] ?? 0) + bytes;
    });
  }

  /** Gain and bytes of everything with a greater ratio. */
  before(ratio: number): Block {
    let low = 0;
    for (let high = this.#ratios.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.#ratios[middle] ?? 0) > ratio) low = middle + 1;
      else high = middle;
    }
    return { gain: this.#gains[low] ?? 0, bytes: this.#bytes[low] ?? 0 };
  }

  /** Gain of everything. */
  get gain(): number {
    return this.#gains.at(-1) ?? 0;
  }
}

/**
 * Whether to go straight to `direct`, or first to one of `steps` that it makes useless: the index of the step that
 * saves most, or null.
 *
 * A step is there sooner, for as long as it takes to fetch what comes between the two; but its own bytes delay
 * everything that comes after it, `direct` included.
 */
export function bestStep(direct: Block, steps: readonly Block[], backlog: Backlog): number | null {
  let best: number | null = null;
  let most = 0;
  steps.forEach((step, i) => {
    const ratio = ratioOf(step);
    if (ratio <= ratioOf(direct)) return;
    const sooner = backlog.before(ratio);
    // `direct` itself is in the backlog: after the step it is worth less, and further back.
    const wait = backlog.before((direct.gain - step.gain) / direct.bytes).bytes - sooner.bytes;
    const delayed = backlog.gain - sooner.gain - step.gain;
    const saved = step.gain * Math.max(0, wait - step.bytes) - step.bytes * Math.max(0, delayed);
    if (saved <= most) return;
    most = saved;
    best = i;
  });
  return best;
}
