/**
 * In which order to fetch, when some files make sense only after others and some can be left out.
 *
 * The link is one machine, a file is a job that takes its bytes, and what is not there yet costs its gain for as long
 * as it is missing. Jobs that follow others in a tree are ordered best by the ratio of blocks: a job with those of its
 * followers that raise its own ratio (Horn: Single-machine job sequencing with treelike precedence ordering and linear
 * delay penalties, SIAM J. Appl. Math. 23, 1972). docs/streaming.md has the rest.
 */

/** A file that brings a gain for its bytes, and what can only follow it. */
export interface Job extends Block {
  readonly followers: readonly Job[];
}

/** Jobs that are done one right after the other. */
export interface Block {
  readonly gain: number;
  readonly bytes: number;
  /** What of the gain is where the fovea may be. */
  readonly foveal: number;
}

export function ratioOf({ gain, bytes }: Sum): number {
  return gain / Math.max(1, bytes);
}

/** The blocks of a tree of jobs: the first one begins with its root, and no later one has a greater ratio. */
export function blocksOf(job: Job): Block[] {
  const rest: Block[] = [];
  for (const follower of job.followers) {
    if (follower.followers.length === 0) rest.push(follower);
    else rest.push(...blocksOf(follower));
  }
  rest.sort((a, b) => ratioOf(b) - ratioOf(a));
  let { gain, bytes, foveal } = job;
  let taken = 0;
  for (const block of rest) {
    if (block.gain * bytes <= gain * block.bytes) break;
    gain += block.gain;
    bytes += block.bytes;
    foveal += block.foveal;
    taken++;
  }
  return [{ gain, bytes, foveal }, ...rest.slice(taken)];
}

/** Gains below are rounding. */
export const EPSILON = 1e-9;

/**
 * What is looked at is right only when the last of its files is there: a job of no bytes that follows them all. The best
 * order with such a job (J. B. Sidney: Decomposition algorithms for single-machine sequencing with precedence relations
 * and deferral costs, Operations Research 23, 1975) takes those files together whose ratio it raises: by their gains and
 * its own over their bytes, so the sooner the fewer bytes are left. Among each other they keep their order.
 */
export class Completion {
  /** Gain of the whole. */
  readonly worth: number;
  /** Ratio of the files that wait for each other. */
  readonly ratio: number;

  /** @param blocks of everything that is to be fetched, without what can be left out */
  constructor(blocks: readonly Block[], worth: number) {
    const missing = worth > 0 ? blocks.filter(({ foveal }) => foveal > EPSILON) : [];
    let [gain, bytes] = [0, 0];
    // What has a greater ratio than the whole does not wait for it, and without that the whole has a smaller one.
    for (let before = -1; before !== missing.length; ) {
      before = missing.length;
      [gain, bytes] = [worth, 0];
      for (const block of missing) {
        gain += block.gain;
        bytes += block.bytes;
      }
      let kept = 0;
      for (const block of missing) if (block.gain * bytes < gain * block.bytes) missing[kept++] = block;
      missing.length = kept;
    }
    this.worth = bytes > 0 ? worth : 0;
    this.ratio = bytes > 0 ? gain / bytes : 0;
  }

  /** What everything is ordered by: like a ratio, but higher for what the fovea waits for. */
  rank(block: Block): number {
    const ratio = ratioOf(block);
    return block.foveal > EPSILON ? Math.max(ratio, this.ratio + WITHIN * ratio) : ratio;
  }
}

/** So little that nothing else comes between. */
const WITHIN = 1e-6;

interface Ranked extends Sum {
  readonly rank: number;
}

/** Everything that is to be fetched, in the order of its rank, for sums over a part of it. */
export class Backlog {
  readonly #sorted: Ranked[];
  readonly #ranks: Float64Array;
  /** Sums over all before an index. */
  readonly #gains: Float64Array;
  readonly #bytes: Float64Array;
  #length = 0;

  /** @param most how many blocks it will hold at most */
  constructor(blocks: readonly Ranked[], most = blocks.length) {
    this.#sorted = [...blocks].sort((a, b) => b.rank - a.rank);
    this.#ranks = new Float64Array(most);
    this.#gains = new Float64Array(most + 1);
    this.#bytes = new Float64Array(most + 1);
    this.#sum();
  }

