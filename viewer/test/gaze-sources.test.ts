import assert from "node:assert/strict";
import { test } from "node:test";
import { EYE_TRACKED_UNCERTAINTY, HEAD_GAZE_UNCERTAINTY, type Vec3 } from "../src/core/gaze.ts";
import {
  type Gaze,
  type GazeRay,
  GazeTracker,
  PINCH_FADE_MS,
  POINTER_FADE_MS,
  POINTER_UNCERTAINTY,
} from "../src/core/gaze-sources.ts";

const FORWARD: Vec3 = [0, 0, -1];

/** A unit vector, degrees to the right of −z. */
function right(degrees: number): Vec3 {
  const angle = (degrees * Math.PI) / 180;
  return [Math.sin(angle), 0, -Math.cos(angle)];
}

const head = (direction: Vec3 = FORWARD): Gaze => ({
  source: "head",
  direction,
  uncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
});

const ray = (mode: GazeRay["mode"], degrees: number, source: object): GazeRay => ({
  mode,
  source,
  direction: right(degrees),
});

test("without any ray the gaze is the head's forward", () => {
  const gaze = new GazeTracker().read(0, head(), []);
  assert.deepEqual(gaze, {
    source: "head",
    direction: FORWARD,
    uncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
  });
});

test("a gaze source that always follows the head is not an eye tracker", () => {
  const tracker = new GazeTracker();
  const source = {};
  for (let frame = 0; frame < 100; frame++) {
    const degrees = 20 * Math.sin(frame / 10);
    const gaze = tracker.read(frame * 11, head(right(degrees)), [ray("gaze", degrees, source)]);
    assert.equal(gaze.source, "head");
  }
});

test("a gaze source that follows a turning head one frame late is not an eye tracker", () => {
  const tracker = new GazeTracker();
  const source = {};
  for (let frame = 0; frame < 100; frame++) {
    const gaze = tracker.read(frame * 11, head(right(frame)), [ray("gaze", frame - 1, source)]);
    assert.equal(gaze.source, "head");
  }
});

test("a gaze source that departs from a resting head is an eye tracker for the next 10 s", () => {
  const tracker = new GazeTracker();
  const source = {};
  tracker.read(0, head(), [ray("gaze", 0, source)]);
  const aside = tracker.read(11, head(), [ray("gaze", 12, source)]);
  assert.deepEqual(aside, {
    source: "eye",
    direction: right(12),
    uncertaintyDegrees: EYE_TRACKED_UNCERTAINTY,
  });
  assert.equal(tracker.read(1000, head(), [ray("gaze", 0, source)]).source, "eye");
  assert.equal(
    tracker.read(60_000, head(), [ray("gaze", 0, source)]).source,
    "head",
    "the tracker may have lost the eyes",
  );
  assert.equal(tracker.read(60_011, head(), [ray("gaze", 3, {})]).source, "eye", "it has found them again");
});

test("a pinch gives the first direction of its ray, with an uncertainty that grows", () => {
  const tracker = new GazeTracker();
  const pinch = {};
  const at = (now: number, degrees: number) =>
    tracker.read(now, head(), [ray("transient-pointer", degrees, pinch)]);
  assert.deepEqual(at(0, 20), {
    source: "pinch",
    direction: right(20),
    uncertaintyDegrees: EYE_TRACKED_UNCERTAINTY,
  });
  const later = at(PINCH_FADE_MS / 2, 35);
  assert.deepEqual(later.direction, right(20), "the hand moves the ray afterwards");
  assert.equal(later.uncertaintyDegrees, (EYE_TRACKED_UNCERTAINTY + HEAD_GAZE_UNCERTAINTY) / 2);
  assert.equal(at(PINCH_FADE_MS, 35).source, "head");
  const next = tracker.read(PINCH_FADE_MS + 11, head(), [ray("transient-pointer", -8, {})]);
  assert.deepEqual(next.direction, right(-8));
});

test("a pinch that has ended counts until it has faded", () => {
  const tracker = new GazeTracker();
  tracker.read(0, head(), [ray("transient-pointer", 20, {})]);
  assert.equal(tracker.read(PINCH_FADE_MS - 1, head(), []).source, "pinch");
  assert.equal(tracker.read(PINCH_FADE_MS, head(), []).source, "head");
});

test("a mouse counts with a higher uncertainty, and not once it rests", () => {
  const tracker = new GazeTracker();
  const gaze = tracker.read(0, head(), [ray("pointer", 10, {})]);
  assert.equal(gaze.source, "pointer");
  assert.equal(gaze.uncertaintyDegrees, POINTER_UNCERTAINTY);
  assert.equal(tracker.read(POINTER_FADE_MS, head(), []).source, "head");
});

test("an eye tracker takes precedence over a pinch", () => {
  const tracker = new GazeTracker();
  const eye = {};
  tracker.read(0, head(), [ray("gaze", 0, eye)]);
  const gaze = tracker.read(11, head(), [ray("transient-pointer", 20, {}), ray("gaze", 5, eye)]);
  assert.equal(gaze.source, "eye");
});
