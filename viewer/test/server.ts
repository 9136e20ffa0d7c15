/** A server for the tests: files by uri, and what goes wrong with them. */
import type { FetchResponse, SendRequest } from "../src/core/network/fetcher.ts";
import type { VirtualClock } from "./clock.ts";

/** What one request gets: bytes, a status, a broken connection, or silence. */
export type Answer =
  | { readonly bytes: Uint8Array; readonly chunk?: number; readonly msPerChunk?: number }
  | { readonly status: number; readonly retryAfter?: string }
  | "refused"
  | "silent"
  | "stalls";

export class Server {
  readonly asked: string[] = [];
  readonly reloads: boolean[] = [];
  open = 0;
  readonly #clock: VirtualClock;
  readonly #answers = new Map<string, Answer[]>();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** The answers to the requests for a file, in order; the last one stays. */
  put(uri: string, ...answers: Answer[]): void {
    this.#answers.set(uri, answers);
  }

  readonly request: SendRequest = async (uri, signal, reload): Promise<FetchResponse> => {
    this.asked.push(uri);
    this.reloads.push(reload);
    const answers = this.#answers.get(uri) ?? [{ status: 404 }];
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === "refused" || answer === undefined) throw new TypeError("connection refused");
    if (answer === "silent") return await aborted(signal);
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
    await aborted(signal);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
