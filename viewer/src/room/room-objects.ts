/** What one may do with the objects of a room, and what becomes of it: the part of `Room` that shares objects. */
import type { ClientMessage, Denied, ObjectEvent, SharedObject, Welcome } from "./messages.ts";
import { encodeMoves, type Move, type Moves, ProtocolError, type RigidPose } from "./messages-binary.ts";
import { SharedObjects } from "./objects.ts";

export interface ObjectEvents {
  /** An object is new, or its holder changed, or it was put down; as it is now. */
  object: SharedObject;
  /** Somebody else moved what they hold. `tickMs` minus `ageMs` is when the move arrived at the relay. */
  moved: { readonly id: number; readonly pose: RigidPose; readonly tickMs: number; readonly ageMs: number };
  deleted: { readonly id: number };
  /** What one asked for was not done; for `spawn`, `ref` says which. */
  denied: Omit<Denied, "type">;
}

/** How the objects reach the relay and the page. */
export interface ObjectLine {
  readonly pid: number;
  /** `tickMs` of the newest tick. */
  readonly ackTick: number;
  say(message: ClientMessage): boolean;
  send(frame: Uint8Array<ArrayBuffer>): boolean;
  emit<E extends keyof ObjectEvents>(event: E, detail: ObjectEvents[E]): void;
}

/** A lease ends after five seconds of silence. */
const RENEW_MS = 1000;
/** What the relay takes in one frame. */
const MAX_MOVES = 16;

/**
 * The objects of a room. Asking changes nothing at once: `object`, `deleted` and `denied` tell what became of it. Only
 * what one moves or puts down oneself is there immediately.
 */
export class RoomObjects {
  private readonly shared = new SharedObjects();
  /** Moved and not yet sent. */
  private readonly pending = new Map<number, RigidPose>();
  private ref = 0;
  private periodMs = 0;
  private sentAt = Number.NEGATIVE_INFINITY;
  private flush: Timer | undefined;
  private renewal: Timer | undefined;

  constructor(private readonly line: ObjectLine) {}

  get all(): readonly SharedObject[] {
    return this.shared.all;
  }

  get(id: number): SharedObject | undefined {
    return this.shared.get(id);
  }

  /** Whether one holds it. */
  holds(id: number): boolean {
    return this.line.pid !== 0 && this.shared.get(id)?.owner === this.line.pid;
  }

  /**
   * Asks for a new object: an asset of the catalogue, here, so large. Returns the `ref` that a denial would carry;
   * 0 while not joined, when nothing is asked.
   */
  spawn(asset: string, pose: RigidPose, scale = 1): number {
    const ref = (this.ref % 0xffffffff) + 1;
    if (!this.line.say({ type: "spawn", ref, asset, pose, scale })) return 0;
    this.ref = ref;
    return ref;
  }

  /** Asks to hold an object. False while not joined. */
  grab(id: number): boolean {
    return this.line.say({ type: "grab", id });
  }

  /** Moves what one holds; anything else is left alone. As often as there is a new pose: the newest is sent. */
  move(id: number, pose: RigidPose): void {
    if (!this.holds(id)) return;
    this.shared.place(id, pose);
    this.pending.set(id, pose);
    if (this.flush !== undefined) return;
    const wait = this.sentAt + this.periodMs - performance.now();
    if (wait <= 0) this.sendPending();
    else this.flush = setTimeout(() => this.sendPending(), wait);
  }

  /** Lets go of what one holds, here or where it is. False when one does not hold it. */
  release(id: number, pose?: RigidPose): boolean {
    const one = this.shared.get(id);
    if (!one || !this.holds(id)) return false;
    this.pending.delete(id);
    if (pose) this.shared.place(id, pose);
    return this.line.say({ type: "release", id, epoch: one.epoch, pose: pose ?? one.pose });
  }

  /** Asks to take an object out of the room. False while not joined. */
  delete(id: number): boolean {
    return this.line.say({ type: "delete", id });
  }

  /** For `Room`: what to say in hello. */
  get newest(): { readonly incarnation: string; readonly rev: number } | undefined {
    return this.shared.newest;
  }

  /** For `Room`: the relay's pace. */
  keepPace(periodMs: number): void {
    this.periodMs = periodMs;
  }

  /** For `Room`: joined. */
  start(welcome: Welcome): void {
    const { changed, gone } = this.shared.welcome(welcome);
    this.renewal = setInterval(() => this.renew(), RENEW_MS);
    for (const id of gone) this.line.emit("deleted", { id });
    for (const object of changed) this.line.emit("object", object);
  }

  /** For `Room`: the line is lost. What is known stays, and may be old. */
  stop(): void {
    clearInterval(this.renewal);
    clearTimeout(this.flush);
    this.flush = undefined;
    this.pending.clear();
  }

  /** For `Room`. False: events are missing, and the line is of no more use. */
  hear(event: ObjectEvent): boolean {
    const object = this.shared.apply(event);
    if (object === undefined) return false;
    if (object === null) this.line.emit("deleted", { id: event.id });
    else this.line.emit("object", object);
    return true;
  }

  /** For `Room`. */
  hearDenied({ type: _, ...denied }: Denied): void {
    if (denied.object) this.shared.correct(denied.object);
    this.line.emit("denied", denied);
  }

  /** For `Room`. */
  hearMoves({ tickMs, records }: Moves): void {
    for (const record of records) this.hearMove(record, tickMs);
  }

  private hearMove({ id, epoch, ageMs, pose }: Move, tickMs: number): void {
    if (this.holds(id) || !this.shared.move({ id, epoch, pose })) return;
    this.line.emit("moved", { id, pose, tickMs, ageMs });
  }

  private renew(): void {
    for (const { id, pose } of this.shared.heldBy(this.line.pid)) this.pending.set(id, pose);
    this.sendPending();
  }

  private sendPending(): void {
    clearTimeout(this.flush);
    this.flush = undefined;
    const moves = [...this.pending].flatMap(([id, pose]) => {
      const one = this.shared.get(id);
      return one && this.holds(id) ? [{ id, epoch: one.epoch, pose }] : [];
    });
    this.pending.clear();
    for (let at = 0; at < moves.length; at += MAX_MOVES) {
      try {
        this.line.send(encodeMoves(moves.slice(at, at + MAX_MOVES), this.line.ackTick));
        this.sentAt = performance.now();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error; // a pose that is nowhere is not sent
      }
    }
  }
}

type Timer = ReturnType<typeof setTimeout>;
