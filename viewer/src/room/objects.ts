/** The client's copy of the objects in a room, as pure state: docs/protocol.md, "Shared objects". */
import type { ObjectEvent, SharedObject, Welcome } from "./messages.ts";
import type { Move, RigidPose } from "./messages-binary.ts";

/** One life of the room and the number of the newest event received in it. */
export interface KnownRevision {
  readonly incarnation: string;
  readonly rev: number;
}

export class SharedObjects {
  readonly #objects = new Map<number, SharedObject>();
  #revision: KnownRevision | undefined;

  get all(): readonly SharedObject[] {
    return [...this.#objects.values()];
  }

  /** For `hello`: the relay then sends only the events after it. Undefined if the copy is not complete. */
  get revision(): KnownRevision | undefined {
    return this.#revision;
  }

  get(id: number): SharedObject | undefined {
    return this.#objects.get(id);
  }

  /**
   * Takes a welcome: replaces all objects by its snapshot, or keeps them if it has none.
   * @returns the objects of the snapshot, and the ids of objects that no longer exist
   */
  welcome({ incarnation, rev, objects }: Welcome): { changed: readonly SharedObject[]; gone: number[] } {
    this.#revision = { incarnation, rev };
    if (objects === null) return { changed: [], gone: [] };
    const ids = new Set(objects.map(({ id }) => id));
    const gone = [...this.#objects.keys()].filter((id) => !ids.has(id));
    this.#objects.clear();
    for (const object of objects) this.#objects.set(object.id, object);
    return { changed: objects, gone };
  }

  /**
   * Applies the next event.
   * @returns the object after the event; null if it was deleted; undefined if an event is missing before this
   * one. The copy is then out of date until the next snapshot.
   */
  apply(event: ObjectEvent): SharedObject | null | undefined {
    const revision = this.#revision;
    const object = this.#objects.get(event.id);
    const isNew = event.type === "spawned";
    if (!revision || event.rev !== revision.rev + 1 || isNew === (object !== undefined)) {
      this.#revision = undefined;
      return undefined;
    }
    this.#revision = { ...revision, rev: event.rev };
    if (event.type === "deleted") {
      this.#objects.delete(event.id);
      return null;
    }
    if (event.type === "spawned") {
      const { id, asset, pose, scale } = event;
      return this.#put({ id, asset, pose, scale, owner: null, epoch: 0 });
    }
    const before = object as SharedObject;
    return event.type === "grabbed"
      ? this.#put({ ...before, owner: event.owner, epoch: event.epoch })
      : this.#put({ ...before, owner: null, pose: event.pose });
  }

  /**
   * Applies a move by another participant.
   * @returns false if nobody holds the object or the move is of another epoch: it came late, or early
   */
  move({ id, epoch, pose }: Pick<Move, "id" | "epoch" | "pose">): boolean {
    const object = this.#objects.get(id);
    if (!object || object.owner === null || object.epoch !== epoch) return false;
    this.#put({ ...object, pose });
    return true;
  }

  /** The objects that a participant holds. */
  heldBy(pid: number): readonly SharedObject[] {
    return this.all.filter(({ owner }) => owner === pid);
  }

  /** Moves an object before the relay confirms it; `denied` or `released` corrects a wrong pose. */
  place(id: number, pose: RigidPose): void {
    const object = this.#objects.get(id);
    if (object) this.#put({ ...object, pose });
  }

  /** Replaces an object by the relay's state of it, from `denied`. */
  correct(object: SharedObject): void {
    if (this.#objects.has(object.id)) this.#put(object);
  }

  #put(object: SharedObject): SharedObject {
    this.#objects.set(object.id, object);
    return object;
  }
}
