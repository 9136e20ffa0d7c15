import assert from "node:assert/strict";
import { test } from "node:test";
import { demandOf } from "../src/core/demand.ts";
import type { Vec3, View } from "../src/core/gaze.ts";
import { arrived, at, evenTree, manifest, turnedAway, view } from "./worlds.ts";

test("the demand on a tree with several nodes is that of the most demanding one", () => {
  const asset = arrived(
    "a",
    manifest([{ ...evenTree("a", 2, 3), kind: "rigid", space: "mesh", nodes: [1, 2] }]),
  );
  const placement = (z: number) => [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, z, 1];
  const demandWith = (...zs: number[]) => {
    asset.setPlacements(0, zs.map(placement));
    return demandOf(asset, 0, 0, view());
  };
  const [far, near] = [demandWith(-100), demandWith(0)];
  const both = demandWith(-100, 0);
  assert.equal(both.need, near.need);
  assert.equal(both.weight, near.weight);
  assert.ok(far.need > near.need);
  assert.equal(demandWith(-100, 5).need, far.need, "a nearer node behind the eye demands nothing");
  assert.equal(demandWith(50).weight, 0, "the only node is behind the eye");
});

test("a node of twice the size has twice the error", () => {
  const asset = arrived("a", manifest([evenTree("a", 2, 1, 0.1)]));
  asset.world = [0, 2, 0, 0, -2, 0, 0, 0, 0, 0, 2, 0, 0, 0, -5, 1];
  assert.ok(Math.abs(demandOf(asset, 0, 0, view()).error - 0.2) < 1e-12);
});

test("a predicted view counts for half of the weight", () => {
  const [asset, from] = [arrived("a", manifest([evenTree("a", 2, 1)])), view()];
  const { weight, solidAngle } = demandOf(asset, 0, 0, from);
  const leaving = demandOf(asset, 0, 0, { ...from, predicted: turnedAway(from) });
  assert.ok(Math.abs(leaving.weight - weight / 2) < 1e-9);
  assert.ok(Math.abs(leaving.solidAngle - solidAngle / 2) < 1e-9);
  const staying = demandOf(asset, 0, 0, { ...from, predicted: from });
  assert.ok(Math.abs(staying.weight - weight) < 1e-9);
  assert.ok(Math.abs(staying.solidAngle - solidAngle) < 1e-9);
});

test("a region at the predicted gaze or on its arc is foveal", () => {
  const from = view([0, 0, 0]);
  const angle = (35 * Math.PI) / 180;
  const aside: Vec3 = [Math.sin(angle), 0, -Math.cos(angle)];
  const asset = at(arrived("a", manifest([evenTree("a", 2, 1)])), 10 * aside[0], 0, 10 * aside[2]);
  const isFoveal = (each: View) => demandOf(asset, 0, 0, each).foveal;
  assert.equal(isFoveal(from), false);
  assert.equal(isFoveal({ ...from, gaze: aside }), true);
  assert.equal(isFoveal({ ...from, gaze: aside, predicted: from }), false, "the gaze will have left it");
  assert.equal(isFoveal({ ...from, predicted: { ...from, gaze: aside } }), true);
  assert.equal(isFoveal({ ...from, predicted: { ...from, gazeArcEnd: aside } }), true);
});

test("during a sweep, glances land on nothing that enters or leaves the view", () => {
  const asset = arrived("a", manifest([evenTree("a", 2, 1)]));
  const leaving: View = { ...view(), predicted: { ...turnedAway(view()), sweeps: true } };
  const entering: View = { ...turnedAway(view()), predicted: { ...view(), sweeps: true } };
  for (const from of [leaving, entering]) {
    const { weight, solidAngle } = demandOf(asset, 0, 0, from);
    assert.ok(weight > 0);
    assert.equal(solidAngle, 0);
  }
  const staying = demandOf(asset, 0, 0, { ...view(), predicted: { ...view(), sweeps: true } });
  assert.ok(staying.solidAngle > 0);
});
