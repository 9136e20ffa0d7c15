/** Where assets stand on the page's floor. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Box, Vec3 } from "../src/core/bundle/bundle.ts";
import { frame, type Layout, layOut, matrixOf, viewFrom } from "../src/layout.ts";

type Named = { readonly id: string; readonly bounds: Box };

const box = (id: string, size: Vec3, at: Vec3 = [0, 0, 0]): Named => ({
  id,
  bounds: { min: at, max: [at[0] + size[0], at[1] + size[1], at[2] + size[2]] },
});

const length = fc.double({ min: 1e-3, max: 1e4, noNaN: true });
const coordinate = fc.double({ min: -1e4, max: 1e4, noNaN: true });
const assets = fc
  .array(fc.tuple(fc.tuple(length, length, length), fc.tuple(coordinate, coordinate, coordinate)), {
    minLength: 1,
    maxLength: 20,
  })
  .map((list) => list.map(([size, at], i) => box(`asset-${i}`, size, at)));

/** The box of an asset in the world. */
function placed({ places }: Layout, { id, bounds }: Named): Box {
  const place = places.find((each) => each.id === id);
  assert.ok(place);
  const at = (corner: Vec3) => corner.map((x, i) => x * place.scale + (place.position[i] as number)) as Vec3;
  return { min: at(bounds.min), max: at(bounds.max) };
}

test("all assets stand on the floor", () => {
  fc.assert(
    fc.property(assets, (list) => {
      const layout = layOut(list);
      for (const asset of list) {
        const { min } = placed(layout, asset);
        assert.ok(Math.abs(min[1]) < 1e-6 * Math.max(1, Math.abs(asset.bounds.min[1])));
      }
    }),
  );
});

test("no asset overlaps another", () => {
  fc.assert(
    fc.property(assets, (list) => {
      const layout = layOut(list);
      const boxes = list.map((asset) => placed(layout, asset));
      for (const [i, a] of boxes.entries()) {
        for (const b of boxes.slice(i + 1)) {
          const apart = (axis: 0 | 2) => a.max[axis] < b.min[axis] || b.max[axis] < a.min[axis];
          assert.ok(apart(0) || apart(2));
        }
      }
    }),
  );
});

test("all assets are within the radius, the height and the front", () => {
  fc.assert(
    fc.property(assets, (list) => {
      const layout = layOut(list);
      for (const asset of list) {
        const { min, max } = placed(layout, asset);
        const far = Math.hypot(
          Math.max(Math.abs(min[0]), Math.abs(max[0])),
          Math.max(Math.abs(min[2]), Math.abs(max[2])),
        );
        assert.ok(far <= layout.radius + 1e-3);
        assert.ok(max[1] <= layout.height + 1e-3);
        assert.ok(max[2] <= layout.front + 1e-3);
      }
    }),
  );
});

test("an asset of 0.6 to 1.8 m is shown true to scale, smaller and larger ones at these limits", () => {
  const sizes = { brooch: 0.02, chair: 1.1, tower: 300 };
  const list = Object.entries(sizes).map(([id, side]) => box(id, [side / 4, side, side / 4]));
  const layout = layOut(list);
  const heights = list.map((asset) => placed(layout, asset).max[1]);
  assert.deepEqual(
    heights.map((height) => Number(height.toFixed(6))),
    [0.6, 1.1, 1.8],
  );
});

test("the largest asset stands in the middle", () => {
  const layout = layOut([box("small", [1, 0.5, 1]), box("large", [1, 1.6, 1]), box("middle", [1, 1, 1])]);
  assert.equal(layout.places[0]?.id, "large");
  assert.equal(layout.places[0]?.position[0], -0.5, "centred on its bounds");
});

test("an asset without extent has a place, too", () => {
  const { places } = layOut([box("point", [0, 0, 0], [3, 2, 1])]);
  assert.ok(places[0]?.position.every(Number.isFinite));
  assert.equal(places[0]?.scale, 1);
});

test("the first view has every corner in the picture", () => {
  const fov = 45;
  fc.assert(
    fc.property(assets, fc.double({ min: 0.5, max: 2.5, noNaN: true }), (list, aspect) => {
      const layout = layOut(list.slice(0, 7));
      const { frustum } = viewFrom(frame(layout, fov, aspect), fov, aspect, 500);
      assert.equal(frustum.length, 4);
      for (const asset of list.slice(0, 7)) {
        const { min, max } = placed(layout, asset);
        for (let corner = 0; corner < 8; corner++) {
          const p = [0, 1, 2].map((i) => ((corner >> i) & 1 ? max : min)[i] as number) as Vec3;
          for (const [x, y, z, d] of frustum) {
            const inside = x * p[0] + y * p[1] + z * p[2] + d;
            assert.ok(inside > -1e-3 * layout.radius, `${inside}`);
          }
        }
      }
    }),
  );
});

test("the view of a viewpoint ends at the edges of the picture", () => {
  const { frustum } = viewFrom({ eye: [1, 2, 3], target: [1, 2, 0] }, 90, 2, 500);
  const isInView = (...p: Vec3) => frustum.every(([x, y, z, d]) => x * p[0] + y * p[1] + z * p[2] + d >= 0);
  const depth = 4;
  for (const [x, y, expected] of [
    [1.9, 0, true],
    [-1.9, 0, true],
    [2.1, 0, false],
    [-2.1, 0, false],
    [0, 0.9, true],
    [0, -0.9, true],
    [0, 1.1, false],
    [0, -1.1, false],
  ] as const) {
    assert.equal(isInView(1 + x * depth, 2 + y * depth, 3 - depth), expected, `${x}, ${y}`);
  }
});

test("the matrix of a place scales first and then moves, in column-major order", () => {
  const matrix = matrixOf({ id: "duck", scale: 2, position: [1, 0, -1] });
  assert.deepEqual(matrix, [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 1, 0, -1, 1]);
});
