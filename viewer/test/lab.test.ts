import assert from "node:assert/strict";
import { test } from "node:test";
import { errorLowerBound } from "../lab/bound.ts";
import { generatedHeads, recordedHead, SESSION_MS } from "../lab/head.ts";
import { type NetworkTrace, recordedNetwork } from "../lab/network.ts";
import { allPolicies, OURS } from "../lab/policies.ts";
import { replay } from "../lab/replay.ts";
import { type Bundle, oneAsset, type Scene, tracedScene } from "../lab/scene.ts";
import { isBest, visibleError } from "../lab/summary.ts";
import { entry, evenTree, manifest, texture } from "./worlds.ts";

const NETWORK = recordedNetwork("test", {
  format: "streamxr/network",
  rttMs: 40,
  samples: [
    [0, 2],
    [4000, 6],
    [60_000, 6],
  ],
});

function bundle(): Bundle {
  const material = { name: "m", textures: [0, 1], doubleSided: true, alphaMode: "OPAQUE" as const };
  const shape = evenTree("thing", 4, 3, 0.05);
  const primitives: typeof shape.primitives = [{ material: 0, attributes: ["POSITION", "TEXCOORD_0"] }];
  const textures = [texture("a", [64, 256, 1024]), texture("b", [64, 256, 1024])];
  const contents = manifest([{ ...shape, primitives }], textures, [material]);
  const catalogue = {
    format: "streamxr/bundle",
    version: 1,
    generator: "test",
    assets: { thing: entry("thing") },
  } as const;
  return { catalogue, manifests: new Map([["thing", contents]]) };
}

const scene = (): Scene => oneAsset(bundle(), "thing");

const heads = generatedHeads(scene().standpoint);

test("the same head, network and policy give the same outcome", () => {
  for (const head of heads) {
    assert.deepEqual(replay(scene(), head, NETWORK, OURS), replay(scene(), head, NETWORK, OURS));
  }
});

test("no policy receives more bytes than the link carries", () => {
  let capacity = 0;
  for (let now = 0; now < SESSION_MS; now++) capacity += NETWORK.rate(now);
  for (const policy of allPolicies()) {
    const { bytes, unseen, aborted } = replay(scene(), heads[3] ?? assert.fail(), NETWORK, policy);
    assert.ok(bytes > 30_000 && bytes <= capacity, policy.name);
    assert.ok(aborted <= unseen && unseen <= bytes, policy.name);
  }
});

test("ours has the least visible error of all policies, within 2 %, for a still and a walking head", () => {
  for (const head of [heads[0], heads[2]]) {
    const results = allPolicies().map((policy) => ({
      policy: policy.name,
      family: policy.family,
      outcome: replay(scene(), head ?? assert.fail(), NETWORK, policy),
    }));
    const pair = { scene: "thing", head: head?.name ?? "", network: "test", megabits: 6, results };
    assert.ok(isBest(pair, visibleError), head?.name);
  }
});

test("no policy is below the lower bound on the error, and ours is within three times of it", () => {
  for (const head of heads) {
    const bound = errorLowerBound(scene(), head, NETWORK);
    assert.ok(bound > 0);
    for (const policy of allPolicies()) {
      const { error } = replay(scene(), head, NETWORK, policy);
      assert.ok(error >= bound, `${head.name}, ${policy.name}: ${error} < ${bound}`);
      if (policy === OURS) assert.ok(error < 3 * bound, `${head.name}: ${error} of ${bound}`);
    }
  }
});

test("over a silent network no frame is drawn and no byte is counted", () => {
  const silent: NetworkTrace = { name: "silent", rttMs: 40, rate: () => 0, megabits: 0 };
  const { firstFrameMs, bytes, unseen } = replay(scene(), heads[0] ?? assert.fail(), silent, OURS);
  assert.deepEqual([bytes, unseen, firstFrameMs], [0, 0, SESSION_MS - 50]);
});

test("a render budget limits every policy, and ours fetches less under it", () => {
  const head = heads[0] ?? assert.fail();
  for (const policy of allPolicies()) {
    const all = replay(scene(), head, NETWORK, policy);
    // The budget is 15 of 85 regions of 100 triangles.
    const some = replay(scene(), head, NETWORK, policy, { triangles: 1500, drawCalls: 100 });
    assert.ok(some.error >= all.error * (1 - 1e-9), policy.name);
    if (policy.name === "SSE 1 px") assert.ok(some.error > 1.2 * all.error && some.bytes === all.bytes);
    if (policy === OURS) assert.ok(some.bytes < all.bytes, "hidden regions are not fetched");
  }
});

test("an inspector's trace gives the assets and their places, and the bundle must contain them", () => {
  const world = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1];
  const { uri } = entry("thing").manifest;
  const trace = { format: "streamxr/trace", assets: [{ id: "thing#2", manifest: uri, world }] };
  const { placed } = tracedScene(bundle(), "mine", trace);
  assert.deepEqual(
    placed.map(({ id, entry: catalogueEntry, world: matrix }) => [id, catalogueEntry.manifest.uri, matrix]),
    [["thing#2", uri, world]],
  );
  const other = { ...trace, assets: [{ ...trace.assets[0], manifest: "a/gone/manifest.json" }] };
  assert.throws(() => tracedScene(bundle(), "mine", other), /mine: the bundle has no a\/gone/);
  assert.throws(() => tracedScene(bundle(), "mine", { ...trace, assets: [] }), /mine: "assets"/);
});

test("a recorded trace is read from its own file or from an inspector's, and an invalid one is an error", () => {
  const head = {
    format: "streamxr/head",
    samples: [
      [0, 0, 1, 2, 0, 0, 0, 1],
      [500, 0, 1, 1, 0, 0, 0, 1],
    ],
  };
  for (const json of [head, { format: "streamxr/trace", head }]) {
    const trace = recordedHead("mine", json);
    assert.equal(trace.durationMs, 500);
    assert.deepEqual(trace.sampleAt(600).position, [0, 1, 1]);
  }
  assert.throws(() => recordedHead("mine", { ...head, samples: [[0], [1]] }), /mine: sample 0/);
  assert.throws(() => recordedNetwork("mine", { format: "streamxr/head" }), /mine: "format"/);
  assert.throws(
    () =>
      recordedNetwork("mine", {
        format: "streamxr/network",
        rttMs: 1,
        samples: [
          [0, 1],
          [0, 2],
        ],
      }),
    /mine: sample 1/,
  );
});
