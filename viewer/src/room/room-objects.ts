/** The part of `Room` that shares objects. */
import type { ClientMessage, Denied, ObjectEvent, SharedObject, Welcome } from "./messages.ts";
import { encodeMoves, type Move, type Moves, ProtocolError, type RigidPose } from "./messages-binary.ts";
import { type KnownRevision, SharedObjects } from "./objects.ts";

export interface ObjectEvents {
  /** An object is new, has another holder, or was put down. The detail is its state after the event. */
  object: SharedObject;
  /**
   * Another participant moved an object that they hold. The move reached the relay at `tickMs` minus `ageMs`.
   */
  moved: { readonly id: number; readonly pose: RigidPose; readonly tickMs: number; readonly ageMs: number };
  deleted: { readonly id: number };
  /** The relay refused a request of ours. For `spawn`, `ref` identifies the request. */
  denied: Omit<Denied, "type">;
}

/** The room, as its objects use it. */
export interface ObjectsContext {
  /** The client's own pid; 0 while not joined. */
  readonly pid: number;
  /** `tickMs` of the newest tick. */
  readonly ackTick: number;
  /** False while not joined. */
  sendControl(message: ClientMessage): boolean;
  sendFrame(frame: Uint8Array<ArrayBuffer>): boolean;
  emit<E extends keyof ObjectEvents>(event: E, detail: ObjectEvents[E]): void;
}

/** A lease ends after 5 s without a move. */
const RENEW_MS = 1000;
/** The relay accepts no more moves in one frame. */
const MAX_MOVES = 16;

/**
 * The objects of a room. A request has no effect until the relay answers with `object`, `deleted` or
 * `denied`; only the client's own moves and releases have an effect at once.
 */
export class RoomObjects {
  readonly #context: ObjectsContext;
  readonly #shared = new SharedObjects();
  /** Moves that are not sent yet, by object. */
  readonly #pending = new Map<number, RigidPose>();
  #ref = 0;
  #periodMs = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  #sendTimer: Timer | undefined;
  #renewTimer: Timer | undefined;

  constructor(context: ObjectsContext) {
    this.#context = context;
  }

  get all(): readonly SharedObject[] {
    return this.#shared.all;
  }

  get(id: number): SharedObject | undefined {
    return this.#shared.get(id);
  }

  /** Whether this client holds the object. */
  holds(id: number): boolean {
    return this.#context.pid !== 0 && this.#shared.get(id)?.owner === this.#context.pid;
  }

  /**
   * Requests a new object.
   * @param asset id in the bundle's catalogue
   * @returns the `ref` that a denial would carry; 0 while not joined, when nothing is requested
   */
  spawn(asset: string, pose: RigidPose, scale = 1): number {
    const ref = (this.#ref % 0xffffffff) + 1;
    if (!this.#context.sendControl({ type: "spawn", ref, asset, pose, scale })) return 0;
    this.#ref = ref;
    return ref;
  }

  /** Requests to hold an object. False while not joined. */
  grab(id: number): boolean {
    return this.#context.sendControl({ type: "grab", id });
  }

  /**
   * Moves an object that this client holds; no effect on others. Call it as often as there is a new pose: the
   * newest one is sent at the relay's rate.
   */
  move(id: number, pose: RigidPose): void {
    if (!this.holds(id)) return;
    this.#shared.place(id, pose);
    this.#pending.set(id, pose);
    if (this.#sendTimer !== undefined) return;
    const wait = this.#sentAt + this.#periodMs - performance.now();
    if (wait <= 0) this.#sendPending();
    else this.#sendTimer = setTimeout(() => this.#sendPending(), wait);
  }

  /** Releases an object, at `pose` or where it is. False if this client does not hold it. */
  release(id: number, pose?: RigidPose): boolean {
    const object = this.#shared.get(id);
    if (!object || !this.holds(id)) return false;
    this.#pending.delete(id);
    if (pose) this.#shared.place(id, pose);
    const { epoch } = object;
    return this.#context.sendControl({ type: "release", id, epoch, pose: pose ?? object.pose });
  }

  /** Requests to remove an object from the room. False while not joined. */
  delete(id: number): boolean {
    return this.#context.sendControl({ type: "delete", id });
  }

  /** For `Room`: part of `hello`. */
  get revision(): KnownRevision | undefined {
    return this.#shared.revision;
  }

  /** For `Room`: least time between two frames of moves. */
  setPeriod(periodMs: number): void {
    this.#periodMs = periodMs;
  }

  /** For `Room`: the room is joined. */
  start(welcome: Welcome): void {
    const { changed, gone } = this.#shared.welcome(welcome);
    this.#renewTimer = setInterval(() => this.#renewLeases(), RENEW_MS);
    for (const id of gone) this.#context.emit("deleted", { id });
    for (const object of changed) this.#context.emit("object", object);
  }

  /** For `Room`: the connection is lost. The objects stay, and may be out of date. */
  stop(): void {
    clearInterval(this.#renewTimer);
    clearTimeout(this.#sendTimer);
    this.#sendTimer = undefined;
    this.#pending.clear();
  }

  /** For `Room`. False if an event is missing: the connection is then useless. */
  receiveEvent(event: ObjectEvent): boolean {
    const object = this.#shared.apply(event);
    if (object === undefined) return false;
    if (object === null) this.#context.emit("deleted", { id: event.id });
    else this.#context.emit("object", object);
    return true;
  }

  /** For `Room`. */
  receiveDenied({ type: _, ...denied }: Denied): void {
    if (denied.object) this.#shared.correct(denied.object);
    this.#context.emit("denied", denied);
  }

  /** For `Room`. */
  receiveMoves({ tickMs, records }: Moves): void {
    for (const record of records) this.#receiveMove(record, tickMs);
  }

  #receiveMove({ id, epoch, ageMs, pose }: Move, tickMs: number): void {
    if (this.holds(id) || !this.#shared.move({ id, epoch, pose })) return;
    this.#context.emit("moved", { id, pose, tickMs, ageMs });
  }

  #renewLeases(): void {
    for (const { id, pose } of this.#shared.heldBy(this.#context.pid)) this.#pending.set(id, pose);
    this.#sendPending();
  }

  #sendPending(): void {
    clearTimeout(this.#sendTimer);
    this.#sendTimer = undefined;
    const moves = [...this.#pending].flatMap(([id, pose]) => {
      const object = this.#shared.get(id);
      return object && this.holds(id) ? [{ id, epoch: object.epoch, pose }] : [];
    });
    this.#pending.clear();
    for (let first = 0; first < moves.length; first += MAX_MOVES) {
      try {
        this.#context.sendFrame(encodeMoves(moves.slice(first, first + MAX_MOVES), this.#context.ackTick));
        this.#sentAt = performance.now();
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error; // a pose is not finite, or out of range
      }
    }
  }
}

type Timer = ReturnType<typeof setTimeout>;
