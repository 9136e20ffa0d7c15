/** Views of assets that are shown on several canvases of one page, and the first view of an asset. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Vec3 } from "../src/core/bundle/bundle.ts";
import { DEFAULT_LIMITS, plan } from "../src/core/scheduler.ts";
import { frameBox, radiusOf, viewFrom } from "../src/layout.ts";
import { arrived, evenTree, manifest, network, turnedAway, view } from "./worlds.ts";

test("an asset is fetched if the canvas that shows it sees it", () => {
  const near = arrived("near", manifest([evenTree("near", 2, 3)]));
  const far = arrived("far", manifest([evenTree("far", 2, 3)]));
  const away = turnedAway(view());
  const wanted = () =>
    new Set(
      plan([near, far], away, network(5), DEFAULT_LIMITS, 0).start.map(({ download }) => download.asset),
    );
  assert.deepEqual(wanted(), new Set());
  far.view = view();
  assert.deepEqual(wanted(), new Set([far]));
});

const coordinate = fc.double({ min: -1e4, max: 1e4, noNaN: true });
const side = fc.double({ min: 1e-3, max: 1e4, noNaN: true });

test("the first view of a box shows all its corners", () => {
  const fov = 35;
  const property = fc.property(
    fc.tuple(coordinate, coordinate, coordinate),
    fc.tuple(side, side, side),
    fc.double({ min: 0.3, max: 3, noNaN: true }),
    (min, size, aspect) => {
      const box = { min, max: min.map((x, i) => x + (size[i] as number)) as Vec3 };
      const { eye, target } = frameBox(box, fov, aspect);
      const distance = Math.hypot(target[0] - eye[0], target[1] - eye[1], target[2] - eye[2]);
      const half = Math.min((fov * Math.PI) / 360, Math.atan(aspect * Math.tan((fov * Math.PI) / 360)));
      // The sphere around the box is inside the cone of the narrower side.
      assert.ok(Math.asin(radiusOf(box) / distance) <= half);
      const { gaze } = viewFrom({ eye, target }, fov, 1, 500);
      assert.ok(Math.abs(Math.hypot(...gaze) - 1) < 1e-9);
    },
  );
  fc.assert(property);
});
