/**
 * One HTTP/2 connection in virtual time, open since the catalogue came over it: responses share the rate of the link, and what was aborted still costs.
 *
 * An abort stops a response only when it has reached the server, and what the server's socket already holds comes
 * nevertheless: measured at 5 Mbit/s, one response of 250 KB in flight delays what follows by half a second.
 */
import type { BandwidthEstimator, Transfer } from "../src/core/network/bandwidth.ts";
import type { NetworkTrace } from "./network.ts";

/** What a server has written into its socket before the network took it. */
const SEND_BUFFER_BYTES = 256 * 1024;
/** What a page sees of a body is chunks. */
const CHUNK_BYTES = 16 * 1024;

interface Flight {
  readonly uri: string;
  readonly transfer: Transfer;
  readonly firstByteAt: number;
  left: number;
  received: number;
  unsaid: number;
  /** Aborted: its bytes go nowhere. */
  dead: boolean;
}

export interface Arrival {
  readonly uri: string;
  readonly received: number;
  readonly complete: boolean;
}

export class Link {
  /** All bytes that the link carried. */
  carried = 0;
  /** Of those, what belonged to responses that were aborted. */
  aborted = 0;
  readonly #network: NetworkTrace;
  readonly #estimator: BandwidthEstimator;
  #flights: Flight[] = [];

  constructor(network: NetworkTrace, estimator: BandwidthEstimator) {
    this.#network = network;
    this.#estimator = estimator;
  }

  request(uri: string, bytes: number, now: number): void {
    const firstByteAt = now + this.#network.rttMs;
    const transfer = this.#estimator.opened(now);
    this.#flights.push({ uri, transfer, firstByteAt, left: bytes, received: 0, unsaid: 0, dead: false });
  }

  abort(uri: string, now: number): void {
    const flight = this.#flights.find((each) => each.uri === uri && !each.dead);
    if (!flight) return;
    flight.dead = true;
    flight.transfer.closed(now);
    this.aborted += flight.received;
    // Not even begun: the server drops it before it has sent anything.
    if (flight.firstByteAt > now + this.#network.rttMs / 2) flight.left = 0;
    const buffered = this.#flights.reduce((sum, { dead, left }) => sum + (dead ? left : 0), -flight.left);
    const onItsWay = this.#network.rate(now) * this.#network.rttMs;
    flight.left = Math.min(flight.left, onItsWay + Math.max(0, SEND_BUFFER_BYTES - buffered));
  }

  /** Lets time pass from one moment to another, a few milliseconds, and returns what a page would have seen. */
  pass(from: number, to: number): Arrival[] {
    const streaming = this.#flights.filter(({ firstByteAt, left }) => firstByteAt <= from && left > 0);
    let budget = this.#network.rate(from) * (to - from);
    // The smallest first, so that what they leave goes to the others.
    streaming.sort((a, b) => a.left - b.left);
    const arrivals: Arrival[] = [];
    streaming.forEach((flight, i) => {
      const bytes = Math.min(flight.left, budget / (streaming.length - i));
      budget -= bytes;
      flight.left -= bytes;
      flight.received += bytes;
      this.carried += bytes;
      if (flight.dead) this.aborted += bytes;
      else this.#tell(flight, bytes, to, arrivals);
    });
    this.#flights = this.#flights.filter(({ left }) => left > 1e-6);
    return arrivals;
  }

  #tell(flight: Flight, bytes: number, now: number, arrivals: Arrival[]): void {
    const complete = flight.left <= 1e-6;
    flight.unsaid += bytes;
    flight.transfer.headers(now);
    if (flight.unsaid < CHUNK_BYTES && !complete) return;
    flight.transfer.received(now, flight.unsaid);
    flight.unsaid = 0;
    if (complete) flight.transfer.closed(now);
    arrivals.push({ uri: flight.uri, received: Math.round(flight.received), complete });
  }
}
