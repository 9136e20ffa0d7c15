/** The binary and JSON messages of the relay protocol, against the vectors that the relay runs too. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { ClientMessage } from "../src/room/messages.ts";
import {
  type BodyPose,
  decodeMoves,
  decodeTick,
  encodeAck,
  encodeMoves,
  encodePose,
  holdsMoves,
  ProtocolError,
  packQuaternion,
  type RigidPose,
  unpackQuaternion,
} from "../src/room/messages-binary.ts";
import { cleanName, encodeControl, parseControl } from "../src/room/messages-json.ts";
import { isRoomName } from "../src/room/names.ts";

const VECTORS = join(import.meta.dirname, "../../tests/vectors/v1/protocol");
const poses: PoseVectors = JSON.parse(readFileSync(join(VECTORS, "poses.json"), "utf8"));
const moves: MoveVectors = JSON.parse(readFileSync(join(VECTORS, "moves.json"), "utf8"));
const control: ControlVectors = JSON.parse(readFileSync(join(VECTORS, "control.json"), "utf8"));

type Quaternion = [number, number, number, number];
interface PointVector {
  p: [number, number, number];
  q: Quaternion;
}
interface BodyVector {
  head: PointVector;
  left: PointVector | null;
  right: PointVector | null;
}
interface PoseVectors {
  quaternions: { q: Quaternion; packed: string; unpacked: Quaternion }[];
  unpack_only: { packed: string; unpacked: Quaternion }[];
  up: (BodyVector & { name: string; hex: string; seq: number; ack_tick: number })[];
  down: {
    name: string;
    hex: string;
    tick_ms: number;
    records: (BodyVector & { pid: number; age_ms: number })[];
  }[];
  down_invalid: { name: string; hex: string }[];
  ack: { name: string; hex: string; ack_tick: number }[];
}
interface MovesVector {
  name: string;
  hex: string;
  tick_ms: number;
  records: (PointVector & { id: number; epoch: number; age_ms: number })[];
}
interface MoveVectors {
  valid: MovesVector[];
  down_only: MovesVector[];
  invalid: { name: string; hex: string }[];
}
interface ControlVectors {
  client: { valid: { name: string; text: string; message: Record<string, unknown> | null }[] };
  server: {
    valid: { name: string; text: string; message: Record<string, unknown> | null }[];
    invalid: { name: string; text: string }[];
  };
}

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (frame: Uint8Array) => Buffer.from(frame).toString("hex");
const rigid = (point: PointVector): RigidPose => ({ position: point.p, rotation: point.q });
const body = (vector: BodyVector): BodyPose => ({
  head: rigid(vector.head),
  left: vector.left && rigid(vector.left),
  right: vector.right && rigid(vector.right),
});

/** The angle of the rotation between two quaternions, degrees. */
function angleBetween(a: readonly number[], b: readonly number[]): number {
  const length = (q: readonly number[]) => Math.hypot(...q);
  const chord = (sign: number) =>
    Math.hypot(...a.map((c, i) => c / length(a) - (sign * (b[i] ?? 0)) / length(b)));
  return (4 * Math.asin(Math.min(1, Math.min(chord(1), chord(-1)) / 2)) * 180) / Math.PI;
}

function assertClose(actual: BodyPose, expected: BodyPose): void {
  for (const part of ["head", "left", "right"] as const) {
    const [a, b] = [actual[part], expected[part]];
    assert.equal(a === null, b === null, part);
    if (a && b) assertPointClose(a, b, part);
  }
}

function assertPointClose(a: RigidPose, b: RigidPose, name: string): void {
  a.position.forEach((x, i) => {
    assert.ok(Math.abs(x - (b.position[i] ?? Number.NaN)) < 0.000501, `${name} ${a.position}`);
  });
  assert.ok(angleBetween(a.rotation, b.rotation) < 0.5, `${name} ${a.rotation}`);
}

test("a quaternion packs to the bits of the vectors", () => {
  for (const vector of poses.quaternions) {
    assert.equal(packQuaternion(vector.q).toString(16).padStart(8, "0"), vector.packed, `${vector.q}`);
  }
});

