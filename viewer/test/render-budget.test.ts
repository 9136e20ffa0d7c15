import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AssetState } from "../src/core/asset.ts";
import type { Tree } from "../src/core/bundle/bundle.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { DEFAULT_LIMITS, type Plan, plan, type StreamLimits } from "../src/core/scheduler.ts";
import { arrived, at, evenTree, manifest, tree, turnedAway, view } from "./worlds.ts";

const NETWORK: NetworkEstimate = {
  bytesPerSecond: 1e6,
  fastBytesPerSecond: 1e6,
  slowBytesPerSecond: 1e6,
  ttfbMs: 40,
  measured: true,
};
/** Room for so many triangles; a region of these worlds has 100, and is one draw call. */
const room = (triangles: number, drawCalls = 1e6): StreamLimits => ({
  ...DEFAULT_LIMITS,
  triangles,
  drawCalls,
});

/** Every refinement of the asset is there. */
function complete(asset: AssetState): AssetState {
  for (const { refinements } of asset.trees) {
    for (const file of refinements) if (file) ready(asset, file.download);
  }
  return asset;
}

function ready(asset: AssetState, download: Parameters<AssetState["begin"]>[0]): void {
  asset.begin(download, 0);
  asset.arrive(download, 0);
  asset.ready(download, 0);
}

