/** The room client against a real relay, which runs in a process of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { BodyPose, RigidPose } from "../src/room/messages-binary.ts";
import { backOff, roomUrl } from "../src/room/reconnect.ts";
import { Room, type RoomEvents, type RoomOptions } from "../src/room/room.ts";
import { NodeWebSocket } from "./websocket.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const VENV_PYTHON = join(REPOSITORY, ".venv/bin/python");
const PYTHON = process.env.PYTHON ?? (existsSync(VENV_PYTHON) ? VENV_PYTHON : "python3");

interface Relay {
  readonly url: string;
  readonly port: number;
  readonly metrics: string;
  /** Drains the relay: SIGTERM. */
  stop(): Promise<void>;
  /** Ends the relay at once: SIGKILL. */
  kill(): Promise<void>;
}

async function startRelay(port = 0, ...options: string[]): Promise<Relay> {
  const child: ChildProcess = spawn(
    PYTHON,
    [
      "-m",
      "streamxr.relay.cli",
      "serve",
      "--port",
      String(port),
      "--metrics-port",
      "0",
      "--drain-seconds",
      "0.1",
      ...options,
    ],
    { cwd: REPOSITORY, stdio: ["ignore", "ignore", "pipe"] },
  );
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const log: string[] = [];
  assert.ok(child.stderr);
  const lines = createInterface(child.stderr);
  const [bound, metrics] = await new Promise<[number, string]>((resolve, reject) => {
    lines.on("line", (line) => {
      log.push(line);
      const match = /:(\d+)\/ws\/.* metrics: (\S+)/.exec(line);
      if (match?.[2]) resolve([Number(match[1]), match[2]]);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`relay exited with ${code}: ${log.join("\n")}`)));
  });
  const end = (signal: NodeJS.Signals) => () => {
    child.kill(signal);
    return exited;
  };
  const started = {
    url: `ws://127.0.0.1:${bound}`,
    port: bound,
    metrics,
    stop: end("SIGTERM"),
    kill: end("SIGKILL"),
  };
  relays.push(started);
  return started;
}

let relay: Relay;
const relays: Relay[] = [];
const rooms: Room[] = [];
before(async () => {
  relay = await startRelay();
});
after(async () => {
  for (const room of rooms) room.leave();
  await Promise.all(relays.map((running) => running.kill()));
});

function openRoom(options: Partial<RoomOptions>): Room {
  const room = new Room({
    relay: relay.url,
    room: "hall",
    name: "Ada",
    color: "#ff8800",
    WebSocket: NodeWebSocket as unknown as NonNullable<RoomOptions["WebSocket"]>,
    ...options,
  });
  rooms.push(room);
  return room;
}

/** The detail of the next event of a type that matches. */
function next<E extends keyof RoomEvents>(
  room: Room,
  event: E,
  matches: (detail: RoomEvents[E]) => boolean = () => true,
): Promise<RoomEvents[E]> {
  return new Promise((resolve) => {
    const remove = room.on(event, (detail) => {
      if (!matches(detail)) return;
      remove();
      resolve(detail);
    });
  });
}
const joined = async (room: Room): Promise<void> => {
  const { state, reason } = await next(
    room,
    "state",
    ({ state }) => state === "joined" || state === "closed",
  );
  assert.equal(state, "joined", reason);
};
const closed = (room: Room) => next(room, "state", ({ state }) => state === "closed");

const bodyAt = (x: number): BodyPose => ({
  head: { position: [x, 1.6, 0], rotation: [0, 0, 0, 1] },
  left: null,
  right: { position: [x, 1, -0.3], rotation: [0, 1, 0, 0] },
});

const poseAt = (x: number): RigidPose => ({ position: [x, 1, 0], rotation: [0, 0, 0, 1] });

