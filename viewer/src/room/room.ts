/**
 * A client's seat in a room of a relay: connects, keeps the list of participants, passes poses both ways, and
 * reconnects after the connection is lost.
 */

import { CONNECTION_ABANDONED, Connection, NORMAL_CLOSURE } from "./connection.ts";
import { Listeners } from "./listeners.ts";
import type { ClientMessage, Profile, Role, RoomLimits, ServerMessage, Visit, Welcome } from "./messages.ts";
import {
  type BodyPose,
  decodeMoves,
  decodeTick,
  holdsMoves,
  type PoseRecord,
  ProtocolError,
} from "./messages-binary.ts";
import { cleanName, FINAL_CLOSE_CODES, isColor, parseControl, SUBPROTOCOL } from "./messages-json.ts";
import { isToken } from "./names.ts";
import { PoseSender } from "./pose-sender.ts";
import { backOff, roomUrl, SETTLED_MS, TOKEN_REFUSED } from "./reconnect.ts";
import { type ObjectEvents, RoomObjects } from "./room-objects.ts";

export type RoomState =
  /** A connection is being opened, or the relay has not answered `hello` yet. */
  | "connecting"
  /** The client is a participant: poses go both ways. */
  | "joined"
  /** The connection is lost; another attempt follows. */
  | "waiting"
  /** Final: the page called `leave`, or the relay refused for a reason that stays. */
  | "closed";

export interface RoomEvents extends ObjectEvents {
  /** `reason` says, for people, why the room is waiting or closed. */
  state: { readonly state: RoomState; readonly reason: string };
  joined: Profile;
  /** Also sent for everyone when the connection is lost; `joined` follows for all who are still there. */
  left: { readonly pid: number };
  updated: Profile;
  /** Poses of other participants. A record's pose reached the relay at `tickMs` minus its `ageMs`. */
  poses: { readonly tickMs: number; readonly records: readonly PoseRecord[] };
  /** Text from another participant's `signal`. */
  signal: { readonly from: number; readonly data: string };
  /** The relay rejected a message of ours, or sent one that is malformed; for developers. */
  error: { readonly code: string; readonly message: string };
}

export interface RoomOptions {
  /** The relay: `ws://host:8787`, `wss://…`, or the same with http(s); a path before `/ws/` is kept. */
  readonly relay: string | URL;
  /** 1–64 of A–Z a–z 0–9 . _ - */
  readonly room: string;
  /** Shown to others; unprintable characters are removed. */
  readonly name: string;
  /** `#rrggbb`. */
  readonly color: string;
  /**
   * A join token, if the relay requires one; or a function that gets a new one. It is called before the first
   * connection, and again if the relay refuses the token.
   */
  readonly token?: string | (() => Promise<string>) | undefined;
  /** Replaces the global WebSocket, for example where there is none. */
  readonly WebSocket?: new (
    url: string,
    protocols: string,
  ) => WebSocket;
}

/** The largest numbers of a `visit`; docs/protocol.md. */
const MAX_VISIT_MS = 3_600_000;
const MAX_STALLS = 10_000;

/** Joins by itself. Listeners that are added in the same turn of the event loop miss nothing. */
export class Room {
  /** The objects that the room shares. */
  readonly objects: RoomObjects;

  readonly #url: string;
  readonly #getToken: (() => Promise<string>) | undefined;
  #token: string | undefined;
  /** Whether the relay has refused the token since the last time in the room. */
  #tokenRefused = false;
  readonly #WebSocket: NonNullable<RoomOptions["WebSocket"]>;
  readonly #listeners = new Listeners<RoomEvents>();
  readonly #participants = new Map<number, Profile>();
  readonly #poses: PoseSender;
  #state: RoomState = "connecting";
  #connection: Connection | null = null;
  #name: string;
  #color: string;
  /** Name and colour as last sent. */
  #sentProfile = { name: "", color: "" };
  #pid = 0;
  #role: Role = "viewer";
  #limits: RoomLimits | null = null;
  /** The secret with which a new connection takes the same seat. */
  #resumeKey: string | undefined;
  /** The ticket with which a new connection is admitted although the token has expired. */
  #ticket: string | undefined;
  #attempt = 0;
  #joinedAt = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  /** Wait that a relay demands before it stops, milliseconds. */
  #drainMs: number | null = null;

