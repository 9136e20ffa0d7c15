import assert from "node:assert/strict";
import { createHash, webcrypto } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { BandwidthEstimator } from "../src/core/network/bandwidth.ts";
import {
  ATTEMPTS,
  FetchError,
  Fetcher,
  type FetcherOptions,
  LONGEST_BACK_OFF_MS,
  SILENCE_MS,
} from "../src/core/network/fetcher.ts";
import { VirtualClock } from "./clock.ts";
import { Server } from "./server.ts";
import { uri } from "./worlds.ts";

const BYTES = new Uint8Array(5000).map((_, i) => i);
const FILE = { uri: uri(BYTES), bytes: BYTES.length };
const damaged = BYTES.map((byte, i) => (i === 77 ? byte ^ 1 : byte));

/** A synchronous SHA-256: nothing in virtual time may wait for a thread. */
const SHA256 = {
  digest: async (_: unknown, bytes: BufferSource) => {
    const digest = createHash("sha256")
      .update(bytes as Uint8Array)
      .digest();
    return new Uint8Array(digest).buffer;
  },
};

function setUp(options: Partial<FetcherOptions> = {}) {
  const clock = new VirtualClock();
  const server = new Server(clock);
  const fetcher = new Fetcher({
    request: server.request,
    now: clock.now,
    wait: clock.wait,
    random: () => 1,
    subtle: SHA256,
    ...options,
  });
  return { clock, server, fetcher };
}

/** The state of a promise after so many milliseconds. */
async function outcome<T>(
  promise: Promise<T>,
  clock: VirtualClock,
  ms: number,
): Promise<T | Error | "pending"> {
  let result: T | Error | "pending" = "pending";
  promise.then(
    (value) => {
      result = value;
    },
    (error: Error) => {
      result = error;
    },
  );
  await clock.pass(ms);
  return result;
}

test("a file arrives whole, and its progress is reported", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: BYTES, chunk: 2000 });
  const progress: number[] = [];
  const headLengths: number[] = [];
  const result = await outcome(
    fetcher.fetch(FILE, undefined, (received, head) => {
      progress.push(received);
      headLengths.push(head?.length ?? 0);
      assert.deepEqual(head, BYTES.subarray(0, received));
    }),
    clock,
    0,
  );
  assert.deepEqual(result, BYTES);
  assert.deepEqual(progress, [2000, 4000, 5000]);
  assert.deepEqual(headLengths, progress);
});

test("simultaneous calls for a file share one request, and each gets its own copy", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: BYTES, msPerChunk: 10 });
  const [a, b] = [fetcher.fetch(FILE), fetcher.fetch(FILE)];
  await clock.pass(1000);
  assert.deepEqual(await a, await b);
  assert.notEqual((await a).buffer, (await b).buffer);
  assert.deepEqual(server.requested, [FILE.uri]);
});

test("a shared request is aborted with its last caller", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: BYTES, msPerChunk: 10 });
  const [first, second] = [new AbortController(), new AbortController()];
  const results = [fetcher.fetch(FILE, first.signal), fetcher.fetch(FILE, second.signal)];
  for (const result of results) result.catch(() => {});
  await clock.pass(20);
  first.abort(new Error("looks away"));
  await clock.pass(5);
  assert.equal(server.open, 1);
  second.abort(new Error("looks away too"));
  await clock.pass(5);
  assert.equal(server.open, 0);
  for (const result of results) await assert.rejects(result, /looks away/);
});

test("a call after an abort starts a new request", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: BYTES, msPerChunk: 10 });
  const stop = new AbortController();
  fetcher.fetch(FILE, stop.signal).catch(() => {});
  await clock.pass(15);
  stop.abort();
  assert.deepEqual(await outcome(fetcher.fetch(FILE), clock, 100), BYTES);
  assert.equal(server.requested.length, 2);
});

test("an aborted signal starts no request", async () => {
  const { server, fetcher } = setUp();
  await assert.rejects(fetcher.fetch(FILE, AbortSignal.abort(new Error("no"))), /no/);
  assert.deepEqual(server.requested, []);
});