test("packed bits unpack to the quaternion of the vectors", () => {
  for (const vector of [...poses.quaternions, ...poses.unpack_only]) {
    unpackQuaternion(Number.parseInt(vector.packed, 16)).forEach((c, i) => {
      assert.ok(Math.abs(c - (vector.unpacked[i] ?? Number.NaN)) < 1e-6, vector.packed);
    });
  }
});

test("a rotation survives packing within 0.28 degrees", () => {
  const component = fc.double({ min: -1, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.tuple(component, component, component, component), (q) => {
      fc.pre(Math.hypot(...q) > 1e-3);
      assert.ok(angleBetween(unpackQuaternion(packQuaternion(q)), q) < 0.28);
    }),
  );
});

test("a pose encodes to the bytes of the vectors", () => {
  for (const vector of poses.up) {
    assert.equal(hex(encodePose(body(vector), vector.seq, vector.ack_tick)), vector.hex, vector.name);
  }
});

test("an ack encodes to the bytes of the vectors", () => {
  for (const vector of poses.ack) assert.equal(hex(encodeAck(vector.ack_tick)), vector.hex, vector.name);
});

test("a pose that is not finite or out of range is refused", () => {
  const rotation = [0, 0, 0, 1] as const;
  for (const x of [Number.NaN, Number.POSITIVE_INFINITY, -10_000.1]) {
    assert.throws(
      () => encodePose({ head: { position: [0, x, 0], rotation }, left: null, right: null }, 0, 0),
      ProtocolError,
    );
  }
});

test("a tick decodes to the values of the vectors", () => {
  for (const vector of poses.down) {
    const tick = decodeTick(bytes(vector.hex));
    assert.equal(tick.tickMs, vector.tick_ms);
    assert.deepEqual(
      tick.records.map(({ pid, ageMs }) => [pid, ageMs]),
      vector.records.map(({ pid, age_ms }) => [pid, age_ms]),
    );
    tick.records.forEach((record, i) => {
      const expected = vector.records[i];
      assert.ok(expected);
      assertClose(record.pose, body(expected));
    });
  }
});

test("a tick may lie anywhere in a larger buffer", () => {
  const vector = poses.down[1];
  assert.ok(vector);
  const padded = bytes(`aabbcc${vector.hex}dd`);
  const tick = decodeTick(padded.subarray(3, padded.length - 1));
  assert.equal(tick.records.length, vector.records.length);
});

test("a malformed tick is refused", () => {
  for (const vector of poses.down_invalid) {
    assert.throws(() => decodeTick(bytes(vector.hex)), ProtocolError, vector.name);
  }
});

test("any bytes decode to finite numbers or are a protocol error", () => {
  const frame = fc.tuple(
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 7 }),
    fc.uint8Array({ maxLength: 160 }),
  );
  fc.assert(
    fc.property(frame, ([count, flags, rest]) => {
      const bytes = new Uint8Array([2, 1, count, 0, 0, 0, 0, 0, 1, 0, flags, 0, ...rest]);
      try {
        for (const { pose } of decodeTick(bytes).records) {
          for (const point of [pose.head, pose.left, pose.right]) {
            if (point) assert.ok([...point.position, ...point.rotation].every(Number.isFinite));
          }
        }
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
  );
});

test("object moves encode to the bytes of the vectors, except for their age", () => {
  for (const vector of moves.valid) {
    const records = vector.records.map((record) => ({ ...record, pose: rigid(record) }));
    const frame = encodeMoves(records, vector.tick_ms);
    assert.ok(holdsMoves(frame));
    const expected = bytes(vector.hex);
    let at = 8;
    for (const record of vector.records) {
      assert.equal(expected[at + 9], record.age_ms);
      expected[at + 9] = 0;
      at += 10 + (expected[at + 8] ? 16 : 10);
    }
    assert.equal(hex(frame), hex(expected), vector.name);
  }
});

test("object moves decode to the values of the vectors", () => {
  for (const vector of [...moves.valid, ...moves.down_only]) {
    const { tickMs, records } = decodeMoves(bytes(vector.hex));
    assert.equal(tickMs, vector.tick_ms);
    assert.deepEqual(
      records.map(({ id, epoch, ageMs }) => [id, epoch, ageMs]),
      vector.records.map(({ id, epoch, age_ms }) => [id, epoch, age_ms]),
    );
    records.forEach((record, i) => {
      const expected = vector.records[i];
      assert.ok(expected);
      assertPointClose(record.pose, rigid(expected), vector.name);
    });
  }
});

test("malformed object moves are refused", () => {
  for (const vector of moves.invalid) {
    assert.throws(() => decodeMoves(bytes(vector.hex)), ProtocolError, vector.name);
  }
});

test("a valid message of the relay parses to the values of the vectors", () => {
  for (const { name, text, message } of control.server.valid) {
    const parsed = parseControl(text);
    assert.deepEqual(parsed, message && toClientNames(message), name);
  }
});

test("an invalid message of the relay is refused", () => {
  for (const { name, text } of control.server.invalid) {
    assert.throws(() => parseControl(text), ProtocolError, name);
  }
});

test("any text parses to a message or is a protocol error", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        parseControl(text);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
  );
});

