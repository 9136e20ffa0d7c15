import assert from "node:assert/strict";
import { test } from "node:test";
import { AssetState, type Download } from "../src/core/asset.ts";
import type { Manifest } from "../src/core/bundle/bundle.ts";
import type { View } from "../src/core/gaze.ts";
import { BandwidthEstimator } from "../src/core/network/bandwidth.ts";
import { Fetcher } from "../src/core/network/fetcher.ts";
import { DEFAULT_LIMITS, isDue } from "../src/core/scheduler.ts";
import { type Host, RETRY_AFTER_MS, Streamer } from "../src/core/streamer.ts";
import { VirtualClock } from "./clock.ts";
import { Server } from "./server.ts";
import { animation, evenTree, hash, manifest, texture, turnedAway, uri, view } from "./worlds.ts";

/** A host that draws nothing. It checks each call against the prepared files and the drawn regions. */
class FakeHost implements Host {
  readonly prepared = new Set<string>();
  readonly drawn = new Set<string>();
  readonly levels = new Map<string, number>();
  readonly failures: string[] = [];
  readonly bases: string[] = [];
  /** Lengths of all heads of bases. */
  readonly heads: string[] = [];
  baseProgress({ id }: AssetState, head: Uint8Array): void {
    this.heads.push(`${id}: ${head.length}`);
  }
  manifestReady(asset: AssetState): void {
    asset.trees.forEach((_, tree) => {
      this.drawn.add(`${asset.id}/${tree}/0`);
    });
  }
  async prepare({ key }: Download): Promise<void> {
    assert.ok(!this.prepared.has(key), `${key} is prepared twice`);
    this.prepared.add(key);
  }
  showBase(asset: AssetState): void {
    this.bases.push(asset.id);
  }
  showRegions(
    asset: AssetState,
    tree: number,
    { hide, show }: { hide: readonly number[]; show: readonly number[] },
  ) {
    for (const region of hide) assert.ok(this.drawn.delete(`${asset.id}/${tree}/${region}`));
    for (const region of show) {
      const parent = asset.manifest?.trees[tree]?.regions[region]?.parent ?? null;
      assert.ok(
        parent === null || this.prepared.has(`${asset.id}/tree/${tree}/${parent}`),
        "only prepared regions are shown",
      );
      this.drawn.add(`${asset.id}/${tree}/${region}`);
    }
  }
  showLevel(asset: AssetState, index: number, level: number): void {
    assert.ok(level === 0 || this.prepared.has(`${asset.id}/texture/${index}/${level}`));
    this.levels.set(`${asset.id}/${index}`, level);
  }
  release({ key }: Download): void {
    assert.ok(this.prepared.delete(key), `${key} is released but not prepared`);
  }
  failed({ key }: Download, error: Error): void {
    this.failures.push(`${key}: ${error.message}`);
  }
}

/** A streamer, and a server with all files of an asset on a link of so many bytes per millisecond. */
function setUp(contents: Manifest, bytesPerMs = 625) {
  const clock = new VirtualClock();
  const server = new Server(clock);
  const bandwidth = new BandwidthEstimator();
  const host = new FakeHost();
  const fetcher = new Fetcher({
    request: server.request,
    now: clock.now,
    wait: clock.wait,
    random: () => 0.5,
    bandwidth,
  });
  const streamer = new Streamer({ host, fetcher, bandwidth, limits: DEFAULT_LIMITS });
  const json = new TextEncoder().encode(JSON.stringify(contents));
  const asset = new AssetState("thing", {
    manifest: { uri: `a/thing/manifest-${hash(json)}.json`, bytes: json.length },
    base: contents.base,
    bounds: contents.bounds,
    triangles: 1,
  });
  const put = (name: string, bytes: Uint8Array) =>
    server.put(name, { bytes, chunk: 5000, msPerChunk: 5000 / bytesPerMs });
  put(asset.entry.manifest.uri, json);
  const files = [
    contents.base,
    ...contents.animations.map(({ keyframes }) => keyframes),
    ...contents.textures.flatMap(({ levels }) => levels),
    ...contents.trees.flatMap(({ regions }) => regions.map(({ refinement }) => refinement)),
  ];
  for (const file of files) if (file?.uri) put(file.uri, new Uint8Array(file.bytes));
  /** Updates the streamer every 20 ms. */
  const run = async (from: View, ms: number) => {
    for (let passed = 0; passed < ms; passed += 20) {
      streamer.update(from, clock.now());
      await clock.pass(20);
    }
  };
  return { clock, server, bandwidth, host, streamer, asset, run };
}

