import assert from "node:assert/strict";
import { test } from "node:test";
import { insideFrustum, type Quaternion, type Vec3 } from "../src/core/gaze.ts";
import { type HeadPose, predictionHorizon, predictView } from "../src/core/prediction.ts";
import { view } from "./worlds.ts";

const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`);

/** From the origin along −z. */
const VIEW = view([0, 0, 0]);

/** An orientation so many degrees to the left of −z. */
const leftward = (degrees: number): Quaternion => {
  const half = (degrees * Math.PI) / 360;
  return [0, Math.sin(half), 0, Math.cos(half)];
};

/** Poses of 0.1 s that turn at a constant speed, degrees per second, and move to the right by 1 m/s. */
const turning = (speed: number): HeadPose[] =>
  [0, 20, 40, 60, 80, 100].map((time) => ({
    time,
    position: [time / 1000, 0, 0],
    orientation: leftward((speed * time) / 1000),
  }));

/** Angle between a gaze and that of `VIEW`, degrees. */
const turnOf = (gaze: Vec3) => {
  const cosine = gaze[0] * VIEW.gaze[0] + gaze[1] * VIEW.gaze[1] + gaze[2] * VIEW.gaze[2];
  return (Math.acos(Math.min(1, cosine)) * 180) / Math.PI;
};

test("a turning head is predicted to turn on", () => {
  const predicted = predictView(VIEW, turning(50), 200) ?? assert.fail();
  near(turnOf(predicted.gaze), 10, 1e-6);
  // A turn by +y is to the left.
  assert.ok(predicted.gaze[0] < 0);
  near(predicted.eye[0], 0.2);
  const angle = (50 * Math.PI) / 180;
  const left = [-5 * Math.sin(angle), 0, -5 * Math.cos(angle), 0.1] as const;
  assert.equal(insideFrustum(VIEW, ...left), 0, "outside the view of 45° to either side");
  assert.equal(insideFrustum(predicted, ...left), 1, "inside it after 10° to the left");
});

test("the prediction ends at 30° and at one second", () => {
  const fast = predictView(VIEW, turning(400), 1000) ?? assert.fail();
  near(turnOf(fast.gaze), 30, 1e-6);
  const late = predictView(VIEW, turning(10), 60_000) ?? assert.fail();
  near(turnOf(late.gaze), 10, 1e-6);
});

test("the gaze arc goes on until the second is over, at most 30° further", () => {
  const arcEnd = (speed: number, ms: number) =>
    predictView(VIEW, turning(speed), ms)?.gazeArcEnd ?? assert.fail();
  near(turnOf(arcEnd(20, 200)), 20, 1e-6);
  near(turnOf(arcEnd(50, 200)), 40, 1e-6);
  assert.equal(predictView(VIEW, turning(20), 1000)?.gazeArcEnd, undefined, "the second is over");
});

/** At 300° per second, slowing down by 1000° per second²: at rest after 0.3 s, 45° further. */
const SLOWING = [0, 50, 100, 150, 200].map((time): HeadPose => {
  const s = time / 1000;
  return { time, position: [0, 0, 0], orientation: leftward(300 * s - 500 * s * s) };
});

test("a turn that slows down is predicted to end where it comes to rest", () => {
  const turnAfter = (ms: number) => turnOf((predictView(VIEW, SLOWING, ms) ?? assert.fail()).gaze);
  near(turnAfter(50), 3.75, 1e-6);
  near(turnAfter(100), 5, 1e-6);
  near(turnAfter(1000), 5, 1e-6);
  const predicted = predictView(VIEW, SLOWING, 100);
  assert.equal(predicted?.gazeArcEnd, undefined);
  assert.equal(predicted?.sweeps, false, "150° per second on average, but at rest by then");
});

test("a turn that speeds up is predicted from its present speed", () => {
  const growing = SLOWING.map(({ time, position }) => ({
    time,
    position,
    orientation: leftward((time / 50) ** 2),
  }));
  // 120° per second on average over the last 0.1 s, and 160 at its end.
  near(turnOf((predictView(VIEW, growing, 100) ?? assert.fail()).gaze), 16, 1e-6);
});

test("a head sweeps if it turns by more than 100° per second", () => {
  assert.equal(predictView(VIEW, turning(90), 200)?.sweeps, false);
  assert.equal(predictView(VIEW, turning(110), 200)?.sweeps, true);
});

test("there is no prediction for a head at rest, or from too few poses", () => {
  const rest = turning(0).map((pose) => ({ ...pose, position: [0, 0, 0] as const }));
  assert.equal(predictView(VIEW, rest, 500), null);
  assert.equal(predictView(VIEW, [], 500), null);
  assert.equal(predictView(VIEW, turning(50).slice(0, 1), 500), null);
});

test("the horizon is the time that the next file takes, at most a second", () => {
  assert.equal(predictionHorizon(40, 50_000, 500_000), 140);
  assert.equal(predictionHorizon(40, 5e6, 500_000), 1000);
});
