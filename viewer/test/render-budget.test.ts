import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AssetState } from "../src/core/asset.ts";
import { DEFAULT_LIMITS, type Plan, plan, type StreamLimits } from "../src/core/scheduler.ts";
import {
  arrived,
  at,
  drawnPerPath,
  evenTree,
  load,
  manifest,
  network,
  tree,
  turnedAway,
  view,
} from "./worlds.ts";

const NETWORK = network(8);
/** Limits on a frame. A region of these worlds has 100 triangles and one draw call. */
const frameLimits = (triangles: number, drawCalls = 1e6): StreamLimits => ({
  ...DEFAULT_LIMITS,
  triangles,
  drawCalls,
});

/** Loads all refinements. */
function complete(asset: AssetState): AssetState {
  for (const { refinements } of asset.trees) {
    for (const file of refinements) if (file) load(file.download);
  }
  return asset;
}

function applyRestrictions({ restrict }: Plan): void {
  for (const { asset, tree, openable } of restrict) asset.restrict(tree, openable);
}

function trianglesOf(assets: readonly AssetState[]): number {
  let sum = 0;
  for (const { trees } of assets) {
    for (const { tree, cut } of trees) {
      for (const region of cut.drawn) sum += tree.regions[region]?.triangles ?? 0;
    }
  }
  return sum;
}

test("a budget for the finest cut restricts nothing", () => {
  const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
  const made = plan([asset], view(), NETWORK, frameLimits(1600), 0);
  assert.deepEqual(made.restrict, []);
  assert.deepEqual(made.drawn, { triangles: 1600, drawCalls: 16 });
});

test("a smaller budget of triangles or of draw calls makes the cut coarser", () => {
  for (const limits of [frameLimits(700), frameLimits(1e6, 7)]) {
    const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
    const made = plan([asset], view(), NETWORK, limits, 0);
    applyRestrictions(made);
    assert.equal(trianglesOf([asset]), 700);
    assert.deepEqual(made.drawn, { triangles: 700, drawCalls: 7 });
  }
});

test("an asset at the fovea is drawn finer than one beside it", () => {
  const near = complete(at(arrived("near", manifest([evenTree("n", 4, 2)])), 0, 0, 0));
  const far = complete(at(arrived("far", manifest([evenTree("f", 4, 2)])), 8, 0, -8));
  applyRestrictions(plan([far, near], view(), NETWORK, frameLimits(1700), 0));
  assert.equal(trianglesOf([near]), 1600);
  assert.equal(trianglesOf([far]), 100);
});

test("an asset out of view costs nothing", () => {
  const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
  const made = plan([asset], turnedAway(view()), NETWORK, frameLimits(200), 0);
  assert.deepEqual(made.drawn, { triangles: 0, drawCalls: 0 });
  assert.deepEqual(made.restrict, []);
});

test("loaded regions are drawn as soon as the budget allows it again", () => {
  const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
  applyRestrictions(plan([asset], view(), NETWORK, frameLimits(700), 0));
  const made = plan([asset], view(), NETWORK, frameLimits(1600), 50);
  assert.equal(made.restrict[0]?.openable, null);
  applyRestrictions(made);
  assert.equal(trianglesOf([asset]), 1600);
});

test("a refinement that does not fit into the budget is not fetched", () => {
  const asset = arrived("a", manifest([evenTree("a", 4, 2)]));
  const all = plan([asset], view(), NETWORK, frameLimits(1e6), 0);
  assert.ok(all.start.some(({ download }) => download.kind === "refinement"));
  const none = plan([asset], view(), NETWORK, frameLimits(100), 0);
  assert.deepEqual([...none.start, ...none.waiting], []);
});

test("refinements below a region that the budget keeps closed are not fetched", () => {
  const asset = arrived("a", manifest([evenTree("a", 4, 2)]));
  const root = asset.trees[0]?.refinements[0];
  assert.ok(root);
  load(root.download);
  const made = plan([asset], view(), NETWORK, frameLimits(200), 0);
  applyRestrictions(made);
  assert.equal(trianglesOf([asset]), 100);
  assert.deepEqual([...made.start, ...made.waiting], []);
});

test("a tier of a chain costs its additional triangles, also if it skips a tier", () => {
  const startedKeys = (limits: StreamLimits) =>
    plan([arrived("a", manifest([evenTree("a", 1, 3)]))], view(), NETWORK, limits, 0).start.map(
      ({ download }) => download.key,
    );
  const all = startedKeys(frameLimits(1e6));
  assert.ok(!all.includes("a/tree/0/0"), "the first tier is skipped");
  assert.deepEqual(startedKeys(frameLimits(100)), all);
});

