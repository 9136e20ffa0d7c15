import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { demandOf } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import { plan } from "../src/core/scheduler.ts";
import { FAST, finish, keysOf, LIMITS, SLOW, settle } from "./plans.ts";
import { arrived, at, evenTree, manifest, tree, turnedAway, view } from "./worlds.ts";

test("of two equal assets, the one at the fovea is refined first", () => {
  const left = at(arrived("left", manifest([evenTree("left", 2, 2)])), -4, 0, -2);
  const middle = at(arrived("middle", manifest([evenTree("middle", 2, 2)])), 0, 0, -3.4);
  const order = settle([left, middle], view());
  const first = order.findIndex(({ asset }) => asset === left);
  const last = order.map(({ asset }) => asset).lastIndexOf(middle);
  assert.ok(order.length >= 4 && last < first, keysOf(order).join(" "));
});

test("a tier of several regions is skipped if the refinements of all of them are wanted, and if that costs less", () => {
  const halves = (bytes: number, x = 0.5) =>
    arrived(
      "a",
      manifest([
        tree("t", {
          error: 0.1,
          bytes,
          sphere: [0, 0, 0, x + 0.5],
          children: [-x, x].map((centre) => ({
            error: 0.05,
            bytes: 100_000,
            sphere: [centre, 0, 0, 0.5],
            children: [{ error: 0, sphere: [centre, 0, 0, 0.5] }],
          })),
        }),
      ]),
    );
  const skipping = halves(100_000);
  assert.deepEqual(keysOf(settle([skipping], view())), ["a/tree/0/1", "a/tree/0/2"]);
  assert.deepEqual([...(skipping.cuts[0]?.drawn ?? [])].sort(), [3, 4]);
  assert.deepEqual(keysOf(settle([halves(5000)], view())), ["a/tree/0/0", "a/tree/0/1", "a/tree/0/2"]);
  const apart = keysOf(settle([halves(100_000, 6)], view([-6, 0, 3])));
  assert.deepEqual(apart, ["a/tree/0/0", "a/tree/0/1"], "the other half is out of view");
});

test("the step of a chain is taken if the last tier is late, and skipped if it is not", () => {
  const chain = (middle: number) =>
    tree("a", {
      error: 0.1,
      bytes: middle,
      children: [{ error: 0.01, bytes: 160_000, children: [{ error: 0 }] }],
    });
  const tierCount = (middle: number) => settle([arrived("a", manifest([chain(middle)]))], view()).length;
  assert.equal(tierCount(150_000), 1);
  assert.equal(tierCount(10_000), 2);
});

test("held refinements below add to the gain of the one above", () => {
  const gainOfRoot = (isLeftHeld: boolean) => {
    const asset = arrived("a", manifest([evenTree("a", 2, 2)]));
    const [root, left, right] = asset.trees[0]?.refinements ?? [];
    if (isLeftHeld && left) finish(left.download);
    if (right) asset.fail(right.download, 0, Number.POSITIVE_INFINITY);
    const { start } = plan([asset], view(), SLOW, LIMITS, 0);
    assert.equal(start[0]?.download, root?.download);
    return start[0]?.gain ?? 0;
  };
  assert.ok(gainOfRoot(true) > 1.2 * gainOfRoot(false));
});

test("from close up the finest tier is reached, and from afar nothing is refined", () => {
  const near = arrived("near", manifest([evenTree("near", 4, 3)]));
  const closeUp = view([0, 0, 0.2]);
  settle([near], closeUp);
  const regions = near.manifest?.trees[0]?.regions ?? [];
  const drawn = [...(near.cuts[0]?.drawn ?? [])];
  for (const region of drawn) {
    const { error, need, weight } = demandOf(near, 0, region, closeUp);
    assert.ok(regions[region]?.children.length === 0 || weight === 0 || error <= need);
  }
  assert.ok(drawn.some((region) => regions[region]?.tier === 3));

  const far = arrived("far", manifest([evenTree("far", 4, 3)]));
  assert.deepEqual(settle([far], view([0, 0, 500])), []);
});

