import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { plan, type StreamLimits } from "../src/core/scheduler.ts";
import { carryOut, FAST, finish, keysOf, LIMITS, loadingFiles, SLOW, settle, startedKeys } from "./plans.ts";
import { arrived, at, evenTree, manifest, tree, turnedAway, view } from "./worlds.ts";

/** An asset with one refinement of 1 MB of GPU memory. */
const megabyte = (id: string, x: number) =>
  at(
    arrived(
      id,
      manifest([tree(id, { error: 0.1, bytes: 10_000, gpuBytes: 1_000_000, children: [{ error: 0 }] })]),
    ),
    x,
    0,
    0,
  );

/** Room for the bases, of 100 KB each, and two such refinements. */
const TIGHT: StreamLimits = { ...LIMITS, gpuBytes: 2_500_000 };

test("GPU memory never exceeds the budget, in any sequence of views", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -6, max: 6, noNaN: true }), { maxLength: 20 }), (places) => {
      const assets = [-6, -3, 0, 3, 6].map((x) => megabyte(`b${x}`, x));
      let now = 0;
      for (const x of places) {
        now += 1000;
        const made = plan(assets, view([x, 0, 2]), FAST, TIGHT, now);
        assert.ok(made.gpuBytes <= TIGHT.gpuBytes);
        carryOut(made, now);
        for (const { download } of loadingFiles(assets)) finish(download, now);
        let held = 0;
        for (const asset of assets) {
          for (const { loadState, download } of asset.files) {
            if (loadState === "ready") held += download.kind === "base" ? 100_000 : download.gpuBytes;
          }
        }
        assert.equal(held, made.gpuBytes);
      }
    }),
  );
});

test("a tier that does not fit is replaced by the tier before it", () => {
  const asset = arrived(
    "a",
    manifest([
      tree("a", {
        error: 0.1,
        bytes: 150_000,
        gpuBytes: 1_000_000,
        children: [{ error: 0.01, bytes: 160_000, gpuBytes: 5_000_000, children: [{ error: 0 }] }],
      }),
    ]),
  );
  assert.deepEqual(startedKeys(plan([asset], view(), FAST, LIMITS, 0)), ["a/tree/0/1"]);
  assert.deepEqual(startedKeys(plan([asset], view(), FAST, TIGHT, 0)), ["a/tree/0/0"]);
});

test("a file out of view is evicted for one in view, after two seconds", () => {
  const [a, b, c] = [megabyte("a", -1), megabyte("b", 1), megabyte("c", 40)];
  settle([a, b, c], view([0, 0, 4]), FAST, TIGHT);
  const early = plan([a, b, c], view([40, 0, 4]), FAST, TIGHT, 1000);
  assert.deepEqual([early.start, early.evict], [[], []]);
  const late = plan([a, b, c], view([40, 0, 4]), FAST, TIGHT, 3000);
  assert.equal(late.start.length, 1);
  assert.equal(late.evict.length, 1);
});

test("no file is evicted for one that is about as useful", () => {
  const assets = [megabyte("a", -2), megabyte("b", 0), megabyte("c", 2)];
  settle(assets, view([0, 0, 6]), FAST, TIGHT);
  for (let now = 10_000; now < 20_000; now += 500) {
    const { start, evict } = plan(assets, view([0.03 * Math.sin(now), 0, 6]), FAST, TIGHT, now);
    assert.deepEqual([start, evict], [[], []]);
  }
});

test("a smaller budget evicts the least useful file", () => {
  const [near, far] = [megabyte("near", 0), at(megabyte("far", 0), 0, 0, -20)];
  settle([near, far], view([0, 0, 4]), FAST, TIGHT);
  const limits = { ...TIGHT, gpuBytes: 1_500_000 };
  const { evict, start } = plan([near, far], view([0, 0, 4]), FAST, limits, 9000);
  assert.deepEqual(keysOf(evict), ["far/tree/0/0"]);
  assert.deepEqual(start, []);
});

test("a refinement is not evicted while one below it is held", () => {
  const asset = arrived("a", manifest([evenTree("a", 2, 2)]));
  const refinements = asset.trees[0]?.refinements ?? [];
  for (const file of refinements) if (file) finish(file.download);
  const limits = { ...LIMITS, gpuBytes: 100_000 + 20_000 };
  const { evict } = plan([asset], turnedAway(view()), SLOW, limits, 9000);
  assert.ok(evict.length >= 2);
  for (const download of evict) asset.drop(download, 9000);
  const held = refinements.flatMap((file) => (file?.loadState === "ready" ? [file.download.region] : []));
  assert.deepEqual(held, [0]);
});