test("two participants receive each other's poses, changes of name, and leave", async () => {
  const ada = openRoom({ room: "two" });
  await joined(ada);
  const zoe = openRoom({ room: "two", name: "Zoë", color: "#00ff00" });
  const adaSeesZoe = next(ada, "joined");
  const zoeSeesAda = next(zoe, "joined");
  assert.deepEqual(await zoeSeesAda, { pid: ada.pid, name: "Ada", color: "#ff8800", away: false });
  assert.deepEqual(await adaSeesZoe, { pid: zoe.pid, name: "Zoë", color: "#00ff00", away: false });
  assert.deepEqual(zoe.participants, [{ pid: ada.pid, name: "Ada", color: "#ff8800", away: false }]);

  for (const x of [1, -2.5]) {
    const seen = next(zoe, "poses", ({ records }) => records.some((r) => r.pose.head.position[0] === x));
    ada.sendPose(bodyAt(x));
    const [record] = (await seen).records;
    assert.equal(record?.pid, ada.pid);
    assert.equal(record?.pose.left, null);
    assert.ok(record?.pose.right);
  }

  const renamed = next(zoe, "updated");
  ada.update({ name: "Eve" });
  assert.deepEqual(await renamed, { pid: ada.pid, name: "Eve", color: "#ff8800", away: false });

  const gone = next(zoe, "left");
  const { pid } = ada;
  ada.leave();
  assert.deepEqual(await gone, { pid });
  assert.deepEqual(zoe.participants, []);
});

test("a participant does not receive its own pose", async () => {
  const ada = openRoom({ room: "mirror" });
  await joined(ada);
  const zoe = openRoom({ room: "mirror" });
  await joined(zoe);
  const seen: number[] = [];
  ada.on("poses", ({ records }) => seen.push(...records.map((record) => record.pid)));
  const reached = next(zoe, "poses");
  ada.sendPose(bodyAt(1));
  await reached;
  const answered = next(ada, "poses");
  zoe.sendPose(bodyAt(2));
  await answered;
  assert.deepEqual([...new Set(seen)], [zoe.pid]);
});

test("of many poses at once, the last one arrives, and few of the others", async () => {
  const ada = openRoom({ room: "fast" });
  await joined(ada);
  const zoe = openRoom({ room: "fast" });
  await joined(zoe);
  const errors: string[] = [];
  ada.on("error", ({ code }) => errors.push(code));
  const last = next(zoe, "poses", ({ records }) => records[0]?.pose.head.position[0] === 5);
  // 5,000 at once: only as many as the relay's rate allows may be sent, and the newest must be among them.
  for (let i = 1; i <= 5000; i++) ada.sendPose(bodyAt(i / 1000));
  await last;
  assert.deepEqual(errors, []);
  assert.equal(ada.state, "joined");
});

test("a pose that is not finite is not sent", async () => {
  const ada = openRoom({ room: "nowhere" });
  await joined(ada);
  const zoe = openRoom({ room: "nowhere" });
  await joined(zoe);
  const errors: string[] = [];
  ada.on("error", ({ code }) => errors.push(code));
  ada.sendPose(bodyAt(Number.NaN));
  const seen = next(zoe, "poses", ({ records }) => records[0]?.pose.head.position[0] === 3);
  ada.sendPose(bodyAt(3));
  await seen;
  assert.deepEqual(errors, []);
});

test("a client without poses acknowledges each tick by itself; a pose carries the acknowledgement", async () => {
  const sent: Uint8Array[] = [];
  class RecordedWebSocket extends NodeWebSocket {
    override send(data: string | Uint8Array): void {
      if (typeof data !== "string") sent.push(data);
      super.send(data);
    }
  }
  const WebSocket = RecordedWebSocket as unknown as NonNullable<RoomOptions["WebSocket"]>;
  const [ada, zoe] = [openRoom({ room: "silent" }), openRoom({ room: "silent", name: "Zoë", WebSocket })];
  await Promise.all([joined(ada), joined(zoe)]);
  ada.sendPose(bodyAt(1));
  const { tickMs } = await next(zoe, "poses");
  const newest = sent.at(-1);
  assert.ok(newest);
  assert.equal(newest[0], 4);
  assert.equal(new DataView(newest.buffer).getUint32(4, true), tickMs);
  zoe.sendPose(bodyAt(2));
  assert.equal(sent.at(-1)?.[0], 1);
  assert.equal(new DataView(sent.at(-1)?.buffer as ArrayBuffer).getUint32(4, true), tickMs);
});

