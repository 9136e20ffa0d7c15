import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BandwidthEstimator,
  INITIAL_BYTES_PER_SECOND,
  WARM_UP_BYTES,
} from "../src/core/network/bandwidth.ts";
import { download, type LinkOptions } from "./link.ts";

/** Mbit/s as bytes per millisecond. */
const mbit = (value: number) => value * 125;

const steady = (megabits: number, options: Partial<LinkOptions> = {}): LinkOptions => ({
  rate: () => mbit(megabits),
  latencyMs: 40,
  chunkBytes: 8192,
  parallel: 4,
  fileBytes: () => 250_000,
  ...options,
});

function within(actual: number, expected: number, share: number): void {
  assert.ok(
    Math.abs(actual - expected) <= share * expected,
    `${(actual / 125_000).toFixed(2)} Mbit/s is not within ${share * 100} % of ${expected / 125_000}`,
  );
}

test("before any measurement the estimate is the guess", () => {
  const network = new BandwidthEstimator().estimate(0);
  assert.equal(network.bytesPerSecond, INITIAL_BYTES_PER_SECOND);
  assert.equal(network.measured, false);
  assert.equal(new BandwidthEstimator(1_000_000).estimate(0).bytesPerSecond, 1_000_000);
});

test("parallel requests are measured together", () => {
  const estimator = new BandwidthEstimator();
  download(estimator, steady(5, { parallel: 6 }), 10_000);
  within(estimator.estimate(10_000).bytesPerSecond, 625_000, 0.05);
});

test("the estimate is within 10 % of a constant rate, for any link and any files", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 50, noNaN: true }),
      fc.integer({ min: 5, max: 300 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 32 }).map((kilobytes) => kilobytes * 1024),
      fc.array(fc.integer({ min: 200_000, max: 2_000_000 }), { minLength: 1, maxLength: 20 }),
      (megabits, latencyMs, parallel, chunkBytes, sizes) => {
        // The chunks of all requests together hold at most a quarter of a second.
        fc.pre(parallel * chunkBytes <= 250 * mbit(megabits));
        const estimator = new BandwidthEstimator();
        const fileBytes = (i: number) => sizes[i % sizes.length] as number;
        download(estimator, steady(megabits, { latencyMs, parallel, chunkBytes, fileBytes }), 8000);
        within(estimator.estimate(8000).bytesPerSecond, mbit(megabits) * 1000, 0.1);
      },
    ),
    { numRuns: 60 },
  );
});

for (const [from, to] of [
  [20, 4],
  [4, 20],
  [10, 8],
  [8, 10],
  [50, 1],
] as const) {
  test(`after a step from ${from} to ${to} Mbit/s the estimate settles in under 5 s`, () => {
    const estimator = new BandwidthEstimator();
    const rate = (now: number) => mbit(now < 10_000 ? from : to);
    download(estimator, steady(from, { rate }), 30_000, (now) => {
      if (now >= 15_000 && now % 100 === 0)
        within(estimator.estimate(now).bytesPerSecond, mbit(to) * 1000, 0.1);
    });
  });
}

test("noise of ±40 % moves the estimate by less than a quarter", () => {
  const estimator = new BandwidthEstimator();
  // Uniform in 0.6–1.4, a new value every 100 ms: a scrambled counter times the golden ratio, modulo 1.
  const noise = (i: number) => 0.6 + 0.8 * ((Math.imul(i ^ (i >>> 3), 0x9e3779b1) >>> 0) / 2 ** 32);
  const rate = (now: number) => mbit(10) * noise(Math.floor(now / 100));
  download(estimator, steady(10, { rate }), 40_000, (now) => {
    if (now >= 5000 && now % 100 === 0) within(estimator.estimate(now).bytesPerSecond, 1_250_000, 0.25);
  });
});

test("small files that leave the link idle between them cannot lower the estimate", () => {
  const estimator = new BandwidthEstimator();
  download(estimator, steady(20), 8000);
  const before = estimator.estimate(8000).bytesPerSecond;
  // One 20 KB file after another, each after 200 ms: 0.8 Mbit/s on average.
  let now = 8000;
  for (let i = 0; i < 50; i++) {
    const transfer = estimator.opened(now);
    transfer.headers(now + 200);
    transfer.received(now + 200, 20_000);
    transfer.closed(now + 208);
    now += 208;
  }
  assert.equal(estimator.estimate(now).bytesPerSecond, before);
});