test("in any view, no drawn and visible region keeps an error above the need", () => {
  const place = fc.double({ min: -4, max: 4, noNaN: true });
  fc.assert(
    fc.property(place, place, fc.double({ min: 0.1, max: 8, noNaN: true }), (x, y, z) => {
      const asset = arrived("a", manifest([evenTree("a", 3, 3)]));
      const from = view([x, y, z]);
      settle([asset], from);
      for (const region of asset.cuts[0]?.drawn ?? []) {
        const { error } = demandOf(asset, 0, region, from);
        for (const child of asset.manifest?.trees[0]?.regions[region]?.children ?? []) {
          const { need, weight } = demandOf(asset, 0, child, from);
          assert.ok(weight === 0 || error <= need * (1 + 1e-9));
        }
      }
    }),
    { numRuns: 50 },
  );
});

test("an asset whose only node is behind the eye is not refined", () => {
  const asset = arrived("a", manifest([{ ...evenTree("a", 2, 3), kind: "rigid", space: "mesh" }]));
  asset.setPlacements(0, [[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 50, 1]]);
  assert.deepEqual(plan([asset], view(), FAST, LIMITS, 0).start, []);
});

test("a region whose faces all face away is not refined, unless a material below it is double-sided or transparent", () => {
  const averted = tree("a", {
    error: 0.1,
    sphere: [0, 0, 0, 0.2],
    cone: [0, 0, -1, 0.9],
    children: [{ error: 0.01, sphere: [0, 0, 0, 0.2], cone: [0, 0, -1, 0.9] }],
  });
  const solid = { name: "m", textures: [], doubleSided: false, alphaMode: "OPAQUE" as const };
  const primitives: typeof averted.primitives = [{ material: 0, attributes: ["POSITION"] }];
  const withMaterial = { ...averted, primitives };
  const startCount = (material: typeof solid, from: View) =>
    plan([arrived("a", manifest([withMaterial], [], [material]))], from, FAST, LIMITS, 0).start.length;
  assert.equal(startCount(solid, view()), 0);
  assert.equal(startCount({ ...solid, doubleSided: true }, view()), 1);
  const glass = { ...solid, alphaMode: "BLEND" as const };
  const glassBelow = structuredClone(withMaterial);
  glassBelow.primitives.push({ material: 1, attributes: ["POSITION"] });
  (glassBelow.regions[1] ?? assert.fail()).primitives = [1];
  const mixed = arrived("a", manifest([glassBelow], [], [solid, glass]));
  assert.equal(plan([mixed], view(), FAST, LIMITS, 0).start.length, 1);
  const rear = turnedAway(view([0, 0, -3]));
  assert.equal(startCount(solid, rear), 1, "from behind the faces are seen");
});

test("no refinement is fetched for an error below half a step of the grid", () => {
  const coarse = {
    ...evenTree("a", 2, 1, 0.1),
    grid: { origin: [-1, -1, -1] as [number, number, number], range: 2, bits: 3 },
  };
  assert.deepEqual(plan([arrived("a", manifest([coarse]))], view(), FAST, LIMITS, 0).start, []);
});

test("a region whose sphere reaches into the view is not refined while none of its parts is in view", () => {
  const parts = [1, 2].map((x) => ({
    error: 0,
    sphere: [-x, 0, 0, 0.1] as [number, number, number, number],
  }));
  const wide = manifest([tree("w", { error: 0.1, sphere: [0, 0, 0, 3], children: parts })]);
  const startCount = (x: number) =>
    plan([at(arrived("w", wide), x, 0, 0)], view(), FAST, LIMITS, 0).start.length;
  assert.equal(startCount(-4), 0, "the view ends at x = −3");
  assert.equal(startCount(0), 1);
});
