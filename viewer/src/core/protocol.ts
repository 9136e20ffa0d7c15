/**
 * The relay protocol streamxr.v1 as a client speaks it: binary poses and JSON control messages.
 *
 * docs/protocol.md is the specification; tests/vectors/protocol holds examples which this module and the
 * relay both run. Everything read here comes from the network and is checked before it is believed.
 */

export const SUBPROTOCOL = "streamxr.v1";
export const VERSION = 1;

/** Close codes after which connecting again would only be refused again. */
export const FINAL_CLOSE_CODES: ReadonlySet<number> = new Set([
  1008, // we broke the protocol
  1009, // we sent too much at once
  4401, // token
  4403, // origin or role
  4404, // no such room
  4409, // replaced by another connection of ours
  4426, // no common version
]);

const POSE_UP = 1;
const TICK_DOWN = 2;
const LEFT_VALID = 1;
const RIGHT_VALID = 2;
const FLOAT32 = 4;
const KNOWN_FLAGS = LEFT_VALID | RIGHT_VALID | FLOAT32;

const HEADER_BYTES = 8;
const RECORD_HEADER_BYTES = 4;
const POINT_MM_BYTES = 10;
const POINT_F32_BYTES = 16;
/** Metres. Beyond this a float32 step exceeds 1 mm. */
const MAX_COORDINATE = 10_000;
/** Metres. What fits 16 bits of millimetres. */
const MAX_MM_COORDINATE = 32.767;

const ROOM_NAME = /^[A-Za-z0-9._-]{1,64}$/;
const COLOR = /^#[0-9A-Fa-f]{6}$/;
// Printable text: no control characters, line separators, bidirectional overrides or lone surrogates.
const NAME = /^[^\p{Cc}\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,64}$/u;

/** A message is not what the protocol says. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** A rigid pose: metres and a unit quaternion (x, y, z, w), right-handed, y up, looking down −z as in glTF. */
export interface RigidPose {
  readonly position: readonly [number, number, number];
  readonly rotation: readonly [number, number, number, number];
}

/** Head and hands in the room's space; a hand that is not tracked is null. */
export interface BodyPose {
  readonly head: RigidPose;
  readonly left: RigidPose | null;
  readonly right: RigidPose | null;
}

/** One participant's pose within a tick; it was `ageMs` old (255: or more) at the tick's `tickMs`. */
export interface PoseRecord {
  readonly pid: number;
  readonly ageMs: number;
  readonly pose: BodyPose;
}

/** One tick of a room. `tickMs`: the relay's clock, milliseconds modulo 2³². */
export interface Tick {
  readonly tickMs: number;
  readonly records: readonly PoseRecord[];
}

export interface Profile {
  readonly pid: number;
  readonly name: string;
  /** `#rrggbb`. */
  readonly color: string;
}

export interface Limits {
  readonly participants: number;
  readonly posesPerSecond: number;
  readonly controlPerSecond: number;
  readonly controlBytes: number;
}

export interface Hello {
  readonly type: "hello";
  readonly name: string;
  readonly color: string;
}
export interface Update {
  readonly type: "update";
  readonly name?: string;
  readonly color?: string;
}
export interface Stats {
  readonly type: "stats";
  /** Estimate of the download bandwidth, bits per second. */
  readonly bandwidthBps: number;
  /** Asset bytes downloaded since the last stats. */
  readonly cdnBytes: number;
}
export type ClientMessage = Hello | Update | Stats;

export interface Welcome {
  readonly type: "welcome";
  readonly pid: number;
  readonly tickHz: number;
  readonly serverMs: number;
  readonly limits: Limits;
  /** Everyone else who is present. */
  readonly participants: readonly Profile[];
}
export interface Joined extends Profile {
  readonly type: "joined";
}
export interface Left {
  readonly type: "left";
  readonly pid: number;
}
export interface Updated extends Profile {
  readonly type: "updated";
}
export interface ErrorMessage {
  readonly type: "error";
  readonly code: string;
  readonly message: string;
}
export interface Drain {
  readonly type: "drain";
  readonly retryMs: number;
}
export type ServerMessage = Welcome | Joined | Left | Updated | ErrorMessage | Drain;

export function isRoomName(name: string): boolean {
  return ROOM_NAME.test(name);
}

/** `#rrggbb`, as a profile's colour must be. */
export function isColor(color: string): boolean {
  return COLOR.test(color);
}

/** A name as the relay accepts it: unprintable characters left out, at most 64 code points, never empty. */
export function cleanName(name: string): string {
  const printable = [...name].filter((character) => NAME.test(character));
  return printable.slice(0, 64).join("").trim() || "guest";
}