test("a skipped tier is fetched once the tier that replaced it does not fit into the budget", () => {
  const chain = evenTree("a", 1, 2);
  for (const [i, triangles] of [100, 200, 1000].entries())
    Object.assign(chain.regions[i] ?? {}, { triangles });
  const asset = arrived("a", manifest([chain]));
  load((asset.trees[0]?.refinements[1] ?? assert.fail()).download);
  const startedWith = (triangles: number) => {
    const made = plan([asset], view(), NETWORK, frameLimits(triangles), 0);
    applyRestrictions(made);
    return made.start.map(({ download }) => download);
  };
  assert.deepEqual(startedWith(1e6), []);
  assert.equal(trianglesOf([asset]), 1000);
  const [skipped, ...others] = startedWith(400);
  assert.equal(trianglesOf([asset]), 100);
  assert.deepEqual([skipped?.key, others.length], ["a/tree/0/0", 0]);
  load(skipped ?? assert.fail());
  assert.deepEqual(startedWith(400), []);
  assert.equal(trianglesOf([asset]), 200);
});

test("fetched refinements never exceed the budget", () => {
  const asset = arrived("a", manifest([evenTree("a", 4, 3)]));
  const limits = { ...frameLimits(1500), inFlightMs: 1e6 };
  for (let now = 0; now < 50; now++) {
    const made = plan([asset], view(), NETWORK, limits, now);
    applyRestrictions(made);
    for (const { download } of made.start) load(download);
    applyRestrictions(plan([asset], view(), NETWORK, limits, now));
    assert.ok(trianglesOf([asset]) <= 1500, `${trianglesOf([asset])} triangles`);
  }
  assert.ok(trianglesOf([asset]) > 1100, `${trianglesOf([asset])} triangles`);
});

test("bases that fill the budget leave a quarter of it for refinements", () => {
  const assets = Array.from({ length: 20 }, (_, i) =>
    complete(at(arrived(`a${i}`, manifest([evenTree(`a${i}`, 4, 1)])), i % 5, 0, -Math.floor(i / 5))),
  );
  applyRestrictions(plan(assets, view([2, 0, 3], { frustum: [] }), NETWORK, frameLimits(2000), 0));
  assert.ok(trianglesOf(assets) > 2000);
  assert.ok(trianglesOf(assets) <= 2500);
});

test("a trembling gaze does not change the cut", () => {
  const assets = [-0.7, 0.7].map((x, i) =>
    complete(
      at(
        arrived(`a${i}`, manifest([tree(`a${i}`, { error: 0.1, children: [{ error: 0 }, { error: 0 }] })])),
        x,
        0,
        0,
      ),
    ),
  );
  applyRestrictions(plan(assets, view(), NETWORK, frameLimits(300), 0));
  for (let i = 1; i <= 10; i++) {
    const x = (i % 2 ? 0.01 : -0.01) as number;
    const trembling = view([0, 0, 3], { gaze: [x, 0, -Math.sqrt(1 - x * x)] });
    assert.deepEqual(plan(assets, trembling, NETWORK, frameLimits(300), 50 * i).restrict, []);
  }
});

test("for any arrivals, views and budgets, the drawn regions form a cut within the budget", () => {
  const step = fc.record({
    turn: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
    triangles: fc.integer({ min: 400, max: 6000 }),
    drawCalls: fc.integer({ min: 4, max: 60 }),
    arrivals: fc.array(fc.nat(200), { maxLength: 6 }),
    releases: fc.array(fc.nat(200), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const assets = [0, 1].map((i) =>
        at(arrived(`a${i}`, manifest([evenTree(`a${i}`, 2 + i, 3), evenTree(`b${i}`, 1, 3)])), 3 * i, 0, 0),
      );
      const files = assets.flatMap(({ trees }) =>
        trees.flatMap(({ refinements }) => refinements.flatMap((f) => f ?? [])),
      );
      steps.forEach(({ turn, triangles, drawCalls, arrivals, releases }, i) => {
        for (const pick of releases) {
          const file = files[pick % files.length];
          if (file?.loadState === "ready") file.download.asset.drop(file.download, i);
        }
        for (const pick of arrivals) {
          const file = files[pick % files.length];
          if (file?.loadState === "absent") load(file.download);
        }
        const gaze = [Math.sin(turn), 0, -Math.cos(turn)] as const;
        // An empty frustum: every region is in view.
        const seen = view([1.5, 0, 3], { gaze, frustum: [] });
        const made = plan(assets, seen, NETWORK, frameLimits(triangles, drawCalls), 50 * i);
        applyRestrictions(made);
        const drawn = trianglesOf(assets);
        assert.equal(made.drawn.triangles, drawn);
        assert.ok(drawn <= Math.max(triangles, 400 + triangles / 4), `${drawn} of ${triangles} triangles`);
        assert.ok(
          drawn / 100 <= Math.max(drawCalls, 4 + drawCalls / 4),
          `${drawn / 100} of ${drawCalls} draw calls`,
        );
        for (const { trees } of assets) {
          for (const { tree, cut } of trees)
            assert.ok(drawnPerPath(tree.regions, cut.drawn).every((count) => count === 1));
        }
      });
    }),
    { numRuns: 300, seed: 7 },
  );
});
