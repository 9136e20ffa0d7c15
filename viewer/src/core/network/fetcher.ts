/**
 * Fetches the files of a bundle: streaming into the bandwidth estimate, retried with back-off, checked against the
 * size and the hash that are known before, and each at most once at a time.
 *
 * It owns no clock, no chance and no network: all are passed in, so that it runs in virtual time as it does in a page.
 */
import type { BandwidthEstimator, Transfer } from "./bandwidth.ts";

/** What the fetcher needs of a response; a `fetch` Response is one. */
export interface FetchResponse {
  readonly status: number;
  readonly headers?: { get(name: string): string | null };
  readonly body: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | null;
}

/**
 * Sends one GET: `(uri, signal, reload) => fetch(new URL(uri, bundle), { signal, cache: reload ? "reload" : "default" })`
 * in a page. Both the promise and the body must fail when the signal is aborted.
 *
 * @param reload what the cache holds is damaged: go past it
 */
export type SendRequest = (uri: string, signal: AbortSignal, reload: boolean) => Promise<FetchResponse>;

/** A file of a bundle: its name holds its hash, and its size is known before. */
export interface BundleFile {
  readonly uri: string;
  readonly bytes: number;
}

export interface FetcherOptions {
  readonly request: SendRequest;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Uniform in [0, 1): jitter of the back-off. */
  readonly random: () => number;
  /** Resolves after so many milliseconds; rejects when the signal is aborted. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly bandwidth?: BandwidthEstimator;
  /** `crypto.subtle`; absent where the page is not a secure context: then hashes go unchecked. */
  readonly subtle?: Pick<SubtleCrypto, "digest">;
  /** Whether a finished request came out of the browser's cache (Resource Timing); its bytes are then not counted. */
  readonly fromCache?: (uri: string) => boolean;
  /** Where it can be told that there is no network at all: what resolves once there is one again, else null. */
  readonly offline?: () => Promise<void> | null;
}

/** Requests for one file, the first included, before it is given up for now. */
export const ATTEMPTS = 4;
/** The first pause is up to this long, each further one up to twice as long, milliseconds. */
export const BACK_OFF_MS = 500;
export const LONGEST_BACK_OFF_MS = 8000;
/** A server that is busy may ask for a pause of up to this long (`Retry-After`), milliseconds. */
export const LONGEST_RETRY_AFTER_MS = 60_000;
/** No answer, or no further byte, for this long: the connection is taken for dead and another is tried. */
export const SILENCE_MS = 20_000;

/** A manifest may claim any size; no file of a bundle is near this one, and a page could not hold it, bytes. */
export const LARGEST_FILE = 512 * 1024 * 1024;

/** Not on the server, or not for us: 403 is what some stores answer an anonymous reader for a missing object. */
const PERMANENT = new Set([400, 401, 403, 404, 405, 406, 410, 414, 451]);
/** The last 32 hexadecimal digits before the extension. */
const HASH = /([0-9a-f]{32})\.[a-z0-9]+$/;