/** An asset with one texture and a tree of two tiers. */
const thing = () => {
  const material = { name: "m", textures: [0], doubleSided: false, alphaMode: "OPAQUE" as const };
  const shape = evenTree("thing", 2, 2, 0.05);
  const primitives: typeof shape.primitives = [{ material: 0, attributes: ["POSITION", "TEXCOORD_0"] }];
  return manifest([{ ...shape, primitives }], [texture("t", [64, 256, 1024])], [material]);
};

test("base and manifest are requested together, and all other files follow the base", async () => {
  const { server, host, streamer, asset, run } = setUp(thing());
  streamer.add(asset);
  await run(view(), 5000);
  assert.deepEqual(
    new Set(server.requested.slice(0, 2)),
    new Set([asset.entry.base.uri, asset.entry.manifest.uri]),
  );
  assert.deepEqual(host.bases, ["thing"]);
  // Only the base reports its progress, in chunks of 5,000 bytes.
  const chunks = Math.ceil(asset.entry.base.bytes / 5000);
  const received = Array.from({ length: chunks }, (_, i) => Math.min(asset.entry.base.bytes, 5000 * (i + 1)));
  assert.deepEqual(
    host.heads,
    received.map((bytes) => `thing: ${bytes}`),
  );
  assert.deepEqual(host.failures, []);
  const regions = asset.manifest?.trees[0]?.regions ?? [];
  for (const region of asset.cuts[0]?.drawn ?? []) assert.deepEqual(regions[region]?.children, []);
  assert.deepEqual(host.drawn, new Set([...(asset.cuts[0]?.drawn ?? [])].map((r) => `thing/0/${r}`)));
  assert.equal(host.levels.get("thing/0"), 2);
});

test("no file is requested twice, and a coarser level is released for a finer one", async () => {
  const { server, host, streamer, asset, run } = setUp(thing());
  streamer.add(asset);
  await run(view(), 5000);
  assert.equal(new Set(server.requested).size, server.requested.length);
  assert.ok(!host.prepared.has("thing/texture/0/1"));
});

test("a request starts in the frame in which it is due", async () => {
  const { clock, bandwidth, streamer, asset } = setUp(thing(), 20);
  streamer.add(asset);
  const gaps = new Set<number>();
  let last = 0;
  streamer.onPlan = (_, now) => {
    gaps.add(now - last);
    last = now;
  };
  for (let frame = 0; frame < 1000; frame++) {
    streamer.update(view(), clock.now());
    const made = streamer.plan ?? assert.fail();
    assert.ok(!isDue(made, streamer.assets, bandwidth.estimate(clock.now()), DEFAULT_LIMITS));
    await clock.pass(10);
  }
  assert.ok(gaps.has(50) && gaps.size > 1);
});

test("once all needed files have arrived nothing more is requested", async () => {
  const { server, streamer, asset, run } = setUp(thing());
  streamer.add(asset);
  await run(view(), 5000);
  const before = server.requested.length;
  await run(view(), 5000);
  assert.equal(server.requested.length, before);
  assert.deepEqual(streamer.loading, []);
});

test("downloads stop when the view turns away, and continue when it turns back", async () => {
  const { server, streamer, asset, host, run } = setUp(thing(), 20);
  streamer.add(asset);
  await run(view(), 3000);
  assert.ok(streamer.loading.length > 0);
  await run(turnedAway(view()), 500);
  assert.deepEqual(streamer.loading, []);
  assert.equal(server.open, 0);
  await run(view(), 60_000);
  assert.equal(host.levels.get("thing/0"), 2);
});

test("a missing refinement is reported, and all other files arrive", async () => {
  const contents = thing();
  const { server, streamer, asset, host, run } = setUp(contents);
  const broken = contents.trees[0]?.regions[1]?.refinement ?? assert.fail();
  server.put(broken.uri, { status: 404 });
  streamer.add(asset);
  await run(view(), 60_000);
  assert.deepEqual(host.failures, [`thing/tree/0/1: ${broken.uri}: the server answers 404`]);
  assert.deepEqual([...(asset.cuts[0]?.drawn ?? [])].sort(), [1, 5, 6]);
  assert.equal(server.requested.filter((name) => name === broken.uri).length, 1);
});

