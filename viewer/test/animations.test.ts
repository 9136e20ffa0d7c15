import assert from "node:assert/strict";
import { test } from "node:test";
import { AssetState } from "../src/core/asset.ts";
import { type Plan, plan } from "../src/core/scheduler.ts";
import { FAST, keysOf, LIMITS, SLOW, settle } from "./plans.ts";
import { animation, arrived, at, entry, evenTree, manifest, turnedAway, view } from "./worlds.ts";

/** An asset with two animations, "one" and "two". */
const dancer = (reach: readonly number[], bytes = 20_000, error = 0.01) =>
  arrived(
    "a",
    manifest([evenTree("a", 2, 2, error)], [], [], [animation("one", reach, bytes), animation("two", reach)]),
  );

const startedAnimations = ({ start }: Plan) =>
  start.flatMap(({ download }) => (download.kind === "animation" ? [download.animation] : []));

test("an animation that moves far comes before refinements of small errors", () => {
  const order = settle([dancer([0.5])], view());
  assert.deepEqual(order[0]?.key, "a/animation/0");
  assert.ok(order.length > 2, "the tiers follow");
});

test("a large animation that moves little comes after refinements with more gain per byte", () => {
  const order = keysOf(settle([dancer([0.004], 2_000_000, 0.2)], view()));
  assert.ok(order.indexOf("a/animation/0") > order.indexOf("a/tree/0/0"));
});

test("an animation whose motion is invisible from here is not fetched", () => {
  const startedFor = (reach: number) =>
    startedAnimations(plan([at(dancer([reach]), 0, 0, -60)], view(), FAST, LIMITS, 0));
  assert.deepEqual(startedFor(0.001), []);
  assert.deepEqual(startedFor(0.5), [0]);
});

test("an animation that moves no tree comes last", () => {
  assert.equal(keysOf(settle([dancer([0])], view())).at(-1), "a/animation/0");
});

test("no animation of an asset out of view is fetched", () => {
  assert.deepEqual(settle([dancer([0.5])], turnedAway(view())), []);
  assert.deepEqual(settle([dancer([0])], turnedAway(view())), []);
});

test("only the animations to play are fetched, by name", () => {
  const asset = dancer([0.5]);
  asset.animationsToPlay = new Set(["two"]);
  assert.deepEqual(
    settle([asset], view()).filter(({ kind }) => kind === "animation"),
    [asset.animations[1]?.download],
  );
  asset.animationsToPlay = new Set(["one", "two", "three"]);
  assert.deepEqual(keysOf(settle([asset], view())), ["a/animation/0"]);
});

test("until the code that draws an asset has loaded, only its base and manifest are fetched", () => {
  for (const reach of [[0.5], [0]]) {
    const asset = dancer(reach);
    asset.rendererReady = false;
    assert.deepEqual(settle([asset], view()), []);
    asset.rendererReady = true;
    assert.ok(settle([asset], view()).length > 2);
  }
});

test("an animation comes after the base of an asset beside it", () => {
  const other = at(new AssetState("b", entry("b")), 0.5, 0, 0);
  const order = keysOf(settle([dancer([0.5]), other], view()));
  const base = order.indexOf("b/base");
  assert.ok(base >= 0 && base < order.indexOf("a/animation/0"), `${order}`);
});

test("animations need no GPU memory, so a full memory does not hold them back", () => {
  const full = { ...LIMITS, gpuBytes: 0 };
  assert.deepEqual(startedAnimations(plan([dancer([0.5])], view(), SLOW, full, 0)), [0]);
});
