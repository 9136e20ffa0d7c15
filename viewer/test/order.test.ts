import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Block, blocksOf, FovealCompletion, type Job, ratioOf } from "../src/core/order.ts";
import { anyBlock, block, costOf } from "./blocks.ts";

/** Trees of up to seven jobs, each the successor of one before it. */
const anyJobs = fc
  .array(
    fc.record({
      gain: fc.integer({ min: 0, max: 20 }),
      bytes: fc.integer({ min: 1, max: 9 }),
      parent: fc.nat(),
    }),
    {
      minLength: 1,
      maxLength: 7,
    },
  )
  .map((sketches) => {
    const jobs: (Block & { successors: Job[] })[] = [];
    for (const { gain, bytes, parent } of sketches) {
      const job = { ...block(gain, bytes), successors: [] };
      jobs[parent % Math.max(1, jobs.length)]?.successors.push(job);
      jobs.push(job);
    }
    return jobs[0] as Job;
  });

/** Σ gain × time of arrival, for the best of all orders that respect the tree. */
function leastCost(open: readonly Job[], now = 0): number {
  if (open.length === 0) return 0;
  return Math.min(
    ...open.map((job, i) => {
      const done = now + job.bytes;
      return (
        job.gain * done + leastCost([...open.slice(0, i), ...open.slice(i + 1), ...job.successors], done)
      );
    }),
  );
}

/**
 * The same for the order by blocks: of all jobs that can begin, the one whose first block has the greatest
 * ratio.
 */
function costByBlocks(open: readonly Job[], now = 0): number {
  if (open.length === 0) return 0;
  const rank = (job: Job) => ratioOf(blocksOf(job)[0] as Block);
  const first = open.reduce((a, b) => (rank(b) > rank(a) ? b : a));
  const done = now + first.bytes;
  const rest = open.filter((job) => job !== first);
  return first.gain * done + costByBlocks([...rest, ...first.successors], done);
}

function* permutations<T>(items: readonly T[]): Generator<T[]> {
  if (items.length === 0) yield [];
  for (const [i, item] of items.entries()) {
    for (const rest of permutations([...items.slice(0, i), ...items.slice(i + 1)])) yield [item, ...rest];
  }
}

test("no order of a tree of jobs costs less than the order by blocks", () => {
  fc.assert(fc.property(anyJobs, (job) => costByBlocks([job]) <= leastCost([job])));
});

test("blocks fall in ratio and contain all gains", () => {
  const total = (job: Job): number => job.gain + job.successors.map(total).reduce((a, b) => a + b, 0);
  fc.assert(
    fc.property(anyJobs, (job) => {
      const blocks = blocksOf(job);
      assert.equal(
        blocks.reduce((sum, { gain }) => sum + gain, 0),
        total(job),
      );
      blocks.forEach((block, i) => {
        const next = blocks[i + 1];
        if (next) assert.ok(ratioOf(next) <= ratioOf(block) + 1e-12);
      });
    }),
  );
});

test("a poor tier before a very good one has the ratio of both together", () => {
  const good: Job = { ...block(100, 10, 7), successors: [] };
  assert.deepEqual(blocksOf({ ...block(1, 10), successors: [good] }), [block(101, 20, 7)]);
});

test("no order costs less than the order by rank, the foveal completion included", () => {
  fc.assert(
    fc.property(fc.array(anyBlock, { minLength: 1, maxLength: 5 }), fc.nat(500), (blocks, gain) => {
      const completion = new FovealCompletion(blocks, gain);
      const ranked = [...blocks].sort((a, b) => completion.rank(b) - completion.rank(a));
      const least = Math.min(...[...permutations(blocks)].map((order) => costOf(order, gain)));
      assert.ok(costOf(ranked, gain) <= least * (1 + 1e-9));
    }),
    { numRuns: 2000, examples: [[[block(8, 50, 1), block(16, 5, 1), block(1, 1)], 152]] },
  );
});

test("a foveal block ranks the higher, the fewer foveal blocks are left", () => {
  const [last, other] = [block(1, 100, 1), block(500, 100)];
  const many = new FovealCompletion([last, ...Array.from({ length: 9 }, () => last)], 1000);
  assert.ok(many.rank(last) < many.rank(other));
  const one = new FovealCompletion([last], 1000);
  assert.ok(one.rank(last) > one.rank(other));
});