test("stats reach the relay's metrics", async () => {
  const ownRelay = await startRelay();
  const ada = openRoom({ relay: ownRelay.url });
  assert.equal(ada.sendStats({ bandwidthBps: 1, cdnBytes: 1 }), false);
  await joined(ada);
  assert.equal(ada.sendStats({ bandwidthBps: 5e6, cdnBytes: 1234.4 }), true);
  // The answer to a later message shows that the relay has processed the earlier one.
  const zoe = openRoom({ relay: ownRelay.url, name: "Zoë" });
  await joined(zoe);
  const echo = next(zoe, "updated");
  ada.update({ name: "Eve" });
  await echo;
  const text = await (await fetch(ownRelay.metrics)).text();
  assert.match(text, /^streamxr_data_transferred_bytes 1234$/m);
  assert.match(text, /^streamxr_client_bandwidth_bps\{client_id="p50"\} 5000000(\.0)?$/m);
  await ownRelay.kill();
});

test("a change of name while connecting is not lost", async () => {
  const ada = openRoom({ room: "hasty" });
  await joined(ada);
  const zoe = openRoom({ room: "hasty", name: "Zoë" });
  const renamed = next(ada, "updated");
  zoe.on("state", ({ state }) => {
    // After `hello` is sent and before its answer.
    if (state === "connecting") setTimeout(() => zoe.update({ name: "Bob" }), 0);
  });
  const hello = await next(ada, "joined");
  if (hello.name !== "Bob") assert.equal((await renamed).name, "Bob");
});

test("after a crash of the relay all participants have left; when it is back, they join again", async () => {
  let ownRelay = await startRelay();
  const ada = openRoom({ relay: ownRelay.url });
  await joined(ada);
  const zoe = openRoom({ relay: ownRelay.url, name: "Zoë" });
  await next(ada, "joined");
  const left = next(ada, "left");
  const waiting = next(ada, "state");
  await ownRelay.kill();
  await left;
  assert.equal((await waiting).state, "waiting");
  assert.deepEqual(ada.participants, []);
  assert.equal(ada.pid, 0);

  ownRelay = await startRelay(ownRelay.port);
  const [again] = await Promise.all([next(ada, "joined"), next(zoe, "joined")]);
  assert.equal(again.name, "Zoë");
  const seen = next(zoe, "poses");
  ada.sendPose(bodyAt(4));
  assert.equal((await seen).records[0]?.pid, ada.pid);
  ada.leave();
  zoe.leave();
  await ownRelay.kill();
});

test("a client leaves a draining relay, and joins the next one", async () => {
  let ownRelay = await startRelay();
  const ada = openRoom({ relay: ownRelay.url });
  await joined(ada);
  const waiting = next(ada, "state", ({ state }) => state === "waiting");
  await ownRelay.stop();
  assert.match((await waiting).reason, /restart/);
  ownRelay = await startRelay(ownRelay.port);
  await joined(ada);
  ada.leave();
  await ownRelay.kill();
});

test("after `leave` nothing happens any more", async () => {
  const ada = openRoom({ room: "gone" });
  const states: string[] = [];
  ada.on("state", ({ state }) => states.push(state));
  ada.leave();
  ada.leave();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(states, ["closed"]);
  ada.sendPose(bodyAt(1));
  assert.equal(ada.sendStats({ bandwidthBps: 1, cdnBytes: 1 }), false);
});

test("a refusal for a reason that stays is final, and has a reason", async () => {
  const strict = await startRelay(0, "--origin", "https://museum.example");
  class OtherOrigin extends NodeWebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol, "https://evil.example");
    }
  }
  const ada = openRoom({
    relay: strict.url,
    WebSocket: OtherOrigin as unknown as NonNullable<RoomOptions["WebSocket"]>,
  });
  const { reason } = await closed(ada);
  assert.match(reason, /origin/);
  await strict.kill();
});

