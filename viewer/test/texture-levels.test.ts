import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./plans.ts";
import { arrived, evenTree, manifest, network, texture, turnedAway, view } from "./worlds.ts";

/** An asset with one texture on a chain of two tiers. */
function textured(widths: readonly number[]) {
  const material = { name: "m", textures: [0], doubleSided: false, alphaMode: "OPAQUE" as const };
  const chain = evenTree("a", 1, 2, 0.05);
  const primitives: typeof chain.primitives = [{ material: 0, attributes: ["POSITION", "TEXCOORD_0"] }];
  return arrived("a", manifest([{ ...chain, primitives }], [texture("t", widths)], [material]));
}

test("textures and geometry share one queue, and both are fetched up to the visible limit", () => {
  const asset = textured([64, 256, 1024, 4096]);
  const order = settle([asset], view());
  assert.ok(order.some(({ kind }) => kind === "texture"));
  assert.ok(order.some(({ kind }) => kind === "refinement"));
  // A texel of 2 m / 1024 is 2 mm, and a pixel at 2 m is 1.75 mm: one more level is visible, the last one.
  assert.deepEqual(asset.drawnLevels, [3]);
  const afar = textured([64, 256, 1024, 4096]);
  settle([afar], view([0, 0, 9]));
  assert.deepEqual(afar.drawnLevels, [2], "a pixel at 8 m is 7 mm");
});

test("no level is fetched for a texture on regions out of view", () => {
  assert.deepEqual(settle([textured([64, 4096])], turnedAway(view())), []);
});

test("a level that has failed for good is skipped", () => {
  const asset = textured([64, 256, 1024]);
  const level1 = asset.textures[0]?.[1] ?? assert.fail();
  asset.fail(level1.download, 0, Number.POSITIVE_INFINITY);
  settle([asset], view(), network(0.5, 20));
  assert.deepEqual(asset.drawnLevels, [2]);
});
