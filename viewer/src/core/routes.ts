/**
 * The choice between alternative download steps: straight to the last step of each item, or by smaller ones
 * first. See docs/streaming.md.
 */
import type { Block, FovealCompletion, Totals } from "./order.ts";

/**
 * The alternative steps of one item, coarse to fine. The gain of each step is over the current state and
 * replaces the gains of earlier steps. Only the last step has to be fetched.
 */
export type Steps = readonly Step[];

export interface Step extends Block {
  /** The step's files, with their gains over the step right before it: after that, each is useful alone. */
  readonly parts?: readonly Block[];
}

/** Rising indices of the steps that are fetched, one after the other. The last index is the last step's. */
export type Route = readonly number[];

/** Steps of a route before its last one, at most: a third saves next to nothing. */
const MAX_STEPS_BEFORE_LAST = 2;
/** Each route depends on all others, so they are chosen again until none changes, at most this often. */
const MAX_ROUNDS = 4;

/**
 * The route of each item: straight to its last step, or by one or two smaller ones. Each route is the
 * cheapest beside all the others.
 *
 * A smaller step arrives sooner, and its gain lasts until its replacement has arrived. But its bytes delay
 * everything that comes after it.
 *
 * @param rest blocks that are fetched besides
 */
export function routesOf(
  items: readonly Steps[],
  rest: readonly Block[],
  completion: FovealCompletion,
): readonly Route[] {
  const routes = items.map((steps): Route => [steps.length - 1]);
  const open = [...items.keys()].filter((i) => (items[i] as Steps).length > 1);
  if (open.length === 0) return routes;
  const alternatives = open.map((i) => evaluatedRoutes(items[i] as Steps, completion));
  const chosen = alternatives.map(([direct]) => direct as EvaluatedRoute);
  const singleSteps = items.flatMap((steps) => (steps.length > 1 ? [] : steps));
  const fixed = new Backlog(rankedBlocks([...rest, ...singleSteps], alternatives.flat(), completion));
  const moving = new Backlog(
    chosen.flatMap(({ blocks }) => blocks),
    open.reduce((sum, i) => sum + maxBlocksOf(items[i] as Steps), 0),
  );
  let settled = false;
  for (let round = 0; round < MAX_ROUNDS && !settled; round++) {
    settled = true;
    alternatives.forEach((evaluated, i) => {
      const current = chosen[i] as EvaluatedRoute;
      const others = new OtherBlocks(fixed, moving, current.blocks);
      const best = cheapest(evaluated, current, others, completion);
      if (best === current) return;
      settled = false;
      moving.replace(current.blocks, best.blocks);
      chosen[i] = best;
      routes[open[i] as number] = best.route;
    });
  }
  return routes;
}

/** The blocks of a route, in falling order of rank. */
export function blocksOfRoute(steps: Steps, route: Route, completion: FovealCompletion): Block[] {
  return mergedBlocks(filesOfRoute(steps, route, completion), completion);
}

function maxBlocksOf(steps: Steps): number {
  return MAX_STEPS_BEFORE_LAST + (steps.at(-1)?.parts?.length ?? 1);
}

function cheapest(
  evaluated: readonly EvaluatedRoute[],
  current: EvaluatedRoute,
  others: OtherBlocks,
  completion: FovealCompletion,
): EvaluatedRoute {
  let [best, leastCost] = [current, Number.POSITIVE_INFINITY];
  for (const each of evaluated) {
    const cost = costOf(each, others, completion);
    if (cost < leastCost) [best, leastCost] = [each, cost];
  }
  return best;
}

/** A route with the data for its cost. */
interface EvaluatedRoute {
  readonly route: Route;
  /** Its files, each with its gain over the file before it. */
  readonly files: readonly Totals[];
  readonly blocks: readonly RankedBlock[];
}

function evaluatedRoutes(steps: Steps, completion: FovealCompletion): EvaluatedRoute[] {
  return routesThrough(steps.length).map((route) => {
    const files = filesOfRoute(steps, route, completion);
    const blocks = mergedBlocks(files, completion).map((block) => rankedBlock(block, completion));
    return { route, files, blocks };
  });
}

/** Blocks with their ranks. Blocks that come after every block of the routes are merged into one. */
function rankedBlocks(
  blocks: readonly Block[],
  routes: readonly EvaluatedRoute[],
  completion: FovealCompletion,
): RankedBlock[] {
  let leastRank = Number.POSITIVE_INFINITY;
  for (const route of routes) for (const { rank } of route.blocks) leastRank = Math.min(leastRank, rank);
  const ranked: RankedBlock[] = [];
  let laterGain = 0;
  for (const block of blocks) {
    const rank = completion.rank(block);
    if (rank < leastRank) laterGain += block.gain;
    else ranked.push({ gain: block.gain, bytes: block.bytes, rank });
  }
  ranked.push({ gain: laterGain, bytes: 0, rank: 0 });
  return ranked;
}

function rankedBlock(block: Block, completion: FovealCompletion): RankedBlock {
  return { gain: block.gain, bytes: block.bytes, rank: completion.rank(block) };
}

interface RankedBlock extends Totals {
  readonly rank: number;
}

/** All blocks that are to be fetched, in falling order of rank, with prefix sums. */
export class Backlog {
  readonly #sorted: RankedBlock[];
  readonly #ranks: Float64Array;
  /** Sums over all blocks before an index. */
  readonly #gains: Float64Array;
  readonly #bytes: Float64Array;
  #length = 0;

