import assert from "node:assert/strict";
import { test } from "node:test";
import { STALL_MS, VisitMeter, type VisitState } from "../src/core/visit-meter.ts";

const FRAME_MS = 20;

/** Observes frames from `from` to `to`, in which `state` gives the state at each time. */
function frames(meter: VisitMeter, from: number, to: number, state: (now: number) => VisitState): void {
  for (let now = from; now <= to; now += FRAME_MS) meter.observe(state(now), now);
}

const EMPTY: VisitState = { shown: 0, loading: 0, isSettled: false, totalBytes: 0 };

test("the times of the first picture and of full detail are reported once each", () => {
  const meter = new VisitMeter();
  frames(meter, 0, 480, () => EMPTY);
  assert.equal(meter.report(), null);
  frames(meter, 500, 980, (now) => ({ ...EMPTY, shown: 1, loading: 1, totalBytes: now }));
  const first = meter.report();
  assert.deepEqual(first, { firstMs: 500, stalls: 0, stalledMs: 0 });
  assert.deepEqual(meter.report(), first, "until it was sent");
  if (first) meter.sent(first);
  assert.equal(meter.report(), null);
  meter.observe({ shown: 1, loading: 0, isSettled: true, totalBytes: 980 }, 1000);
  const detail = meter.report();
  assert.deepEqual(detail, { detailMs: 1000, stalls: 0, stalledMs: 0 });
  if (detail) meter.sent(detail);
  meter.observe({ shown: 2, loading: 0, isSettled: true, totalBytes: 980 }, 9000);
  assert.equal(meter.report(), null);
});

test("an empty page that wants nothing has no full detail", () => {
  const meter = new VisitMeter();
  frames(meter, 0, 1000, () => ({ ...EMPTY, isSettled: true }));
  assert.equal(meter.report(), null);
});

test("a silence while files are on their way is a stall, and ends with the next bytes", () => {
  const meter = new VisitMeter();
  const loading = { ...EMPTY, loading: 2 };
  frames(meter, 0, 400, (now) => ({ ...loading, totalBytes: now }));
  frames(meter, 420, 400 + STALL_MS - FRAME_MS, () => ({ ...loading, totalBytes: 400 }));
  assert.equal(meter.report(), null, "a short silence is none");
  frames(meter, 400 + STALL_MS, 3380, () => ({ ...loading, totalBytes: 400 }));
  meter.observe({ ...loading, totalBytes: 500 }, 3400);
  assert.deepEqual(meter.report(), { stalls: 1, stalledMs: 3000 });
  frames(meter, 3420, 9000, () => ({ ...EMPTY, totalBytes: 500 }));
  assert.deepEqual(meter.report(), { stalls: 1, stalledMs: 3000 }, "nothing is on its way");
});

test("a hidden tab, which draws no frames, does not stall", () => {
  const meter = new VisitMeter();
  const loading = { ...EMPTY, loading: 1, totalBytes: 7 };
  frames(meter, 0, 200, () => loading);
  frames(meter, 60_000, 60_200, () => loading);
  assert.equal(meter.report(), null);
});

test("numbers of a report that was not sent go into the next one", () => {
  const meter = new VisitMeter();
  const loading = { ...EMPTY, loading: 1 };
  frames(meter, 0, 2000, () => loading);
  meter.observe({ ...loading, totalBytes: 1 }, 2020);
  const report = meter.report();
  frames(meter, 2040, 4020, () => ({ ...loading, totalBytes: 1 }));
  meter.observe({ ...loading, totalBytes: 2 }, 4040);
  if (report) meter.sent(report);
  assert.deepEqual(meter.report(), { stalls: 1, stalledMs: 2020 });
});
