/** What a visitor gets from streaming: the time to the first picture and to full detail, and stalls. */

/** A silence of this length, while files are on their way, is a stall. */
export const STALL_MS = 1000;

/** The state of a page in one frame. */
export interface VisitState {
  /** Assets that are drawn. */
  readonly shown: number;
  /** Files that are being fetched. */
  readonly loading: number;
  /** Nothing more is wanted for the present view. */
  readonly isSettled: boolean;
  /** Bytes received so far. */
  readonly totalBytes: number;
}

/** Numbers since the last report; the times are in the first report after they were measured, and no other. */
export interface VisitReport {
  readonly firstMs?: number;
  readonly detailMs?: number;
  readonly stalls: number;
  readonly stalledMs: number;
}

export class VisitMeter {
  #firstMs: number | null = null;
  #detailMs: number | null = null;
  #isFirstReported = false;
  #isDetailReported = false;
  #stalls = 0;
  #stalledMs = 0;
  #bytes = -1;
  /** When bytes arrived last, or requests began. */
  #aliveAt = 0;
  #isStalled = false;
  #observedAt: number | null = null;

  /** Call once per frame. @param now milliseconds since the visit began */
  observe({ shown, loading, isSettled, totalBytes }: VisitState, now: number): void {
    // A hidden tab draws no frames: nobody waits there.
    const wasHidden = this.#observedAt !== null && now - this.#observedAt > STALL_MS;
    this.#observedAt = now;
    if (shown > 0) this.#firstMs ??= now;
    if (shown > 0 && isSettled) this.#detailMs ??= now;
    if (loading === 0 || totalBytes !== this.#bytes || wasHidden) {
      this.#bytes = totalBytes;
      if (this.#isStalled && !wasHidden) this.#stalledMs += now - this.#aliveAt;
      this.#isStalled = false;
      this.#aliveAt = now;
    } else if (!this.#isStalled && now - this.#aliveAt >= STALL_MS) {
      this.#isStalled = true;
      this.#stalls++;
    }
  }

  /** What is new since the last report that was sent; null if nothing is. */
  report(): VisitReport | null {
    const isFirst = this.#firstMs !== null && !this.#isFirstReported;
    const isDetail = this.#detailMs !== null && !this.#isDetailReported;
    if (!isFirst && !isDetail && this.#stalls === 0 && this.#stalledMs === 0) return null;
    return {
      ...(isFirst && { firstMs: Math.round(this.#firstMs as number) }),
      ...(isDetail && { detailMs: Math.round(this.#detailMs as number) }),
      stalls: this.#stalls,
      stalledMs: Math.round(this.#stalledMs),
    };
  }

  /** The report was sent. Numbers of a report that was not go into the next one. */
  sent(report: VisitReport): void {
    this.#isFirstReported ||= report.firstMs !== undefined;
    this.#isDetailReported ||= report.detailMs !== undefined;
    this.#stalls -= report.stalls;
    this.#stalledMs = Math.max(0, this.#stalledMs - report.stalledMs);
  }
}