/**
 * The frame of one's own pose: 38 bytes, or 56 when a coordinate is beyond ±32.767 m.
 * @param seq counts the sender's poses, modulo 2¹⁶
 * @param ackTick `tickMs` of the last tick received, 0 before the first
 * @throws ProtocolError when a number is not finite or a coordinate is beyond 10 km
 */
export function encodePose(pose: BodyPose, seq: number, ackTick: number): Uint8Array<ArrayBuffer> {
  let reach = 0;
  for (const point of [pose.head, pose.left, pose.right]) {
    if (!point) continue;
    for (const x of [...point.position, ...point.rotation]) {
      if (!Number.isFinite(x)) throw new ProtocolError("a pose has a number that is not finite");
    }
    reach = Math.max(reach, ...point.position.map(Math.abs));
  }
  if (reach > MAX_COORDINATE) throw new ProtocolError(`a pose is ${reach} m from the room's origin`);
  const float32 = toMillimetres(reach) > MAX_MM_COORDINATE * 1000;
  const flags = (pose.left ? LEFT_VALID : 0) | (pose.right ? RIGHT_VALID : 0) | (float32 ? FLOAT32 : 0);
  const pointBytes = float32 ? POINT_F32_BYTES : POINT_MM_BYTES;
  const frame = new Uint8Array(HEADER_BYTES + 3 * pointBytes);
  const view = new DataView(frame.buffer);
  view.setUint8(0, POSE_UP);
  view.setUint8(1, flags);
  view.setUint16(2, seq & 0xffff, true);
  view.setUint32(4, ackTick >>> 0, true);
  let at = HEADER_BYTES;
  for (const point of [pose.head, pose.left, pose.right]) {
    if (point) writePoint(view, at, point, float32);
    at += pointBytes;
  }
  return frame;
}

/**
 * @throws ProtocolError when the frame is cut short, too long, or of a type or version that is not ours
 */
export function decodeTick(frame: ArrayBuffer | ArrayBufferView): Tick {
  const view =
    frame instanceof ArrayBuffer
      ? new DataView(frame)
      : new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.byteLength < HEADER_BYTES || view.getUint8(0) !== TICK_DOWN) {
    throw new ProtocolError("not a tick frame");
  }
  const version = view.getUint8(1);
  if (version !== VERSION) throw new ProtocolError(`tick frame of version ${version}`);
  const count = view.getUint16(2, true);
  const tickMs = view.getUint32(4, true);
  const records: PoseRecord[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    if (at + RECORD_HEADER_BYTES > view.byteLength) throw new ProtocolError("tick frame is cut short");
    const pid = view.getUint16(at, true);
    const flags = view.getUint8(at + 2);
    const ageMs = view.getUint8(at + 3);
    if (flags & ~KNOWN_FLAGS) throw new ProtocolError(`record has unknown flags 0x${flags.toString(16)}`);
    at += RECORD_HEADER_BYTES;
    const float32 = (flags & FLOAT32) !== 0;
    const pointBytes = float32 ? POINT_F32_BYTES : POINT_MM_BYTES;
    if (at + 3 * pointBytes > view.byteLength) throw new ProtocolError("tick frame is cut short");
    const pose: BodyPose = {
      head: readPoint(view, at, float32),
      left: flags & LEFT_VALID ? readPoint(view, at + pointBytes, float32) : null,
      right: flags & RIGHT_VALID ? readPoint(view, at + 2 * pointBytes, float32) : null,
    };
    records.push({ pid, ageMs, pose });
    at += 3 * pointBytes;
  }
  if (at !== view.byteLength)
    throw new ProtocolError(`tick frame has ${view.byteLength - at} bytes too many`);
  return { tickMs, records };
}

/**
 * Smallest three in 32 bits: the two top bits name the largest component (0 x … 3 w), which is made positive
 * and left out; the others follow in order, 10 bits each, −1/√2 … 1/√2 onto 0 … 1023. Of equal components
 * the first is left out; a quaternion without length packs as the identity.
 */
export function packQuaternion(rotation: readonly [number, number, number, number]): number {
  let q = rotation;
  let length = Math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  if (!(length > 0) || !Number.isFinite(length)) {
    q = [0, 0, 0, 1];
    length = 1;
  }
  let largest: 0 | 1 | 2 | 3 = 0;
  for (const i of [1, 2, 3] as const) if (Math.abs(q[i]) > Math.abs(q[largest])) largest = i;
  const scale = ((q[largest] < 0 ? -1 : 1) * Math.SQRT2) / length;
  let packed: number = largest;
  for (const i of [0, 1, 2, 3] as const) {
    if (i === largest) continue;
    const step = Math.floor((q[i] * scale + 1) * 0.5 * 1023 + 0.5);
    packed = (packed << 10) | Math.min(Math.max(step, 0), 1023);
  }
  return packed >>> 0;
}

