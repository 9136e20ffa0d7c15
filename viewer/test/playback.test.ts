/** Poses of others, played back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { delayFor, Playback, slew } from "../src/room/playback.ts";

/** Where somebody is shown who walks at 1 m/s and is told of every `interval` ms, each frame of 60 Hz, from `from` on. */
function walk(interval: (sent: number) => number, until: number, from = 0): number[] {
  const playback = new Playback<number>();
  const shown: number[] = [];
  let due = 0;
  for (let now = 0; now < until; now += 1000 / 60) {
    for (; due <= now; due += interval(due)) playback.take(due / 1000, due);
    const played = playback.read(now);
    if (played && now >= from) shown.push(played.from + (played.to - played.from) * played.t);
  }
  return shown;
}

const speeds = (shown: readonly number[]): number[] =>
  shown.slice(1).map((x, i) => ((x - (shown[i] as number)) * 60) as number);

test("who is told of at full rate is shown 100 ms late, who is told of at 5 Hz 300 ms", () => {
  assert.equal(delayFor([]), 100);
  assert.equal(delayFor([16, 17, 16]), 100);
  assert.equal(delayFor([33, 34, 33, 33]), 100);
  assert.equal(delayFor([200, 200, 200]), 300);
});

test("one late frame, or a pause, does not change the delay", () => {
  assert.equal(delayFor([33, 33, 150, 33, 33]), 100);
  assert.equal(delayFor([200, 1000, 200]), 300);
});

test("for any intervals the delay holds one of them, and stays within its bounds", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 1, max: 450, noNaN: true }), { maxLength: 5 }), (intervals) => {
      const delay = delayFor(intervals);
      assert.ok(delay >= 100 && delay <= 675);
      const median = [...intervals].sort((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0;
      assert.ok(delay >= Math.min(median, 600));
    }),
  );
});

test("a delay changes by a quarter of the time that passes, and stops where it is wanted", () => {
  assert.equal(slew(100, 300, 40), 110);
  assert.equal(slew(300, 100, 40), 290);
  assert.equal(slew(299, 300, 40), 300);
  assert.equal(slew(100, 300, -5), 100);
});

test("somebody who walks evenly is shown walking evenly, at 60 Hz and at 5 Hz", () => {
  for (const interval of [16, 33, 200]) {
    for (const speed of speeds(walk(() => interval, 6000, 3000))) {
      assert.ok(Math.abs(speed - 1) < 0.02, `${speed} m/s at one pose in ${interval} ms`);
    }
  }
});

test("somebody who went far, or came near, is shown walking evenly again soon", () => {
  const [far, near] = [2000, 6000];
  const shown = walk((sent) => (sent >= far && sent < near ? 200 : 33), 10_000);
  const frame = (ms: number): number => Math.round((ms * 60) / 1000);
  const after = shown.slice(frame(far + 2000), frame(near));
  for (const speed of speeds(after)) assert.ok(Math.abs(speed - 1) < 0.02, `${speed} m/s when far`);
  // Coming near, the delay shrinks again: a little faster, never back.
  for (const speed of speeds(shown.slice(frame(near + 400)))) {
    assert.ok(speed > 0.98 && speed < 1.27, `${speed} m/s when near again`);
  }
});

test("who stood still is not taken for slow", () => {
  const playback = new Playback<number>();
  for (const at of [0, 33, 66, 1066, 2066, 2099, 2132]) {
    playback.take(at, at);
    playback.read(at);
  }
  assert.equal(playback.delayMs, 100);
});