test("a temporary failure is retried, after pauses that double", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, "refused", { status: 503 }, { status: 429 }, { bytes: BYTES });
  const result = fetcher.fetch(FILE);
  for (const [ms, requests] of [
    [0, 1],
    [499, 1],
    [1, 2],
    [999, 2],
    [1, 3],
    [1999, 3],
    [1, 4],
  ] as const) {
    await clock.pass(ms);
    assert.equal(server.requested.length, requests);
  }
  assert.deepEqual(await result, BYTES);
});

for (const [retryAfter, ms] of [
  ["7", 7_000],
  ["999999", 60_000],
  ["Fri, 31 Dec 1999 23:59:59 GMT", 0],
  ["-1", 0],
] as const) {
  test(`a busy server determines the pause, up to a minute: Retry-After ${retryAfter}`, async () => {
    const { clock, server, fetcher } = setUp({ random: () => 0 });
    server.put(FILE.uri, { status: 503, retryAfter }, { bytes: BYTES });
    const result = fetcher.fetch(FILE);
    await clock.pass(Math.max(0, ms - 1));
    assert.equal(server.requested.length, ms === 0 ? 2 : 1);
    await clock.pass(1);
    assert.equal(server.requested.length, 2);
    assert.deepEqual(await result, BYTES);
  });
}

test("jitter shortens the pauses", async () => {
  const { clock, server, fetcher } = setUp({ random: () => 0.1 });
  server.put(FILE.uri, "refused", { bytes: BYTES });
  assert.deepEqual(await outcome(fetcher.fetch(FILE), clock, 50), BYTES);
});

test("after four attempts a file is given up for now", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, "refused");
  const error = await outcome(fetcher.fetch(FILE), clock, 60_000);
  assert.ok(error instanceof FetchError);
  assert.equal(error.permanent, false);
  assert.match(error.message, /connection refused/);
  assert.equal(server.requested.length, ATTEMPTS);
});

for (const status of [404, 403, 410]) {
  test(`after status ${status} a file is given up at once and for good`, async () => {
    const { clock, server, fetcher } = setUp();
    server.put(FILE.uri, { status });
    const error = await outcome(fetcher.fetch(FILE), clock, 0);
    assert.ok(error instanceof FetchError && error.permanent);
    assert.match(error.message, new RegExp(`${FILE.uri}: the server answers ${status}`));
    assert.equal(server.requested.length, 1);
  });
}

test("a damaged file is fetched once more, past the cache, and then given up for good", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: damaged }, { bytes: BYTES });
  assert.deepEqual(await outcome(fetcher.fetch(FILE), clock, 1000), BYTES);
  assert.deepEqual(server.reloads, [false, true]);
  server.put(FILE.uri, { bytes: damaged });
  const error = await outcome(fetcher.fetch(FILE), clock, 60_000);
  assert.ok(error instanceof FetchError && error.permanent);
  assert.equal(server.requested.length, 4);
});

test("without a secure context damage is not detected", async () => {
  const clock = new VirtualClock();
  const server = new Server(clock);
  server.put(FILE.uri, { bytes: damaged });
  const fetcher = new Fetcher({ request: server.request, now: clock.now, wait: clock.wait, random: () => 1 });
  assert.deepEqual(await outcome(fetcher.fetch(FILE), clock, 0), damaged);
});

test("a body that is longer than announced is not read to its end", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: new Uint8Array(1e6), chunk: 3000, msPerChunk: 1 });
  const error = await outcome(fetcher.fetch(FILE), clock, 60_000);
  assert.ok(error instanceof FetchError && error.permanent);
  assert.match(error.message, /longer than the 5000 bytes announced/);
  assert.equal(server.open, 0);
});

test("a body that is shorter than announced is retried", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: BYTES.slice(0, 4000) }, { bytes: BYTES });
  assert.deepEqual(await outcome(fetcher.fetch(FILE), clock, 1000), BYTES);
});

for (const answer of ["silent", "stalls"] as const) {
  test(`a connection that ${answer === "silent" ? "never answers" : "stalls"} is replaced by another`, async () => {
    const { clock, server, fetcher } = setUp();
    server.put(FILE.uri, answer, { bytes: BYTES });
    const result = fetcher.fetch(FILE);
    await clock.pass(SILENCE_MS - 1);
    assert.equal(server.requested.length, 1);
    assert.deepEqual(await outcome(result, clock, 600), BYTES);
  });
}