/** The unit quaternion of `packQuaternion`; every 32-bit number has one. */
export function unpackQuaternion(packed: number): [number, number, number, number] {
  const small = [20, 10, 0].map((shift) => ((((packed >>> shift) & 1023) / 1023) * 2 - 1) * Math.SQRT1_2);
  const rest = Math.sqrt(Math.max(0, 1 - small.reduce((sum, c) => sum + c * c, 0)));
  small.splice(packed >>> 30, 0, rest);
  const length = Math.sqrt(small.reduce((sum, c) => sum + c * c, 0));
  const [x = 0, y = 0, z = 0, w = 1] = small.map((c) => c / length);
  return [x, y, z, w];
}

/** A control message as the text frame to send. */
export function encodeControl(message: ClientMessage): string {
  switch (message.type) {
    case "hello":
      return JSON.stringify({ type: "hello", v: VERSION, name: message.name, color: message.color });
    case "update":
      return JSON.stringify({ type: "update", name: message.name, color: message.color });
    case "stats":
      return JSON.stringify({
        type: "stats",
        bandwidth_bps: message.bandwidthBps,
        cdn_bytes: message.cdnBytes,
      });
  }
}

/**
 * A control message of the relay, or null when its type is unknown: a newer relay may say more than we
 * understand. Fields that are not known are dropped.
 * @throws ProtocolError
 */
export function parseControl(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProtocolError("not JSON");
  }
  const message = object(value, "message");
  const type = message.type;
  if (typeof type !== "string") throw new ProtocolError("a message needs a string `type`");
  switch (type) {
    case "welcome":
      return {
        type,
        pid: pid(message),
        tickHz: whole(message, "tick_hz", 1, 120),
        serverMs: whole(message, "server_ms", 0, 0xffffffff),
        limits: limits(object(message.limits, "limits")),
        participants: array(message.participants, "participants").map((item) =>
          profile(object(item, "participant")),
        ),
      };
    case "joined":
    case "updated":
      return { type, ...profile(message) };
    case "left":
      return { type, pid: pid(message) };
    case "error":
      return {
        type,
        code: readText(message, "code", /^[a-z_]{1,32}$/),
        message: readText(message, "message", /^/),
      };
    case "drain":
      return { type, retryMs: whole(message, "retry_ms", 0, 600_000) };
    default:
      return null;
  }
}

type Fields = Record<string, unknown>;

function object(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError(`${what} is not an object`);
  }
  return value as Fields;
}

function array(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new ProtocolError(`${what} is not an array`);
  return value;
}

function readText(fields: Fields, name: string, pattern: RegExp): string {
  const value = fields[name];
  if (typeof value !== "string" || !pattern.test(value)) throw new ProtocolError(`\`${name}\` is not valid`);
  return value;
}

function whole(fields: Fields, name: string, least: number, most: number): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw new ProtocolError(`\`${name}\` is not a whole number from ${least} to ${most}`);
  }
  return value;
}

function pid(fields: Fields): number {
  return whole(fields, "pid", 1, 0xffff);
}

function profile(fields: Fields): Profile {
  return { pid: pid(fields), name: readText(fields, "name", NAME), color: readText(fields, "color", COLOR) };
}

function limits(fields: Fields): Limits {
  const most = Number.MAX_SAFE_INTEGER;
  return {
    participants: whole(fields, "participants", 1, most),
    posesPerSecond: whole(fields, "poses_per_s", 1, most),
    controlPerSecond: whole(fields, "control_per_s", 1, most),
    controlBytes: whole(fields, "control_bytes", 1, most),
  };
}

function toMillimetres(metres: number): number {
  return Math.floor(metres * 1000 + 0.5);
}

function writePoint(view: DataView, at: number, point: RigidPose, float32: boolean): void {
  point.position.forEach((x, i) => {
    if (float32) view.setFloat32(at + 4 * i, x, true);
    else view.setInt16(at + 2 * i, Math.max(toMillimetres(x), -MAX_MM_COORDINATE * 1000), true);
  });
  view.setUint32(at + (float32 ? 12 : 6), packQuaternion(point.rotation), true);
}

function readPoint(view: DataView, at: number, float32: boolean): RigidPose {
  const x = (i: number) =>
    float32 ? coordinate(view.getFloat32(at + 4 * i, true)) : view.getInt16(at + 2 * i, true) / 1000;
  return {
    position: [x(0), x(1), x(2)],
    rotation: unpackQuaternion(view.getUint32(at + (float32 ? 12 : 6), true)),
  };
}

function coordinate(x: number): number {
  if (!(Math.abs(x) <= MAX_COORDINATE)) throw new ProtocolError(`coordinate ${x} is out of range`);
  return x;
}