test("a client that cannot read the relay's welcome says so and tries again", async () => {
  const opened: object[] = [];
  class NewerRelay extends NodeWebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol);
      opened.push(this);
    }
    override send(data: string | Uint8Array): void {
      if (typeof data === "string" && data.includes("hello")) {
        this.onmessage?.({ data: JSON.stringify({ type: "welcome", seat: 1 }) });
      } else super.send(data);
    }
  }
  const ada = openRoom({ WebSocket: NewerRelay as unknown as NonNullable<RoomOptions["WebSocket"]> });
  const { reason } = await next(ada, "state", ({ state }) => state === "waiting");
  assert.match(reason, /^the relay is not understood: `pid`/);
  await next(ada, "state", ({ state }) => state === "waiting");
  assert.equal(opened.length, 2);
  ada.leave();
});

test("a listener that calls `leave` ends the room at once", async () => {
  const ada = openRoom({ room: "short" });
  await joined(ada);
  const zoe = openRoom({ room: "short" });
  const states: string[] = [];
  const seen: number[] = [];
  zoe.on("joined", ({ pid }) => seen.push(pid));
  zoe.on("state", ({ state }) => {
    states.push(state);
    if (state === "joined") zoe.leave();
  });
  await closed(zoe);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(states, ["connecting", "joined", "closed"]);
  assert.deepEqual(seen, []);
});

test("a page is asked for another token when one is refused, and a ticket replaces an expired one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "streamxr-"));
  const secret = "s3cret-".repeat(6);
  writeFileSync(join(folder, "secret"), secret);
  const token = (seconds: number) => {
    const exp = Math.floor(Date.now() / 1000) + seconds;
    const payload = Buffer.from(JSON.stringify({ v: 1, room: "*", sub: "ada", role: "owner", exp })).toString(
      "base64url",
    );
    return `${payload}.${createHmac("sha256", secret).update(payload).digest("base64url")}`;
  };
  const guarded = await startRelay(0, "--token-secret-file", join(folder, "secret"));
  const validSeconds = 5;
  let asked = 0;
  const ada = openRoom({
    relay: guarded.url,
    token: () => Promise.resolve(token(asked++ === 1 ? validSeconds : -60)),
  });
  await joined(ada);
  assert.equal(asked, 2);
  assert.equal(ada.role, "owner");

  const refused = openRoom({ relay: guarded.url, token: () => Promise.resolve(token(-60)) });
  assert.match((await closed(refused)).reason, /expired/);

  await new Promise((resolve) => setTimeout(resolve, 1000 * validSeconds + 500));
  const again = joined(ada);
  await guarded.kill();
  await startRelay(guarded.port, "--token-secret-file", join(folder, "secret"));
  await again;
  assert.equal(asked, 2, "the ticket is enough");
  assert.equal(ada.role, "owner");
  rmSync(folder, { recursive: true });
});

test("without a token from the page, a room waits and asks again", async () => {
  let asked = 0;
  const ada = openRoom({
    token: () => (asked++ === 0 ? Promise.reject(new Error("signed out")) : Promise.resolve("e30.c2ln")),
  });
  assert.match((await next(ada, "state", ({ state }) => state === "waiting")).reason, /signed out/);
  await joined(ada); // this relay requires no token
});

test("the wait before an attempt grows up to a limit, and is at least half of its maximum", () => {
  assert.equal(backOff(0, 0), 250);
  assert.equal(backOff(1, 0), 500);
  for (let attempt = 0; attempt < 2000; attempt++) {
    assert.ok(backOff(attempt, 0) >= 250 && backOff(attempt, 0.999999) <= 15_000);
    assert.ok(backOff(attempt, 0.999999) > backOff(attempt, 0));
  }
});

test("a room's address keeps the relay's path, and replaces http by ws", () => {
  assert.equal(roomUrl("ws://host:8787", "hall"), "ws://host:8787/ws/hall");
  assert.equal(roomUrl("https://host/relay/?x=1#y", "a.b"), "wss://host/relay/ws/a.b");
  assert.throws(() => roomUrl("ws://host", "a/b"), TypeError);
  assert.throws(() => roomUrl("ftp://host", "a"), TypeError);
  assert.throws(() => roomUrl("nonsense", "a"), TypeError);
});

