import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { AssetState } from "../src/core/asset.ts";
import { eccentricity } from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { isDue, plan } from "../src/core/scheduler.ts";
import { carryOut, FAST, finish, keysOf, LIMITS, loadingFiles, SLOW, settle, startedKeys } from "./plans.ts";
import { arrived, at, entry, evenTree, manifest, network, tree, turnedAway, view } from "./worlds.ts";

const eccentricityOf = ({ world }: AssetState) =>
  eccentricity(view(), world[12] ?? 0, world[13] ?? 0, world[14] ?? 0, Math.sqrt(3));

/** An asset whose only refinement has this size and is worth fetching. */
const oneRefinement = (id: string, bytes: number, error = 0.1) =>
  arrived(id, manifest([tree(id, { error, bytes, children: [{ error: 0 }] })]));

describe("bases", () => {
  test("base and manifest are requested together", () => {
    const made = plan([new AssetState("a", entry("a"))], view(), SLOW, LIMITS, 0);
    assert.deepEqual(startedKeys(made), ["a/base", "a/manifest"]);
  });

  test("of two assets at the fovea, a base comes before a refinement", () => {
    const refined = at(arrived("refined", manifest([evenTree("refined", 2, 3)])), -1, 0, 0);
    const late = at(new AssetState("late", entry("late")), 1, 0, 0);
    const { start } = plan([refined, late], view(), SLOW, LIMITS, 0);
    assert.equal(start[0]?.download.key, "late/base");
  });

  test("a small refinement at the fovea comes before a base at the edge of the view", () => {
    const foveal = oneRefinement("foveal", 2000, 0.5);
    const far = at(new AssetState("far", entry("far")), 60, 0, 0);
    assert.ok(eccentricityOf(far) > 60);
    assert.deepEqual(keysOf(settle([foveal, far], view(), network(0.1))), [
      "foveal/tree/0/0",
      "far/base",
      "far/manifest",
    ]);
  });

  test("bases of unseen assets are at most an eighth of all bytes, or 150 KB", () => {
    const basesAfter = (bytes: number) => {
      const seen = oneRefinement("seen", bytes, 1);
      const behind = Array.from({ length: 30 }, (_, i) => new AssetState(`b${i}`, entry(`b${i}`)));
      const assets = [seen, ...behind.map((asset) => at(asset, 0, 0, 10))];
      return settle(assets, view()).filter(({ kind }) => kind === "base").length;
    };
    assert.equal(basesAfter(10_000), 5, "30 KB each: 150 KB");
    assert.equal(basesAfter(4_000_000), 19, "570 KB of 4.7 MB, manifests included");
  });

  test("a base in view comes before one behind the head", () => {
    const behind = at(new AssetState("behind", entry("behind")), 0, 0, 10);
    const inView = new AssetState("in view", entry("in view"));
    const { start } = plan([behind, inView], view(), SLOW, LIMITS, 0);
    assert.equal(start[0]?.download.key, "in view/base");
  });

  test("a base out of view comes after all refinements in view", () => {
    const seen = arrived("seen", manifest([evenTree("seen", 2, 1)]));
    const behind = at(new AssetState("behind", entry("behind")), 0, 0, 10);
    assert.deepEqual(keysOf(settle([behind, seen], view(), network(0.1))), [
      "seen/tree/0/0",
      "behind/base",
      "behind/manifest",
    ]);
  });

  test("an asset whose base has failed is not refined, and delays no other asset", () => {
    const broken = new AssetState("broken", entry("broken"));
    broken.setManifest(manifest([evenTree("broken", 2, 1)]));
    broken.fail(broken.base.download, 0, Number.POSITIVE_INFINITY);
    const fine = arrived("fine", manifest([evenTree("fine", 2, 1)]));
    const { start } = plan([broken, fine], view(), FAST, LIMITS, 0);
    assert.deepEqual(
      start.filter(({ download }) => download.kind === "refinement").map(({ download }) => download.asset.id),
      ["fine"],
    );
  });
});

