/** Playback of the poses of other participants. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { delayFor, Playback, slew } from "../src/room/playback.ts";

const FRAME_MS = 1000 / 60;

/**
 * The shown positions of a participant who walks at 1 m/s, one for each frame at 60 Hz.
 * @param interval milliseconds from the pose sent at a time to the next one
 * @param until end of the walk, milliseconds
 * @param from the first frame in the result, milliseconds
 */
function walk(interval: (sent: number) => number, until: number, from = 0): number[] {
  const playback = new Playback<number>();
  const shown: number[] = [];
  let due = 0;
  for (let now = 0; now < until; now += FRAME_MS) {
    for (; due <= now; due += interval(due)) playback.add(due / 1000, due);
    const position = shownAt(playback, now);
    if (position !== null && now >= from) shown.push(position);
  }
  return shown;
}

function shownAt(playback: Playback<number>, now: number): number | null {
  const played = playback.read(now);
  return played && played.from + (played.to - played.from) * played.t;
}

/** Metres per second between frames. */
const speeds = (shown: readonly number[]): number[] =>
  shown.slice(1).map((x, i) => ((x - (shown[i] as number)) * 60) as number);

test("the delay is 100 ms for poses at the full rate and 300 ms for poses at 5 Hz", () => {
  assert.equal(delayFor([]), 100);
  assert.equal(delayFor([16, 17, 16]), 100);
  assert.equal(delayFor([33, 34, 33, 33]), 100);
  assert.equal(delayFor([200, 200, 200]), 300);
});

test("one late frame, or a rest, does not change the delay", () => {
  assert.equal(delayFor([33, 33, 150, 33, 33]), 100);
  assert.equal(delayFor([200, 1000, 200]), 300);
});

test("for any intervals the delay is at least one of them, and within its bounds", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 1, max: 450, noNaN: true }), { maxLength: 5 }), (intervals) => {
      const delay = delayFor(intervals);
      assert.ok(delay >= 100 && delay <= 675);
      const median = [...intervals].sort((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0;
      assert.ok(delay >= Math.min(median, 600));
    }),
  );
});

test("a delay changes by a quarter of the passed time, and stops at its target", () => {
  assert.equal(slew(100, 300, 40), 110);
  assert.equal(slew(300, 100, 40), 290);
  assert.equal(slew(299, 300, 40), 300);
  assert.equal(slew(100, 300, -5), 100);
});

test("a participant who walks evenly is shown walking evenly, at 60 Hz and at 5 Hz", () => {
  for (const interval of [16, 33, 200]) {
    for (const speed of speeds(walk(() => interval, 6000, 3000))) {
      assert.ok(Math.abs(speed - 1) < 0.02, `${speed} m/s with a pose every ${interval} ms`);
    }
  }
});

test("after a change of the rate, a participant is soon shown walking evenly again", () => {
  const [far, near] = [2000, 6000];
  const shown = walk((sent) => (sent >= far && sent < near ? 200 : 33), 10_000);
  const frame = (ms: number): number => Math.round(ms / FRAME_MS);
  const after = shown.slice(frame(far + 2000), frame(near));
  for (const speed of speeds(after)) assert.ok(Math.abs(speed - 1) < 0.02, `${speed} m/s when far`);
  // When the participant comes near, the delay shrinks again: motion is a little faster, and never goes back.
  for (const speed of speeds(shown.slice(frame(near + 400)))) {
    assert.ok(speed > 0.98 && speed < 1.27, `${speed} m/s when near again`);
  }
});

test("a participant who rested is shown with the shortest delay", () => {
  const playback = new Playback<number>();
  for (const at of [0, 33, 66, 1066, 2066, 2099, 2132]) {
    playback.add(at, at);
    playback.read(at);
  }
  assert.equal(shownAt(playback, 2180), 2080);
});
