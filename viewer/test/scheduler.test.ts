import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { AssetState, type Download } from "../src/core/asset.ts";
import { demandOf } from "../src/core/demand.ts";
import { eccentricity, type Vec3, type View } from "../src/core/gaze.ts";
import type { NetworkEstimate } from "../src/core/network/bandwidth.ts";
import { DEFAULT_LIMITS, isDue, type Plan, plan, type StreamLimits } from "../src/core/scheduler.ts";
import {
  animation,
  arrived,
  at,
  entry,
  evenTree,
  manifest,
  texture,
  tree,
  turnedAway,
  view,
} from "./worlds.ts";

const SLOW: NetworkEstimate = network(5);
const FAST: NetworkEstimate = network(100);
const LIMITS: StreamLimits = DEFAULT_LIMITS;

function network(megabits: number, ttfbMs = 40): NetworkEstimate {
  const bytesPerSecond = megabits * 125_000;
  return {
    bytesPerSecond,
    fastBytesPerSecond: bytesPerSecond,
    slowBytesPerSecond: bytesPerSecond,
    ttfbMs,
    measured: true,
  };
}

const kinds = (result: Plan) => result.start.map(({ download }) => download.kind);
const keys = (downloads: readonly Download[]) => downloads.map(({ key }) => key);

function begin(result: Plan, now = 0): void {
  for (const download of result.abort) download.asset.drop(download, now);
  for (const download of result.evict) download.asset.drop(download, now);
  for (const { download } of result.start) download.asset.begin(download, now);
}

function finish(download: Download, now = 0): void {
  download.asset.arrive(download, now);
  download.asset.ready(download, now);
  // As the streamer does: one level of a texture is kept.
  if (download.kind !== "texture") return;
  for (const file of download.asset.textures[download.texture] ?? []) {
    if (file?.loadState === "ready" && file.download.level !== download.asset.drawnLevels[download.texture]) {
      download.asset.drop(file.download, now);
    }
  }
}

/** Plans and delivers everything at once, again and again, until nothing is wanted; returns the order of arrival. */
function settle(
  assets: AssetState[],
  from: View,
  net: NetworkEstimate = SLOW,
  limits: StreamLimits = LIMITS,
): Download[] {
  const order: Download[] = [];
  for (let now = 0; now < 1e6; now += 100) {
    const result = plan(assets, from, net, limits, now);
    begin(result, now);
    if (result.start.length === 0) return order;
    for (const { download } of result.start) {
      finish(download, now);
      order.push(download);
    }
  }
  throw new Error("never settles");
}

const eccentricityOf = ({ world }: AssetState) =>
  eccentricity(view(), world[12] ?? 0, world[13] ?? 0, world[14] ?? 0, Math.sqrt(3));

const loading = (assets: readonly AssetState[]) =>
  assets.flatMap((asset) => [...asset.files].filter(({ loadState }) => loadState === "loading"));

