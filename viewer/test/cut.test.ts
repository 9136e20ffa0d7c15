import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cut, type TreeRegion } from "../src/core/cut.ts";
import { drawnPerPath } from "./worlds.ts";

/** Any tree, parents before children: each region after the first is the child of one before it. */
const anyTree = fc.array(fc.nat(), { minLength: 1, maxLength: 40 }).map((picks): TreeRegion[] => {
  const regions: { parent: number | null; children: number[] }[] = [{ parent: null, children: [] }];
  for (const pick of picks) {
    const parent = pick % regions.length;
    regions[parent]?.children.push(regions.length);
    regions.push({ parent, children: [] });
  }
  return regions;
});

const NESTED: TreeRegion[] = [
  { parent: null, children: [1, 2] },
  { parent: 0, children: [3, 4] },
  { parent: 0, children: [] },
  { parent: 1, children: [] },
  { parent: 1, children: [] },
];
const CHAIN: TreeRegion[] = [
  { parent: null, children: [1] },
  { parent: 0, children: [2] },
  { parent: 1, children: [] },
];

test("region 0 is drawn from the beginning", () => {
  assert.deepEqual([...new Cut(NESTED).drawn], [0]);
});

test("a region is replaced by all its children at once", () => {
  const change = new Cut(NESTED).arrive(0);
  assert.deepEqual(change.hide, [0]);
  assert.deepEqual([...change.show].sort(), [1, 2]);
});

test("a refinement that arrives before its parent's is drawn once that has arrived", () => {
  const cut = new Cut(NESTED);
  assert.deepEqual(cut.arrive(1), { hide: [], show: [] });
  const change = cut.arrive(0);
  assert.deepEqual([...change.show].sort(), [2, 3, 4]);
});

test("a tier of a chain may be skipped", () => {
  const cut = new Cut(CHAIN);
  assert.deepEqual(cut.arrive(1), { hide: [0], show: [2] });
  assert.deepEqual(cut.arrive(0), { hide: [], show: [] });
});

test("the nearest available region is the region itself or an ancestor", () => {
  const cut = new Cut(CHAIN);
  cut.arrive(1);
  assert.deepEqual([cut.nearestAvailable(2), cut.nearestAvailable(1), cut.nearestAvailable(0)], [2, 0, 0]);
  cut.arrive(0);
  assert.equal(cut.nearestAvailable(1), 1);
});

test("released regions are replaced by their parent", () => {
  const cut = new Cut(NESTED);
  cut.arrive(0);
  cut.arrive(1);
  const change = cut.release(1);
  assert.deepEqual([...change.hide].sort(), [3, 4]);
  assert.deepEqual(change.show, [1]);
});

test("the arrival of a leaf's refinement is an error", () => {
  assert.throws(() => new Cut(NESTED).arrive(2), RangeError);
});

test("after any arrivals and releases in any tree, the drawn regions form a cut", () => {
  fc.assert(
    fc.property(
      anyTree,
      fc.array(fc.record({ pick: fc.nat(), arrive: fc.boolean() }), { maxLength: 60 }),
      (regions, steps) => {
        const inner = regions.flatMap(({ children }, region) => (children.length > 0 ? [region] : []));
        const cut = new Cut(regions);
        const shown = new Set<number>([0]);
        for (const { pick, arrive } of steps) {
          const region = inner[pick % inner.length] as number;
          const { hide, show } = arrive ? cut.arrive(region) : cut.release(region);
          for (const r of hide) assert.ok(shown.delete(r), "only shown regions are hidden");
          for (const r of show) shown.add(r);
          assert.deepEqual(shown, new Set(cut.drawn), "the changes add up to the drawn regions");
          assert.ok(drawnPerPath(regions, cut.drawn).every((count) => count === 1));
          for (const r of cut.drawn) assert.ok(cut.isAvailable(r), "only available regions are drawn");
        }
      },
    ),
  );
});

test("once all refinements have arrived, in any order, the leaves are drawn", () => {
  fc.assert(
    fc.property(anyTree, fc.infiniteStream(fc.nat()), (regions, picks) => {
      const inner = regions.flatMap(({ children }, region) => (children.length > 0 ? [region] : []));
      const cut = new Cut(regions);
      while (inner.length > 0) {
        const pick = (picks.next().value as number) % inner.length;
        cut.arrive(inner.splice(pick, 1)[0] as number);
      }
      const leaves = regions.flatMap(({ children }, region) => (children.length === 0 ? [region] : []));
      assert.deepEqual(
        [...cut.drawn].sort((a, b) => a - b),
        leaves,
      );
    }),
  );
});
