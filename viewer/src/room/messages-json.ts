/**
 * The control messages of the relay protocol streamxr.v1 as a client speaks them: JSON text frames.
 *
 * docs/protocol.md is the specification; tests/vectors/protocol/control.json holds examples which this module
 * and the relay both run. Everything read here comes from the network and is checked before it is believed.
 */
import {
  type ClientMessage,
  OPERATIONS,
  type Profile,
  ROLES,
  type RoomLimits,
  type ServerMessage,
  type SharedObject,
} from "./messages.ts";
import { MAX_COORDINATE, ProtocolError, type RigidPose, VERSION } from "./messages-binary.ts";

export const SUBPROTOCOL = "streamxr.v1";

/** Close codes after which connecting again would only be refused again. */
export const FINAL_CLOSE_CODES: ReadonlySet<number> = new Set([
  1008, // we broke the protocol
  1009, // we sent too much at once
  4401, // token
  4403, // origin or room of the token
  4404, // no such room
  4409, // replaced by another connection of ours
  4426, // no common version
]);

const COLOR = /^#[0-9A-Fa-f]{6}$/;
// Printable text: no control characters, line separators, bidirectional overrides or lone surrogates.
const NAME = /^[^\p{Cc}\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,64}$/u;
const ASSET = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const KEY = /^[A-Za-z0-9_-]{1,64}$/;
const SIGNAL = /^[^\ud800-\udfff]{1,8192}$/u;
const CODE = /^[a-z_]{1,32}$/;
const MAX_PID = 0xffff;
const MAX_U32 = 0xffffffff;
const MAX_SCALE = 1000;

/** `#rrggbb`, as a profile's colour must be. */
export function isColor(color: string): boolean {
  return COLOR.test(color);
}

/** A name as the relay accepts it: unprintable characters left out, at most 64 code points, never empty. */
export function cleanName(name: string): string {
  const printable = [...name].filter((character) => NAME.test(character));
  return printable.slice(0, 64).join("").trim() || "guest";
}

/** A control message as the text frame to send. */
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
    case "spawn":
    case "release":
      return JSON.stringify({ ...message, pose: wirePose(message.pose) });
    default:
      return JSON.stringify(message);
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
        resume: readText(message, "resume", KEY),
        role: oneOf(message, "role", ROLES),
        tickHz: whole(message, "tick_hz", 1, 120),
        serverMs: whole(message, "server_ms", 0, MAX_U32),
        limits: limits(object(message.limits, "limits")),
        participants: array(message.participants, "participants").map((item) =>
          profile(object(item, "participant")),
        ),
        incarnation: readText(message, "incarnation", KEY),
        rev: rev(message),
        objects: nullOr(message, "objects", (items) =>
          array(items, "objects").map((item) => sharedObject(object(item, "object"))),
        ),
      };
    case "joined":
      return {
        type,
        pid: pid(message),
        name: readText(message, "name", NAME),
        color: readText(message, "color", COLOR),
      };
    case "updated":
      return { type, ...profile(message) };
    case "left":
      return { type, pid: pid(message) };
    case "spawned":
      return {
        type,
        rev: rev(message),
        id: u32(message, "id"),
        by: pid(message, "by"),
        ref: u32(message, "ref"),
        asset: readText(message, "asset", ASSET),
        pose: pose(message),
        scale: number(message.scale, "scale", 1 / MAX_SCALE, MAX_SCALE),
      };
    case "grabbed":
      return {
        type,
        rev: rev(message),
        id: u32(message, "id"),
        owner: pid(message, "owner"),
        epoch: u32(message, "epoch"),
        leaseMs: whole(message, "lease_ms", 1, 600_000),
      };
    case "released":
      return {
        type,
        rev: rev(message),
        id: u32(message, "id"),
        epoch: u32(message, "epoch"),
        pose: pose(message),
        cause: readText(message, "cause", CODE),
      };
    case "deleted":
      return { type, rev: rev(message), id: u32(message, "id") };
    case "denied":
      return {
        type,
        op: oneOf(message, "op", OPERATIONS),
        reason: readText(message, "reason", CODE),
        ref: nullOr(message, "ref", () => u32(message, "ref")),
        id: nullOr(message, "id", () => u32(message, "id")),
        object: nullOr(message, "object", (value) => sharedObject(object(value, "object"))),
      };
    case "signal":
      return { type, from: pid(message, "from"), data: readText(message, "data", SIGNAL) };
    case "error":
      return {
        type,
        code: readText(message, "code", CODE),
        message: readText(message, "message", /^/),
      };
    case "drain":
      return { type, retryMs: whole(message, "retry_ms", 0, 600_000) };
    case "pace":
      return { type, tickHz: whole(message, "tick_hz", 1, 120) };
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

