import { type BodyPose, encodeAck, encodePose, ProtocolError } from "./messages-binary.ts";

/** Without an own pose for this many periods, the client answers ticks by acknowledgements. */
const ACK_AFTER_PERIODS = 1.5;
/** Least periods between two acknowledgements: after a long frame, the ticks that waited need one answer. */
const ACK_GAP_PERIODS = 0.5;

/** Sends the client's own pose at the relay's rate, and acknowledges the relay's ticks. */
export class PoseSender {
  /** Least time between two poses, milliseconds. */
  periodMs = 0;
  readonly #sendFrame: (frame: Uint8Array<ArrayBuffer>) => boolean;
  #ackTick = 0;
  #seq = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  #pending: BodyPose | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ackedAt = Number.NEGATIVE_INFINITY;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param sendFrame returns false if the frame was not sent */
  constructor(sendFrame: (frame: Uint8Array<ArrayBuffer>) => boolean) {
    this.#sendFrame = sendFrame;
  }

  /** `tickMs` of the newest tick received; 0 before the first. */
  get ackTick(): number {
    return this.#ackTick;
  }

  /** The room is joined. */
  start(): void {
    this.#ackTick = 0;
  }

  /** The connection is lost or closed: the pose that waits is dropped. */
  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#ackTimer);
    this.#timer = this.#ackTimer = undefined;
    this.#pending = null;
  }

  /** Sends a pose as soon as the rate allows, unless a newer one replaces it before. */
  send(pose: BodyPose): void {
    this.#pending = pose;
    if (this.#timer !== undefined) return;
    const wait = this.#sentAt + this.periodMs - performance.now();
    if (wait <= 0) this.#sendPending();
    else this.#timer = setTimeout(() => this.#sendPending(), wait);
  }

  /**
   * Notes a received tick. Each pose names the newest tick; without a recent pose, the tick is acknowledged
   * by itself, since the relay sends no more to a client that does not answer.
   */
  acknowledge(tickMs: number): void {
    if (tickMs === this.#ackTick) return; // the poses and the moves of one tick come in two frames
    this.#ackTick = tickMs;
    const now = performance.now();
    if (now - this.#sentAt <= ACK_AFTER_PERIODS * this.periodMs) return;
    const wait = this.#ackedAt + ACK_GAP_PERIODS * this.periodMs - now;
    if (wait <= 0) this.#sendAck();
    else this.#ackTimer ??= setTimeout(() => this.#sendAck(), wait);
  }

  #sendAck(): void {
    clearTimeout(this.#ackTimer); // a hidden page's timers are late
    this.#ackTimer = undefined;
    this.#ackedAt = performance.now();
    this.#sendFrame(encodeAck(this.#ackTick));
  }

  #sendPending(): void {
    const pose = this.#pending;
    this.#timer = undefined;
    this.#pending = null;
    if (!pose) return;
    let frame: Uint8Array<ArrayBuffer>;
    try {
      frame = encodePose(pose, this.#seq, this.#ackTick);
    } catch (error) {
      if (error instanceof ProtocolError) return; // not finite, or out of range
      throw error;
    }
    if (!this.#sendFrame(frame)) return;
    this.#seq = (this.#seq + 1) & 0xffff;
    this.#sentAt = performance.now();
    clearTimeout(this.#ackTimer); // the pose names the newest tick
    this.#ackTimer = undefined;
  }
}
