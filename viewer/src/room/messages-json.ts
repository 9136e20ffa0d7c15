/**
 * The client's side of the control messages of the relay protocol streamxr.v1: JSON text frames.
 *
 * docs/protocol.md is the specification. This module and the relay run the same examples,
 * tests/vectors/v1/protocol/control.json. Every message comes from the network, so each field is checked before
 * it is used.
 */
import {
  type ClientMessage,
  type Denied,
  OPERATIONS,
  type Profile,
  ROLES,
  type RoomLimits,
  type ServerMessage,
  type SharedObject,
  type Spawned,
  type Welcome,
} from "./messages.ts";
import { MAX_COORDINATE, ProtocolError, type RigidPose, VERSION } from "./messages-binary.ts";

export const SUBPROTOCOL = "streamxr.v1";

/** Close codes after which the relay would refuse another attempt for the same reason. */
export const FINAL_CLOSE_CODES: ReadonlySet<number> = new Set([
  1008, // the client broke the protocol
  1009, // the client sent a message that is too long
  4401, // the join token is missing, forged or expired
  4403, // the origin is not allowed, or the token is for another room
  4404, // the room's name is not valid
  4409, // the same participant has a newer connection
  4426, // no common version
]);

const COLOR = /^#[0-9A-Fa-f]{6}$/;
// Printable text as in docs/protocol.md: nothing invisible, and nothing that changes the text around it.
const UNPRINTABLE =
  String.raw`\p{Cc}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800` +
  String.raw`\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}`;
const PRINTABLE = new RegExp(`^[^${UNPRINTABLE}]$`, "u");
const VISIBLE = /(?![\ufe0e\ufe0f])\P{Zs}/u;
const NAME = new RegExp(`^(?=.*${VISIBLE.source})[^${UNPRINTABLE}]{1,64}$`, "u");
const ASSET = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const TICKET = /^[A-Za-z0-9_.-]{1,1024}$/;
const KEY = /^[A-Za-z0-9_-]{1,64}$/;
const SIGNAL = /^[^\ud800-\udfff]{1,8192}$/u;
const CODE = /^[a-z_]{1,32}$/;
const MAX_PID = 0xffff;
const MAX_U32 = 0xffffffff;
const MAX_SCALE = 1000;

/** Whether a profile may have this colour: `#rrggbb`. */
export function isColor(color: string): boolean {
  return COLOR.test(color);
}

/**
 * Makes a name that the relay accepts: without unprintable characters, at most 64 code points, never blank.
 */
export function cleanName(name: string): string {
  const printable = [...name].filter((character) => PRINTABLE.test(character));
  const short = printable.slice(0, 64).join("").trim();
  return VISIBLE.test(short) ? short : "guest";
}

/** Encodes a control message as a text frame. */
export function encodeControl(message: ClientMessage): string {
  switch (message.type) {
    case "hello":
      return JSON.stringify({ ...message, v: VERSION });
    case "stats":
      return JSON.stringify({
        type: "stats",
        bandwidth_bps: message.bandwidthBps,
        cdn_bytes: message.cdnBytes,
      });
    case "visit":
      return JSON.stringify({
        type: "visit",
        device: message.device,
        first_ms: message.firstMs,
        detail_ms: message.detailMs,
        stalls: message.stalls,
        stalled_ms: message.stalledMs,
      });
    case "spawn":
    case "release":
      return JSON.stringify({ ...message, pose: wirePose(message.pose) });
    default:
      return JSON.stringify(message);
  }
}

/**
 * Parses a control message of the relay. Unknown fields are dropped.
 * @returns null if the type is unknown: a newer relay may have more of them
 * @throws ProtocolError if the message is malformed
 */
export function parseControl(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProtocolError("not JSON");
  }
  const message = asObject(value, "message");
  const type = message.type;
  if (typeof type !== "string") throw new ProtocolError("a message needs a string `type`");
  switch (type) {
    case "welcome":
      return { type, ...readWelcome(message) };
    case "joined":
      return {
        type,
        pid: readPid(message),
        name: readText(message, "name", NAME),
        color: readText(message, "color", COLOR),
      };
    case "updated":
      return { type, ...readProfile(message) };
    case "left":
      return { type, pid: readPid(message) };
    case "spawned":
      return { type, ...readSpawned(message) };
    case "grabbed":
      return {
        type,
        rev: readRev(message),
        id: readU32(message, "id"),
        owner: readPid(message, "owner"),
        epoch: readU32(message, "epoch"),
        leaseMs: readInteger(message, "lease_ms", 1, 600_000),
      };
    case "released":
      return {
        type,
        rev: readRev(message),
        id: readU32(message, "id"),
        epoch: readU32(message, "epoch"),
        pose: readPose(message),
        cause: readText(message, "cause", CODE),
      };
    case "deleted":
      return { type, rev: readRev(message), id: readU32(message, "id") };
    case "denied":
      return { type, ...readDenied(message) };
    case "signal":
      return { type, from: readPid(message, "from"), data: readText(message, "data", SIGNAL) };
    case "error":
      return {
        type,
        code: readText(message, "code", CODE),
        message: readText(message, "message", /^/),
      };
    case "drain":
      return { type, retryMs: readInteger(message, "retry_ms", 0, 600_000) };
    case "pace":
      return { type, tickHz: readTickHz(message) };
    default:
      return null;
  }
}

type Fields = Record<string, unknown>;

