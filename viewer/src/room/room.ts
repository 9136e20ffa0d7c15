/**
 * A seat in a relay's room: connects, says hello, keeps the list of who is present, passes poses both ways,
 * and comes back by itself when the line is lost.
 */

import { Listeners } from "./listeners.ts";
import type { ClientMessage, Profile, Role, RoomLimits } from "./messages.ts";
import {
  type BodyPose,
  decodeMoves,
  decodeTick,
  encodeAck,
  encodePose,
  holdsMoves,
  type PoseRecord,
  ProtocolError,
} from "./messages-binary.ts";
import {
  cleanName,
  encodeControl,
  FINAL_CLOSE_CODES,
  isColor,
  parseControl,
  SUBPROTOCOL,
} from "./messages-json.ts";
import { isToken } from "./names.ts";
import { backOff, roomUrl } from "./reconnect.ts";
import { type ObjectEvents, RoomObjects } from "./room-objects.ts";

export type RoomState =
  /** A socket is being opened, or hello is not yet answered. */
  | "connecting"
  /** Present: poses go both ways. */
  | "joined"
  /** The line is lost; another attempt is due. */
  | "waiting"
  /** For good: `leave` was called, or the relay refused in a way that would not change. */
  | "closed";

export interface RoomEvents extends ObjectEvents {
  /** `reason` is for people: why it is waiting or closed. */
  state: { readonly state: RoomState; readonly reason: string };
  joined: Profile;
  /** Also sent for everyone when the line is lost: who is still there joins again. */
  left: { readonly pid: number };
  updated: Profile;
  /** Poses of others who are present. `tickMs` minus a record's `ageMs` is when it arrived at the relay. */
  poses: { readonly tickMs: number; readonly records: readonly PoseRecord[] };
  /** What another participant sent with their `signal`. */
  signal: { readonly from: number; readonly data: string };
  /** The relay did not obey a message of ours; for developers. */
  error: { readonly code: string; readonly message: string };
}

export interface RoomOptions {
  /** The relay: `ws://host:8787`, `wss://…`, or the same with http(s); a path before `/ws/` is kept. */
  readonly relay: string | URL;
  /** 1–64 of A–Z a–z 0–9 . _ - */
  readonly room: string;
  /** Shown to others; unprintable characters are left out. */
  readonly name: string;
  /** `#rrggbb`. */
  readonly color: string;
  /** A join token, where the relay asks for one. */
  readonly token?: string | undefined;
  /** Where there is no WebSocket, or another is wanted. */
  readonly WebSocket?: new (
    url: string,
    protocols: string,
  ) => WebSocket;
}

/** A relay sends a keyframe every second. Silence this long means that the line is dead. */
const SILENCE_MS = 10_000;
/** Present for this long, an attempt counts as a success, and the next loss starts from the first wait. */
const SETTLED_MS = 10_000;
/** Bytes not yet taken by the network. With more than this, a pose would be old before it leaves. */
const MAX_BUFFERED = 4096;
/** Close codes of our own. */
const GOODBYE = 1000;
const LINE_GIVEN_UP = 4000;
/** Periods of the tick without a pose of one's own after which ticks are answered by themselves. */
const SILENT_PERIODS = 1.5;

/** Joins by itself. Listeners added in the same turn of the event loop miss nothing. */
export class Room {
  private readonly url: string;
  private readonly Socket: NonNullable<RoomOptions["WebSocket"]>;
  private readonly listeners = new Listeners<RoomEvents>();
  /** What is shared in the room, and what one may do with it. */
  readonly objects: RoomObjects;
  private readonly token: string | undefined;
  private readonly present = new Map<number, Profile>();
  private socket: WebSocket | null = null;
  private current: RoomState = "connecting";
  private name: string;
  private color: string;
  /** Name and colour as the relay last heard them. */
  private said = { name: "", color: "" };
  private ownPid = 0;
  private ownRole: Role = "viewer";
  /** The key to one's seat, for coming back. */
  private seatKey: string | undefined;
  private allowed: RoomLimits | null = null;
  private attempt = 0;
  private joinedAt = 0;
  private drainMs: number | null = null;
  private heardAt = 0;
  private watch: Timer | undefined;
  private retry: Timer | undefined;
  private periodMs = 0;
  private sentAt = Number.NEGATIVE_INFINITY;
  private pending: BodyPose | null = null;
  private flush: Timer | undefined;
  private seq = 0;
  private ackTick = 0;

  /** @throws TypeError when an option is not valid */
  constructor(options: RoomOptions) {
    this.url = roomUrl(options.relay, options.room);
    if (!isColor(options.color))
      throw new TypeError(`color ${JSON.stringify(options.color)}: expected #rrggbb`);
    if (options.token !== undefined && !isToken(options.token))
      throw new TypeError("token: not a join token");
    this.token = options.token;
    this.name = cleanName(options.name);
    this.color = options.color;
    this.Socket = options.WebSocket ?? WebSocket;
    const room = this;
    this.objects = new RoomObjects({
      get pid() {
        return room.ownPid;
      },
      get ackTick() {
        return room.ackTick;
      },
      say: (message) => this.current === "joined" && this.say(message),
      send: (frame) => this.send(frame),
      emit: (event, detail) => this.emit(event, detail as RoomEvents[typeof event]),
    });
    queueMicrotask(() => {
      if (this.current !== "closed") this.open();
    });
  }

