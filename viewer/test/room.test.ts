/** The client against a real relay in a process of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
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
  /** Drains, as on SIGTERM. */
  stop(): Promise<void>;
  /** Dies without a word. */
  kill(): Promise<void>;
}

async function startRelay(port = 0, ...options: string[]): Promise<Relay> {
  const child: ChildProcess = spawn(
    PYTHON,
    ["-m", "streamxr.relay.cli", "serve", "--port", String(port), "--drain-seconds", "0.1", ...options],
    { cwd: REPOSITORY, stdio: ["ignore", "ignore", "pipe"] },
  );
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const said: string[] = [];
  assert.ok(child.stderr);
  const lines = createInterface(child.stderr);
  const bound = await new Promise<number>((resolve, reject) => {
    lines.on("line", (line) => {
      said.push(line);
      const match = /:(\d+)\/ws\//.exec(line);
      if (match) resolve(Number(match[1]));
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`relay exited with ${code}: ${said.join("\n")}`)));
  });
  const end = (signal: NodeJS.Signals) => () => {
    child.kill(signal);
    return exited;
  };
  const started = { url: `ws://127.0.0.1:${bound}`, port: bound, stop: end("SIGTERM"), kill: end("SIGKILL") };
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

function enter(options: Partial<RoomOptions>): Room {
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

/** The next event of a kind that `fits`. */
function next<E extends keyof RoomEvents>(
  room: Room,
  event: E,
  fits: (detail: RoomEvents[E]) => boolean = () => true,
): Promise<RoomEvents[E]> {
  return new Promise((resolve) => {
    const off = room.on(event, (detail) => {
      if (!fits(detail)) return;
      off();
      resolve(detail);
    });
  });
}
const joined = (room: Room) => next(room, "state", ({ state }) => state === "joined");
const closed = (room: Room) => next(room, "state", ({ state }) => state === "closed");

const at = (x: number): BodyPose => ({
  head: { position: [x, 1.6, 0], rotation: [0, 0, 0, 1] },
  left: null,
  right: { position: [x, 1, -0.3], rotation: [0, 1, 0, 0] },
});

const rigid = (x: number): RigidPose => ({ position: [x, 1, 0], rotation: [0, 0, 0, 1] });

test("two people see each other's avatar move, rename and leave", async () => {
  const ada = enter({ room: "two" });
  await joined(ada);
  const zoe = enter({ room: "two", name: "Zoë", color: "#00ff00" });
  const adaSeesZoe = next(ada, "joined");
  const zoeSeesAda = next(zoe, "joined");
  assert.deepEqual(await zoeSeesAda, { pid: ada.pid, name: "Ada", color: "#ff8800", away: false });
  assert.deepEqual(await adaSeesZoe, { pid: zoe.pid, name: "Zoë", color: "#00ff00", away: false });
  assert.deepEqual(zoe.participants, [{ pid: ada.pid, name: "Ada", color: "#ff8800", away: false }]);

  for (const x of [1, -2.5]) {
    const seen = next(zoe, "poses", ({ records }) => records.some((r) => r.pose.head.position[0] === x));
    ada.sendPose(at(x));
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

test("one's own pose does not come back", async () => {
  const ada = enter({ room: "mirror" });
  await joined(ada);
  const zoe = enter({ room: "mirror" });
  await joined(zoe);
  const seen: number[] = [];
  ada.on("poses", ({ records }) => seen.push(...records.map((record) => record.pid)));
  const reached = next(zoe, "poses");
  ada.sendPose(at(1));
  await reached;
  const answered = next(ada, "poses");
  zoe.sendPose(at(2));
  await answered;
  assert.deepEqual([...new Set(seen)], [zoe.pid]);
});

test("of many poses at once the last arrives, and few of the others", async () => {
  const ada = enter({ room: "fast" });
  await joined(ada);
  const zoe = enter({ room: "fast" });
  await joined(zoe);
  const errors: string[] = [];
  ada.on("error", ({ code }) => errors.push(code));
  const last = next(zoe, "poses", ({ records }) => records[0]?.pose.head.position[0] === 5);
  // 5,000 in one go: all but the rate the relay allows must be held back, and the newest must not be.
  for (let i = 1; i <= 5000; i++) ada.sendPose(at(i / 1000));
  await last;
  assert.deepEqual(errors, []);
  assert.equal(ada.state, "joined");
});

test("a pose that is nowhere is not sent", async () => {
  const ada = enter({ room: "nowhere" });
  await joined(ada);
  const zoe = enter({ room: "nowhere" });
  await joined(zoe);
  const errors: string[] = [];
  ada.on("error", ({ code }) => errors.push(code));
  ada.sendPose(at(Number.NaN));
  const seen = next(zoe, "poses", ({ records }) => records[0]?.pose.head.position[0] === 3);
  ada.sendPose(at(3));
  await seen;
  assert.deepEqual(errors, []);
});

test("who sends no pose answers every tick by itself, and who sends one answers in it", async () => {
  const said: Uint8Array[] = [];
  class Overheard extends NodeWebSocket {
    override send(data: string | Uint8Array): void {
      if (typeof data !== "string") said.push(data);
      super.send(data);
    }
  }
  const WebSocket = Overheard as unknown as NonNullable<RoomOptions["WebSocket"]>;
  const [ada, zoe] = [enter({ room: "silent" }), enter({ room: "silent", name: "Zoë", WebSocket })];
  await Promise.all([joined(ada), joined(zoe)]);
  ada.sendPose(at(1));
  const { tickMs } = await next(zoe, "poses");
  const newest = said.at(-1);
  assert.ok(newest);
  assert.equal(newest[0], 4);
  assert.equal(new DataView(newest.buffer).getUint32(4, true), tickMs);
  zoe.sendPose(at(2));
  assert.equal(said.at(-1)?.[0], 1);
  assert.equal(new DataView(said.at(-1)?.buffer as ArrayBuffer).getUint32(4, true), tickMs);
});

test("stats reach the relay's metrics", async () => {
  const own = await startRelay();
  const ada = enter({ relay: own.url });
  assert.equal(ada.sendStats({ bandwidthBps: 1, cdnBytes: 1 }), false);
  await joined(ada);
  assert.equal(ada.sendStats({ bandwidthBps: 5e6, cdnBytes: 1234.4 }), true);
  // The echo of a later message shows that the earlier one was taken.
  const zoe = enter({ relay: own.url, name: "Zoë" });
  await joined(zoe);
  const echo = next(zoe, "updated");
  ada.update({ name: "Eve" });
  await echo;
  const text = await (await fetch(`http://127.0.0.1:${own.port}/metrics`)).text();
  assert.match(text, /^streamxr_data_transferred_bytes 1234\.0$/m);
  assert.match(text, /^streamxr_client_bandwidth_bps\{client_id="p50"\} 5e\+06$/m);
  await own.kill();
});

test("a change of name while connecting is not lost", async () => {
  const ada = enter({ room: "hasty" });
  await joined(ada);
  const zoe = enter({ room: "hasty", name: "Zoë" });
  const renamed = next(ada, "updated");
  zoe.on("state", ({ state }) => {
    // After hello is on its way and before it is answered.
    if (state === "connecting") setTimeout(() => zoe.update({ name: "Bob" }), 0);
  });
  const hello = await next(ada, "joined");
  if (hello.name !== "Bob") assert.equal((await renamed).name, "Bob");
});

test("when the relay dies everyone is gone, and when it is back they join again", async () => {
  let own = await startRelay();
  const ada = enter({ relay: own.url });
  await joined(ada);
  const zoe = enter({ relay: own.url, name: "Zoë" });
  await next(ada, "joined");
  const left = next(ada, "left");
  const waiting = next(ada, "state");
  await own.kill();
  await left;
  assert.equal((await waiting).state, "waiting");
  assert.deepEqual(ada.participants, []);
  assert.equal(ada.pid, 0);

  own = await startRelay(own.port);
  const [again] = await Promise.all([next(ada, "joined"), next(zoe, "joined")]);
  assert.equal(again.name, "Zoë");
  const seen = next(zoe, "poses");
  ada.sendPose(at(4));
  assert.equal((await seen).records[0]?.pid, ada.pid);
  ada.leave();
  zoe.leave();
  await own.kill();
});

test("a draining relay is left and the room comes back to the next one", async () => {
  let own = await startRelay();
  const ada = enter({ relay: own.url });
  await joined(ada);
  const waiting = next(ada, "state", ({ state }) => state === "waiting");
  await own.stop();
  assert.match((await waiting).reason, /restart/);
  own = await startRelay(own.port);
  await joined(ada);
  ada.leave();
  await own.kill();
});

test("after leaving nothing happens any more", async () => {
  const ada = enter({ room: "gone" });
  const states: string[] = [];
  ada.on("state", ({ state }) => states.push(state));
  ada.leave();
  ada.leave();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(states, ["closed"]);
  ada.sendPose(at(1));
  assert.equal(ada.sendStats({ bandwidthBps: 1, cdnBytes: 1 }), false);
});

test("a refusal that would not change is final and says why", async () => {
  const strict = await startRelay(0, "--origin", "https://museum.example");
  class FromElsewhere extends NodeWebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol, "https://evil.example");
    }
  }
  const ada = enter({
    relay: strict.url,
    WebSocket: FromElsewhere as unknown as NonNullable<RoomOptions["WebSocket"]>,
  });
  const { reason } = await closed(ada);
  assert.match(reason, /origin/);
  await strict.kill();
});

test("a listener that leaves ends the room there and then", async () => {
  const ada = enter({ room: "short" });
  await joined(ada);
  const zoe = enter({ room: "short" });
  const states: string[] = [];
  const met: number[] = [];
  zoe.on("joined", ({ pid }) => met.push(pid));
  zoe.on("state", ({ state }) => {
    states.push(state);
    if (state === "joined") zoe.leave();
  });
  await closed(zoe);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(states, ["connecting", "joined", "closed"]);
  assert.deepEqual(met, []);
});

test("the wait grows, is capped, and never falls below half", () => {
  assert.equal(backOff(0, 0), 250);
  assert.equal(backOff(1, 0), 500);
  for (let attempt = 0; attempt < 2000; attempt++) {
    assert.ok(backOff(attempt, 0) >= 250 && backOff(attempt, 0.999999) <= 15_000);
    assert.ok(backOff(attempt, 0.999999) > backOff(attempt, 0));
  }
});

test("a room's address keeps the relay's path and takes http for ws", () => {
  assert.equal(roomUrl("ws://host:8787", "hall"), "ws://host:8787/ws/hall");
  assert.equal(roomUrl("https://host/relay/?x=1#y", "a.b"), "wss://host/relay/ws/a.b");
  assert.throws(() => roomUrl("ws://host", "a/b"), TypeError);
  assert.throws(() => roomUrl("ftp://host", "a"), TypeError);
  assert.throws(() => roomUrl("nonsense", "a"), TypeError);
});

test("one grabs, moves and puts down what another sees move", async () => {
  const ada = enter({ room: "shared" });
  await joined(ada);
  const zoe = enter({ room: "shared", name: "Zoë" });
  await joined(zoe);
  assert.equal(ada.role, "editor");

  const spawned = next(zoe, "object");
  ada.objects.spawn("chair", rigid(1), 0.5);
  const { id, asset, scale, owner } = await spawned;
  assert.deepEqual([asset, scale, owner], ["chair", 0.5, null]);

  const grabbed = next(ada, "object", (object) => object.owner === ada.pid);
  ada.objects.grab(id);
  await grabbed;
  assert.ok(ada.objects.holds(id));
  const denied = next(zoe, "denied");
  zoe.objects.grab(id);
  assert.equal((await denied).reason, "held");
  zoe.objects.move(id, rigid(9)); // is not hers to move

  const moved = next(zoe, "moved", ({ pose }) => pose.position[0] === 4);
  ada.objects.move(id, rigid(4));
  assert.equal((await moved).id, id);

  const released = next(zoe, "object", (object) => object.owner === null);
  ada.objects.release(id, rigid(5));
  assert.deepEqual((await released).pose.position, [5, 1, 0]);
  assert.deepEqual(zoe.objects.get(id)?.pose.position, [5, 1, 0]);

  const late = enter({ room: "shared", name: "Late" });
  await joined(late);
  assert.deepEqual(late.objects.all, zoe.objects.all);

  const deleted = next(late, "deleted");
  ada.objects.delete(id);
  assert.deepEqual(await deleted, { id });
  assert.deepEqual(late.objects.all, []);
});

test("a holder who stands still keeps the object for longer than its lease", async () => {
  const ada = enter({ room: "still" });
  await joined(ada);
  const spawned = next(ada, "object");
  ada.objects.spawn("chair", rigid(1));
  const { id } = await spawned;
  const grabbed = next(ada, "object", (object) => object.owner === ada.pid);
  ada.objects.grab(id);
  await grabbed;
  const lost = next(ada, "object", (object) => object.owner === null);
  const first = await Promise.race([lost, new Promise((resolve) => setTimeout(resolve, 6500, "still held"))]);
  assert.equal(first, "still held");
  ada.objects.release(id);
  await lost;
});

test("who comes back has the same seat, and hears what was missed", async () => {
  const sockets: NodeWebSocket[] = [];
  class Watched extends NodeWebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol);
      sockets.push(this);
    }
  }
  const ada = enter({ room: "again", WebSocket: Watched as never });
  await joined(ada);
  const zoe = enter({ room: "again", name: "Zoë" });
  await joined(zoe);
  const { pid } = ada;
  const away = next(zoe, "updated", (profile) => profile.away);
  const back = next(ada, "state", ({ state }) => state === "joined");
  const missed = next(ada, "object");
  sockets[0]?.cut();
  assert.equal((await away).pid, pid);
  const here = next(zoe, "updated", (profile) => !profile.away);
  zoe.objects.spawn("chair", rigid(1));
  await back;
  assert.equal(ada.pid, pid);
  assert.equal((await here).pid, pid);
  assert.equal((await missed).asset, "chair");
});

test("a signal reaches the one it is for", async () => {
  const ada = enter({ room: "call" });
  await joined(ada);
  const zoe = enter({ room: "call", name: "Zoë" });
  await joined(zoe);
  const heard = next(zoe, "signal");
  assert.ok(ada.signal(zoe.pid, '{"sdp":"v=0"}'));
  assert.deepEqual(await heard, { from: ada.pid, data: '{"sdp":"v=0"}' });
});
