import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { PoseSender } from "../src/room/pose-sender.ts";

test("ticks that waited while the page was busy get two answers, the last one for the newest tick", async () => {
  const frames: Uint8Array[] = [];
  const sender = new PoseSender((frame) => frames.push(frame) > 0);
  sender.periodMs = 40;
  sender.start();
  for (let tick = 1; tick <= 200; tick++) sender.acknowledge(tick * 33);
  assert.equal(frames.length, 1);
  while (frames.length < 2) await sleep(5);
  await sleep(60);
  assert.equal(frames.length, 2);
  assert.deepEqual(frames.map(tickOf), [33, 200 * 33]);
});

test("after `stop` no answer is sent any more", async () => {
  const frames: Uint8Array[] = [];
  const sender = new PoseSender((frame) => frames.push(frame) > 0);
  sender.periodMs = 20;
  sender.acknowledge(33);
  sender.acknowledge(66);
  sender.stop();
  await sleep(40);
  assert.equal(frames.length, 1);
});

function tickOf(ack: Uint8Array): number {
  return new DataView(ack.buffer).getUint32(4, true);
}
