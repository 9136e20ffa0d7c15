import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Backlog, type Block, bestStep, blocksOf, type Job, ratioOf } from "../src/core/order.ts";

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
    const jobs: { gain: number; bytes: number; followers: Job[] }[] = [];
    for (const { gain, bytes, under } of sketches) {
      const job = { gain, bytes, followers: [] };
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
  const good: Job = { gain: 100, bytes: 10, followers: [] };
  assert.deepEqual(blocksOf({ gain: 1, bytes: 10, followers: [good] }), [{ gain: 101, bytes: 20 }]);
});

test("sums of a backlog are over what has a greater ratio", () => {
  const backlog = new Backlog([
    { gain: 1, bytes: 10 },
    { gain: 30, bytes: 10 },
    { gain: 5, bytes: 5 },
  ]);
  assert.deepEqual(backlog.before(0.5), { gain: 35, bytes: 15 });
  assert.deepEqual(backlog.before(3), { gain: 0, bytes: 0 });
  assert.equal(backlog.gain, 36);
});

test("a step is taken only where less is missing for less long with it", () => {
  const sketch = fc.record({ gain: fc.integer({ min: 1, max: 50 }), bytes: fc.integer({ min: 1, max: 50 }) });
  fc.assert(
    fc.property(sketch, sketch, (a, b) => {
      const [step, rest] = [a, b];
      const direct = { gain: step.gain + rest.gain, bytes: step.bytes + rest.bytes };
      const without = direct.gain * direct.bytes;
      const withStep = step.gain * step.bytes + rest.gain * (step.bytes + direct.bytes);
      const taken = bestStep(direct, [step], new Backlog([direct])) === 0;
      // Where both are equal either will do.
      assert.ok(without === withStep || taken === withStep < without);
    }),
  );
});

test("a step that delays much that is worth more is skipped", () => {
  const step = { gain: 10, bytes: 10 };
  const direct = { gain: 12, bytes: 30 };
  assert.equal(bestStep(direct, [step], new Backlog([direct])), 0);
  const behind = { gain: 60, bytes: 1000 };
  assert.equal(bestStep(direct, [step], new Backlog([direct, behind])), null);
});
