import assert from "node:assert/strict";
import { test } from "node:test";
import { FramePace } from "../src/core/frame-pace.ts";

/** Draws for so long on a device whose frames take so many milliseconds at a share; returns the shares. */
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

test("a device in time draws all of its budget", () => {
  assert.deepEqual(
    draw(new FramePace(), 20, () => 1000 / 72),
    [1],
  );
});

test("frames that come late draw less, until they are in time", () => {
  const pace = new FramePace();
  // At 60 % of the budget the GPU keeps up; beyond, every second frame is missed.
  const frameMs = (share: number) => (share > 0.6 ? 2000 / 72 : 1000 / 72);
  draw(pace, 5, frameMs);
  assert.ok(pace.share <= 0.6, `${pace.share}`);
});

test("what was too much is tried again ever more rarely", () => {
  const pace = new FramePace();
  const frameMs = (share: number) => (share > 0.6 ? 2000 / 72 : 1000 / 72);
  const early = draw(pace, 60, frameMs).length;
  const late = draw(pace, 60, frameMs, 1e6).length;
  assert.ok(late < early, `${late} changes after ${early}`);
});

test("a device that recovers draws everything again", () => {
  const pace = new FramePace();
  draw(pace, 5, () => 40);
  assert.ok(pace.share < 0.5);
  draw(pace, 60, () => 1000 / 72, 1e6);
  assert.equal(pace.share, 1);
});

test("however late frames are, a third of the budget stays", () => {
  const pace = new FramePace();
  draw(pace, 60, () => 200);
  assert.equal(pace.share, 1 / 3);
});

test("pauses, and the second renderer of one frame, are no frames", () => {
  const pace = new FramePace();
  let now = 0;
  for (let frame = 0; frame < 2000; frame++) {
    pace.frame(now, 60);
    pace.frame(now + 0.5, 60);
    now += frame % 10 === 9 ? 5000 : 1000 / 60;
  }
  assert.equal(pace.share, 1);
});