function readWelcome(message: Fields): Omit<Welcome, "type"> {
  return {
    pid: readPid(message),
    resume: readText(message, "resume", KEY),
    role: readChoice(message, "role", ROLES),
    tickHz: readTickHz(message),
    serverMs: readU32(message, "server_ms"),
    limits: readLimits(asObject(message.limits, "limits")),
    participants: asArray(message.participants, "participants").map((item) =>
      readProfile(asObject(item, "participant")),
    ),
    incarnation: readText(message, "incarnation", KEY),
    rev: readRev(message),
    objects: readNullable(message, "objects", (items) =>
      asArray(items, "objects").map((item) => readSharedObject(asObject(item, "object"))),
    ),
    ...(message.ticket === undefined ? {} : { ticket: readText(message, "ticket", TICKET) }),
  };
}

function readSpawned(message: Fields): Omit<Spawned, "type"> {
  return {
    rev: readRev(message),
    id: readU32(message, "id"),
    by: readPid(message, "by"),
    ref: readU32(message, "ref"),
    asset: readText(message, "asset", ASSET),
    pose: readPose(message),
    scale: readScale(message),
  };
}

function readDenied(message: Fields): Omit<Denied, "type"> {
  return {
    op: readChoice(message, "op", OPERATIONS),
    reason: readText(message, "reason", CODE),
    ref: readNullable(message, "ref", () => readU32(message, "ref")),
    id: readNullable(message, "id", () => readU32(message, "id")),
    object: readNullable(message, "object", (value) => readSharedObject(asObject(value, "object"))),
  };
}

function readProfile(fields: Fields): Profile {
  if (typeof fields.away !== "boolean") throw new ProtocolError("`away` is not true or false");
  return {
    pid: readPid(fields),
    name: readText(fields, "name", NAME),
    color: readText(fields, "color", COLOR),
    away: fields.away,
  };
}

function readSharedObject(fields: Fields): SharedObject {
  return {
    id: readU32(fields, "id"),
    asset: readText(fields, "asset", ASSET),
    pose: readPose(fields),
    scale: readScale(fields),
    owner: readNullable(fields, "owner", () => readPid(fields, "owner")),
    epoch: readU32(fields, "epoch"),
  };
}

function readLimits(fields: Fields): RoomLimits {
  const max = Number.MAX_SAFE_INTEGER;
  return {
    participants: readInteger(fields, "participants", 1, max),
    objects: readInteger(fields, "objects", 0, max),
    posesPerSecond: readInteger(fields, "poses_per_s", 1, max),
    controlPerSecond: readInteger(fields, "control_per_s", 1, max),
    controlBytes: readInteger(fields, "control_bytes", 1, max),
  };
}

function readPose(fields: Fields): RigidPose {
  const { p, q } = asObject(fields.pose, "pose");
  return {
    position: asNumbers(p, "pose.p", 3, MAX_COORDINATE) as [number, number, number],
    rotation: asNumbers(q, "pose.q", 4, 1) as [number, number, number, number],
  };
}

/** The JSON form of a pose: the rotation is normalised, so that each component is within ±1. */
function wirePose({ position, rotation }: RigidPose): { p: readonly number[]; q: readonly number[] } {
  const length = Math.hypot(...rotation) || 1;
  return { p: position, q: rotation.map((c) => Math.min(Math.max(c / length, -1), 1)) };
}

function readPid(fields: Fields, name = "pid"): number {
  return readInteger(fields, name, 1, MAX_PID);
}

function readU32(fields: Fields, name: string): number {
  return readInteger(fields, name, 0, MAX_U32);
}

function readRev(fields: Fields): number {
  return readInteger(fields, "rev", 0, Number.MAX_SAFE_INTEGER);
}

function readTickHz(fields: Fields): number {
  return readInteger(fields, "tick_hz", 1, 120);
}

function readScale(fields: Fields): number {
  return asNumber(fields.scale, "scale", 1 / MAX_SCALE, MAX_SCALE);
}

function readInteger(fields: Fields, name: string, min: number, max: number): number {
  const value = asNumber(fields[name], name, min, max);
  if (!Number.isInteger(value)) throw new ProtocolError(`\`${name}\` is not a whole number`);
  return value;
}

function readText(fields: Fields, name: string, pattern: RegExp): string {
  const value = fields[name];
  if (typeof value !== "string" || !pattern.test(value)) throw new ProtocolError(`\`${name}\` is not valid`);
  return value;
}

function readChoice<const T extends readonly string[]>(fields: Fields, name: string, choices: T): T[number] {
  const value = fields[name];
  if (!choices.includes(value as T[number])) throw new ProtocolError(`\`${name}\` is none of ${choices}`);
  return value as T[number];
}

/** Reads a field with `read`; null stays null, and a missing field is an error. */
function readNullable<T>(fields: Fields, name: string, read: (value: unknown) => T): T | null {
  return fields[name] === null ? null : read(fields[name]);
}

function asObject(value: unknown, name: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError(`${name} is not an object`);
  }
  return value as Fields;
}

function asArray(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw new ProtocolError(`${name} is not an array`);
  return value;
}

function asNumber(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== "number" || !(value >= min && value <= max)) {
    throw new ProtocolError(`\`${name}\` is not a number from ${min} to ${max}`);
  }
  return value;
}

function asNumbers(value: unknown, name: string, length: number, max: number): number[] {
  const items = asArray(value, name);
  if (items.length !== length) throw new ProtocolError(`${name} has ${items.length} numbers, not ${length}`);
  return items.map((item) => asNumber(item, name, -max, max));
}
