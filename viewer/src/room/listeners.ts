/** Who wants to hear of what. */
export class Listeners<Events extends object> {
  private readonly lists = new Map<keyof Events, Set<(detail: never) => void>>();

  /** Calls `listener` at each such event; the returned function ends that. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    const list = this.lists.get(event) ?? new Set();
    this.lists.set(event, list.add(listener));
    return () => {
      list.delete(listener);
    };
  }

  /** Whoever begins to listen meanwhile hears of the next one. */
  emit<E extends keyof Events>(event: E, detail: Events[E]): void {
    for (const listener of [...(this.lists.get(event) ?? [])]) {
      try {
        (listener as (detail: Events[E]) => void)(detail);
      } catch (error) {
        // A fault in a listener is reported as one, and must not leave the caller half changed.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
