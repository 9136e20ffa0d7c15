import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  acuityAngle,
  eccentricity,
  facesAway,
  frustumPlanes,
  type HeadPose,
  insideFrustum,
  isEyeTracked,
  look,
  needAt,
  pixelsPerDegree,
  predictionHorizon,
  predictView,
  type Quaternion,
  type Vec3,
  type View,
} from "../src/core/gaze.ts";
import { view } from "./worlds.ts";

const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`);

const coordinate = fc.double({ min: -100, max: 100, noNaN: true });
const radius = fc.double({ min: 0.001, max: 10, noNaN: true });
const looking = view([0, 0, 0]);

describe("eccentricity", () => {
  test("is the angle to the sphere's nearest edge", () => {
    // 90° to the right at distance 2, radius 1: asin(1/2) = 30° wide.
    near(eccentricity(looking, 2, 0, 0, 1), 60);
    near(eccentricity(looking, 0, 0, 2, 1), 150);
  });

  test("is 0 inside the sphere and where the gaze meets it", () => {
    assert.equal(eccentricity(looking, 0.5, 0, 0, 1), 0);
    assert.equal(eccentricity(looking, 0, 0, 0, 0), 0);
    assert.equal(eccentricity(looking, 0.3, 0, -2, 1), 0);
  });
});

describe("need", () => {
  test("at the fovea it is a pixel's angle at the distance of the nearest point", () => {
    // 20 pixels per degree: a pixel is 0.05°, more than half a cycle of 1/48°.
    near(needAt(looking, 0, 0, -3, 1), 2 * Math.tan((0.05 * Math.PI) / 180));
  });

  test("grows with eccentricity beyond the gaze's uncertainty as Guenter's model has it", () => {
    // e = 23°, u = 3°: half of 1/48 + 0.022 × 20 degrees.
    near(acuityAngle(looking, 23), (1 / 48 + 0.022 * 20) / 2);
    assert.equal(acuityAngle(looking, 3), acuityAngle(looking, 0));
  });

  test("never falls as a sphere goes away or aside", () => {
    fc.assert(
      fc.property(radius, fc.double({ min: 0, max: 50, noNaN: true }), (r, further) => {
        assert.ok(needAt(looking, 0, 0, -10 - further, r) >= needAt(looking, 0, 0, -10, r));
      }),
    );
    fc.assert(
      fc.property(fc.double({ min: 0, max: Math.PI, noNaN: true }), (angle) => {
        const aside = needAt(looking, 5 * Math.sin(angle), 0, -5 * Math.cos(angle), 1);
        assert.ok(aside >= needAt(looking, 0, 0, -5, 1) - 1e-12);
      }),
    );
  });

  test("is never less than a pixel's at the near plane, and always finite", () => {
    fc.assert(
      fc.property(coordinate, coordinate, coordinate, radius, (x, y, z, r) => {
        const need = needAt(looking, x, y, z, r);
        assert.ok(Number.isFinite(need));
        assert.ok(need >= 0.05 * Math.tan((0.05 * Math.PI) / 180) * (1 - 1e-9));
      }),
    );
  });
});

describe("visibility", () => {
  test("a sphere wholly behind one plane is not seen; one on the plane is half seen", () => {
    assert.equal(insideFrustum(looking, 0, 0, 5, 1), 0);
    assert.equal(insideFrustum(looking, 0, 0, -5, 1), 1);
    near(insideFrustum(looking, 5, 0, -5, 1), 0.5);
  });

  test("no point of a sphere that is called unseen is inside the frustum", () => {
    const unit = fc.tuple(coordinate, coordinate, coordinate).filter((p) => Math.hypot(...p) > 1e-3);
    fc.assert(
      fc.property(coordinate, coordinate, coordinate, radius, unit, (x, y, z, r, [ux, uy, uz]) => {
        fc.pre(insideFrustum(looking, x, y, z, r) === 0);
        const scale = r / Math.hypot(ux, uy, uz);
        const point = [x + ux * scale, y + uy * scale, z + uz * scale] as const;
        const depths = looking.frustum.map(([a, b, c, d]) => a * point[0] + b * point[1] + c * point[2] + d);
        assert.ok(depths.some((depth) => depth <= 1e-9));
      }),
    );
  });

  test("weight is the solid angle at the fovea, and less aside", () => {
    const { weight } = look(looking, 0, 0, -10, 0.1);
    // A disc of 0.01 rad: π·0.01² steradians.
    near(weight, Math.PI * 1e-4 * (180 / Math.PI) ** 2, 0.01);
    const aside = look(looking, 10 * Math.sin(0.6), 0, -10 * Math.cos(0.6), 0.1).weight;
    assert.ok(aside > 0 && aside < weight / 10);
    assert.equal(look(looking, 0, 0, 10, 0.1).weight, 0);
  });

  test("the fovea may be within 15° of the gaze, and a little around it, tracked or not, and nowhere out of view", () => {
    for (const gazeUncertaintyDegrees of [3, 15]) {
      const from = view([0, 0, 0], { gazeUncertaintyDegrees });
      const at = (degrees: number) =>
        look(from, 10 * Math.sin(degrees / 57.3), 0, -10 * Math.cos(degrees / 57.3), 0.01).foveal;
      assert.deepEqual([0, 14, 17, 25].map(at), [true, true, true, false]);
    }
    assert.equal(look(view([0, 0, 0], { frustum: [[0, 0, 1, 0]] }), 0, 0, -10, 0.1).foveal, false);
  });

  test("faces that all look away are not seen", () => {
    assert.equal(facesAway(looking, 0, 0, -10, 1, [0, 0, -1], Math.cos(0.5)), true);
    assert.equal(facesAway(looking, 0, 0, -10, 1, [0, 0, 1], Math.cos(0.5)), false);
    // 80° wide and 5.7° for the sphere: within 90°; 85° is not.
    assert.equal(facesAway(looking, 0, 0, -10, 1, [0, 0, -1], Math.cos((84 * Math.PI) / 180)), true);
    assert.equal(facesAway(looking, 0, 0, -10, 1, [0, 0, -1], Math.cos((85 * Math.PI) / 180)), false);
    assert.equal(facesAway(looking, 0, 0, -0.5, 1, [0, 0, -1], 1), false, "the eye is in the sphere");
  });

  test("no face of a region that is called averted looks at the eye", () => {
    const angle = fc.double({ min: -Math.PI, max: Math.PI, noNaN: true });
    fc.assert(
      fc.property(
        angle,
        fc.double({ min: 0, max: 1.5, noNaN: true }),
        angle,
        angle,
        (turn, half, at, tilt) => {
          const axis: Vec3 = [Math.sin(turn), 0, -Math.cos(turn)];
          fc.pre(facesAway(looking, 0, 0, -3, 1, axis, Math.cos(half)));
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

test("the planes of a projection are those of its picture", () => {
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

test("what lies on the way of the gaze is as near as the way", () => {
  const at = (yaw: number, pitch: number): Vec3 => {
    const [y, p] = [yaw / 57.29578, pitch / 57.29578];
    return [10 * Math.sin(y) * Math.cos(p), 10 * Math.sin(p), -10 * Math.cos(y) * Math.cos(p)];
  };
  const [x, y, z] = at(30, 0);
  const turning: View = { ...looking, gazeArcEnd: [x / 10, y / 10, z / 10] };
  const away = (yaw: number, pitch: number) => eccentricity(turning, ...at(yaw, pitch), 0);
  near(away(0, 0), 0, 1e-4);
  near(away(17, 0), 0, 1e-4);
  near(away(30, 0), 0, 1e-4);
  near(away(17, 12), 12, 1e-4);
  near(away(17, -12), 12, 1e-4);
  near(away(40, 0), 10, 1e-4);
  near(away(-10, 0), 10, 1e-4);
});

describe("prediction", () => {
  const facing = (degrees: number): Quaternion => {
    const half = (degrees * Math.PI) / 360;
    return [0, Math.sin(half), 0, Math.cos(half)];
  };
  const poses = (speed: number): HeadPose[] =>
    [0, 20, 40, 60, 80, 100].map((time) => ({
      time,
      position: [time / 1000, 0, 0],
      orientation: facing((speed * time) / 1000),
    }));
  const angleBetween = (a: Vec3, b: Vec3) =>
    (Math.acos(Math.min(1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2])) * 180) / Math.PI;

  test("a turning head goes on turning the same way", () => {
    const ahead = predictView(looking, poses(50), 200);
    assert.ok(ahead);
    near(angleBetween(ahead.gaze, looking.gaze), 10, 1e-6);
    // Turning by +y is to the left.
    assert.ok(ahead.gaze[0] < 0);
    near(ahead.eye[0], 0.2);
    const angle = (50 * Math.PI) / 180;
    const left = [-5 * Math.sin(angle), 0, -5 * Math.cos(angle), 0.1] as const;
    assert.equal(insideFrustum(looking, ...left), 0, "outside the view of 45° to either side");
    assert.equal(insideFrustum(ahead, ...left), 1, "inside it after 10° to the left");
  });

  test("it is not carried further than 30° and one second", () => {
    const fast = predictView(looking, poses(400), 1000);
    assert.ok(fast);
    near(angleBetween(fast.gaze, looking.gaze), 30, 1e-6);
    const late = predictView(looking, poses(10), 60_000);
    assert.ok(late);
    near(angleBetween(late.gaze, looking.gaze), 10, 1e-6);
  });

  test("from there the gaze goes on until that second is over, 30° at most", () => {
    const onward = (speed: number, ms: number) =>
      predictView(looking, poses(speed), ms)?.gazeArcEnd ?? assert.fail();
    near(angleBetween(onward(20, 200), looking.gaze), 20, 1e-6);
    near(angleBetween(onward(50, 200), looking.gaze), 40, 1e-6);
    assert.equal(predictView(looking, poses(20), 1000)?.gazeArcEnd, undefined, "the second is over");
  });

  test("a turn that slows down is not carried past where it comes to rest", () => {
    // 300° a second, and 1000° a second less each second: at rest after 0.3 s, 45° further.
    const slowing = [0, 50, 100, 150, 200].map((time): HeadPose => {
      const s = time / 1000;
      return { time, position: [0, 0, 0], orientation: facing(300 * s - 500 * s * s) };
    });
    const later = (ms: number) =>
      angleBetween((predictView(looking, slowing, ms) ?? assert.fail()).gaze, looking.gaze);
    near(later(50), 3.75, 1e-6);
    near(later(100), 5, 1e-6);
    near(later(1000), 5, 1e-6);
    assert.equal(predictView(looking, slowing, 100)?.gazeArcEnd, undefined, "nor does the gaze go on");
    assert.equal(
      predictView(looking, slowing, 100)?.sweeps,
      false,
      "150° a second on average, at rest by then",
    );
    const growing = slowing.map(({ time, position }) => ({
      time,
      position,
      orientation: facing((time / 50) ** 2),
    }));
    // 120° a second on average over the last 0.1 s, and 160 at its end.
    near(angleBetween((predictView(looking, growing, 100) ?? assert.fail()).gaze, looking.gaze), 16, 1e-6);
  });

  test("a head that turns by more than 100° a second sweeps", () => {
    assert.equal(predictView(looking, poses(90), 200)?.sweeps, false);
    assert.equal(predictView(looking, poses(110), 200)?.sweeps, true);
  });

  test("a head at rest needs no second view", () => {
    const rest = poses(0).map((pose) => ({ ...pose, position: [0, 0, 0] as const }));
    assert.equal(predictView(looking, rest, 500), null);
    assert.equal(predictView(looking, [], 500), null);
    assert.equal(predictView(looking, poses(50).slice(0, 1), 500), null);
  });

  test("looks as far ahead as the next file takes", () => {
    assert.equal(predictionHorizon(40, 50_000, 500_000), 140);
    assert.equal(predictionHorizon(40, 5e6, 500_000), 1000);
  });
});

test("a gaze ray that never leaves the head's forward is the head", () => {
  const forward: Vec3 = [0, 0, -1];
  const aside: Vec3 = [Math.sin(0.1), 0, -Math.cos(0.1)];
  assert.equal(isEyeTracked([{ ray: forward, forward }]), false);
  assert.equal(
    isEyeTracked([
      { ray: forward, forward },
      { ray: aside, forward },
    ]),
    true,
  );
});