  /** @param capacity the largest number of blocks that it will hold */
  constructor(blocks: readonly RankedBlock[], capacity = blocks.length) {
    this.#sorted = [...blocks].sort((a, b) => b.rank - a.rank);
    this.#ranks = new Float64Array(capacity);
    this.#gains = new Float64Array(capacity + 1);
    this.#bytes = new Float64Array(capacity + 1);
    this.#computeSums();
  }

  replace(removed: readonly RankedBlock[], added: readonly RankedBlock[]): void {
    for (const block of removed) this.#sorted.splice(this.#sorted.indexOf(block), 1);
    for (const block of added) {
      const index = this.#sorted.findIndex(({ rank }) => rank < block.rank);
      this.#sorted.splice(index < 0 ? this.#sorted.length : index, 0, block);
    }
    this.#computeSums();
  }

  /** Gain and bytes of all blocks with a greater rank. */
  before(rank: number): Totals {
    let low = 0;
    for (let high = this.#length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.#ranks[middle] ?? 0) > rank) low = middle + 1;
      else high = middle;
    }
    return { gain: this.#gains[low] ?? 0, bytes: this.#bytes[low] ?? 0 };
  }

  /** Gain of all blocks. */
  get gain(): number {
    return this.#gains[this.#length] ?? 0;
  }

  #computeSums(): void {
    this.#length = this.#sorted.length;
    let [gains, bytes] = [0, 0];
    for (let i = 0; i < this.#length; i++) {
      const block = this.#sorted[i] as RankedBlock;
      this.#ranks[i] = block.rank;
      gains += block.gain;
      bytes += block.bytes;
      this.#gains[i + 1] = gains;
      this.#bytes[i + 1] = bytes;
    }
  }
}

/** All blocks that are to be fetched, except those of one route. */
class OtherBlocks {
  /** Gain of all of them. */
  readonly gain: number;
  readonly #fixed: Backlog;
  readonly #moving: Backlog;
  readonly #excluded: readonly RankedBlock[];

  /** @param excluded blocks of `moving`, in falling order of rank */
  constructor(fixed: Backlog, moving: Backlog, excluded: readonly RankedBlock[]) {
    this.#fixed = fixed;
    this.#moving = moving;
    this.#excluded = excluded;
    this.gain = fixed.gain + moving.gain - excluded.reduce((sum, { gain }) => sum + gain, 0);
  }

  /** Gain and bytes of those with a greater rank. */
  before(rank: number): Totals {
    const [fixed, moving] = [this.#fixed.before(rank), this.#moving.before(rank)];
    let [gain, bytes] = [fixed.gain + moving.gain, fixed.bytes + moving.bytes];
    for (const block of this.#excluded) {
      if (block.rank <= rank) break;
      gain -= block.gain;
      bytes -= block.bytes;
    }
    return { gain, bytes };
  }
}

const routesByStepCount: (readonly Route[])[] = [];

/** All routes through so many steps, the direct one first. */
function routesThrough(stepCount: number): readonly Route[] {
  routesByStepCount[stepCount] ??= routesFrom(0, stepCount - 1, MAX_STEPS_BEFORE_LAST);
  return routesByStepCount[stepCount];
}

function routesFrom(first: number, last: number, stepsBeforeLast: number): Route[] {
  const routes: Route[] = [[last]];
  if (stepsBeforeLast === 0) return routes;
  for (let step = first; step < last; step++) {
    for (const route of routesFrom(step + 1, last, stepsBeforeLast - 1)) routes.push([step, ...route]);
  }
  return routes;
}

/** The files of a route, each with its gain over those before it. Only the last step has a foveal gain. */
function filesOfRoute(steps: Steps, route: Route, completion: FovealCompletion): Block[] {
  let gainBefore = 0;
  return route.flatMap((step, i) => {
    const { gain, bytes, fovealGain, parts } = steps[step] as Step;
    if (parts && route[i - 1] === step - 1)
      return [...parts].sort((a, b) => completion.rank(b) - completion.rank(a));
    const isLast = step === steps.length - 1;
    const file: Block = { gain: gain - gainBefore, bytes, fovealGain: isLast ? fovealGain : 0 };
    gainBefore = gain;
    return [file];
  });
}

/** Merges each file that has a greater rank than the block before it into that block. */
function mergedBlocks(files: readonly Block[], completion: FovealCompletion): Block[] {
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
 * Cost of a route, gain × bytes: the gains of its files until each arrives, and the gains that its blocks
 * delay, that of the foveal completion included.
 */
function costOf(
  { files, blocks }: EvaluatedRoute,
  others: OtherBlocks,
  completion: FovealCompletion,
): number {
  let [cost, ownBytes, nextFile] = [0, 0, 0];
  for (const { rank, bytes } of blocks) {
    const sooner = others.before(rank);
    const delayedCompletion = rank > completion.ratio ? completion.gain : 0;
    cost += bytes * (others.gain - sooner.gain + delayedCompletion);
    for (const end = ownBytes + bytes; ownBytes < end; nextFile++) {
      const file = files[nextFile] as Totals;
      ownBytes += file.bytes;
      cost += file.gain * (sooner.bytes + ownBytes);
    }
  }
  return cost;
}