test("the client's messages encode to the text of the vectors", () => {
  const pose: RigidPose = { position: [1, 1.5, -2], rotation: [0, 0, 0, 1] };
  const messages: Record<string, ClientMessage> = {
    hello: { type: "hello", name: "Ada", color: "#ff8800", token: undefined },
    "hello of a returning client": {
      type: "hello",
      name: "Ada",
      color: "#ff8800",
      token: "eyJ2IjoxfQ.c2ln",
      resume: "Ab_-9",
      incarnation: "f00d",
      rev: 41,
    },
    "update of the colour": { type: "update", color: "#00ff00" },
    stats: { type: "stats", bandwidthBps: 5000000.5, cdnBytes: 123456 },
    visit: { type: "visit", device: "headset", firstMs: 812, detailMs: 5400, stalls: 1, stalledMs: 1300 },
    "visit without times": { type: "visit", device: "phone", stalls: 0, stalledMs: 0 },
    spawn: { type: "spawn", ref: 7, asset: "chair.v2", pose, scale: 0.5 },
    grab: { type: "grab", id: 3 },
    release: { type: "release", id: 3, epoch: 2, pose: { ...pose, rotation: [0, 0, 0, 2] } },
    delete: { type: "delete", id: 3 },
    signal: { type: "signal", to: 2, data: '{"sdp":"v=0\\r\\n"}' },
  };
  for (const [name, message] of Object.entries(messages)) {
    const vector = control.client.valid.find((vector) => vector.name === name);
    assert.deepEqual(JSON.parse(encodeControl(message)), JSON.parse(vector?.text ?? ""), name);
  }
});

test("a name is changed into one that the relay accepts", () => {
  assert.equal(cleanName("  Ada\n\u202eL. \ud800"), "AdaL.");
  assert.equal(cleanName("\u0000"), "guest");
  assert.equal(cleanName("\u200b\u3164 \ufe0f"), "guest");
  assert.equal(cleanName("\u{e0041}❤\ufe0f"), "❤\ufe0f");
  assert.equal([...cleanName("🦊".repeat(100))].length, 64);
});

test("room names are 1 to 64 characters of a small alphabet", () => {
  for (const name of ["a", "A.b_c-9", ".".repeat(64)]) assert.ok(isRoomName(name), name);
  for (const name of ["", "a/b", "a b", "ä", "a\n", "a".repeat(65)]) assert.ok(!isRoomName(name), name);
});

/** Renames the snake_case fields of a message to the client's names. */
function toClientNames(value: unknown): unknown {
  const names: Record<string, string> = {
    tick_hz: "tickHz",
    server_ms: "serverMs",
    poses_per_s: "posesPerSecond",
    control_per_s: "controlPerSecond",
    control_bytes: "controlBytes",
    retry_ms: "retryMs",
    lease_ms: "leaseMs",
    p: "position",
    q: "rotation",
  };
  if (Array.isArray(value)) return value.map(toClientNames);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [names[key] ?? key, toClientNames(item)]),
  );
}