  replace(before: readonly Ranked[], after: readonly Ranked[]): void {
    for (const block of before) this.#sorted.splice(this.#sorted.indexOf(block), 1);
    for (const block of after) {
      const index = this.#sorted.findIndex(({ rank }) => rank < block.rank);
      this.#sorted.splice(index < 0 ? this.#sorted.length : index, 0, block);
    }
    this.#sum();
  }

  /** Gain and bytes of everything with a greater rank. */
  before(rank: number): Sum {
    let low = 0;
    for (let high = this.#length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.#ranks[middle] ?? 0) > rank) low = middle + 1;
      else high = middle;
    }
    return { gain: this.#gains[low] ?? 0, bytes: this.#bytes[low] ?? 0 };
  }

  /** Gain of everything. */
  get gain(): number {
    return this.#gains[this.#length] ?? 0;
  }

  #sum(): void {
    this.#length = this.#sorted.length;
    let [gains, bytes] = [0, 0];
    for (let i = 0; i < this.#length; i++) {
      const block = this.#sorted[i] as Ranked;
      this.#ranks[i] = block.rank;
      gains += block.gain;
      bytes += block.bytes;
      this.#gains[i + 1] = gains;
      this.#bytes[i + 1] = bytes;
    }
  }
}

interface Sum {
  readonly gain: number;
  readonly bytes: number;
}

/** One thing coarse to fine, each over what is there now and instead of those before it; the last one is wanted. */
export type Steps = readonly Step[];

export interface Step extends Block {
  /** What it falls into once the step right before it is there: each part is useful by itself, over that step. */
  readonly parts?: readonly Block[];
}
/** Which of them are fetched, one after the other: rising indices, of which the last is the last step's. */
export type Route = readonly number[];

/** No route has more steps before its last: a third saves next to nothing. */
const MOST_STEPS = 2;
/** Each choice depends on all others, so they are made anew until none changes, or so often. */
const SWEEPS = 4;

/**
 * Whether to go straight to the last step of each thing or by which smaller ones: each route the best beside all others.
 *
 * A step is there sooner, for as long as it takes to fetch what comes between it and what replaces it; but its own bytes
 * delay everything that comes after it.
 *
 * @param rest what is fetched besides
 */
export function routesOf(
  things: readonly Steps[],
  rest: readonly Block[],
  completion: Completion,
): readonly Route[] {
  const routes = things.map((steps): Route => [steps.length - 1]);
  const open = [...things.keys()].filter((i) => (things[i] as Steps).length > 1);
  if (open.length === 0) return routes;
  const ways = open.map((i) => waysOf(things[i] as Steps, completion));
  const chosen = ways.map(([direct]) => direct as Way);
  const direct = things.flatMap((steps) => (steps.length > 1 ? [] : steps));
  const fixed = new Backlog(rankedFor(ways.flat(), [...rest, ...direct], completion));
  const moving = new Backlog(
    chosen.flatMap(({ blocks }) => blocks),
    open.reduce((sum, i) => sum + MOST_STEPS + ((things[i] as Steps).at(-1)?.parts?.length ?? 1), 0),
  );
  let settled = false;
  for (let sweep = 0; sweep < SWEEPS && !settled; sweep++) {
    settled = true;
    ways.forEach((each, i) => {
      const before = chosen[i] as Way;
      const others = new Others(fixed, moving, before.blocks);
      let [best, least] = [before, Number.POSITIVE_INFINITY];
      for (const way of each) {
        const cost = costOf(way, others, completion);
        if (cost < least) [best, least] = [way, cost];
      }
      if (best === before) return;
      settled = false;
      moving.replace(before.blocks, best.blocks);
      chosen[i] = best;
      routes[open[i] as number] = best.route;
    });
  }
  return routes;
}

/** A route with what is to be known for its cost. */
interface Way {
  readonly route: Route;
  /** Its files, each with what it brings over the one before it. */
  readonly files: readonly Sum[];
  readonly blocks: readonly Ranked[];
}

function waysOf(steps: Steps, completion: Completion): Way[] {
  return routesThrough(steps.length).map((route) => {
    const files = filesOfRoute(steps, route, completion);
    return { route, files, blocks: merged(files, completion).map((block) => rankedBy(completion, block)) };
  });
}

