/**
 * A client's picture of the objects that a room shares: docs/protocol.md, "Shared objects", as pure state.
 */
import type { ObjectEvent, SharedObject, Welcome } from "./messages.ts";
import type { Move, RigidPose } from "./messages-binary.ts";

export class SharedObjects {
  private readonly known = new Map<number, SharedObject>();
  private life: { readonly incarnation: string; rev: number } | null = null;

  get all(): readonly SharedObject[] {
    return [...this.known.values()];
  }

  /** What to tell the relay, so that it sends no more than was missed. */
  get newest(): { readonly incarnation: string; readonly rev: number } | undefined {
    return this.life ?? undefined;
  }

  get(id: number): SharedObject | undefined {
    return this.known.get(id);
  }

  /** Starts over with a snapshot, or goes on where the relay does. Returns what is new or changed, and what is gone. */
  welcome({ incarnation, rev, objects }: Welcome): { changed: readonly SharedObject[]; gone: number[] } {
    this.life = { incarnation, rev };
    if (objects === null) return { changed: [], gone: [] };
    const ids = new Set(objects.map(({ id }) => id));
    const gone = [...this.known.keys()].filter((id) => !ids.has(id));
    this.known.clear();
    for (const object of objects) this.known.set(object.id, object);
    return { changed: objects, gone };
  }

  /**
   * Takes the next event. Returns the object as it is now, null when it is gone, and undefined when the event does not
   * follow the one before: what is known is then worth nothing, and is forgotten at the next snapshot.
   */
  apply(event: ObjectEvent): SharedObject | null | undefined {
    const before = this.known.get(event.id);
    if (
      !this.life ||
      event.rev !== this.life.rev + 1 ||
      (event.type === "spawned") === (before !== undefined)
    ) {
      this.life = null;
      return undefined;
    }
    this.life.rev = event.rev;
    if (event.type === "deleted") {
      this.known.delete(event.id);
      return null;
    }
    if (event.type === "spawned") {
      const { id, asset, pose, scale } = event;
      return this.put({ id, asset, pose, scale, owner: null, epoch: 0 });
    }
    const one = before as SharedObject;
    return event.type === "grabbed"
      ? this.put({ ...one, owner: event.owner, epoch: event.epoch })
      : this.put({ ...one, owner: null, pose: event.pose });
  }

  /** Where somebody moved an object. Null when it is not held, or no longer in that grab: the move is late, or early. */
  move({ id, epoch, pose }: Pick<Move, "id" | "epoch" | "pose">): SharedObject | null {
    const one = this.known.get(id);
    return one && one.owner !== null && one.epoch === epoch ? this.put({ ...one, pose }) : null;
  }

  /** The objects that a participant holds. */
  heldBy(pid: number): readonly SharedObject[] {
    return this.all.filter(({ owner }) => owner === pid);
  }

  /** Puts an object where one has let go of it, before the relay says so; `denied` and `released` set it right. */
  place(id: number, pose: RigidPose): void {
    const one = this.known.get(id);
    if (one) this.put({ ...one, pose });
  }

  /** Sets one right, from what `denied` says. */
  correct(object: SharedObject): void {
    if (this.known.has(object.id)) this.put(object);
  }

  private put(object: SharedObject): SharedObject {
    this.known.set(object.id, object);
    return object;
  }
}
