/** A server in virtual time, with files by uri and faults. */
import type { FetchResponse, SendRequest } from "../src/core/network/fetcher.ts";
import type { VirtualClock } from "./clock.ts";

/** The answer to one request: bytes, a status, a refused connection, no answer, or a body that stalls. */
export type Answer =
  | { readonly bytes: Uint8Array; readonly chunk?: number; readonly msPerChunk?: number }
  | { readonly status: number; readonly retryAfter?: string }
  | "refused"
  | "silent"
  | "stalls";

export class Server {
  /** The uris of all requests so far, and whether each bypassed the cache. */
  readonly requested: string[] = [];
  readonly reloads: boolean[] = [];
  /** Number of bodies that are being sent. */
  open = 0;
  readonly #clock: VirtualClock;
  readonly #answers = new Map<string, Answer[]>();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** Sets the answers to the requests for a file, in order. The last one repeats. */
  put(uri: string, ...answers: Answer[]): void {
    this.#answers.set(uri, answers);
  }

  readonly request: SendRequest = async (uri, signal, reload): Promise<FetchResponse> => {
    this.requested.push(uri);
    this.reloads.push(reload);
    const answers = this.#answers.get(uri) ?? [{ status: 404 }];
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === "refused" || answer === undefined) throw new TypeError("connection refused");
    if (answer === "silent") return await untilAborted(signal);
    if (answer === "stalls") return { status: 200, body: this.#stall(signal) };
    if ("status" in answer) {
      const get = (name: string) => (name === "Retry-After" ? (answer.retryAfter ?? null) : null);
      return { status: answer.status, headers: { get }, body: null };
    }
    return { status: 200, body: this.#stream(answer, signal) };
  };

  async *#stream(
    { bytes, chunk = 1000, msPerChunk = 0 }: { bytes: Uint8Array; chunk?: number; msPerChunk?: number },
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    this.open++;
    try {
      for (let from = 0; from < bytes.length; from += chunk) {
        if (msPerChunk > 0) await this.#clock.wait(msPerChunk, signal);
        yield bytes.slice(from, from + chunk);
      }
    } finally {
      this.open--;
    }
  }

  async *#stall(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10);
    await untilAborted(signal);
  }
}

/** Rejects with the signal's reason. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