test("a missing animation is reported, and all other files arrive", async () => {
  const missing = uri("animation/dance");
  const { server, host, streamer, asset, run } = setUp(
    manifest([evenTree("thing", 2, 1)], [], [], [animation("dance", [0.5])]),
  );
  server.put(missing, { status: 404 });
  streamer.add(asset);
  await run(view(), 60_000);
  assert.deepEqual(host.failures, [`thing/animation/0: ${missing}: the server answers 404`]);
  assert.deepEqual([...(asset.cuts[0]?.drawn ?? [])].sort(), [1, 2]);
  assert.equal(server.requested.filter((name) => name === missing).length, 1);
});

test("an asset whose manifest is of a newer version stays at its base, and says so once", async () => {
  const { server, host, streamer, asset, run } = setUp({ ...thing(), version: 2 } as unknown as Manifest);
  streamer.add(asset);
  await run(view(), 20_000);
  assert.deepEqual(host.bases, ["thing"]);
  assert.equal(host.failures.length, 1);
  assert.match(host.failures[0] ?? "", /\$\.version: is 2, but this viewer reads 1: update the viewer$/);
  assert.equal(server.requested.length, 2);
});

test("a file that failed for now is requested again later", async () => {
  const contents = thing();
  const { server, streamer, asset, host, run } = setUp(contents);
  const file = contents.trees[0]?.regions[1]?.refinement ?? assert.fail();
  server.put(file.uri, "refused", "refused", "refused", "refused", { bytes: new Uint8Array(file.bytes) });
  streamer.add(asset);
  await run(view(), RETRY_AFTER_MS / 2);
  assert.equal(host.failures.length, 1);
  await run(view(), RETRY_AFTER_MS);
  assert.ok(host.drawn.has("thing/0/3"));
});

test("an invalid manifest is reported, and the base stays", async () => {
  const contents = thing();
  const { server, streamer, asset, host, run } = setUp(contents);
  const bytes = new Uint8Array(asset.entry.manifest.bytes).fill(0x20);
  server.put(asset.entry.manifest.uri, { bytes });
  streamer.add(asset);
  await run(view(), 2000);
  assert.deepEqual(host.bases, ["thing"]);
  assert.equal(host.failures.length, 1);
  assert.match(host.failures[0] ?? "", /^thing\/manifest: \$: is not JSON/);
});

test("a file that cannot be decoded is reported and not requested again", async () => {
  const { server, streamer, asset, host, run } = setUp(thing());
  host.prepare = async ({ key }) => {
    if (key === "thing/tree/0/1") throw new Error("not a GLB");
    host.prepared.add(key);
  };
  streamer.add(asset);
  await run(view(), 3 * RETRY_AFTER_MS);
  assert.deepEqual(host.failures, ["thing/tree/0/1: not a GLB"]);
  const { uri: name } = asset.trees[0]?.refinements[1]?.download ?? assert.fail();
  assert.equal(server.requested.filter((each) => each === name).length, 1);
});

test("the downloads of a removed asset stop", async () => {
  const { server, streamer, asset, host, run } = setUp(thing(), 20);
  streamer.add(asset);
  await run(view(), 3000);
  assert.ok(streamer.loading.length > 0);
  streamer.remove(asset);
  const prepared = new Set(host.prepared);
  await run(view(), 60_000);
  assert.equal(server.open, 0);
  assert.deepEqual(host.prepared, prepared);
  assert.deepEqual([streamer.assets, streamer.loading], [[], []]);
});

test("two assets with one id are refused", () => {
  const { streamer, asset } = setUp(thing());
  streamer.add(asset);
  assert.throws(() => streamer.add(asset), RangeError);
});

test("two assets that share files share their requests", async () => {
  const contents = thing();
  const { server, streamer, asset, host, run } = setUp(contents);
  streamer.add(asset);
  streamer.add(new AssetState("twin", asset.entry));
  await run(view(), 5000);
  assert.equal(server.requested.filter((name) => name === uri("thing/1")).length, 1);
  assert.deepEqual(new Set(host.bases), new Set(["thing", "twin"]));
});