describe("failures", () => {
  test("a failed file is not requested again before its time", () => {
    const asset = arrived("a", manifest([evenTree("a", 2, 1)]));
    const { download } = asset.trees[0]?.refinements[0] ?? assert.fail();
    asset.fail(download, 0, 5000);
    assert.equal(plan([asset], view(), FAST, LIMITS, 4999).start.length, 0);
    assert.equal(plan([asset], view(), FAST, LIMITS, 5000).start.length, 1);
  });

  test("a tier of a chain that has failed for good is skipped", () => {
    const asset = arrived("a", manifest([evenTree("a", 1, 2)]));
    asset.fail((asset.trees[0]?.refinements[0] ?? assert.fail()).download, 0, Number.POSITIVE_INFINITY);
    settle([asset], view());
    assert.deepEqual([...(asset.cuts[0]?.drawn ?? [])], [2]);
  });
});

describe("bytes in flight", () => {
  test("exceed the cap by at most one file, and never leave the link idle", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 100, max: 3_000_000 }), { minLength: 2, maxLength: 30 }),
        fc.double({ min: 0.2, max: 100, noNaN: true }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (sizes, megabits, arrivals) => {
          const assets = sizes.map((bytes, i) =>
            at(oneRefinement(`a${i}`, bytes), (i % 5) - 2, 0, -Math.floor(i / 5)),
          );
          const net = network(megabits);
          const cap = (net.bytesPerSecond * LIMITS.inFlightMs) / 1000;
          for (const arrival of [...arrivals, 0]) {
            const made = plan(assets, view([0, 0, 5]), net, LIMITS, 0);
            carryOut(made);
            const loading = loadingFiles(assets);
            const bytes = loading.map(({ download }) => download.bytes);
            const total = bytes.reduce((sum, each) => sum + each, 0);
            assert.ok(total - Math.max(0, ...bytes) <= cap);
            // A single request is enough only if it takes longer than an answer.
            if (made.waiting.length > 0 && loading.length < 2) {
              assert.ok(loading.length === 1 && total > 0.09 * net.bytesPerSecond);
            }
            const done = loading[arrival % Math.max(1, loading.length)];
            if (done) finish(done.download);
          }
        },
      ),
    );
  });

  test("the next request starts when the bytes in flight will have arrived by its answer", () => {
    const assets = [1, 2, 3].map((i) => oneRefinement(`a${i}`, 100_000));
    const made = plan(assets, view(), SLOW, LIMITS, 0);
    carryOut(made);
    const first = loadingFiles(assets)[0] ?? assert.fail();
    assert.equal(loadingFiles(assets).length, 1, "100 KB are 160 ms at 5 Mbit/s");
    const { asset } = first.download;
    asset.progress(first.download, 40_000);
    const early = plan(assets, view(), SLOW, LIMITS, 64);
    assert.equal(early.start.length, 0, "96 ms are left, an answer takes 40 ms");
    assert.equal(isDue(made, assets, SLOW, LIMITS), false);
    asset.progress(first.download, 45_000);
    assert.equal(isDue(made, assets, SLOW, LIMITS), true);
    assert.equal(plan(assets, view(), SLOW, LIMITS, 72).start.length, 1);
    assert.equal(plan(assets, view(), network(5, 10), LIMITS, 72).start.length, 0, "an answer takes 10 ms");
    assert.equal(isDue({ ...made, waiting: [] }, assets, SLOW, LIMITS), false, "nothing is waiting");
  });

  test("before the network is measured, they are limited to those received, or to two windows of TCP", () => {
    const unmeasured = { ...FAST, measured: false };
    const startsAfter = (assetCount: number) => {
      const assets = Array.from({ length: assetCount }, (_, i) => oneRefinement(`a${i}`, 20_000));
      return plan(assets, view(), unmeasured, LIMITS, 0).start.length;
    };
    // Base and manifest of each asset, 34 KB, have arrived.
    assert.equal(startsAfter(2), 2);
    assert.equal(startsAfter(5), 5);
    assert.equal(startsAfter(1), 1);
    const assets = Array.from({ length: 6 }, (_, i) => new AssetState(`b${i}`, entry(`b${i}`)));
    const { start } = plan(assets, view(), unmeasured, LIMITS, 0);
    assert.equal(start.length, 2, "one of 30 KB, and one more");
  });

  test("until the manifest at the fovea is known, no lower gain shares its link", () => {
    const foveal = new AssetState("foveal", entry("foveal"));
    const far = at(new AssetState("far", entry("far")), 60, 0, 0);
    const assets = [foveal, far];
    const unmeasured = { ...SLOW, measured: false };
    const starts = (net: NetworkEstimate) => startedKeys(plan(assets, view(), net, LIMITS, 0));
    assert.deepEqual(starts(unmeasured), ["foveal/base", "foveal/manifest"]);
    carryOut(plan(assets, view(), SLOW, LIMITS, 0));
    foveal.arrive(foveal.manifestFile.download, 0);
    foveal.progress(foveal.base.download, 1000);
    assert.deepEqual(starts(SLOW), [], "29 KB are 46 ms at 5 Mbit/s");
    const held = plan(assets, view(), SLOW, LIMITS, 0);
    assert.equal(isDue(held, assets, SLOW, LIMITS), false);
    assert.equal(isDue(held, assets, network(5, 50), LIMITS), true);
    assert.deepEqual(starts(network(5, 50)), ["far/base"], "less than an answer takes");
    assert.deepEqual(starts(unmeasured), [], "the time of an answer is unknown");
    foveal.arrive(foveal.base.download, 0);
    foveal.setManifest(manifest([evenTree("foveal", 2, 1)]));
    assert.deepEqual(starts(SLOW), ["foveal/tree/0/0", "far/base", "far/manifest"]);
  });

  test("small files do not starve a large one before them", () => {
    const large = oneRefinement("large", 200_000, 10);
    const small = [1, 2, 3, 4].map((i) => oneRefinement(`s${i}`, 100_000));
    for (const asset of small.slice(0, 2)) {
      const { download } = asset.trees[0]?.refinements[0] ?? assert.fail();
      asset.begin(download, 0);
      asset.progress(download, 40_000);
    }
    // 120 KB are in flight. Another small file would fit below the cap of 250 KB, the large one does not.
    const { start, waiting } = plan([large, ...small], view(), network(4), LIMITS, 0);
    assert.deepEqual(start, []);
    assert.equal(waiting[0]?.download.asset, large);
  });

  test("a file that two assets share counts once", () => {
    const twin = (id: string) =>
      arrived(id, manifest([tree("same", { error: 0.1, bytes: 900_000, children: [{ error: 0 }] })]));
    const { start } = plan([twin("a"), twin("b")], view(), network(1), LIMITS, 0);
    assert.equal(start.length, 2);
    assert.equal(start[0]?.download.uri, start[1]?.download.uri);
  });
});

describe("view", () => {
  test("nothing of an asset out of view is refined", () => {
    const asset = arrived("a", manifest([evenTree("a", 4, 2)]));
    assert.deepEqual(plan([asset], turnedAway(view()), FAST, LIMITS, 0).start, []);
  });

  test("an asset in the predicted view is refined", () => {
    const behind = at(arrived("a", manifest([evenTree("a", 2, 1)])), 0, 0, 8);
    assert.equal(plan([behind], view(), FAST, LIMITS, 0).start.length, 0);
    const predicted = { ...view(), predicted: turnedAway(view()) };
    assert.equal(plan([behind], predicted, FAST, LIMITS, 0).start.length, 1);
  });
});

test("the same input gives the same plan", () => {
  const keysAndScores = () => {
    const assets = [
      at(arrived("a", manifest([evenTree("a", 4, 3)])), 1, 0, 0),
      arrived("b", manifest([evenTree("b", 2, 4)])),
    ];
    const { start, waiting } = plan(assets, view(), SLOW, LIMITS, 0);
    return [start, waiting].map((list) => list.map(({ download, score }) => [download.key, score]));
  };
  assert.deepEqual(keysAndScores(), keysAndScores());
});
