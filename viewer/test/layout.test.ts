/** Where assets stand on the page's floor. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Box, Vec3 } from "../src/core/bundle.ts";
import { frame, type Layout, layOut, matrixOf } from "../src/layout.ts";

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

test("everything stands on the floor", () => {
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

test("nothing stands in anything else", () => {
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

test("everything lies within the radius, the height and the front", () => {
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

test("a thing of human scale is shown true to scale, others as large as a hand basin or a door", () => {
  const sizes = { brooch: 0.02, chair: 1.1, tower: 300 };
  const list = Object.entries(sizes).map(([id, side]) => box(id, [side / 4, side, side / 4]));
  const layout = layOut(list);
  const heights = list.map((asset) => placed(layout, asset).max[1]);
  assert.deepEqual(
    heights.map((height) => Number(height.toFixed(6))),
    [0.6, 1.1, 1.8],
  );
});

test("the largest stands in the middle", () => {
  const layout = layOut([box("small", [1, 0.5, 1]), box("large", [1, 1.6, 1]), box("middle", [1, 1, 1])]);
  assert.equal(layout.places[0]?.id, "large");
  assert.equal(layout.places[0]?.position[0], -0.5, "centred on its bounds");
});

test("an asset without extent has a place all the same", () => {
  const { places } = layOut([box("point", [0, 0, 0], [3, 2, 1])]);
  assert.ok(places[0]?.position.every(Number.isFinite));
  assert.equal(places[0]?.scale, 1);
});

test("the first view has every corner in the picture", () => {
  const fov = 45;
  fc.assert(
    fc.property(assets, fc.double({ min: 0.5, max: 2.5, noNaN: true }), (list, aspect) => {
      const layout = layOut(list.slice(0, 7));
      const { eye, target } = frame(layout, fov, aspect);
      const half = Math.tan((fov * Math.PI) / 360);
      const unit = (v: Vec3): Vec3 => v.map((x) => x / Math.hypot(...v)) as Vec3;
      const forward = unit([target[0] - eye[0], target[1] - eye[1], target[2] - eye[2]]);
      const right = unit([-forward[2], 0, forward[0]]);
      const up: Vec3 = [
        right[1] * forward[2] - right[2] * forward[1],
        right[2] * forward[0] - right[0] * forward[2],
        right[0] * forward[1] - right[1] * forward[0],
      ];
      for (const asset of list.slice(0, 7)) {
        const { min, max } = placed(layout, asset);
        for (let corner = 0; corner < 8; corner++) {
          const p = [0, 1, 2].map((i) => ((corner >> i) & 1 ? max : min)[i] as number) as Vec3;
          const d: Vec3 = [p[0] - eye[0], p[1] - eye[1], p[2] - eye[2]];
          const along = (axis: Vec3) => d[0] * axis[0] + d[1] * axis[1] + d[2] * axis[2];
          const depth = along(forward);
          assert.ok(depth > 0);
          assert.ok(Math.abs(along(right)) <= depth * half * aspect * 1.001, "left or right");
          assert.ok(Math.abs(along(up)) <= depth * half * 1.001, "above or below");
        }
      }
    }),
  );
});

test("a place is a matrix that scales first and moves then, column by column", () => {
  const matrix = matrixOf({ id: "duck", scale: 2, position: [1, 0, -1] });
  assert.deepEqual(matrix, [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 1, 0, -1, 1]);
});
