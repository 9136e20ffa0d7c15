/**
 * One HTTP/2 connection in virtual time, open since the catalogue came over it. Responses share the rate of
 * the link, and an aborted response still costs bytes.
 *
 * An abort stops a response only when it reaches the server, and the bytes in the server's socket arrive
 * nevertheless: measured at 5 Mbit/s, one response of 250 KB in flight delays the next by half a second.
 */
import type { BandwidthEstimator, Transfer } from "../src/core/network/bandwidth.ts";
import type { NetworkTrace } from "./network.ts";

/** Bytes that a server writes into its socket ahead of the network. */
const SEND_BUFFER_BYTES = 256 * 1024;
/** A page receives bodies in chunks of this size. */
const CHUNK_BYTES = 16 * 1024;
/** Fewer missing bytes than this are rounding errors. */
const EPSILON_BYTES = 1e-6;

interface PendingResponse {
  readonly uri: string;
  readonly transfer: Transfer;
  readonly firstByteAt: number;
  missing: number;
  received: number;
  /** Bytes since the last chunk. */
  unreported: number;
  aborted: boolean;
}

export interface Arrival {
  readonly uri: string;
  readonly received: number;
  readonly complete: boolean;
}

export class Link {
  /** All bytes that the link has carried. */
  carried = 0;
  /** Of these, the bytes of aborted responses. */
  aborted = 0;
  readonly #network: NetworkTrace;
  readonly #estimator: BandwidthEstimator;
  #responses: PendingResponse[] = [];

  constructor(network: NetworkTrace, estimator: BandwidthEstimator) {
    this.#network = network;
    this.#estimator = estimator;
  }

  request(uri: string, bytes: number, now: number): void {
    this.#responses.push({
      uri,
      transfer: this.#estimator.opened(now),
      firstByteAt: now + this.#network.rttMs,
      missing: bytes,
      received: 0,
      unreported: 0,
      aborted: false,
    });
  }

  abort(uri: string, now: number): void {
    const response = this.#responses.find((each) => each.uri === uri && !each.aborted);
    if (!response) return;
    response.aborted = true;
    response.transfer.closed(now);
    this.aborted += response.received;
    // The abort reaches the server before it has sent anything.
    if (response.firstByteAt > now + this.#network.rttMs / 2) response.missing = 0;
    const buffered = this.#responses.reduce(
      (sum, each) => sum + (each.aborted ? each.missing : 0),
      -response.missing,
    );
    const onItsWay = this.#network.rate(now) * this.#network.rttMs;
    response.missing = Math.min(response.missing, onItsWay + Math.max(0, SEND_BUFFER_BYTES - buffered));
  }

  /** Advances time by a few milliseconds and returns the chunks that a page receives. */
  advance(from: number, to: number): Arrival[] {
    const streaming = this.#responses.filter(
      ({ firstByteAt, missing }) => firstByteAt <= from && missing > 0,
    );
    let budget = this.#network.rate(from) * (to - from);
    // The smallest first: the bytes that they do not need go to the others.
    streaming.sort((a, b) => a.missing - b.missing);
    const arrivals: Arrival[] = [];
    streaming.forEach((response, i) => {
      const bytes = Math.min(response.missing, budget / (streaming.length - i));
      budget -= bytes;
      response.missing -= bytes;
      response.received += bytes;
      this.carried += bytes;
      if (response.aborted) this.aborted += bytes;
      else this.#report(response, bytes, to, arrivals);
    });
    this.#responses = this.#responses.filter(({ missing }) => missing > EPSILON_BYTES);
    return arrivals;
  }

  /** Reports bytes to the estimator and the page, chunk by chunk. */
  #report(response: PendingResponse, bytes: number, now: number, arrivals: Arrival[]): void {
    const complete = response.missing <= EPSILON_BYTES;
    response.unreported += bytes;
    response.transfer.headers(now);
    if (response.unreported < CHUNK_BYTES && !complete) return;
    response.transfer.received(now, response.unreported);
    response.unreported = 0;
    if (complete) response.transfer.closed(now);
    arrivals.push({ uri: response.uri, received: Math.round(response.received), complete });
  }
}