test("one participant grabs, moves and releases an object, and another one sees it", async () => {
  const ada = openRoom({ room: "shared" });
  await joined(ada);
  const zoe = openRoom({ room: "shared", name: "Zoë" });
  await joined(zoe);
  assert.equal(ada.role, "editor");

  const spawned = next(zoe, "object");
  ada.objects.spawn("chair", poseAt(1), 0.5);
  const { id, asset, scale, owner } = await spawned;
  assert.deepEqual([asset, scale, owner], ["chair", 0.5, null]);

  const grabbed = next(ada, "object", (object) => object.owner === ada.pid);
  ada.objects.grab(id);
  await grabbed;
  assert.ok(ada.objects.holds(id));
  const denied = next(zoe, "denied");
  zoe.objects.grab(id);
  assert.equal((await denied).reason, "held");
  zoe.objects.move(id, poseAt(9)); // no effect: Zoë does not hold it

  const moved = next(zoe, "moved", ({ pose }) => pose.position[0] === 4);
  ada.objects.move(id, poseAt(4));
  assert.equal((await moved).id, id);

  const released = next(zoe, "object", (object) => object.owner === null);
  ada.objects.release(id, poseAt(5));
  assert.deepEqual((await released).pose.position, [5, 1, 0]);
  assert.deepEqual(zoe.objects.get(id)?.pose.position, [5, 1, 0]);

  const late = openRoom({ room: "shared", name: "Late" });
  await joined(late);
  assert.deepEqual(late.objects.all, zoe.objects.all);

  const deleted = next(late, "deleted");
  ada.objects.delete(id);
  assert.deepEqual(await deleted, { id });
  assert.deepEqual(late.objects.all, []);
});

test("a holder who stands still keeps an object longer than its lease", async () => {
  const ada = openRoom({ room: "still" });
  await joined(ada);
  const spawned = next(ada, "object");
  ada.objects.spawn("chair", poseAt(1));
  const { id } = await spawned;
  const grabbed = next(ada, "object", (object) => object.owner === ada.pid);
  ada.objects.grab(id);
  await grabbed;
  const released = next(ada, "object", (object) => object.owner === null);
  const first = await Promise.race([
    released,
    new Promise((resolve) => setTimeout(resolve, 6500, "still held")),
  ]);
  assert.equal(first, "still held");
  ada.objects.release(id);
  await released;
});

test("a returning client has the same seat, and receives the events that it missed", async () => {
  const sockets: NodeWebSocket[] = [];
  class WatchedWebSocket extends NodeWebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol);
      sockets.push(this);
    }
  }
  const ada = openRoom({ room: "again", WebSocket: WatchedWebSocket as never });
  await joined(ada);
  const zoe = openRoom({ room: "again", name: "Zoë" });
  await joined(zoe);
  const { pid } = ada;
  const away = next(zoe, "updated", (profile) => profile.away);
  const back = next(ada, "state", ({ state }) => state === "joined");
  const missed = next(ada, "object");
  sockets[0]?.cut();
  assert.equal((await away).pid, pid);
  const returned = next(zoe, "updated", (profile) => !profile.away);
  zoe.objects.spawn("chair", poseAt(1));
  await back;
  assert.equal(ada.pid, pid);
  assert.equal((await returned).pid, pid);
  assert.equal((await missed).asset, "chair");
});

test("a signal reaches the participant that it is for", async () => {
  const ada = openRoom({ room: "call" });
  await joined(ada);
  const zoe = openRoom({ room: "call", name: "Zoë" });
  await joined(zoe);
  const signal = next(zoe, "signal");
  assert.ok(ada.signal(zoe.pid, '{"sdp":"v=0"}'));
  assert.deepEqual(await signal, { from: ada.pid, data: '{"sdp":"v=0"}' });
});
