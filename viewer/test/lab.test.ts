import assert from "node:assert/strict";
import { test } from "node:test";
import { leastError } from "../lab/bound.ts";
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
  const what = manifest([{ ...shape, primitives }], textures, [material]);
  const catalogue = {
    format: "streamxr/bundle",
    version: 1,
    generator: "test",
    assets: { thing: entry("thing") },
  } as const;
  return { catalogue, manifests: new Map([["thing", what]]) };
}

const scene = (): Scene => oneAsset(bundle(), "thing");

const heads = generatedHeads(scene().stand);

test("the same head, network and policy give the same outcome", () => {
  for (const head of heads) {
    assert.deepEqual(replay(scene(), head, NETWORK, OURS), replay(scene(), head, NETWORK, OURS));
  }
});

test("no policy gets more over the link than the link carries", () => {
  let capacity = 0;
  for (let now = 0; now < SESSION_MS; now++) capacity += NETWORK.rate(now);
  for (const policy of allPolicies()) {
    const { bytes, unseen, aborted } = replay(scene(), heads[3] ?? assert.fail(), NETWORK, policy);
    assert.ok(bytes > 30_000 && bytes <= capacity, policy.name);
    assert.ok(aborted <= unseen && unseen <= bytes, policy.name);
  }
});

test("visible error is the least of all policies, or within 2 % of it, for a still and a walking head", () => {
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

test("no policy gets below what no choice of files could, and ours comes within three times of it", () => {
  for (const head of heads) {
    const least = leastError(scene(), head, NETWORK);
    assert.ok(least > 0);
    for (const policy of allPolicies()) {
      const { error } = replay(scene(), head, NETWORK, policy);
      assert.ok(error >= least, `${head.name}, ${policy.name}: ${error} < ${least}`);
      if (policy === OURS) assert.ok(error < 3 * least, `${head.name}: ${error} of ${least}`);
    }
  }
});

test("a network that is silent shows nothing, and nothing is counted as seen", () => {
  const silent: NetworkTrace = { name: "silent", rttMs: 40, rate: () => 0, megabits: 0 };
  const { firstFrameMs, bytes, unseen } = replay(scene(), heads[0] ?? assert.fail(), silent, OURS);
  assert.deepEqual([bytes, unseen, firstFrameMs], [0, 0, SESSION_MS - 50]);
});

test("a frame draws no more than its budget allows, whatever has come", () => {
  const head = heads[0] ?? assert.fail();
  for (const policy of allPolicies()) {
    const all = replay(scene(), head, NETWORK, policy);
    // 85 regions of 100 triangles, of which a frame may draw 15.
    const some = replay(scene(), head, NETWORK, policy, { triangles: 1500, drawCalls: 100 });
    assert.ok(some.error >= all.error * (1 - 1e-9), policy.name);
    if (policy.name === "SSE 1 px") assert.ok(some.error > 1.2 * all.error && some.bytes === all.bytes);
    if (policy === OURS) assert.ok(some.bytes < all.bytes, "nor is it fetched");
  }
});

test("an inspector's trace says what was shown, and where; the bundle must still have it", () => {
  const world = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1];
  const { uri } = entry("thing").manifest;
  const trace = { format: "streamxr/trace", assets: [{ id: "thing#2", manifest: uri, world }] };
  const { placed } = tracedScene(bundle(), "mine", trace);
  assert.deepEqual(
    placed.map(({ id, entry: of, world: at }) => [id, of.manifest.uri, at]),
    [["thing#2", uri, world]],
  );
  const other = { ...trace, assets: [{ ...trace.assets[0], manifest: "a/gone/manifest.json" }] };
  assert.throws(() => tracedScene(bundle(), "mine", other), /mine: the bundle has no a\/gone/);
  assert.throws(() => tracedScene(bundle(), "mine", { ...trace, assets: [] }), /mine: "assets"/);
});

test("a recorded trace is replayed, alone or as the inspector saves it, and a broken one says what is wrong", () => {
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
    assert.deepEqual(trace.moment(600).position, [0, 1, 1]);
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
