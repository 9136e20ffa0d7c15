import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FovealCompletion, ratioOf } from "../src/core/order.ts";
import { Backlog, blocksOfRoute, type Route, routesOf, type Steps } from "../src/core/routes.ts";
import { anyBlock, block, costOf, NO_COMPLETION } from "./blocks.ts";

test("the sums of a backlog are over all blocks with a greater rank", () => {
  const ranked = [block(1, 10), block(30, 10), block(5, 5)].map((each) => ({ ...each, rank: ratioOf(each) }));
  const backlog = new Backlog(ranked);
  assert.deepEqual(backlog.before(0.5), { gain: 35, bytes: 15 });
  assert.deepEqual(backlog.before(3), { gain: 0, bytes: 0 });
  assert.equal(backlog.gain, 36);
  backlog.replace(ranked.slice(0, 1), [{ gain: 4, bytes: 2, rank: 2 }]);
  assert.deepEqual(backlog.before(1.5), { gain: 34, bytes: 12 });
  assert.equal(backlog.gain, 39);
});

test("a step is taken only if the route costs less with it", () => {
  fc.assert(
    fc.property(anyBlock, anyBlock, (step, rest) => {
      const direct = { ...block(step.gain + rest.gain, step.bytes + rest.bytes) };
      const without = direct.gain * direct.bytes;
      const withStep = step.gain * step.bytes + rest.gain * (step.bytes + direct.bytes);
      const taken = routesOf([[step, direct]], [], NO_COMPLETION)[0]?.length === 2;
      // If both cost the same, either is right.
      assert.ok(without === withStep || taken === withStep < without);
    }),
  );
});

test("a step is skipped if it delays larger gains, or the foveal completion", () => {
  const steps = [block(10, 10), block(12, 30, 1)];
  assert.deepEqual(routesOf([steps], [], NO_COMPLETION), [[0, 1]]);
  assert.deepEqual(routesOf([steps], [block(60, 1000)], NO_COMPLETION), [[1]]);
  assert.deepEqual(routesOf([steps], [], new FovealCompletion([block(12, 30, 1)], 1000)), [[1]]);
});

test("after the step before it, a step of several parts arrives part by part, the best first", () => {
  const parts = [block(2, 10), block(8, 10, 1)];
  const steps: Steps = [block(5, 10), { ...block(15, 20, 1), parts }];
  assert.deepEqual(blocksOfRoute(steps, [1], NO_COMPLETION), [block(15, 20, 1)]);
  assert.deepEqual(blocksOfRoute(steps, [0, 1], NO_COMPLETION), [block(13, 20, 1), block(2, 10)]);
  // As one block it would arrive only with its last part.
  const whole = [block(5, 10), block(15, 20, 1)];
  assert.deepEqual(routesOf([whole], [block(5, 30)], NO_COMPLETION), [[1]]);
  assert.deepEqual(routesOf([steps], [block(5, 30)], NO_COMPLETION), [[1]]);
});

test("routes cost at most 10 % more than the best of all choices", () => {
  const anySteps = fc.array(anyBlock, { minLength: 1, maxLength: 3 }).map(
    (sketches): Steps =>
      // A finer step has more gain and more bytes.
      sketches.map((_, i) =>
        block(
          sketches.slice(0, i + 1).reduce((sum, { gain }) => sum + gain, 0),
          sketches.slice(0, i + 1).reduce((sum, { bytes }) => sum + bytes, 0),
        ),
      ),
  );
  const cost = (items: readonly Steps[], routes: readonly Route[]): number => {
    const blocks = items.flatMap((steps, i) => blocksOfRoute(steps, routes[i] ?? [], NO_COMPLETION));
    return costOf(
      blocks.sort((a, b) => ratioOf(b) - ratioOf(a)),
      0,
    );
  };
  const choices = (items: readonly Steps[]): Route[][] =>
    items.reduce<Route[][]>(
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
    fc.property(fc.array(anySteps, { minLength: 1, maxLength: 4 }), (items) => {
      const least = Math.min(...choices(items).map((routes) => cost(items, routes)));
      assert.ok(cost(items, routesOf(items, [], NO_COMPLETION)) <= 1.1 * least);
    }),
    { numRuns: 300 },
  );
});