test("small files that leave the link idle can raise the estimate", () => {
  // One 100 KB file after another over 100 Mbit/s, 20 ms apart: at least 38 Mbit/s.
  const estimator = new BandwidthEstimator();
  let now = 0;
  for (let i = 0; i < 200; i++) {
    const transfer = estimator.opened(now);
    transfer.headers(now + 20);
    transfer.received(now + 20, 100_000);
    transfer.closed(now + 21);
    now += 21;
  }
  assert.ok(estimator.estimate(now).bytesPerSecond > 8 * INITIAL_BYTES_PER_SECOND);
});

test("bytes that arrived while the page was busy do not raise the estimate", () => {
  // 1 MB/s. The first 30 KB of every file are read at once, in three chunks.
  const estimator = new BandwidthEstimator();
  let now = 0;
  for (let file = 0; file < 40; file++) {
    const transfer = estimator.opened(now);
    transfer.headers(now + 50);
    for (const bytes of [10_000, 10_000, 10_000]) transfer.received(now + 50, bytes);
    for (let i = 1; i <= 10; i++) transfer.received(now + 50 + i * 10, 10_000);
    now += 150;
    transfer.closed(now);
  }
  within(estimator.estimate(now).bytesPerSecond, 1_000_000, 0.1);
});

test("the bytes of a cached response are subtracted", () => {
  const [plain, cached] = [new BandwidthEstimator(), new BandwidthEstimator()];
  for (const estimator of [plain, cached]) download(estimator, steady(5, { parallel: 1 }), 5000);
  const transfer = cached.opened(5000);
  for (let at = 5002; at < 5700; at++) transfer.received(at, 100_000);
  assert.ok(cached.estimate(5700).bytesPerSecond > 2 * plain.estimate(5000).bytesPerSecond);
  transfer.closed(5700, { cached: true });
  within(cached.estimate(5700).bytesPerSecond, plain.estimate(5000).bytesPerSecond, 0.01);
  assert.equal(cached.estimate(5700).ttfbMs, 40);
});

test("the slow start of a connection does not count", () => {
  const estimator = new BandwidthEstimator();
  const transfer = estimator.opened(0);
  transfer.headers(100);
  // 32 KB in a second, then a megabyte in another.
  for (let i = 1; i <= 32; i++) transfer.received(100 + i * 31, WARM_UP_BYTES / 32);
  assert.equal(estimator.estimate(1092).measured, false);
  for (let i = 1; i <= 100; i++) transfer.received(1092 + i * 10, 10_000);
  within(estimator.estimate(2092).bytesPerSecond, 1_000_000, 0.01);
});

test("silence in the middle of a body lowers the estimate before the next byte arrives", () => {
  const estimator = new BandwidthEstimator();
  const transfer = estimator.opened(0);
  transfer.headers(50);
  for (let now = 50; now <= 5000; now += 10) transfer.received(now, 10_000);
  const flowing = estimator.estimate(5000).bytesPerSecond;
  assert.equal(estimator.estimate(5500).bytesPerSecond, flowing);
  assert.ok(estimator.estimate(9000).bytesPerSecond < flowing / 3);
  assert.equal(estimator.estimate(5000).bytesPerSecond, flowing, "an estimate changes nothing");
});

test("a pause between requests is not silence", () => {
  const estimator = new BandwidthEstimator();
  download(estimator, steady(5), 3000);
  const before = estimator.estimate(3000).bytesPerSecond;
  estimator.opened(60_000);
  assert.equal(estimator.estimate(65_000).bytesPerSecond, before, "a slow answer is not silence either");
});

test("time to first byte is the median of the last answers", () => {
  const estimator = new BandwidthEstimator();
  for (const [i, ms] of [40, 42, 900, 41, 39].entries()) {
    const transfer = estimator.opened(i * 1000);
    transfer.headers(i * 1000 + ms);
    transfer.closed(i * 1000 + ms);
  }
  assert.equal(estimator.estimate(6000).ttfbMs, 41);
});

test("aborted and refused requests do not count after they are closed", () => {
  const estimator = new BandwidthEstimator();
  const [aborted, refused] = [estimator.opened(0), estimator.opened(0)];
  aborted.headers(40);
  for (let now = 40; now <= 2000; now += 10) aborted.received(now, 6250);
  refused.closed(2000);
  aborted.closed(2000);
  aborted.closed(2000);
  const before = estimator.estimate(2000).bytesPerSecond;
  within(before, 625_000, 0.01);
  assert.equal(estimator.estimate(100_000).bytesPerSecond, before);
});
