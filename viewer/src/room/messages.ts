/**
 * The control messages between client and relay. messages-json.ts has their JSON; docs/protocol.md specifies
 * both.
 */
import type { RigidPose } from "./messages-binary.ts";

export const ROLES = ["viewer", "editor", "owner"] as const;
export const OPERATIONS = ["spawn", "grab", "release", "delete"] as const;

/** Rights on shared objects: none; on those that nobody else holds; on all. */
export type Role = (typeof ROLES)[number];
export type Operation = (typeof OPERATIONS)[number];

export interface Profile {
  readonly pid: number;
  readonly name: string;
  /** `#rrggbb`. */
  readonly color: string;
  /** The connection is lost, and the relay keeps the seat for a while. */
  readonly away: boolean;
}

export interface SharedObject {
  readonly id: number;
  /** Id of an asset in the bundle's catalogue. Look it up there; never use it as an address. */
  readonly asset: string;
  readonly pose: RigidPose;
  readonly scale: number;
  /** The pid of the participant who holds it; null if nobody does. */
  readonly owner: number | null;
  /** Number of the newest grab. */
  readonly epoch: number;
}

export interface RoomLimits {
  readonly participants: number;
  readonly objects: number;
  readonly posesPerSecond: number;
  readonly controlPerSecond: number;
  readonly controlBytes: number;
}

export interface Hello {
  readonly type: "hello";
  readonly name: string;
  readonly color: string;
  readonly token?: string | undefined;
  readonly resume?: string | undefined;
  readonly incarnation?: string | undefined;
  readonly rev?: number | undefined;
  readonly ticket?: string | undefined;
}
export interface Update {
  readonly type: "update";
  readonly name?: string;
  readonly color?: string;
}
export interface Stats {
  readonly type: "stats";
  /** Estimated download bandwidth, bits per second. */
  readonly bandwidthBps: number;
  /** Asset bytes downloaded since the last stats. */
  readonly cdnBytes: number;
}
/** What a visitor got, anonymous; numbers are since the last message. */
export interface Visit {
  readonly type: "visit";
  readonly device: "headset" | "phone" | "desktop";
  /** From the start of the visit to the first picture, milliseconds; once. */
  readonly firstMs?: number | undefined;
  /** From the start of the visit until nothing more was wanted in view, milliseconds; once. */
  readonly detailMs?: number | undefined;
  /** Silences of at least a second while files were on their way, and their length in milliseconds. */
  readonly stalls: number;
  readonly stalledMs: number;
}
export interface Spawn {
  readonly type: "spawn";
  readonly ref: number;
  readonly asset: string;
  readonly pose: RigidPose;
  readonly scale: number;
}
export interface Grab {
  readonly type: "grab";
  readonly id: number;
}
export interface Release {
  readonly type: "release";
  readonly id: number;
  readonly epoch: number;
  readonly pose: RigidPose;
}
export interface Delete {
  readonly type: "delete";
  readonly id: number;
}
export interface Signal {
  readonly type: "signal";
  readonly to: number;
  readonly data: string;
}
export type ClientMessage = Hello | Update | Stats | Visit | Spawn | Grab | Release | Delete | Signal;

export interface Welcome {
  readonly type: "welcome";
  readonly pid: number;
  /** The resume key: a secret with which this seat can be taken again. */
  readonly resume: string;
  readonly role: Role;
  readonly tickHz: number;
  readonly serverMs: number;
  readonly limits: RoomLimits;
  /** All other participants, present or away. */
  readonly participants: readonly Profile[];
  readonly incarnation: string;
  readonly rev: number;
  /**
   * A snapshot; null if the client's objects as of `rev` are still valid and the events since then follow.
   */
  readonly objects: readonly SharedObject[] | null;
  /** Admits the client again when its join token has expired; absent without tokens. */
  readonly ticket?: string;
}
export interface Joined {
  readonly type: "joined";
  readonly pid: number;
  readonly name: string;
  readonly color: string;
}
export interface Left {
  readonly type: "left";
  readonly pid: number;
}
export interface Updated extends Profile {
  readonly type: "updated";
}
export interface Spawned {
  readonly type: "spawned";
  readonly rev: number;
  readonly id: number;
  readonly by: number;
  readonly ref: number;
  readonly asset: string;
  readonly pose: RigidPose;
  readonly scale: number;
}
export interface Grabbed {
  readonly type: "grabbed";
  readonly rev: number;
  readonly id: number;
  readonly owner: number;
  readonly epoch: number;
  readonly leaseMs: number;
}
export interface Released {
  readonly type: "released";
  readonly rev: number;
  readonly id: number;
  readonly epoch: number;
  readonly pose: RigidPose;
  readonly cause: string;
}
export interface Deleted {
  readonly type: "deleted";
  readonly rev: number;
  readonly id: number;
}
export interface Denied {
  readonly type: "denied";
  readonly op: Operation;
  readonly reason: string;
  /** Of a spawn; else null. */
  readonly ref: number | null;
  /** Of every other operation; null for a spawn. */
  readonly id: number | null;
  /** The object as it is now; null if there is none. */
  readonly object: SharedObject | null;
}
export interface SignalFrom {
  readonly type: "signal";
  readonly from: number;
  readonly data: string;
}
export interface ErrorMessage {
  readonly type: "error";
  readonly code: string;
  readonly message: string;
}
export interface Pace {
  readonly type: "pace";
  readonly tickHz: number;
}
export interface Drain {
  readonly type: "drain";
  readonly retryMs: number;
}
export type ObjectEvent = Spawned | Grabbed | Released | Deleted;
export type ServerMessage =
  | Welcome
  | Joined
  | Left
  | Updated
  | ObjectEvent
  | Denied
  | SignalFrom
  | ErrorMessage
  | Drain
  | Pace;