  get state(): RoomState {
    return this.current;
  }

  /** One's own participant id; 0 while not joined. */
  get pid(): number {
    return this.ownPid;
  }

  /** What one may do with objects; `viewer` before the first welcome. */
  get role(): Role {
    return this.ownRole;
  }

  /** Everyone else who is in the room, present or away. */
  get participants(): readonly Profile[] {
    return [...this.present.values()];
  }

  /** What the relay allows; null before the first welcome. */
  get limits(): RoomLimits | null {
    return this.allowed;
  }

  /** Calls `listener` at each such event; the returned function ends that. */
  on<E extends keyof RoomEvents>(event: E, listener: (detail: RoomEvents[E]) => void): () => void {
    return this.listeners.on(event, listener);
  }

  /**
   * One's own pose, as often as there is one: it is sent at most at the relay's tick rate, and always the
   * newest. While not joined, or when a number in it is not finite, it is dropped.
   */
  sendPose(pose: BodyPose): void {
    if (this.current !== "joined") return;
    this.pending = pose;
    if (this.flush !== undefined) return;
    const wait = this.sentAt + this.periodMs - performance.now();
    if (wait <= 0) this.sendPending();
    else this.flush = setTimeout(() => this.sendPending(), wait);
  }

  /** For the operator's dashboards. False when it could not be sent: keep the bytes for the next time. */
  sendStats(stats: { bandwidthBps: number; cdnBytes: number }): boolean {
    const message = {
      bandwidthBps: Math.min(Math.max(stats.bandwidthBps, 0) || 0, 1e12),
      cdnBytes: Math.min(Math.max(Math.round(stats.cdnBytes), 0) || 0, 1e12),
    };
    return this.current === "joined" && this.say({ type: "stats", ...message });
  }

  /** Changes one's own name or colour, now and after reconnecting. */
  update(change: { name?: string; color?: string }): void {
    if (change.color !== undefined && !isColor(change.color)) {
      throw new TypeError(`color ${JSON.stringify(change.color)}: expected #rrggbb`);
    }
    if (change.name !== undefined) this.name = cleanName(change.name);
    if (change.color !== undefined) this.color = change.color;
    this.sayWhoIAm();
  }

  /** Hands text of up to 8,192 characters to one other participant, to agree on a call, say. False while not joined. */
  signal(to: number, data: string): boolean {
    return this.current === "joined" && this.say({ type: "signal", to, data });
  }

  /** Leaves for good. */
  leave(): void {
    if (this.current === "closed") return;
    this.current = "closed";
    this.drop();
    this.enter("closed", "left");
  }

