/** A virtual clock with timers. Time passes only in calls of `pass`. */
export class VirtualClock {
  #now = 0;
  #timers: { readonly at: number; readonly ring: () => void }[] = [];

  readonly now = (): number => this.#now;

  readonly wait = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
        reject(signal.reason);
      };
      const ring = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const timer = { at: this.#now + ms, ring };
      this.#timers.push(timer);
      signal.addEventListener("abort", onAbort);
    });

  /** Runs all pending tasks that do not wait for time. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Advances the clock, timer by timer. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.ring();
      await this.settle();
    }
    this.#now = end;
  }
}
