import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  Backlog,
  type Block,
  blocksOf,
  blocksOfRoute,
  Completion,
  type Job,
  type Route,
  ratioOf,
  routesOf,
  type Steps,
} from "../src/core/order.ts";

/** Nothing is looked at. */
const NOWHERE = new Completion([], 0);
const block = (gain: number, bytes: number, foveal = 0): Block => ({ gain, bytes, foveal });

/** Trees of up to eight jobs, each under one before it. */
const anyJobs = fc
  .array(
    fc.record({
      gain: fc.integer({ min: 0, max: 20 }),
      bytes: fc.integer({ min: 1, max: 9 }),
      under: fc.nat(),
    }),
    {
      minLength: 1,
      maxLength: 7,
    },
  )
  .map((sketches) => {
    const jobs: (Block & { followers: Job[] })[] = [];
    for (const { gain, bytes, under } of sketches) {
      const job = { ...block(gain, bytes), followers: [] };
      jobs[under % Math.max(1, jobs.length)]?.followers.push(job);
      jobs.push(job);
    }
    return jobs[0] as Job;
  });

/** Gain × time until it is there, summed: by the best of all orders that respect the tree. */
function leastCost(open: readonly Job[], now = 0): number {
  if (open.length === 0) return 0;
  return Math.min(
    ...open.map((job, i) => {
      const done = now + job.bytes;
      return job.gain * done + leastCost([...open.slice(0, i), ...open.slice(i + 1), ...job.followers], done);
    }),
  );
}

/** The same where of all that can begin, the one whose first block has the greatest ratio does. */
function costByBlocks(open: readonly Job[], now = 0): number {
  if (open.length === 0) return 0;
  const rank = (job: Job) => ratioOf(blocksOf(job)[0] as Block);
  const first = open.reduce((a, b) => (rank(b) > rank(a) ? b : a));
  const done = now + first.bytes;
  const rest = open.filter((job) => job !== first);
  return first.gain * done + costByBlocks([...rest, ...first.followers], done);
}

test("no order of a tree of jobs has less missing for less long than that by blocks", () => {
  fc.assert(fc.property(anyJobs, (job) => costByBlocks([job]) <= leastCost([job])));
});