test("a slow body is not silent", async () => {
  const { clock, server, fetcher } = setUp();
  server.put(FILE.uri, { bytes: BYTES, msPerChunk: SILENCE_MS - 1 });
  assert.deepEqual(await outcome(fetcher.fetch(FILE), clock, 6 * SILENCE_MS), BYTES);
  assert.equal(server.requested.length, 1);
});

test("a file of an impossible size is not requested", async () => {
  const { server, fetcher } = setUp();
  await assert.rejects(fetcher.fetch({ uri: FILE.uri, bytes: 2 ** 50 }), FetchError);
  assert.deepEqual(server.requested, []);
});

test("streamed bodies are measured, and cached ones are not", async () => {
  const bytes = new Uint8Array(1_000_000);
  const file = { uri: uri(bytes), bytes: bytes.length };
  for (const cached of [false, true]) {
    const bandwidth = new BandwidthEstimator();
    const { clock, server, fetcher } = setUp({ bandwidth, fromCache: () => cached });
    server.put(file.uri, { bytes, chunk: 10_000, msPerChunk: 20 });
    assert.deepEqual(await outcome(fetcher.fetch(file), clock, 3000), bytes);
    const { measured, bytesPerSecond } = bandwidth.estimate(clock.now());
    assert.equal(measured, !cached);
    if (measured) assert.ok(Math.abs(bytesPerSecond - 500_000) < 1000);
  }
});

test("over real HTTP, a file arrives, a missing file fails, and an abort closes the connection", async () => {
  let closed = 0;
  const server = createServer((request, response) => {
    if (request.url === "/missing.glb") return response.writeHead(404).end("not here");
    response.on("close", () => closed++);
    response.writeHead(200, { "content-type": "model/gltf-binary" });
    if (request.url?.startsWith("/slow")) return void response.write(BYTES.slice(0, 100));
    return response.end(BYTES);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const { fetcher } = setUp({
    subtle: webcrypto.subtle as SubtleCrypto,
    request: (path, signal) => fetch(new URL(path, base), { signal }),
    now: () => performance.now(),
    wait: (ms, signal) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          reject(signal.reason);
        });
      }),
  });
  try {
    assert.deepEqual(await fetcher.fetch(FILE), BYTES);
    await assert.rejects(fetcher.fetch({ uri: "missing.glb", bytes: 10 }), { permanent: true });
    const stop = new AbortController();
    const started = new Promise<void>((resolve, reject) => {
      fetcher.fetch({ uri: "slow.glb", bytes: 5000 }, stop.signal, () => resolve()).catch(reject);
    });
    await started;
    const again = fetcher.fetch({ uri: "slow.glb", bytes: 5000 }, stop.signal);
    stop.abort(new Error("looks away"));
    await assert.rejects(again, /looks away/);
    for (let i = 0; i < 100 && closed < 2; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(closed, 2, "the server sees the connection close");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("failures while offline are retried and do not count as attempts", async () => {
  let goOnline = (): void => {};
  let offline: Promise<void> | null = new Promise((resolve) => {
    goOnline = resolve;
  });
  const { clock, server, fetcher } = setUp({ offline: () => offline });
  server.put(FILE.uri, "refused");
  const bytes = fetcher.fetch(FILE);
  assert.equal(await outcome(bytes, clock, 10 * ATTEMPTS * LONGEST_BACK_OFF_MS), "pending");
  assert.equal(
    server.requested.length,
    1 + 10 * ATTEMPTS,
    "one request per longest back-off: the browser may be wrong",
  );
  offline = null;
  server.put(FILE.uri, "refused", "refused", { bytes: BYTES });
  goOnline();
  assert.deepEqual(await outcome(bytes, clock, ATTEMPTS * LONGEST_BACK_OFF_MS), BYTES);
});

test("a file that was aborted while offline is not requested again", async () => {
  let goOnline = (): void => {};
  const offline = new Promise<void>((resolve) => {
    goOnline = resolve;
  });
  const { clock, server, fetcher } = setUp({ offline: () => offline });
  server.put(FILE.uri, "refused");
  const stop = new AbortController();
  const bytes = fetcher.fetch(FILE, stop.signal);
  bytes.catch(() => {});
  await clock.settle();
  stop.abort(new Error("turned away"));
  goOnline();
  assert.match(String(await outcome(bytes, clock, 10 * LONGEST_BACK_OFF_MS)), /turned away/);
  assert.equal(server.requested.length, 1);
});