/** Blocks with their ranks; all that come after every block of these ways are one. */
function rankedFor(ways: readonly Way[], blocks: readonly Block[], completion: Completion): Ranked[] {
  let least = Number.POSITIVE_INFINITY;
  for (const way of ways) for (const { rank } of way.blocks) least = Math.min(least, rank);
  const ranked: Ranked[] = [];
  let later = 0;
  for (const block of blocks) {
    const rank = completion.rank(block);
    if (rank < least) later += block.gain;
    else ranked.push({ gain: block.gain, bytes: block.bytes, rank });
  }
  ranked.push({ gain: later, bytes: 0, rank: 0 });
  return ranked;
}

function rankedBy(completion: Completion, block: Block): Ranked {
  return { gain: block.gain, bytes: block.bytes, rank: completion.rank(block) };
}

/** Everything that is to be fetched but for one thing. */
class Others {
  readonly gain: number;
  readonly #fixed: Backlog;
  readonly #moving: Backlog;
  readonly #own: readonly Ranked[];

  constructor(fixed: Backlog, moving: Backlog, own: readonly Ranked[]) {
    this.#fixed = fixed;
    this.#moving = moving;
    this.#own = own;
    this.gain = fixed.gain + moving.gain - own.reduce((sum, { gain }) => sum + gain, 0);
  }

  /** Gain and bytes of what has a greater rank. */
  before(rank: number): Sum {
    const [fixed, moving] = [this.#fixed.before(rank), this.#moving.before(rank)];
    let [gain, bytes] = [fixed.gain + moving.gain, fixed.bytes + moving.bytes];
    for (const block of this.#own) {
      if (block.rank <= rank) break;
      gain -= block.gain;
      bytes -= block.bytes;
    }
    return { gain, bytes };
  }
}

const routesByLength: (readonly Route[])[] = [];

/** The direct one first. */
function routesThrough(steps: number): readonly Route[] {
  routesByLength[steps] ??= routesFrom(0, steps - 1, MOST_STEPS);
  return routesByLength[steps];
}

function routesFrom(first: number, last: number, more: number): Route[] {
  const routes: Route[] = [[last]];
  if (more === 0) return routes;
  for (let step = first; step < last; step++) {
    for (const route of routesFrom(step + 1, last, more - 1)) routes.push([step, ...route]);
  }
  return routes;
}

/** The blocks of a route, in falling order of rank. */
export function blocksOfRoute(steps: Steps, route: Route, completion: Completion): Block[] {
  return merged(filesOfRoute(steps, route, completion), completion);
}

/** What each file of a route brings over those before it. Only its last step is one that the fovea waits for. */
function filesOfRoute(steps: Steps, route: Route, completion: Completion): Block[] {
  let had = 0;
  return route.flatMap((step, i) => {
    const { gain, bytes, foveal, parts } = steps[step] as Step;
    if (parts && route[i - 1] === step - 1)
      return [...parts].sort((a, b) => completion.rank(b) - completion.rank(a));
    const file: Block = { gain: gain - had, bytes, foveal: step === steps.length - 1 ? foveal : 0 };
    had = gain;
    return [file];
  });
}

function merged(files: readonly Block[], completion: Completion): Block[] {
  const blocks: Block[] = [];
  for (const file of files) {
    let block = file;
    for (let last = blocks.at(-1); last; last = blocks.at(-1)) {
      if (completion.rank(block) <= completion.rank(last)) break;
      block = { ...block, gain: last.gain + block.gain, bytes: last.bytes + block.bytes };
      blocks.pop();
    }
    blocks.push(block);
  }
  return blocks;
}

/**
 * What a route costs, in gain × bytes: what it misses until each step is there, and what all that comes after its
 * blocks misses meanwhile, that the fovea's is whole included.
 */
function costOf({ files, blocks }: Way, others: Others, { ratio, worth }: Completion): number {
  let [cost, own, next] = [0, 0, 0];
  for (const { rank, bytes } of blocks) {
    const sooner = others.before(rank);
    cost += bytes * (others.gain - sooner.gain + (rank > ratio ? worth : 0));
    for (const end = own + bytes; own < end; next++) {
      const file = files[next] as Sum;
      own += file.bytes;
      cost += file.gain * (sooner.bytes + own);
    }
  }
  return cost;
}