describe("bases come first", () => {
  test("base and manifest are asked for together", () => {
    assert.deepEqual(kinds(plan([new AssetState("a", entry("a"))], view(), SLOW, LIMITS, 0)), [
      "base",
      "manifest",
    ]);
  });

  test("a base comes before anything finer, where both are looked at", () => {
    const seen = at(arrived("seen", manifest([evenTree("seen", 2, 3)])), -1, 0, 0);
    const late = at(new AssetState("late", entry("late")), 1, 0, 0);
    const { start } = plan([seen, late], view(), SLOW, LIMITS, 0);
    assert.equal(start[0]?.download.key, "late/base");
  });

  test("what is looked at gets finer before the base of what the corner of the eye sees", () => {
    const looked = arrived(
      "looked",
      manifest([tree("l", { error: 0.5, bytes: 2000, children: [{ error: 0 }] })]),
    );
    const far = at(new AssetState("far", entry("far")), 60, 0, 0);
    assert.ok(eccentricityOf(far) > 60);
    assert.deepEqual(
      settle([looked, far], view(), network(0.1)).map(({ key }) => key),
      ["looked/tree/0/0", "far/base", "far/manifest"],
    );
  });

  test("bases that nobody has seen are no more than an eighth of all that has come, or 150 KB", () => {
    const basesAfter = (bytes: number) => {
      const shape = tree("s", { error: 1, bytes, children: [{ error: 0 }] });
      const behind = Array.from({ length: 30 }, (_, i) => new AssetState(`b${i}`, entry(`b${i}`)));
      const assets = [arrived("seen", manifest([shape])), ...behind.map((asset) => at(asset, 0, 0, 10))];
      return settle(assets, view()).filter(({ kind }) => kind === "base").length;
    };
    assert.equal(basesAfter(10_000), 5, "30 KB each: 150 KB");
    assert.equal(basesAfter(4_000_000), 19, "570 KB of 4.7 MB, manifests among them");
  });

  test("the base in view comes before the one behind", () => {
    const behind = at(new AssetState("behind", entry("behind")), 0, 0, 10);
    const ahead = new AssetState("ahead", entry("ahead"));
    const { start } = plan([behind, ahead], view(), SLOW, LIMITS, 0);
    assert.equal(start[0]?.download.key, "ahead/base");
  });

  test("a base out of view waits for what is seen, and comes then", () => {
    const seen = arrived("seen", manifest([evenTree("seen", 2, 1)]));
    const behind = at(new AssetState("behind", entry("behind")), 0, 0, 10);
    assert.deepEqual(
      settle([behind, seen], view(), network(0.1)).map(({ key }) => key),
      ["seen/tree/0/0", "behind/base", "behind/manifest"],
    );
  });

  test("a base that is given up holds nothing up, and nothing of it is refined", () => {
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

describe("detail comes by gaze", () => {
  test("of two equal assets the one looked at is refined first", () => {
    const left = at(arrived("left", manifest([evenTree("left", 2, 2)])), -4, 0, -2);
    const middle = at(arrived("middle", manifest([evenTree("middle", 2, 2)])), 0, 0, -3.4);
    const order = settle([left, middle], view());
    const first = order.findIndex(({ asset }) => asset === left);
    const last = order.map(({ asset }) => asset).lastIndexOf(middle);
    assert.ok(order.length >= 4 && last < first, keys(order).join(" "));
  });

  test("a tier is skipped when what refines all of its regions is wanted, and worth it", () => {
    const halves = (bytes: number, x = 0.5) =>
      arrived(
        "a",
        manifest([
          tree("t", {
            error: 0.1,
            bytes,
            sphere: [0, 0, 0, x + 0.5],
            children: [-x, x].map((at) => ({
              error: 0.05,
              bytes: 100_000,
              sphere: [at, 0, 0, 0.5],
              children: [{ error: 0, sphere: [at, 0, 0, 0.5] }],
            })),
          }),
        ]),
      );
    const skipping = halves(100_000);
    assert.deepEqual(keys(settle([skipping], view())), ["a/tree/0/1", "a/tree/0/2"]);
    assert.deepEqual([...(skipping.cuts[0]?.drawn ?? [])].sort(), [3, 4]);
    assert.deepEqual(keys(settle([halves(5000)], view())), ["a/tree/0/0", "a/tree/0/1", "a/tree/0/2"]);
    const apart = keys(settle([halves(100_000, 6)], view([-6, 0, 3])));
    assert.deepEqual(apart, ["a/tree/0/0", "a/tree/0/1"], "the other half is out of view");
  });

  test("what of the tier below is there already is a gain of the one above", () => {
    const gainOfRoot = (there: boolean) => {
      const asset = arrived("a", manifest([evenTree("a", 2, 2)]));
      const [root, left, right] = asset.trees[0]?.refinements ?? [];
      if (there && left) finish(left.download);
      if (right) asset.fail(right.download, 0, Number.POSITIVE_INFINITY);
      const { start } = plan([asset], view(), SLOW, LIMITS, 0);
      assert.equal(start[0]?.download, root?.download);
      return start[0]?.gain ?? 0;
    };
    assert.ok(gainOfRoot(true) > 1.2 * gainOfRoot(false));
  });

  test("what is out of view waits", () => {
    const asset = arrived("a", manifest([evenTree("a", 4, 2)]));
    assert.deepEqual(plan([asset], turnedAway(view()), FAST, LIMITS, 0).start, []);
  });

  test("at rest and close, the finest is reached; from afar, no more than can be seen", () => {
    const near = arrived("near", manifest([evenTree("near", 4, 3)]));
    settle([near], view([0, 0, 0.2]));
    for (const region of near.cuts[0]?.drawn ?? []) {
      const { error, need, weight } = demandOf(near, 0, region, view([0, 0, 0.2]));
      const leaf = near.manifest?.trees[0]?.regions[region]?.children.length === 0;
      assert.ok(leaf || weight === 0 || error <= need);
    }
    assert.ok(
      [...(near.cuts[0]?.drawn ?? [])].some((region) => near.manifest?.trees[0]?.regions[region]?.tier === 3),
    );

    const far = arrived("far", manifest([evenTree("far", 4, 3)]));
    assert.deepEqual(settle([far], view([0, 0, 500])), []);
  });

  test("nothing that is drawn and seen is left with an error above the need, for any view", () => {
    const place = fc.double({ min: -4, max: 4, noNaN: true });
    fc.assert(
      fc.property(place, place, fc.double({ min: 0.1, max: 8, noNaN: true }), (x, y, z) => {
        const asset = arrived("a", manifest([evenTree("a", 3, 3)]));
        const from = view([x, y, z]);
        settle([asset], from);
        for (const region of asset.cuts[0]?.drawn ?? []) {
          const { error } = demandOf(asset, 0, region, from);
          for (const child of asset.manifest?.trees[0]?.regions[region]?.children ?? []) {
            const { need, weight } = demandOf(asset, 0, child, from);
            assert.ok(weight === 0 || error <= need * (1 + 1e-9));
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  test("a tree with several nodes is judged by the most demanding", () => {
    const asset = arrived(
      "a",
      manifest([{ ...evenTree("a", 2, 3), kind: "rigid", space: "mesh", nodes: [1, 2] }]),
    );
    const matrix = (z: number) => [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, z, 1];
    const alone = (z: number) => {
      asset.setPlacements(0, [matrix(z)]);
      return demandOf(asset, 0, 0, view());
    };
    const [far, near] = [alone(-100), alone(0)];
    asset.setPlacements(0, [matrix(-100), matrix(0)]);
    const both = demandOf(asset, 0, 0, view());
    assert.equal(both.need, near.need);
    assert.equal(both.weight, near.weight);
    assert.ok(far.need > near.need);
    asset.setPlacements(0, [matrix(-100), matrix(5)]);
    assert.equal(
      demandOf(asset, 0, 0, view()).need,
      far.need,
      "a nearer node behind the eye demands nothing",
    );
    asset.setPlacements(0, [matrix(50)]);
    assert.deepEqual(plan([asset], view(), FAST, LIMITS, 0).start, [], "the only node is behind");
  });

  test("a node of twice the size has twice the error", () => {
    const asset = arrived("a", manifest([evenTree("a", 2, 1, 0.1)]));
    asset.world = [0, 2, 0, 0, -2, 0, 0, 0, 0, 0, 2, 0, 0, 0, -5, 1];
    assert.ok(Math.abs(demandOf(asset, 0, 0, view()).error - 0.2) < 1e-12);
  });

  test("a region whose faces look away waits, unless its material has two sides", () => {
    const averted = tree("a", {
      error: 0.1,
      sphere: [0, 0, 0, 0.2],
      cone: [0, 0, -1, 0.9],
      children: [{ error: 0.01, sphere: [0, 0, 0, 0.2], cone: [0, 0, -1, 0.9] }],
    });
    const solid = { name: "m", textures: [], doubleSided: false, alphaMode: "OPAQUE" as const };
    const with0 = {
      ...averted,
      primitives: [{ material: 0, attributes: ["POSITION"] }] as typeof averted.primitives,
    };
    const starts = (material: typeof solid, from: View) =>
      plan([arrived("a", manifest([with0], [], [material]))], from, FAST, LIMITS, 0).start.length;
    assert.equal(starts(solid, view()), 0);
    assert.equal(starts({ ...solid, doubleSided: true }, view()), 1);
    const glass = { ...solid, alphaMode: "BLEND" as const };
    const inner = structuredClone(with0);
    inner.primitives.push({ material: 1, attributes: ["POSITION"] });
    (inner.regions[1] ?? assert.fail()).primitives = [1];
    const mixed = arrived("a", manifest([inner], [], [solid, glass]));
    assert.equal(plan([mixed], view(), FAST, LIMITS, 0).start.length, 1, "or something finer in it is glass");
    const rear = turnedAway(view([0, 0, -3]));
    assert.equal(starts(solid, rear), 1, "from behind they are seen");
  });

  test("no refinement is asked for below half a step of the grid", () => {
    const coarse = {
      ...evenTree("a", 2, 1, 0.1),
      grid: { origin: [-1, -1, -1] as [number, number, number], range: 2, bits: 3 },
    };
    assert.deepEqual(plan([arrived("a", manifest([coarse]))], view(), FAST, LIMITS, 0).start, []);
  });

  test("what the head is turning to is asked for before it is seen", () => {
    const behind = at(arrived("a", manifest([evenTree("a", 2, 1)])), 0, 0, 8);
    assert.equal(plan([behind], view(), FAST, LIMITS, 0).start.length, 0);
    assert.equal(
      plan([behind], { ...view(), predicted: turnedAway(view()) }, FAST, LIMITS, 0).start.length,
      1,
    );
  });

  test("half of what is seen counts now and half once the head has gone on", () => {
    const [here, there] = [arrived("a", manifest([evenTree("a", 2, 1)])), view()];
    const { weight, area } = demandOf(here, 0, 0, there);
    const left = demandOf(here, 0, 0, { ...there, predicted: turnedAway(there) });
    assert.ok(Math.abs(left.weight - weight / 2) < 1e-9 && Math.abs(left.area - area / 2) < 1e-9);
    const stays = demandOf(here, 0, 0, { ...there, predicted: there });
    assert.ok(Math.abs(stays.weight - weight) < 1e-9 && Math.abs(stays.area - area) < 1e-9);
  });

  test("looked at is what will be when the next file has come, and what lies on the way from there", () => {
    const from = view([0, 0, 0]);
    const angle = (35 * Math.PI) / 180;
    const aside: Vec3 = [Math.sin(angle), 0, -Math.cos(angle)];
    const there = at(arrived("a", manifest([evenTree("a", 2, 1)])), 10 * aside[0], 0, 10 * aside[2]);
    const isLookedAt = (each: View) => demandOf(there, 0, 0, each).foveal;
    assert.equal(isLookedAt(from), false);
    assert.equal(isLookedAt({ ...from, gaze: aside }), true);
    assert.equal(isLookedAt({ ...from, gaze: aside, predicted: from }), false, "the gaze will have left it");
    assert.equal(isLookedAt({ ...from, predicted: { ...from, gaze: aside } }), true);
    assert.equal(isLookedAt({ ...from, predicted: { ...from, gazeArcEnd: aside } }), true);
  });

  test("while the head sweeps, the eye lands on nothing that comes into view or leaves it", () => {
    const here = arrived("a", manifest([evenTree("a", 2, 1)]));
    const away = { ...turnedAway(view()), sweeps: true };
    for (const from of [
      { ...view(), predicted: away },
      { ...turnedAway(view()), predicted: { ...view(), sweeps: true } },
    ]) {
      const { weight, area } = demandOf(here, 0, 0, from);
      assert.ok(weight > 0);
      assert.equal(area, 0);
    }
    const stays = demandOf(here, 0, 0, { ...view(), predicted: { ...view(), sweeps: true } });
    assert.ok(stays.area > 0);
  });

  test("a sphere that reaches into the view brings nothing while none of its parts does", () => {
    const parts = [1, 2].map((x) => ({
      error: 0,
      sphere: [-x, 0, 0, 0.1] as [number, number, number, number],
    }));
    const wide = manifest([tree("w", { error: 0.1, sphere: [0, 0, 0, 3], children: parts })]);
    const starts = (x: number) =>
      plan([at(arrived("w", wide), x, 0, 0)], view(), FAST, LIMITS, 0).start.length;
    assert.equal(starts(-4), 0, "the view ends at x = −3");
    assert.equal(starts(0), 1);
  });
});

describe("textures and geometry share one queue", () => {
  const painted = (widths: readonly number[]) => {
    const material = { name: "m", textures: [0], doubleSided: false, alphaMode: "OPAQUE" as const };
    const shape = evenTree("a", 1, 2, 0.05);
    const primitives: typeof shape.primitives = [{ material: 0, attributes: ["POSITION", "TEXCOORD_0"] }];
    return arrived("a", manifest([{ ...shape, primitives }], [texture("t", widths)], [material]));
  };

  test("both are fetched to what can be seen", () => {
    const asset = painted([64, 256, 1024, 4096]);
    const order = settle([asset], view());
    assert.ok(
      order.some(({ kind }) => kind === "texture") && order.some(({ kind }) => kind === "refinement"),
    );
    // A texel of 2 m / 1024 is 2 mm; 2 m away a pixel is 1.75 mm: one more level is seen, and there is no other.
    assert.deepEqual(asset.drawnLevels, [3]);
    const afar = painted([64, 256, 1024, 4096]);
    settle([afar], view([0, 0, 9]));
    assert.deepEqual(afar.drawnLevels, [2], "7 mm at 8 m");
  });

  test("a step is taken while much is to come before what makes it useless, and skipped when nothing is", () => {
    const chain = (middle: number) =>
      tree("a", {
        error: 0.1,
        bytes: middle,
        children: [{ error: 0.01, bytes: 160_000, children: [{ error: 0 }] }],
      });
    const tiers = (middle: number) => settle([arrived("a", manifest([chain(middle)]))], view()).length;
    assert.equal(tiers(150_000), 1);
    assert.equal(tiers(10_000), 2);
  });

  test("a picture on nothing that is seen is not fetched", () => {
    assert.deepEqual(settle([painted([64, 4096])], turnedAway(view())), []);
  });

  test("a level that failed for good is passed over for a finer one", () => {
    const asset = painted([64, 256, 1024]);
    const level1 = asset.textures[0]?.[1];
    assert.ok(level1);
    asset.fail(level1.download, 0, Number.POSITIVE_INFINITY);
    settle([asset], view(), network(0.5, 20));
    assert.deepEqual(asset.drawnLevels, [2]);
  });
});

describe("animations", () => {
  const dancer = (reach: readonly number[], bytes = 20_000, error = 0.01) =>
    arrived(
      "a",
      manifest(
        [evenTree("a", 2, 2, error)],
        [],
        [],
        [animation("one", reach, bytes), animation("two", reach)],
      ),
    );
  const animations = (result: Plan) =>
    result.start.flatMap(({ download }) => (download.kind === "animation" ? [download.animation] : []));

  test("what stands still where it should move comes before what is a little too coarse", () => {
    const order = settle([dancer([0.5])], view());
    assert.deepEqual(order[0]?.key, "a/animation/0");
    assert.ok(order.length > 2, "the tiers follow");
  });

  test("one that moves little, and is long, comes after tiers that bring more for their bytes", () => {
    const order = keys(settle([dancer([0.004], 2_000_000, 0.2)], view()));
    assert.ok(order.indexOf("a/animation/0") > order.indexOf("a/tree/0/0"));
  });

  test("a motion that is too small to be seen from here is not fetched", () => {
    assert.deepEqual(animations(plan([at(dancer([0.001]), 0, 0, -60)], view(), FAST, LIMITS, 0)), []);
    assert.deepEqual(animations(plan([at(dancer([0.5]), 0, 0, -60)], view(), FAST, LIMITS, 0)), [0]);
  });

  test("one that moves no tree comes last", () => {
    assert.equal(keys(settle([dancer([0])], view())).at(-1), "a/animation/0");
  });

  test("nothing of an asset out of view is fetched", () => {
    assert.deepEqual(settle([dancer([0.5])], turnedAway(view())), []);
    assert.deepEqual(settle([dancer([0])], turnedAway(view())), []);
  });

  test("only those that are asked for are fetched, by name", () => {
    const asset = dancer([0.5]);
    asset.animationsToPlay = new Set(["two"]);
    assert.deepEqual(
      settle([asset], view()).filter(({ kind }) => kind === "animation"),
      [asset.animations[1]?.download],
    );
    asset.animationsToPlay = new Set(["one", "two", "three"]);
    assert.deepEqual(keys(settle([asset], view())), ["a/animation/0"]);
  });

  test("while the code that draws it is still coming, nothing finer takes its place on the link", () => {
    for (const reach of [[0.5], [0]]) {
      const asset = dancer(reach);
      asset.rendererReady = false;
      assert.deepEqual(settle([asset], view()), []);
      asset.rendererReady = true;
      assert.ok(settle([asset], view()).length > 2);
    }
  });

  test("it comes after the base of what is seen beside it", () => {
    const other = at(new AssetState("b", entry("b")), 0.5, 0, 0);
    const order = keys(settle([dancer([0.5]), other], view()));
    assert.ok(
      order.indexOf("b/base") >= 0 && order.indexOf("b/base") < order.indexOf("a/animation/0"),
      `${order}`,
    );
  });

  test("memory that is full of other things holds none up, since it takes none", () => {
    const full = { ...LIMITS, gpuBytes: 0 };
    assert.deepEqual(animations(plan([dancer([0.5])], view(), SLOW, full, 0)), [0]);
  });

  test("it is aborted when it is not seen or not asked for any more", () => {
    const started = (reach: readonly number[]) => {
      const asset = dancer(reach, 900_000);
      const download = asset.animations[0]?.download ?? assert.fail();
      asset.begin(download, 0);
      return { asset, download };
    };
    for (const reach of [[0.5], [0]]) {
      const { asset, download } = started(reach);
      assert.deepEqual(plan([asset], view(), SLOW, LIMITS, 100).abort, []);
      asset.animationsToPlay = new Set(["two"]);
      assert.deepEqual(plan([asset], view(), SLOW, LIMITS, 100).abort, [download]);
    }
    const { asset, download } = started([0.5]);
    assert.deepEqual(plan([asset], turnedAway(view()), SLOW, LIMITS, 100).abort, [download]);
    asset.progress(download, 850_000);
    assert.deepEqual(plan([asset], turnedAway(view()), SLOW, LIMITS, 100).abort, []);
  });
});

describe("failures", () => {
  test("a file is not asked for again before its time", () => {
    const asset = arrived("a", manifest([evenTree("a", 2, 1)]));
    const { download } = asset.trees[0]?.refinements[0] ?? assert.fail();
    asset.fail(download, 0, 5000);
    assert.equal(plan([asset], view(), FAST, LIMITS, 4999).start.length, 0);
    assert.equal(plan([asset], view(), FAST, LIMITS, 5000).start.length, 1);
  });

  test("a tier of a chain that failed for good is skipped", () => {
    const asset = arrived("a", manifest([evenTree("a", 1, 2)]));
    asset.fail((asset.trees[0]?.refinements[0] ?? assert.fail()).download, 0, Number.POSITIVE_INFINITY);
    settle([asset], view());
    assert.deepEqual([...(asset.cuts[0]?.drawn ?? [])], [2]);
  });
});

describe("bytes in flight", () => {
  test("never exceed the cap by more than one file, and never leave the link idle", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 100, max: 3_000_000 }), { minLength: 2, maxLength: 30 }),
        fc.double({ min: 0.2, max: 100, noNaN: true }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (sizes, megabits, arrivals) => {
          const roots = sizes.map((bytes, i) =>
            at(
              arrived(`a${i}`, manifest([tree(`a${i}`, { error: 0.1, bytes, children: [{ error: 0 }] })])),
              (i % 5) - 2,
              0,
              -Math.floor(i / 5),
            ),
          );
          const net = network(megabits);
          const cap = (net.bytesPerSecond * LIMITS.inFlightMs) / 1000;
          for (const arrival of [...arrivals, 0]) {
            const result = plan(roots, view([0, 0, 5]), net, LIMITS, 0);
            begin(result);
            const flying = loading(roots);
            const bytes = flying.map(({ download }) => download.bytes);
            const total = bytes.reduce((sum, each) => sum + each, 0);
            assert.ok(total - Math.max(0, ...bytes) <= cap);
            const [first] = result.waiting;
            // None waits for an idle link: one alone takes longer than an answer.
            if (first && flying.length < 2)
              assert.ok(flying.length === 1 && total > 0.09 * net.bytesPerSecond);
            const done = flying[arrival % Math.max(1, flying.length)];
            if (done) finish(done.download);
          }
        },
      ),
    );
  });

  test("the next file is asked for when what is on its way will be here by its answer", () => {
    const assets = [1, 2, 3].map((i) =>
      arrived(`a${i}`, manifest([tree(`a${i}`, { error: 0.1, bytes: 100_000, children: [{ error: 0 }] })])),
    );
    const made = plan(assets, view(), SLOW, LIMITS, 0);
    begin(made);
    const first = loading(assets)[0] ?? assert.fail();
    assert.equal(loading(assets).length, 1, "100 KB are 160 ms at 5 Mbit/s");
    const { asset } = first.download;
    asset.progress(first.download, 40_000);
    assert.equal(
      plan(assets, view(), SLOW, LIMITS, 64).start.length,
      0,
      "96 ms are left, an answer takes 40",
    );
    assert.equal(isDue(made, assets, SLOW, LIMITS), false);
    asset.progress(first.download, 45_000);
    assert.equal(isDue(made, assets, SLOW, LIMITS), true);
    assert.equal(plan(assets, view(), SLOW, LIMITS, 72).start.length, 1);
    assert.equal(plan(assets, view(), network(5, 10), LIMITS, 72).start.length, 0, "a shorter way: later");
    assert.equal(isDue({ ...made, waiting: [] }, assets, SLOW, LIMITS), false, "nothing waits");
  });

  test("before the network is measured, no more is asked for than has come, or two windows of TCP", () => {
    const unmeasured = { ...FAST, measured: false };
    const few = (held: number) => {
      const assets = Array.from({ length: 40 }, (_, i) =>
        arrived(`a${i}`, manifest([tree(`a${i}`, { error: 0.1, bytes: 20_000, children: [{ error: 0 }] })])),
      );
      return plan(assets.slice(0, held), view(), unmeasured, LIMITS, 0).start.length;
    };
    // Base and manifest of each, 34 KB, have come.
    assert.equal(few(2), 2);
    assert.equal(few(5), 5);
    assert.equal(few(1), 1);
    const one = new AssetState("one", entry("one"));
    const bases = [one, ...Array.from({ length: 5 }, (_, i) => new AssetState(`b${i}`, entry(`b${i}`)))];
    assert.equal(
      plan(bases, view(), unmeasured, LIMITS, 0).start.length,
      2,
      "30 KB fit, and one more begins",
    );
  });

  test("while what is looked at is not known yet, nothing worse shares its link", () => {
    const looked = new AssetState("looked", entry("looked"));
    const far = at(new AssetState("far", entry("far")), 60, 0, 0);
    const unmeasured = { ...SLOW, measured: false };
    const starts = (net: NetworkEstimate) =>
      plan([looked, far], view(), net, LIMITS, 0).start.map(({ download }) => download.key);
    assert.deepEqual(starts(unmeasured), ["looked/base", "looked/manifest"]);
    begin(plan([looked, far], view(), SLOW, LIMITS, 0));
    looked.arrive(looked.manifestFile.download, 0);
    looked.progress(looked.base.download, 1000);
    assert.deepEqual(starts(SLOW), [], "29 KB are 46 ms at 5 Mbit/s");
    const held = plan([looked, far], view(), SLOW, LIMITS, 0);
    assert.equal(isDue(held, [looked, far], SLOW, LIMITS), false);
    assert.equal(isDue(held, [looked, far], network(5, 50), LIMITS), true);
    assert.deepEqual(starts(network(5, 50)), ["far/base"], "less than an answer takes");
    assert.deepEqual(starts(unmeasured), [], "nobody knows how long that is");
    looked.arrive(looked.base.download, 0);
    looked.setManifest(manifest([evenTree("looked", 2, 1)]));
    assert.deepEqual(starts(SLOW), ["looked/tree/0/0", "far/base", "far/manifest"]);
  });

  test("a large file is not starved by small ones behind it", () => {
    const one = (id: string, error: number, bytes: number) =>
      arrived(id, manifest([tree(id, { error, bytes, children: [{ error: 0 }] })]));
    const large = one("large", 10, 200_000);
    const small = [1, 2, 3, 4].map((i) => one(`s${i}`, 0.1, 100_000));
    for (const asset of small.slice(0, 2)) {
      const { download } = asset.trees[0]?.refinements[0] ?? assert.fail();
      asset.begin(download, 0);
      asset.progress(download, 40_000);
    }
    // 120 KB in flight: another small one would fit below the cap of 250 KB, the large one does not.
    const { start, waiting } = plan([large, ...small], view(), network(4), LIMITS, 0);
    assert.deepEqual(start, []);
    assert.equal(waiting[0]?.download.asset, large);
  });

  test("two assets that share a file share its bytes", () => {
    const twin = (id: string) =>
      arrived(id, manifest([tree("same", { error: 0.1, bytes: 900_000, children: [{ error: 0 }] })]));
    const { start } = plan([twin("a"), twin("b")], view(), network(1), LIMITS, 0);
    assert.equal(start.length, 2);
    assert.equal(start[0]?.download.uri, start[1]?.download.uri);
  });
});

describe("aborts", () => {
  const started = () => {
    const asset = arrived(
      "a",
      manifest([tree("a", { error: 0.1, bytes: 500_000, children: [{ error: 0 }] })]),
    );
    begin(plan([asset], view(), SLOW, LIMITS, 0));
    return { asset, download: loading([asset])[0]?.download ?? assert.fail() };
  };

  test("what is out of view is aborted", () => {
    const { asset, download } = started();
    assert.deepEqual(plan([asset], view(), SLOW, LIMITS, 100).abort, []);
    assert.deepEqual(plan([asset], turnedAway(view()), SLOW, LIMITS, 100).abort, [download]);
  });

  test("what is nearly there is not", () => {
    const { asset, download } = started();
    asset.progress(download, 450_000);
    assert.deepEqual(plan([asset], turnedAway(view()), SLOW, LIMITS, 100).abort, []);
  });

  test("what was aborted is wanted again when it is seen again", () => {
    const { asset, download } = started();
    begin(plan([asset], turnedAway(view()), SLOW, LIMITS, 100), 100);
    assert.equal(asset.file(download).loadState, "absent");
    assert.deepEqual(
      plan([asset], view(), SLOW, LIMITS, 200).start.map((wish) => wish.download),
      [download],
    );
  });

  test("a head that trembles at an edge aborts nothing", () => {
    const asset = at(
      arrived(
        "a",
        manifest([
          tree("a", { error: 0.1, bytes: 500_000, sphere: [0, 0, 0, 0.5], children: [{ error: 0 }] }),
        ]),
      ),
      0,
      0,
      0,
    );
    // The left edge of the view of 45° at x = −3: the sphere is just inside, then 1 cm outside.
    const inside = view([3.69, 0, 3]);
    const outside = view([3.72, 0, 3]);
    begin(plan([asset], inside, SLOW, LIMITS, 0));
    assert.equal(loading([asset]).length, 1);
    assert.equal(demandOf(asset, 0, 0, outside).weight, 0);
    assert.deepEqual(plan([asset], outside, SLOW, LIMITS, 50).abort, []);
  });

  test("a base is never aborted", () => {
    const asset = new AssetState("a", entry("a"));
    begin(plan([asset], view(), SLOW, LIMITS, 0));
    assert.deepEqual(plan([asset], turnedAway(view()), SLOW, LIMITS, 50).abort, []);
  });
});

describe("memory", () => {
  const block = (id: string, x: number) =>
    at(
      arrived(
        id,
        manifest([tree(id, { error: 0.1, bytes: 10_000, gpuBytes: 1_000_000, children: [{ error: 0 }] })]),
      ),
      x,
      0,
      0,
    );
  const tight: StreamLimits = { ...LIMITS, gpuBytes: 2_500_000 };

  test("is never above the budget, whatever is looked at", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -6, max: 6, noNaN: true }), { maxLength: 20 }), (places) => {
        const assets = [-6, -3, 0, 3, 6].map((x) => block(`b${x}`, x));
        let now = 0;
        for (const x of places) {
          now += 1000;
          const result = plan(assets, view([x, 0, 2]), FAST, tight, now);
          assert.ok(result.gpuBytes <= tight.gpuBytes);
          begin(result, now);
          for (const { download } of loading(assets)) finish(download, now);
          let held = 0;
          for (const asset of assets) {
            for (const { loadState, download } of asset.files) {
              if (loadState === "ready") held += download.kind === "base" ? 100_000 : download.gpuBytes;
            }
          }
          assert.equal(held, result.gpuBytes);
        }
      }),
    );
  });

  test("a tier that does not fit gives way to the one before it", () => {
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
    const keysOf = (limits: StreamLimits) =>
      plan([asset], view(), FAST, limits, 0).start.map((w) => w.download.key);
    assert.deepEqual(keysOf(LIMITS), ["a/tree/0/1"]);
    assert.deepEqual(keysOf(tight), ["a/tree/0/0"]);
  });

  test("what is out of view makes way, after two seconds", () => {
    const [a, b, c] = [block("a", -1), block("b", 1), block("c", 40)];
    settle([a, b, c], view([0, 0, 4]), FAST, tight);
    const before = plan([a, b, c], view([40, 0, 4]), FAST, tight, 1000);
    assert.deepEqual([before.start, before.evict], [[], []]);
    const after = plan([a, b, c], view([40, 0, 4]), FAST, tight, 3000);
    assert.equal(after.start.length, 1);
    assert.equal(after.evict.length, 1);
  });

  test("what is about as useful does not make way: nothing goes round in circles", () => {
    const assets = [block("a", -2), block("b", 0), block("c", 2)];
    settle(assets, view([0, 0, 6]), FAST, tight);
    for (let now = 10_000; now < 20_000; now += 500) {
      const { start, evict } = plan(assets, view([0.03 * Math.sin(now), 0, 6]), FAST, tight, now);
      assert.deepEqual([start, evict], [[], []]);
    }
  });

  test("a smaller budget releases the least useful first", () => {
    const [near, far] = [block("near", 0), at(block("far", 0), 0, 0, -20)];
    settle([near, far], view([0, 0, 4]), FAST, tight);
    const { evict, start } = plan(
      [near, far],
      view([0, 0, 4]),
      FAST,
      { ...tight, gpuBytes: 1_500_000 },
      9000,
    );
    assert.deepEqual(keys(evict), ["far/tree/0/0"]);
    assert.deepEqual(start, []);
  });

  test("a parent is not released while something finer hangs on it", () => {
    const asset = arrived("a", manifest([evenTree("a", 2, 2)]));
    for (const file of asset.trees[0]?.refinements ?? []) if (file) finish(file.download);
    const { evict } = plan(
      [asset],
      turnedAway(view()),
      SLOW,
      { ...LIMITS, gpuBytes: 100_000 + 20_000 },
      9000,
    );
    assert.ok(evict.length >= 2);
    for (const download of evict) download.asset.drop(download, 9000);
    const refined = asset.cuts[0]?.refined ?? new Set();
    assert.deepEqual([...refined], [0]);
  });
});

test("the same input gives the same plan", () => {
  const make = () => [
    at(arrived("a", manifest([evenTree("a", 4, 3)])), 1, 0, 0),
    arrived("b", manifest([evenTree("b", 2, 4)])),
  ];
  const written = () => {
    const result = plan(make(), view(), SLOW, LIMITS, 0);
    return [result.start, result.waiting].map((wishes) =>
      wishes.map(({ download, score }) => [download.key, score]),
    );
  };
  assert.deepEqual(written(), written());
});