test("blocks fall in ratio and lose nothing", () => {
  const total = (job: Job): number => job.gain + job.followers.map(total).reduce((a, b) => a + b, 0);
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

test("a poor tier before a very good one is worth what it leads to", () => {
  const good: Job = { ...block(100, 10, 7), followers: [] };
  assert.deepEqual(blocksOf({ ...block(1, 10), followers: [good] }), [block(101, 20, 7)]);
});

test("sums of a backlog are over what has a greater ratio", () => {
  const ranked = [block(1, 10), block(30, 10), block(5, 5)].map((each) => ({ ...each, rank: ratioOf(each) }));
  const backlog = new Backlog(ranked);
  assert.deepEqual(backlog.before(0.5), { gain: 35, bytes: 15 });
  assert.deepEqual(backlog.before(3), { gain: 0, bytes: 0 });
  assert.equal(backlog.gain, 36);
  backlog.replace(ranked.slice(0, 1), [{ gain: 4, bytes: 2, rank: 2 }]);
  assert.deepEqual(backlog.before(1.5), { gain: 34, bytes: 12 });
  assert.equal(backlog.gain, 39);
});

const anyBlock = fc.record({
  gain: fc.integer({ min: 1, max: 50 }),
  bytes: fc.integer({ min: 1, max: 50 }),
  foveal: fc.constantFrom(0, 1),
});

/** Gain × time until it is there, summed over all, and until everything is there that the fovea waits for. */
function costOf(blocks: readonly Block[], worth: number): number {
  let [now, cost, whole] = [0, 0, 0];
  for (const { gain, bytes, foveal } of blocks) {
    now += bytes;
    cost += gain * now;
    if (foveal > 0) whole = now;
  }
  return cost + worth * whole;
}

function* permutations<T>(items: readonly T[]): Generator<T[]> {
  if (items.length === 0) yield [];
  for (const [i, item] of items.entries()) {
    for (const rest of permutations([...items.slice(0, i), ...items.slice(i + 1)])) yield [item, ...rest];
  }
}

test("no order has less missing for less long than that by rank, what the fovea waits for included", () => {
  fc.assert(
    fc.property(fc.array(anyBlock, { minLength: 1, maxLength: 5 }), fc.nat(500), (blocks, worth) => {
      const completion = new Completion(blocks, worth);
      const ranked = [...blocks].sort((a, b) => completion.rank(b) - completion.rank(a));
      const least = Math.min(...[...permutations(blocks)].map((order) => costOf(order, worth)));
      assert.ok(costOf(ranked, worth) <= least * (1 + 1e-9));
    }),
    { numRuns: 2000, examples: [[[block(8, 50, 1), block(16, 5, 1), block(1, 1)], 152]] },
  );
});

test("what the fovea waits for comes the sooner, the less of it is left", () => {
  const [last, other] = [block(1, 100, 1), block(500, 100)];
  const many = new Completion([last, ...Array.from({ length: 9 }, () => last)], 1000);
  assert.ok(many.rank(last) < many.rank(other));
  const one = new Completion([last], 1000);
  assert.ok(one.rank(last) > one.rank(other));
});

test("a step is taken only where less is missing for less long with it", () => {
  fc.assert(
    fc.property(anyBlock, anyBlock, (step, rest) => {
      const direct = { ...block(step.gain + rest.gain, step.bytes + rest.bytes) };
      const without = direct.gain * direct.bytes;
      const withStep = step.gain * step.bytes + rest.gain * (step.bytes + direct.bytes);
      const taken = routesOf([[step, direct]], [], NOWHERE)[0]?.length === 2;
      // Where both are equal either will do.
      assert.ok(without === withStep || taken === withStep < without);
    }),
  );
});

test("a step that delays much that is worth more is skipped, and so is one that the fovea would wait for", () => {
  const steps = [block(10, 10), block(12, 30, 1)];
  assert.deepEqual(routesOf([steps], [], NOWHERE), [[0, 1]]);
  assert.deepEqual(routesOf([steps], [block(60, 1000)], NOWHERE), [[1]]);
  assert.deepEqual(routesOf([steps], [], new Completion([block(12, 30, 1)], 1000)), [[1]]);
});

test("after the step before it, what falls into parts comes part by part, the best first", () => {
  const parts = [block(2, 10), block(8, 10, 1)];
  const steps: Steps = [block(5, 10), { ...block(15, 20, 1), parts }];
  assert.deepEqual(blocksOfRoute(steps, [1], NOWHERE), [block(15, 20, 1)]);
  assert.deepEqual(blocksOfRoute(steps, [0, 1], NOWHERE), [block(13, 20, 1), block(2, 10)]);
  // As one it would be there only when both are.
  const whole = [block(5, 10), block(15, 20, 1)];
  assert.deepEqual(routesOf([whole], [block(5, 30)], NOWHERE), [[1]]);
  assert.deepEqual(routesOf([steps], [block(5, 30)], NOWHERE), [[1]]);
});

test("routes miss hardly more for hardly longer than the best of all choices", () => {
  const anySteps = fc.array(anyBlock, { minLength: 1, maxLength: 3 }).map(
    (sketches): Steps =>
      // Finer is more: of gain and of bytes.
      sketches.map((_, i) =>
        block(
          sketches.slice(0, i + 1).reduce((sum, { gain }) => sum + gain, 0),
          sketches.slice(0, i + 1).reduce((sum, { bytes }) => sum + bytes, 0),
        ),
      ),
  );
  const cost = (things: readonly Steps[], routes: readonly Route[]): number => {
    const blocks = things.flatMap((steps, i) => blocksOfRoute(steps, routes[i] ?? [], NOWHERE));
    return costOf(
      blocks.sort((a, b) => ratioOf(b) - ratioOf(a)),
      0,
    );
  };
  const choices = (things: readonly Steps[]): Route[][] =>
    things.reduce<Route[][]>(
      (all, steps) => {
        const before = [...steps.keys()].slice(0, -1);
        const routes = Array.from({ length: 2 ** before.length }, (_, set) => [
          ...before.filter((step) => set & (1 << step)),
          steps.length - 1,
        ]);
        return all.flatMap((some) => routes.map((route) => [...some, route]));
      },
      [[]],
    );
  fc.assert(
    fc.property(fc.array(anySteps, { minLength: 1, maxLength: 4 }), (things) => {
      const least = Math.min(...choices(things).map((routes) => cost(things, routes)));
      assert.ok(cost(things, routesOf(things, [], NOWHERE)) <= 1.1 * least);
    }),
    { numRuns: 300 },
  );
});
