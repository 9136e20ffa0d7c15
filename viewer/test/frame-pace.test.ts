import assert from "node:assert/strict";
import { test } from "node:test";
import { FramePace } from "../src/core/frame-pace.ts";

/** Draws on a device with a frame time that depends on the share. Returns all shares in order. */
function draw(pace: FramePace, seconds: number, frameMs: (share: number) => number, from = 0): number[] {
  const shares: number[] = [];
  let now = from;
  while (now < from + seconds * 1000) {
    pace.frame(now, 72);
    now += frameMs(pace.share);
    if (shares.at(-1) !== pace.share) shares.push(pace.share);
  }
  return shares;
}

test("a device whose frames are in time draws the whole budget", () => {
  assert.deepEqual(
    draw(new FramePace(), 20, () => 1000 / 72),
    [1],
  );
});

test("late frames lower the share until they are in time", () => {
  const pace = new FramePace();
  // Up to 60 % of the budget the GPU keeps up; above, it misses every second frame.
  const frameMs = (share: number) => (share > 0.6 ? 2000 / 72 : 1000 / 72);
  draw(pace, 5, frameMs);
  assert.ok(pace.share <= 0.6, `${pace.share}`);
});

test("a share that was too much is tried again ever more rarely", () => {
  const pace = new FramePace();
  const frameMs = (share: number) => (share > 0.6 ? 2000 / 72 : 1000 / 72);
  const early = draw(pace, 60, frameMs).length;
  const late = draw(pace, 60, frameMs, 1e6).length;
  assert.ok(late < early, `${late} changes after ${early}`);
});

test("a device that recovers draws the whole budget again", () => {
  const pace = new FramePace();
  draw(pace, 5, () => 40);
  assert.ok(pace.share < 0.5);
  draw(pace, 60, () => 1000 / 72, 1e6);
  assert.equal(pace.share, 1);
});

test("the share never falls below a third", () => {
  const pace = new FramePace();
  draw(pace, 60, () => 200);
  assert.equal(pace.share, 1 / 3);
});

test("pauses and the second renderer of a page do not count as frames", () => {
  const pace = new FramePace();
  let now = 0;
  for (let frame = 0; frame < 2000; frame++) {
    pace.frame(now, 60);
    pace.frame(now + 0.5, 60);
    now += frame % 10 === 9 ? 5000 : 1000 / 60;
  }
  assert.equal(pace.share, 1);
});
