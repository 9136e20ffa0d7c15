/** The listeners of an object, by event. */
export class Listeners<Events extends object> {
  readonly #byEvent = new Map<keyof Events, Set<(detail: never) => void>>();

  /** Calls `listener` at each such event; the returned function removes it. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    const listeners = this.#byEvent.get(event) ?? new Set();
    this.#byEvent.set(event, listeners.add(listener));
    return () => {
      listeners.delete(listener);
    };
  }

  /** Calls the listeners of an event; a listener that is added meanwhile is called from the next event on. */
  emit<E extends keyof Events>(event: E, detail: Events[E]): void {
    for (const listener of [...(this.#byEvent.get(event) ?? [])]) {
      try {
        (listener as (detail: Events[E]) => void)(detail);
      } catch (error) {
        // Thrown in a task of its own: the page sees the error, and the caller finishes its change of state.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