/** A file was not fetched. */
export class FetchError extends Error {
  readonly uri: string;
  /** Asking again is useless: the server does not have it, or what it has is not the file. */
  readonly permanent: boolean;
  /** How long the server asks to be left alone, milliseconds. */
  readonly retryAfterMs: number;
  constructor(
    uri: string,
    what: string,
    permanent: boolean,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ) {
    super(`${uri}: ${what}`, options);
    this.name = "FetchError";
    this.uri = uri;
    this.permanent = permanent;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

/** Not the file of that name. It may be a damaged copy in a cache on the way, so it is worth one more request. */
class DamagedError extends FetchError {}

/** Hears how many bytes of the current attempt have arrived, and which: they are not checked yet. */
export type ProgressListener = (received: number, soFar?: Uint8Array) => void;

interface Shared {
  readonly bytes: Promise<Uint8Array>;
  readonly stop: AbortController;
  readonly listeners: Set<ProgressListener>;
  received: number;
  callers: number;
}

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #shared = new Map<string, Shared>();

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  /** The clock it runs on, milliseconds. */
  now(): number {
    return this.#options.now();
  }

  /**
   * The bytes of a file. Callers that ask for the same uri at the same time share one request, which is aborted when
   * the last of them has aborted. Each gets bytes of its own.
   *
   * Failures that may pass (no answer, silence, 408, 425, 429, 5xx, a body cut short) are tried again up to
   * `ATTEMPTS` times, after a random pause of up to `BACK_OFF_MS` × 2ⁿ ("full jitter": clients that failed together do
   * not come back together), on top of the pause that the server asks for. A body that is not the file of that name is fetched once more, past the cache, and then
   * given up.
   *
   * @throws FetchError; or the signal's reason when it was aborted
   */
  fetch(file: BundleFile, signal?: AbortSignal, progress?: ProgressListener): Promise<Uint8Array> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!(file.bytes <= LARGEST_FILE)) {
      return Promise.reject(
        new FetchError(file.uri, `claims ${file.bytes} bytes, more than a page can hold`, true),
      );
    }
    const shared = this.#shared.get(file.uri) ?? this.#begin(file);
    shared.callers++;
    if (progress) {
      shared.listeners.add(progress);
      if (shared.received > 0) progress(shared.received);
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        signal?.removeEventListener("abort", aborted);
        if (progress) shared.listeners.delete(progress);
      };
      const aborted = () => {
        leave();
        shared.callers--;
        if (shared.callers === 0) {
          // Gone at once, so that who asks again in the same moment gets a request of its own.
          if (this.#shared.get(file.uri) === shared) this.#shared.delete(file.uri);
          shared.stop.abort(signal?.reason);
        }
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", aborted, { once: true });
      shared.bytes
        .finally(leave)
        // Bytes may be moved to a worker: only a single caller gets the very buffer.
        .then((bytes) => resolve(shared.callers > 1 ? bytes.slice() : bytes), reject);
    });
  }

  #begin(file: BundleFile): Shared {
    const stop = new AbortController();
    const listeners = new Set<ProgressListener>();
    const progress: ProgressListener = (received, soFar) => {
      shared.received = received;
      for (const listener of listeners) listener(received, soFar);
    };
    const bytes = this.#fetchWithRetries(file, stop.signal, progress).finally(() => {
      if (this.#shared.get(file.uri) === shared) this.#shared.delete(file.uri);
    });
    const shared: Shared = { bytes, stop, listeners, received: 0, callers: 0 };
    this.#shared.set(file.uri, shared);
    return shared;
  }

  async #fetchWithRetries(
    file: BundleFile,
    signal: AbortSignal,
    progress: ProgressListener,
  ): Promise<Uint8Array> {
    let damaged = false;
    for (let attempt = 1; ; attempt++) {
      try {
        const bytes = await this.#attempt(file, signal, damaged, progress);
        if (await this.#isGenuine(file, bytes)) return bytes;
        throw new DamagedError(file.uri, "is damaged: its SHA-256 is not the one in its name", damaged);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        const failure =
          error instanceof FetchError
            ? error
            : new FetchError(file.uri, reason(error), false, { cause: error });
        if (failure.permanent) throw failure;
        const back = this.#options.offline?.() ?? null;
        if (back) attempt--;
        else if (attempt >= ATTEMPTS) throw failure;
        damaged ||= failure instanceof DamagedError;
        progress(0);
        await (back
          ? this.#reunion(back, signal)
          : this.#options.wait(failure.retryAfterMs + this.#pause(attempt), signal));
      }
    }
  }

  /**
   * The network is back, as far as one can tell: a page that only reaches its own machine counts as offline to
   * browsers, so it is tried now and then.
   */
  async #reunion(back: Promise<void>, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const forward = () => stop.abort(signal.reason);
    signal.addEventListener("abort", forward, { once: true });
    try {
      await Promise.race([back, this.#options.wait(LONGEST_BACK_OFF_MS, stop.signal)]);
    } finally {
      signal.removeEventListener("abort", forward);
      stop.abort();
    }
  }

  #pause(attempt: number): number {
    return this.#options.random() * Math.min(LONGEST_BACK_OFF_MS, BACK_OFF_MS * 2 ** (attempt - 1));
  }

  /** One request, ended when it falls silent. */
  async #attempt(
    file: BundleFile,
    signal: AbortSignal,
    reload: boolean,
    progress: ProgressListener,
  ): Promise<Uint8Array> {
    const { now, wait } = this.#options;
    const stop = new AbortController();
    const forward = () => stop.abort(signal.reason);
    signal.addEventListener("abort", forward, { once: true });
    let heard = now();
    const watch = async () => {
      for (let left = SILENCE_MS; left > 0; left = heard + SILENCE_MS - now()) await wait(left, stop.signal);
      stop.abort(new FetchError(file.uri, `nothing has arrived for ${SILENCE_MS / 1000} s`, false));
    };
    watch().catch(() => {});
    try {
      return await this.#request(file, stop.signal, reload, (received, soFar) => {
        heard = now();
        progress(received, soFar);
      });
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      signal.removeEventListener("abort", forward);
      stop.abort();
    }
  }

  async #request(
    file: BundleFile,
    signal: AbortSignal,
    reload: boolean,
    progress: ProgressListener,
  ): Promise<Uint8Array> {
    const { request, now, bandwidth, fromCache } = this.#options;
    const transfer = bandwidth?.opened(now());
    let cached = false;
    try {
      const { status, headers, body } = await request(file.uri, signal, reload);
      transfer?.headers(now());
      if (status !== 200) {
        if (body) discard(body);
        const retryAfterMs = retryAfter(headers?.get("Retry-After") ?? null);
        throw new FetchError(file.uri, `the server answers ${status}`, PERMANENT.has(status), {
          retryAfterMs,
        });
      }
      if (!body) throw new FetchError(file.uri, "the answer has no body", false);
      const bytes = await this.#read(file, body, reload, transfer, progress);
      cached = fromCache?.(file.uri) ?? false;
      return bytes;
    } finally {
      transfer?.closed(now(), { cached });
    }
  }

  async #read(
    file: BundleFile,
    body: NonNullable<FetchResponse["body"]>,
    reload: boolean,
    transfer: Transfer | undefined,
    progress: ProgressListener,
  ): Promise<Uint8Array> {
    const bytes = new Uint8Array(file.bytes);
    let received = 0;
    for await (const chunk of chunksOf(body)) {
      transfer?.received(this.#options.now(), chunk.byteLength);
      // Never more than was announced: a hostile server could send for ever.
      if (received + chunk.byteLength > file.bytes) {
        throw new DamagedError(file.uri, `is longer than the ${file.bytes} bytes announced`, reload);
      }
      bytes.set(chunk, received);
      received += chunk.byteLength;
      progress(received, bytes.subarray(0, received));
    }
    if (received < file.bytes) {
      throw new FetchError(file.uri, `ends after ${received} of ${file.bytes} bytes`, false);
    }
    return bytes;
  }

  async #isGenuine(file: BundleFile, bytes: Uint8Array): Promise<boolean> {
    const named = HASH.exec(file.uri)?.[1];
    if (!this.#options.subtle || named === undefined) return true;
    const digest = await this.#options.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
    const first16 = [...new Uint8Array(digest, 0, 16)];
    return first16.map((byte) => byte.toString(16).padStart(2, "0")).join("") === named;
  }
}

/** The header in seconds, as milliseconds. Its other form, a date, would need the server's clock. */
function retryAfter(header: string | null): number {
  if (header === null || !/^\d{1,9}$/.test(header)) return 0;
  return Math.min(LONGEST_RETRY_AFTER_MS, 1000 * Number(header));
}

/** Safari's ReadableStream is not iterable; leaving early cancels either kind. */
async function* chunksOf(body: NonNullable<FetchResponse["body"]>): AsyncGenerator<Uint8Array> {
  if (!("getReader" in body)) {
    yield* body;
    return;
  }
  const reader = body.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
    ended = true;
  } finally {
    if (!ended) reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}

function discard(body: NonNullable<FetchResponse["body"]>): void {
  if ("getReader" in body) body.cancel().catch(() => {});
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