  /** @throws TypeError if an option is not valid */
  constructor(options: RoomOptions) {
    this.#url = roomUrl(options.relay, options.room);
    checkColor(options.color);
    if (typeof options.token === "function") this.#getToken = options.token;
    else if (options.token !== undefined) this.#token = checkToken(options.token);
    this.#name = cleanName(options.name);
    this.#color = options.color;
    this.#WebSocket = options.WebSocket ?? WebSocket;
    this.#poses = new PoseSender((frame) => this.#sendFrame(frame));
    const room = this;
    this.objects = new RoomObjects({
      get pid() {
        return room.#pid;
      },
      get ackTick() {
        return room.#poses.ackTick;
      },
      sendControl: (message) => this.#sendControl(message),
      sendFrame: (frame) => this.#sendFrame(frame),
      emit: (event, detail) => this.#emit(event, detail as RoomEvents[typeof event]),
    });
    queueMicrotask(() => {
      if (this.#state !== "closed") void this.#connect();
    });
  }

  get state(): RoomState {
    return this.#state;
  }

  /** The client's own participant id; 0 while not joined. */
  get pid(): number {
    return this.#pid;
  }

  /** Rights on objects; `viewer` before the first welcome. */
  get role(): Role {
    return this.#role;
  }

  /** All other participants, present or away. */
  get participants(): readonly Profile[] {
    return [...this.#participants.values()];
  }

  /** The relay's limits; null before the first welcome. */
  get limits(): RoomLimits | null {
    return this.#limits;
  }

  /** Calls `listener` at each such event; the returned function removes it. */
  on<E extends keyof RoomEvents>(event: E, listener: (detail: RoomEvents[E]) => void): () => void {
    return this.#listeners.on(event, listener);
  }

  /**
   * Sends the client's own pose. Call it as often as there is a new one: the newest is sent, at most at the
   * relay's tick rate. The pose is dropped while not joined, and if it is not finite or out of range.
   */
  sendPose(pose: BodyPose): void {
    if (this.#state === "joined") this.#poses.send(pose);
  }

  /**
   * Sends numbers for the operator's dashboards. False if they were not sent: add the bytes to the next
   * report.
   */
  sendStats(stats: { bandwidthBps: number; cdnBytes: number }): boolean {
    return this.#sendControl({
      type: "stats",
      bandwidthBps: Math.min(Math.max(stats.bandwidthBps, 0) || 0, 1e12),
      cdnBytes: Math.min(Math.max(Math.round(stats.cdnBytes), 0) || 0, 1e12),
    });
  }

  /** Sends what the visitor got, anonymous, for the operator's dashboards. False if it was not sent. */
  sendVisit(visit: Omit<Visit, "type">): boolean {
    const whole = (value: number, limit: number): number =>
      Math.min(Math.max(Math.round(value), 0) || 0, limit);
    const optional = (ms: number | undefined): number | undefined =>
      ms === undefined ? undefined : whole(ms, MAX_VISIT_MS);
    return this.#sendControl({
      type: "visit",
      device: visit.device,
      firstMs: optional(visit.firstMs),
      detailMs: optional(visit.detailMs),
      stalls: whole(visit.stalls, MAX_STALLS),
      stalledMs: whole(visit.stalledMs, MAX_VISIT_MS),
    });
  }

  /** Changes the client's own name or colour, now and after each reconnect. */
  update(change: { name?: string; color?: string }): void {
    if (change.color !== undefined) checkColor(change.color);
    if (change.name !== undefined) this.#name = cleanName(change.name);
    if (change.color !== undefined) this.#color = change.color;
    this.#sendProfile();
  }

  /**
   * Sends text of up to 8,192 characters to one participant, for example to set up a call. False while not
   * joined.
   */
  signal(to: number, data: string): boolean {
    return this.#sendControl({ type: "signal", to, data });
  }

  /** Leaves for good. */
  leave(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#disconnect();
    this.#setState("closed", "left");
  }

  async #connect(): Promise<void> {
    this.#setState("connecting", "");
    if (this.#getToken && this.#token === undefined) {
      try {
        this.#token = checkToken(await this.#getToken());
      } catch (error) {
        if (this.#isConnecting) this.#reconnect(CONNECTION_ABANDONED, `no join token: ${reasonOf(error)}`);
        return;
      }
    }
    if (!this.#isConnecting) return; // leave() was called
    let socket: WebSocket;
    try {
      socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
    } catch (error) {
      // A page over https may not open ws://. Another attempt would fail in the same way.
      this.#setState("closed", reasonOf(error));
      return;
    }
    this.#drainMs = null;
    this.#connection = new Connection(socket, {
      opened: () => this.#sendHello(),
      received: (data) => this.#receive(data),
      lost: (code, reason) => this.#reconnect(code, reason),
    });
  }

  #sendHello(): void {
    this.#sentProfile = { name: this.#name, color: this.#color };
    this.#connection?.sendControl({
      type: "hello",
      ...this.#sentProfile,
      token: this.#token,
      resume: this.#resumeKey,
      ticket: this.#ticket,
      ...this.objects.revision,
    });
  }

  #receive(data: unknown): void {
    try {
      if (typeof data === "string") this.#receiveControl(parseControl(data));
      else if (data instanceof ArrayBuffer) this.#receiveFrame(data);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#emit("error", { code: "relay", message: error.message });
      // Without a welcome the client would wait for ever.
      const reason = `the relay is not understood: ${error.message}`;
      if (this.#isConnecting) this.#reconnect(CONNECTION_ABANDONED, reason);
    }
  }

  /** @param message null if its type is unknown */
  #receiveControl(message: ServerMessage | null): void {
    switch (message?.type) {
      case "welcome":
        this.#enter(message);
        break;
      case "joined":
        this.#addParticipant({ pid: message.pid, name: message.name, color: message.color, away: false });
        break;
      case "updated":
        if (this.#participants.has(message.pid)) {
          const { type: _, ...profile } = message;
          this.#participants.set(message.pid, profile);
          this.#emit("updated", profile);
        }
        break;
      case "left":
        this.#removeParticipant(message.pid);
        break;
      case "spawned":
      case "grabbed":
      case "released":
      case "deleted":
        if (!this.objects.receiveEvent(message)) {
          this.#reconnect(CONNECTION_ABANDONED, "an event of the room is missing");
        }
        break;
      case "denied":
        this.objects.receiveDenied(message);
        break;
      case "signal":
        this.#emit("signal", { from: message.from, data: message.data });
        break;
      case "error":
        this.#emit("error", { code: message.code, message: message.message });
        break;
      case "pace":
        this.#setRate(message.tickHz);
        break;
      case "drain":
        this.#drainMs = message.retryMs;
        break;
    }
  }

  #enter(welcome: Welcome): void {
    this.#pid = welcome.pid;
    this.#role = welcome.role;
    this.#resumeKey = welcome.resume;
    this.#ticket = welcome.ticket;
    this.#tokenRefused = false;
    this.#limits = welcome.limits;
    this.#setRate(welcome.tickHz);
    this.#poses.start();
    this.#joinedAt = performance.now();
    for (const profile of welcome.participants) this.#participants.set(profile.pid, profile);
    this.#setState("joined", "");
    for (const profile of welcome.participants) {
      // A listener may have left the room.
      if (this.#participants.get(profile.pid) === profile) this.#emit("joined", profile);
    }
    if (this.#state === "joined") this.objects.start(welcome);
    this.#sendProfile();
  }

  #receiveFrame(frame: ArrayBuffer): void {
    if (holdsMoves(frame)) {
      const moves = decodeMoves(frame);
      this.#poses.acknowledge(moves.tickMs);
      this.objects.receiveMoves(moves);
    } else {
      const { tickMs, records } = decodeTick(frame);
      this.#poses.acknowledge(tickMs);
      const others = records.filter((record) => this.#participants.has(record.pid));
      if (others.length > 0) this.#emit("poses", { tickMs, records: others });
    }
  }

  #setRate(tickHz: number): void {
    const periodMs = 1000 / Math.min(tickHz, this.#limits?.posesPerSecond ?? tickHz);
    this.#poses.periodMs = periodMs;
    this.objects.setPeriod(periodMs);
  }

  #addParticipant(profile: Profile): void {
    if (profile.pid === this.#pid) return;
    this.#removeParticipant(profile.pid);
    this.#participants.set(profile.pid, profile);
    this.#emit("joined", profile);
  }

  #removeParticipant(pid: number): void {
    if (this.#participants.delete(pid)) this.#emit("left", { pid });
  }

  /** The connection is lost or useless: tries again after a wait, unless the close code is final. */
  #reconnect(code: number, reason: string): void {
    const settled = this.#state === "joined" && performance.now() - this.#joinedAt > SETTLED_MS;
    if (settled) this.#attempt = 0;
    const wait = this.#drainMs ?? backOff(this.#attempt, Math.random());
    this.#attempt++;
    const isFinal = FINAL_CLOSE_CODES.has(code) && !(code === TOKEN_REFUSED && this.#forgetToken());
    this.#state = isFinal ? "closed" : "waiting";
    if (!isFinal) this.#retryTimer = setTimeout(() => void this.#connect(), wait);
    this.#disconnect();
    // Unless a listener has called leave() meanwhile.
    if (this.#state !== "closed" || isFinal) {
      this.#setState(this.#state, reason || `connection closed (${code})`);
    }
  }

  /** False if there can be no other token: without a function that gets one, or if its last one was refused too. */
  #forgetToken(): boolean {
    if (!this.#getToken || this.#tokenRefused) return false;
    this.#tokenRefused = true;
    this.#token = this.#ticket = undefined;
    return true;
  }

  /** Closes the connection and removes all participants. */
  #disconnect(): void {
    const isClosed = this.#state === "closed";
    this.objects.stop();
    this.#poses.stop();
    if (isClosed) clearTimeout(this.#retryTimer);
    this.#connection?.close(isClosed ? NORMAL_CLOSURE : CONNECTION_ABANDONED);
    this.#connection = null;
    this.#pid = 0;
    for (const pid of [...this.#participants.keys()]) this.#removeParticipant(pid);
  }

  /** Sends name and colour if they differ from those last sent. */
  #sendProfile(): void {
    if (this.#state !== "joined") return;
    if (this.#sentProfile.name === this.#name && this.#sentProfile.color === this.#color) return;
    this.#sentProfile = { name: this.#name, color: this.#color };
    this.#sendControl({ type: "update", ...this.#sentProfile });
  }

  /** False while not joined. */
  #sendControl(message: ClientMessage): boolean {
    return this.#state === "joined" && (this.#connection?.sendControl(message) ?? false);
  }

  /** False while not joined, or if the connection is too busy. */
  #sendFrame(frame: Uint8Array<ArrayBuffer>): boolean {
    return this.#state === "joined" && (this.#connection?.sendFrame(frame) ?? false);
  }

  get #isConnecting(): boolean {
    return this.#state === "connecting";
  }

  #setState(state: RoomState, reason: string): void {
    this.#state = state;
    this.#emit("state", { state, reason });
  }

  #emit<E extends keyof RoomEvents>(event: E, detail: RoomEvents[E]): void {
    this.#listeners.emit(event, detail);
  }
}

function checkToken(token: string): string {
  if (!isToken(token)) throw new TypeError("token: not a join token");
  return token;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function checkColor(color: string): void {
  if (!isColor(color)) throw new TypeError(`color ${JSON.stringify(color)}: expected #rrggbb`);
}
