import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  acuityAngle,
  eccentricity,
  facesAway,
  frustumPlanes,
  insideFrustum,
  pixelsPerDegree,
  type Vec3,
  type View,
  visibilityOf,
} from "../src/core/gaze.ts";
import { view } from "./worlds.ts";

const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`);

const coordinate = fc.double({ min: -100, max: 100, noNaN: true });
const radius = fc.double({ min: 0.001, max: 10, noNaN: true });
/** From the origin along −z. */
const VIEW = view([0, 0, 0]);

describe("eccentricity", () => {
  test("is the angle between the gaze and the sphere's nearest edge", () => {
    // 90° to the right at distance 2, radius 1: asin(1/2) = 30° wide.
    near(eccentricity(VIEW, 2, 0, 0, 1), 60);
    near(eccentricity(VIEW, 0, 0, 2, 1), 150);
  });

  test("is 0 inside the sphere, and where the gaze meets the sphere", () => {
    assert.equal(eccentricity(VIEW, 0.5, 0, 0, 1), 0);
    assert.equal(eccentricity(VIEW, 0, 0, 0, 0), 0);
    assert.equal(eccentricity(VIEW, 0.3, 0, -2, 1), 0);
  });

  test("of a gaze that moves along an arc is the angle to the nearest point of the arc", () => {
    const direction = (yaw: number, pitch: number): Vec3 => {
      const [y, p] = [yaw / 57.29578, pitch / 57.29578];
      return [10 * Math.sin(y) * Math.cos(p), 10 * Math.sin(p), -10 * Math.cos(y) * Math.cos(p)];
    };
    const [x, y, z] = direction(30, 0);
    const turning: View = { ...VIEW, gazeArcEnd: [x / 10, y / 10, z / 10] };
    const angleTo = (yaw: number, pitch: number) => eccentricity(turning, ...direction(yaw, pitch), 0);
    near(angleTo(0, 0), 0, 1e-4);
    near(angleTo(17, 0), 0, 1e-4);
    near(angleTo(30, 0), 0, 1e-4);
    near(angleTo(17, 12), 12, 1e-4);
    near(angleTo(17, -12), 12, 1e-4);
    near(angleTo(40, 0), 10, 1e-4);
    near(angleTo(-10, 0), 10, 1e-4);
  });
});

describe("need", () => {
  const needAt = (x: number, y: number, z: number, r: number) => visibilityOf(VIEW, x, y, z, r).need;

  test("at the fovea is a pixel's angle at the distance of the nearest point", () => {
    // 20 pixels per degree: a pixel is 0.05°, more than half a cycle of 1/48°.
    near(needAt(0, 0, -3, 1), 2 * Math.tan((0.05 * Math.PI) / 180));
  });

  test("grows by Guenter's model with the eccentricity beyond the gaze's uncertainty", () => {
    // e = 23°, u = 3°: half of 1/48 + 0.022 × 20 degrees.
    near(acuityAngle(VIEW, 23), (1 / 48 + 0.022 * 20) / 2);
    assert.equal(acuityAngle(VIEW, 3), acuityAngle(VIEW, 0));
  });

  test("never falls as a sphere moves away or aside", () => {
    fc.assert(
      fc.property(radius, fc.double({ min: 0, max: 50, noNaN: true }), (r, further) => {
        assert.ok(needAt(0, 0, -10 - further, r) >= needAt(0, 0, -10, r));
      }),
    );
    fc.assert(
      fc.property(fc.double({ min: 0, max: Math.PI, noNaN: true }), (angle) => {
        const aside = needAt(5 * Math.sin(angle), 0, -5 * Math.cos(angle), 1);
        assert.ok(aside >= needAt(0, 0, -5, 1) - 1e-12);
      }),
    );
  });

  test("is finite, and at least that of a pixel at the near plane", () => {
    fc.assert(
      fc.property(coordinate, coordinate, coordinate, radius, (x, y, z, r) => {
        const need = needAt(x, y, z, r);
        assert.ok(Number.isFinite(need));
        assert.ok(need >= 0.05 * Math.tan((0.05 * Math.PI) / 180) * (1 - 1e-9));
      }),
    );
  });
});

describe("visibility", () => {
  test("a sphere wholly behind one plane is outside, and one with its centre on a plane is half inside", () => {
    assert.equal(insideFrustum(VIEW, 0, 0, 5, 1), 0);
    assert.equal(insideFrustum(VIEW, 0, 0, -5, 1), 1);
    near(insideFrustum(VIEW, 5, 0, -5, 1), 0.5);
  });

  test("no point of a sphere that counts as outside is inside the frustum", () => {
    const unit = fc.tuple(coordinate, coordinate, coordinate).filter((p) => Math.hypot(...p) > 1e-3);
    fc.assert(
      fc.property(coordinate, coordinate, coordinate, radius, unit, (x, y, z, r, [ux, uy, uz]) => {
        fc.pre(insideFrustum(VIEW, x, y, z, r) === 0);
        const scale = r / Math.hypot(ux, uy, uz);
        const point = [x + ux * scale, y + uy * scale, z + uz * scale] as const;
        const depths = VIEW.frustum.map(([a, b, c, d]) => a * point[0] + b * point[1] + c * point[2] + d);
        assert.ok(depths.some((depth) => depth <= 1e-9));
      }),
    );
  });

  test("the weight is the solid angle at the fovea, and less beside it", () => {
    const { weight } = visibilityOf(VIEW, 0, 0, -10, 0.1);
    // A disc of 0.01 rad: π·0.01² steradians.
    near(weight, Math.PI * 1e-4 * (180 / Math.PI) ** 2, 0.01);
    const aside = visibilityOf(VIEW, 10 * Math.sin(0.6), 0, -10 * Math.cos(0.6), 0.1).weight;
    assert.ok(aside > 0 && aside < weight / 10);
    assert.equal(visibilityOf(VIEW, 0, 0, 10, 0.1).weight, 0);
  });

  test("the fovea may be up to a little over 15° from the gaze, with and without an eye tracker", () => {
    for (const gazeUncertaintyDegrees of [3, 15]) {
      const from = view([0, 0, 0], { gazeUncertaintyDegrees });
      const isFovealAt = (degrees: number) =>
        visibilityOf(from, 10 * Math.sin(degrees / 57.3), 0, -10 * Math.cos(degrees / 57.3), 0.01).foveal;
      assert.deepEqual([0, 14, 17, 25].map(isFovealAt), [true, true, true, false]);
    }
  });

  test("the fovea is never out of view", () => {
    const from = view([0, 0, 0], { frustum: [[0, 0, 1, 0]] });
    assert.equal(visibilityOf(from, 0, 0, -10, 0.1).foveal, false);
  });

  test("a cone of normals that all point away from the eye faces away", () => {
    assert.equal(facesAway(VIEW, 0, 0, -10, 1, [0, 0, -1], Math.cos(0.5)), true);
    assert.equal(facesAway(VIEW, 0, 0, -10, 1, [0, 0, 1], Math.cos(0.5)), false);
    // The half angle plus 5.7° for the sphere is within 90° for 84°, but not for 85°.
    assert.equal(facesAway(VIEW, 0, 0, -10, 1, [0, 0, -1], Math.cos((84 * Math.PI) / 180)), true);
    assert.equal(facesAway(VIEW, 0, 0, -10, 1, [0, 0, -1], Math.cos((85 * Math.PI) / 180)), false);
    assert.equal(facesAway(VIEW, 0, 0, -0.5, 1, [0, 0, -1], 1), false, "the eye is in the sphere");
  });

  test("no face of a region that faces away is seen from its front", () => {
    const angle = fc.double({ min: -Math.PI, max: Math.PI, noNaN: true });
    fc.assert(
      fc.property(
        angle,
        fc.double({ min: 0, max: 1.5, noNaN: true }),
        angle,
        angle,
        (turn, half, at, tilt) => {
          const axis: Vec3 = [Math.sin(turn), 0, -Math.cos(turn)];
          fc.pre(facesAway(VIEW, 0, 0, -3, 1, axis, Math.cos(half)));
          // A point of the sphere and a normal on the rim of the cone, both in the plane of the axis.
          const point = [Math.sin(at), 0, -3 + Math.cos(at)] as const;
          const edge = tilt < 0 ? turn - half : turn + half;
          const normal = [Math.sin(edge), 0, -Math.cos(edge)] as const;
          assert.ok(normal[0] * -point[0] + normal[2] * -point[2] <= 1e-9);
        },
      ),
    );
  });
});

test("the frustum planes of a projection bound its picture", () => {
  // 90° × 90°, near 0.1, far 100: column-major.
  const n = 0.1;
  const f = 100;
  const projection = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, (f + n) / (n - f), -1, 0, 0, (2 * f * n) / (n - f), 0];
  const planes = frustumPlanes(projection);
  assert.equal(planes.length, 6);
  const inside = (p: Vec3) => planes.every(([a, b, c, d]) => a * p[0] + b * p[1] + c * p[2] + d >= 0);
  assert.ok(inside([0, 0, -1]));
  assert.ok(inside([0.9, -0.9, -1]));
  assert.ok(!inside([1.1, 0, -1]));
  assert.ok(!inside([0, 0, -0.05]));
  assert.ok(!inside([0, 0, -101]));
  assert.ok(!inside([0, 0, 1]));
  // 1,000 pixels high: 500 pixels are a tangent of 1.
  near(pixelsPerDegree(projection, 1000), 500 * Math.tan(Math.PI / 180));
});