  private open(): void {
    this.enter("connecting", "");
    if (this.current !== "connecting") return; // a listener left
    let socket: WebSocket;
    try {
      socket = new this.Socket(this.url, SUBPROTOCOL);
    } catch (error) {
      // A page over https may not open ws: that is thrown, not reported later, and will not change.
      this.enter("closed", error instanceof Error ? error.message : String(error));
      return;
    }
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heardAt = performance.now();
    this.drainMs = null;
    // Each handler asks whether its socket is still the one: a dropped one may have events under way.
    socket.onopen = () => {
      if (this.socket !== socket) return;
      this.said = { name: this.name, color: this.color };
      this.say({
        type: "hello",
        ...this.said,
        token: this.token,
        resume: this.seatKey,
        ...this.objects.newest,
      });
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.socket === socket) this.hear(event.data);
    };
    socket.onclose = (event: CloseEvent) => {
      if (this.socket === socket) this.lost(event.code, event.reason);
    };
    this.watch = setInterval(() => {
      if (performance.now() - this.heardAt > SILENCE_MS) this.lost(1006, "the relay is silent");
    }, SILENCE_MS / 4);
  }

  private hear(data: unknown): void {
    this.heardAt = performance.now();
    try {
      if (typeof data === "string") this.hearControl(data);
      else if (data instanceof ArrayBuffer) this.hearFrame(data);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.emit("error", { code: "relay", message: error.message });
    }
  }

  private hearControl(text: string): void {
    const message = parseControl(text);
    switch (message?.type) {
      case "welcome":
        this.ownPid = message.pid;
        this.ownRole = message.role;
        this.seatKey = message.resume;
        this.allowed = message.limits;
        this.keepPace(message.tickHz);
        this.ackTick = 0;
        this.joinedAt = performance.now();
        for (const profile of message.participants) this.present.set(profile.pid, profile);
        this.enter("joined", "");
        for (const profile of message.participants) {
          if (this.present.get(profile.pid) === profile) this.emit("joined", profile);
        }
        if (this.current === "joined") this.objects.start(message);
        this.sayWhoIAm();
        break;
      case "joined":
        this.seat({ pid: message.pid, name: message.name, color: message.color, away: false });
        break;
      case "updated":
        if (this.present.has(message.pid)) {
          const { type: _, ...profile } = message;
          this.present.set(message.pid, profile);
          this.emit("updated", profile);
        }
        break;
      case "left":
        this.unseat(message.pid);
        break;
      case "spawned":
      case "grabbed":
      case "released":
      case "deleted":
        if (!this.objects.hear(message)) this.lost(LINE_GIVEN_UP, "an event of the room is missing");
        break;
      case "denied":
        this.objects.hearDenied(message);
        break;
      case "signal":
        this.emit("signal", { from: message.from, data: message.data });
        break;
      case "error":
        this.emit("error", { code: message.code, message: message.message });
        break;
      case "pace":
        this.keepPace(message.tickHz);
        break;
      case "drain":
        this.drainMs = message.retryMs;
        break;
    }
  }

  private hearFrame(frame: ArrayBuffer): void {
    if (holdsMoves(frame)) {
      const moves = decodeMoves(frame);
      this.acknowledge(moves.tickMs);
      this.objects.hearMoves(moves);
    } else {
      this.hearTick(frame);
    }
  }

  private hearTick(frame: ArrayBuffer): void {
    const { tickMs, records } = decodeTick(frame);
    this.acknowledge(tickMs);
    const others = records.filter((record) => this.present.has(record.pid));
    if (others.length > 0) this.emit("poses", { tickMs, records: others });
  }

  /** A pose tells the relay which tick came; whoever has sent none lately must say so, or gets no more. */
  private acknowledge(tickMs: number): void {
    if (tickMs === this.ackTick) return; // poses and moves of one tick
    this.ackTick = tickMs;
    if (this.current === "joined" && performance.now() - this.sentAt > SILENT_PERIODS * this.periodMs)
      this.send(encodeAck(tickMs));
  }

  private keepPace(tickHz: number): void {
    this.periodMs = 1000 / Math.min(tickHz, this.allowed?.posesPerSecond ?? tickHz);
    this.objects.keepPace(this.periodMs);
  }

  private seat(profile: Profile): void {
    if (profile.pid === this.ownPid) return;
    this.unseat(profile.pid);
    this.present.set(profile.pid, profile);
    this.emit("joined", profile);
  }

  private unseat(pid: number): void {
    if (this.present.delete(pid)) this.emit("left", { pid });
  }

  private lost(code: number, reason: string): void {
    const why = reason || `connection closed (${code})`;
    if (this.current === "joined" && performance.now() - this.joinedAt > SETTLED_MS) this.attempt = 0;
    const wait = this.drainMs ?? backOff(this.attempt, Math.random());
    this.attempt++;
    const final = FINAL_CLOSE_CODES.has(code);
    this.current = final ? "closed" : "waiting";
    if (!final) this.retry = setTimeout(() => this.open(), wait);
    this.drop();
    // A listener may have left for good meanwhile.
    if (this.current !== "closed" || final) this.enter(this.current, why);
  }

  /** Lets go of the socket, of its timers and of everyone present. */
  private drop(): void {
    clearInterval(this.watch);
    clearTimeout(this.flush);
    this.objects.stop();
    if (this.current === "closed") clearTimeout(this.retry);
    this.flush = undefined;
    this.pending = null;
    const socket = this.socket;
    this.socket = null;
    // Only who leaves says goodbye: for anybody else the relay keeps the seat.
    socket?.close(this.current === "closed" ? GOODBYE : LINE_GIVEN_UP);
    this.ownPid = 0;
    for (const pid of [...this.present.keys()]) this.unseat(pid);
  }

  private sendPending(): void {
    clearTimeout(this.flush);
    this.flush = undefined;
    const pose = this.pending;
    this.pending = null;
    if (!pose) return;
    let frame: Uint8Array<ArrayBuffer>;
    try {
      frame = encodePose(pose, this.seq, this.ackTick);
    } catch (error) {
      if (error instanceof ProtocolError) return;
      throw error;
    }
    if (!this.send(frame)) return;
    this.seq = (this.seq + 1) & 0xffff;
    this.sentAt = performance.now();
  }

  /** False when the line is gone, or so busy that the frame would be old before it leaves. */
  private send(frame: Uint8Array<ArrayBuffer>): boolean {
    const socket = this.socket;
    if (!socket || socket.readyState !== socket.OPEN || socket.bufferedAmount > MAX_BUFFERED) return false;
    socket.send(frame);
    return true;
  }

  private sayWhoIAm(): void {
    if (this.current !== "joined") return;
    if (this.said.name === this.name && this.said.color === this.color) return;
    this.said = { name: this.name, color: this.color };
    this.say({ type: "update", ...this.said });
  }

  private say(message: ClientMessage): boolean {
    const socket = this.socket;
    if (!socket || socket.readyState !== socket.OPEN) return false;
    socket.send(encodeControl(message));
    return true;
  }

  private enter(state: RoomState, reason: string): void {
    this.current = state;
    this.emit("state", { state, reason });
  }

  private emit<E extends keyof RoomEvents>(event: E, detail: RoomEvents[E]): void {
    this.listeners.emit(event, detail);
  }
}

type Timer = ReturnType<typeof setTimeout>;
