import assert from "node:assert/strict";
import { test } from "node:test";
import { AssetState } from "../src/core/asset.ts";
import { demandOf } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import { plan } from "../src/core/scheduler.ts";
import { carryOut, LIMITS, loadingFiles, SLOW } from "./plans.ts";
import { animation, arrived, at, entry, evenTree, manifest, tree, turnedAway, view } from "./worlds.ts";

const abortsOf = (asset: AssetState, from: View) => plan([asset], from, SLOW, LIMITS, 100).abort;

/** An asset with a refinement of 500 KB in flight. */
function withRefinementInFlight() {
  const asset = arrived("a", manifest([tree("a", { error: 0.1, bytes: 500_000, children: [{ error: 0 }] })]));
  carryOut(plan([asset], view(), SLOW, LIMITS, 0));
  return { asset, download: loadingFiles([asset])[0]?.download ?? assert.fail() };
}

/** An asset with an animation of 900 KB in flight. */
function withAnimationInFlight(reach: readonly number[]) {
  const asset = arrived(
    "a",
    manifest(
      [evenTree("a", 2, 2, 0.01)],
      [],
      [],
      [animation("one", reach, 900_000), animation("two", reach)],
    ),
  );
  const download = asset.animations[0]?.download ?? assert.fail();
  asset.begin(download, 0);
  return { asset, download };
}

test("the refinement of a region out of view is aborted", () => {
  const { asset, download } = withRefinementInFlight();
  assert.deepEqual(abortsOf(asset, view()), []);
  assert.deepEqual(abortsOf(asset, turnedAway(view())), [download]);
});

test("a request that is nearly done is not aborted", () => {
  const { asset, download } = withRefinementInFlight();
  asset.progress(download, 450_000);
  assert.deepEqual(abortsOf(asset, turnedAway(view())), []);
});

test("an aborted file is requested again when it is seen again", () => {
  const { asset, download } = withRefinementInFlight();
  carryOut(plan([asset], turnedAway(view()), SLOW, LIMITS, 100), 100);
  assert.equal(asset.file(download).loadState, "absent");
  const { start } = plan([asset], view(), SLOW, LIMITS, 200);
  assert.deepEqual(
    start.map((candidate) => candidate.download),
    [download],
  );
});

test("a head that trembles at the edge of the view aborts nothing", () => {
  const sphere: [number, number, number, number] = [0, 0, 0, 0.5];
  const shape = tree("a", { error: 0.1, bytes: 500_000, sphere, children: [{ error: 0 }] });
  const asset = at(arrived("a", manifest([shape])), 0, 0, 0);
  // The left edge of the view of 45° is at x = −3: the sphere is just inside, then 1 cm outside.
  const inside = view([3.69, 0, 3]);
  const outside = view([3.72, 0, 3]);
  carryOut(plan([asset], inside, SLOW, LIMITS, 0));
  assert.equal(loadingFiles([asset]).length, 1);
  assert.equal(demandOf(asset, 0, 0, outside).weight, 0);
  assert.deepEqual(abortsOf(asset, outside), []);
});

test("a base is never aborted", () => {
  const asset = new AssetState("a", entry("a"));
  carryOut(plan([asset], view(), SLOW, LIMITS, 0));
  assert.deepEqual(abortsOf(asset, turnedAway(view())), []);
});

test("an animation is aborted when it is not to be played any more", () => {
  for (const reach of [[0.5], [0]]) {
    const { asset, download } = withAnimationInFlight(reach);
    assert.deepEqual(abortsOf(asset, view()), []);
    asset.animationsToPlay = new Set(["two"]);
    assert.deepEqual(abortsOf(asset, view()), [download]);
  }
});

test("an animation is aborted when its tree is out of view, unless it is nearly done", () => {
  const { asset, download } = withAnimationInFlight([0.5]);
  assert.deepEqual(abortsOf(asset, turnedAway(view())), [download]);
  asset.progress(download, 850_000);
  assert.deepEqual(abortsOf(asset, turnedAway(view())), []);
});