function carryOut({ restrict }: Plan): void {
  for (const { asset, tree, limit } of restrict) asset.restrict(tree, limit);
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

/** How many drawn regions each path from the root to a leaf meets. */
function meetings({ regions }: Tree, drawn: ReadonlySet<number>): number[] {
  return regions.flatMap(({ children }, leaf) => {
    if (children.length > 0) return [];
    let count = 0;
    for (let r: number | null = leaf; r !== null; r = regions[r]?.parent ?? null) if (drawn.has(r)) count++;
    return [count];
  });
}

test("with room for all of it, everything that arrived is drawn", () => {
  const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
  const made = plan([asset], view(), NETWORK, room(1600), 0);
  assert.deepEqual(made.restrict, []);
  assert.deepEqual(made.drawn, { triangles: 1600, drawCalls: 16 });
});

test("a budget of triangles, or of draw calls, makes the cut coarser", () => {
  for (const limits of [room(700), room(1e6, 7)]) {
    const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
    const made = plan([asset], view(), NETWORK, limits, 0);
    carryOut(made);
    assert.equal(trianglesOf([asset]), 700);
    assert.deepEqual(made.drawn, { triangles: 700, drawCalls: 7 });
  }
});

test("what is looked at is drawn finer than what is beside it", () => {
  const near = complete(at(arrived("near", manifest([evenTree("n", 4, 2)])), 0, 0, 0));
  const far = complete(at(arrived("far", manifest([evenTree("f", 4, 2)])), 8, 0, -8));
  carryOut(plan([far, near], view(), NETWORK, room(1700), 0));
  assert.equal(trianglesOf([near]), 1600);
  assert.equal(trianglesOf([far]), 100);
});

test("what is out of view takes nothing of the budget", () => {
  const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
  const made = plan([asset], turnedAway(view()), NETWORK, room(200), 0);
  assert.deepEqual(made.drawn, { triangles: 0, drawCalls: 0 });
  assert.deepEqual(made.restrict, []);
});

test("as soon as there is room again, what is still there is drawn", () => {
  const asset = complete(arrived("a", manifest([evenTree("a", 4, 2)])));
  carryOut(plan([asset], view(), NETWORK, room(700), 0));
  const made = plan([asset], view(), NETWORK, room(1600), 50);
  assert.equal(made.restrict[0]?.limit, null);
  carryOut(made);
  assert.equal(trianglesOf([asset]), 1600);
});

test("nothing is fetched that a frame has no room for", () => {
  const asset = arrived("a", manifest([evenTree("a", 4, 2)]));
  const all = plan([asset], view(), NETWORK, room(1e6), 0);
  assert.ok(all.start.some(({ download }) => download.kind === "refinement"));
  const none = plan([asset], view(), NETWORK, room(100), 0);
  assert.deepEqual([...none.start, ...none.waiting], []);
});

test("what is under something that a frame has no room for is not fetched", () => {
  const asset = arrived("a", manifest([evenTree("a", 4, 2)]));
  const root = asset.trees[0]?.refinements[0];
  assert.ok(root);
  ready(asset, root.download);
  const made = plan([asset], view(), NETWORK, room(200), 0);
  carryOut(made);
  assert.equal(trianglesOf([asset]), 100);
  assert.deepEqual([...made.start, ...made.waiting], []);
});

test("a tier of a chain costs no more than it has more, whichever it follows", () => {
  const asked = (limits: StreamLimits) =>
    plan([arrived("a", manifest([evenTree("a", 1, 3)]))], view(), NETWORK, limits, 0).start.map(
      ({ download }) => download.key,
    );
  const all = asked(room(1e6));
  assert.ok(!all.includes("a/tree/0/0"), "the first tier is skipped");
  assert.deepEqual(asked(room(100)), all);
});

test("a tier that was skipped is fetched once what replaced it is more than a frame has room for", () => {
  const chain = evenTree("a", 1, 2);
  for (const [i, triangles] of [100, 200, 1000].entries())
    Object.assign(chain.regions[i] ?? {}, { triangles });
  const asset = arrived("a", manifest([chain]));
  ready(asset, asset.trees[0]?.refinements[1]?.download as Parameters<AssetState["begin"]>[0]);
  const asked = (triangles: number) => {
    const made = plan([asset], view(), NETWORK, room(triangles), 0);
    carryOut(made);
    return made.start.map(({ download }) => download);
  };
  assert.deepEqual(asked(1e6), []);
  assert.equal(trianglesOf([asset]), 1000);
  const [skipped, ...others] = asked(400);
  assert.equal(trianglesOf([asset]), 100);
  assert.deepEqual([skipped?.key, others.length], ["a/tree/0/0", 0]);
  ready(asset, skipped as Parameters<AssetState["begin"]>[0]);
  assert.deepEqual(asked(400), []);
  assert.equal(trianglesOf([asset]), 200);
});

test("what is fetched never brings more than a frame has room for", () => {
  const asset = arrived("a", manifest([evenTree("a", 4, 3)]));
  const limits = { ...room(1500), inFlightMs: 1e6 };
  for (let now = 0; now < 50; now++) {
    const made = plan([asset], view(), NETWORK, limits, now);
    carryOut(made);
    for (const { download } of made.start) ready(asset, download);
    carryOut(plan([asset], view(), NETWORK, limits, now));
    assert.ok(trianglesOf([asset]) <= 1500, `${trianglesOf([asset])} triangles`);
  }
  assert.ok(trianglesOf([asset]) > 1100, `${trianglesOf([asset])} triangles`);
});

test("bases that fill the budget leave some of it for what is looked at", () => {
  const assets = Array.from({ length: 20 }, (_, i) =>
    complete(at(arrived(`a${i}`, manifest([evenTree(`a${i}`, 4, 1)])), i % 5, 0, -Math.floor(i / 5))),
  );
  carryOut(plan(assets, view([2, 0, 3], { frustum: [] }), NETWORK, room(2000), 0));
  assert.ok(trianglesOf(assets) > 2000);
  assert.ok(trianglesOf(assets) <= 2500);
});

test("a trembling gaze does not change what is drawn", () => {
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
  carryOut(plan(assets, view(), NETWORK, room(300), 0));
  for (let i = 1; i <= 10; i++) {
    const x = (i % 2 ? 0.01 : -0.01) as number;
    const trembling = view([0, 0, 3], { gaze: [x, 0, -Math.sqrt(1 - x * x)] });
    assert.deepEqual(plan(assets, trembling, NETWORK, room(300), 50 * i).restrict, []);
  }
});

test("for any arrivals, views and budgets the cut is within the budget and has no holes", () => {
  const step = fc.record({
    turn: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
    triangles: fc.integer({ min: 400, max: 6000 }),
    drawCalls: fc.integer({ min: 4, max: 60 }),
    comes: fc.array(fc.nat(200), { maxLength: 6 }),
    goes: fc.array(fc.nat(200), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const assets = [0, 1].map((i) =>
        at(arrived(`a${i}`, manifest([evenTree(`a${i}`, 2 + i, 3), evenTree(`b${i}`, 1, 3)])), 3 * i, 0, 0),
      );
      const files = assets.flatMap(({ trees }) =>
        trees.flatMap(({ refinements }) => refinements.flatMap((f) => f ?? [])),
      );
      steps.forEach(({ turn, triangles, drawCalls, comes, goes }, i) => {
        for (const pick of goes) {
          const file = files[pick % files.length];
          if (file?.loadState === "ready") file.download.asset.drop(file.download, i);
        }
        for (const pick of comes) {
          const file = files[pick % files.length];
          if (file?.loadState === "absent") ready(file.download.asset, file.download);
        }
        const gaze = [Math.sin(turn), 0, -Math.cos(turn)] as const;
        // All around is in view: every region counts.
        const seen = view([1.5, 0, 3], { gaze, frustum: [] });
        const made = plan(assets, seen, NETWORK, room(triangles, drawCalls), 50 * i);
        carryOut(made);
        const drawn = trianglesOf(assets);
        assert.equal(made.drawn.triangles, drawn);
        assert.ok(drawn <= Math.max(triangles, 400 + triangles / 4), `${drawn} of ${triangles} triangles`);
        assert.ok(
          drawn / 100 <= Math.max(drawCalls, 4 + drawCalls / 4),
          `${drawn / 100} of ${drawCalls} draw calls`,
        );
        for (const { trees } of assets) {
          for (const { tree, cut } of trees)
            assert.ok(meetings(tree, cut.drawn).every((count) => count === 1));
        }
      });
    }),
    { numRuns: 300, seed: 7 },
  );
});