/** The field read by `read`, or null where it is null; it must not be missing. */
function nullOr<T>(fields: Fields, name: string, read: (value: unknown) => T): T | null {
  return fields[name] === null ? null : read(fields[name]);
}

function readText(fields: Fields, name: string, pattern: RegExp): string {
  const value = fields[name];
  if (typeof value !== "string" || !pattern.test(value)) throw new ProtocolError(`\`${name}\` is not valid`);
  return value;
}

function oneOf<const T extends readonly string[]>(fields: Fields, name: string, choices: T): T[number] {
  const value = fields[name];
  if (!choices.includes(value as T[number])) throw new ProtocolError(`\`${name}\` is none of ${choices}`);
  return value as T[number];
}

function number(value: unknown, what: string, least: number, most: number): number {
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw new ProtocolError(`\`${what}\` is not a number from ${least} to ${most}`);
  }
  return value;
}

function whole(fields: Fields, name: string, least: number, most: number): number {
  const value = number(fields[name], name, least, most);
  if (!Number.isInteger(value)) throw new ProtocolError(`\`${name}\` is not a whole number`);
  return value;
}

function pid(fields: Fields, name = "pid"): number {
  return whole(fields, name, 1, MAX_PID);
}

function u32(fields: Fields, name: string): number {
  return whole(fields, name, 0, MAX_U32);
}

function rev(fields: Fields): number {
  return whole(fields, "rev", 0, Number.MAX_SAFE_INTEGER);
}

function pose(fields: Fields): RigidPose {
  const { p, q } = object(fields.pose, "pose");
  return {
    position: numbers(p, "pose.p", 3, MAX_COORDINATE) as [number, number, number],
    rotation: numbers(q, "pose.q", 4, 1) as [number, number, number, number],
  };
}

function numbers(value: unknown, what: string, length: number, most: number): number[] {
  const items = array(value, what);
  if (items.length !== length) throw new ProtocolError(`${what} has ${items.length} numbers, not ${length}`);
  return items.map((item) => number(item, what, -most, most));
}

/** As JSON has it: a rotation's components within ±1 whatever length the caller's quaternion has. */
function wirePose({ position, rotation }: RigidPose): { p: readonly number[]; q: readonly number[] } {
  const length = Math.hypot(...rotation) || 1;
  return { p: position, q: rotation.map((c) => Math.min(Math.max(c / length, -1), 1)) };
}

function profile(fields: Fields): Profile {
  if (typeof fields.away !== "boolean") throw new ProtocolError("`away` is not true or false");
  return {
    pid: pid(fields),
    name: readText(fields, "name", NAME),
    color: readText(fields, "color", COLOR),
    away: fields.away,
  };
}

function sharedObject(fields: Fields): SharedObject {
  return {
    id: u32(fields, "id"),
    asset: readText(fields, "asset", ASSET),
    pose: pose(fields),
    scale: number(fields.scale, "scale", 1 / MAX_SCALE, MAX_SCALE),
    owner: nullOr(fields, "owner", () => pid(fields, "owner")),
    epoch: u32(fields, "epoch"),
  };
}

function limits(fields: Fields): RoomLimits {
  const most = Number.MAX_SAFE_INTEGER;
  return {
    participants: whole(fields, "participants", 1, most),
    objects: whole(fields, "objects", 0, most),
    posesPerSecond: whole(fields, "poses_per_s", 1, most),
    controlPerSecond: whole(fields, "control_per_s", 1, most),
    controlBytes: whole(fields, "control_bytes", 1, most),
  };
}
