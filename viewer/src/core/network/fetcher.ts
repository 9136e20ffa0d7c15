/**
 * Fetches the files of a bundle. Bodies are measured by the bandwidth estimator, failures are retried with
 * back-off, size and hash are checked, and simultaneous requests for one file are shared.
 *
 * Clock, random numbers and network are passed in, so the fetcher runs in virtual time as it does in a page.
 */
import type { BandwidthEstimator, Transfer } from "./bandwidth.ts";

/** The used part of a `fetch` Response. */
export interface FetchResponse {
  readonly status: number;
  readonly headers?: { get(name: string): string | null };
  readonly body: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | null;
}

/**
 * Sends one GET. In a page:
 * `(uri, signal, reload) => fetch(new URL(uri, bundle), { signal, cache: reload ? "reload" : "default" })`.
 * The promise and the body must both fail when the signal aborts.
 *
 * @param reload bypass the cache, which has a damaged copy
 */
export type SendRequest = (uri: string, signal: AbortSignal, reload: boolean) => Promise<FetchResponse>;

/** A file of a bundle. Its name contains its hash, and its size is known in advance. */
export interface BundleFile {
  readonly uri: string;
  readonly bytes: number;
}

export interface FetcherOptions {
  readonly request: SendRequest;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Uniform in [0, 1): the jitter of the back-off. */
  readonly random: () => number;
  /** Resolves after so many milliseconds; rejects when the signal aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly bandwidth?: BandwidthEstimator;
  /** `crypto.subtle`. Absent where the page is not a secure context: hashes are not checked there. */
  readonly subtle?: Pick<SubtleCrypto, "digest">;
  /** Whether the browser's cache answered a finished request (Resource Timing). Its bytes do not count. */
  readonly fromCache?: (uri: string) => boolean;
  /** While the browser is offline: a promise that resolves when it is online again; else null. */
  readonly offline?: () => Promise<void> | null;
}

/** Requests for one file before it is given up for now, the first one included. */
export const ATTEMPTS = 4;
/** Longest pause before the first retry; each further one may be twice as long, milliseconds. */
const BACK_OFF_MS = 500;
export const LONGEST_BACK_OFF_MS = 8000;
/** Longest pause that a busy server may require (`Retry-After`), milliseconds. */
const LONGEST_RETRY_AFTER_MS = 60_000;
/** After this time without any byte, the connection counts as lost and another one is tried, milliseconds. */
export const SILENCE_MS = 20_000;
/** Upper bound on the sizes that a manifest may claim: no page could hold such a file, bytes. */
const LARGEST_FILE = 512 * 1024 * 1024;

/** The server does not have the file, or not for us: some stores answer 403 for a missing object. */
const PERMANENT_STATUS = new Set([400, 401, 403, 404, 405, 406, 410, 414, 451]);
/** The last 32 hexadecimal digits before the extension. */
const HASH = /([0-9a-f]{32})\.[a-z0-9]+$/;

/** A file could not be fetched. */
export class FetchError extends Error {
  readonly uri: string;
  /** A further request is useless: the server does not have the file, or has another one under its name. */
  readonly permanent: boolean;
  /** The pause that the server requires (`Retry-After`), milliseconds. */
  readonly retryAfterMs: number;
  constructor(
    uri: string,
    problem: string,
    permanent: boolean,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number } = {},
  ) {
    super(`${uri}: ${problem}`, options);
    this.name = "FetchError";
    this.uri = uri;
    this.permanent = permanent;
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

/** The body is not the file of that name: perhaps a damaged copy in a cache. One more request follows. */
class DamagedError extends FetchError {}

/**
 * Receives the progress of the current attempt.
 *
 * @param received bytes so far
 * @param head those bytes, not checked yet; absent when an attempt starts, or when a call joins a request
 */
export type ProgressListener = (received: number, head?: Uint8Array) => void;

/** A request that several callers wait for. */
interface SharedRequest {
  readonly bytes: Promise<Uint8Array>;
  readonly controller: AbortController;
  readonly listeners: Set<ProgressListener>;
  received: number;
  callers: number;
}

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #requests = new Map<string, SharedRequest>();

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  /** Milliseconds of the fetcher's clock. */
  now(): number {
    return this.#options.now();
  }

  /**
   * Resolves with the bytes of a file. Simultaneous calls with the same uri share one request, which is
   * aborted when the last of them is aborted. Each call gets its own copy of the bytes.
   *
   * Temporary failures (no answer, silence, 408, 425, 429, 5xx, a body cut short) are retried up to
   * `ATTEMPTS` times, after a random pause of up to `BACK_OFF_MS` × 2ⁿ ("full jitter": clients that failed
   * together do not return together), plus the pause that the server requires. A body that is not the file of
   * that name is fetched once more, past the cache, and then given up.
   *
   * @throws FetchError if the file is given up, or the signal's reason if it was aborted
   */
  fetch(file: BundleFile, signal?: AbortSignal, progress?: ProgressListener): Promise<Uint8Array> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!(file.bytes <= LARGEST_FILE)) {
      return Promise.reject(
        new FetchError(file.uri, `claims ${file.bytes} bytes, more than a page can hold`, true),
      );
    }
    const shared = this.#requests.get(file.uri) ?? this.#share(file);
    shared.callers++;
    if (progress) {
      shared.listeners.add(progress);
      if (shared.received > 0) progress(shared.received);
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        signal?.removeEventListener("abort", onAbort);
        if (progress) shared.listeners.delete(progress);
      };
      const onAbort = () => {
        leave();
        shared.callers--;
        if (shared.callers === 0) {
          // Forgotten at once, so that another call in the same moment starts a new request.
          if (this.#requests.get(file.uri) === shared) this.#requests.delete(file.uri);
          shared.controller.abort(signal?.reason);
        }
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      shared.bytes
        .finally(leave)
        // A caller may transfer its buffer to a worker, so only a single caller gets the original.
        .then((bytes) => resolve(shared.callers > 1 ? bytes.slice() : bytes), reject);
    });
  }

  #share(file: BundleFile): SharedRequest {
    const controller = new AbortController();
    const listeners = new Set<ProgressListener>();
    const progress: ProgressListener = (received, head) => {
      shared.received = received;
      for (const listener of listeners) listener(received, head);
    };
    const bytes = this.#fetchWithRetries(file, controller.signal, progress).finally(() => {
      if (this.#requests.get(file.uri) === shared) this.#requests.delete(file.uri);
    });
    const shared: SharedRequest = { bytes, controller, listeners, received: 0, callers: 0 };
    this.#requests.set(file.uri, shared);
    return shared;
  }

  async #fetchWithRetries(
    file: BundleFile,
    signal: AbortSignal,
    progress: ProgressListener,
  ): Promise<Uint8Array> {
    let wasDamaged = false;
    for (let attempt = 1; ; ) {
      const result = await this.#attemptOrFailure(file, signal, wasDamaged, progress);
      if (!(result instanceof FetchError)) return result;
      const online = this.#options.offline?.() ?? null;
      if (!online && attempt >= ATTEMPTS) throw result;
      wasDamaged ||= result instanceof DamagedError;
      progress(0);
      // A failure while offline does not count as an attempt.
      if (online) await this.#waitUntilOnline(online, signal);
      else await this.#options.wait(result.retryAfterMs + this.#backOff(attempt++), signal);
    }
  }

  /**
   * Resolves with the bytes or with a temporary failure.
   *
   * @throws FetchError if the failure is permanent, or the signal's reason if it was aborted
   */
  async #attemptOrFailure(
    file: BundleFile,
    signal: AbortSignal,
    wasDamaged: boolean,
    progress: ProgressListener,
  ): Promise<Uint8Array | FetchError> {
    try {
      const bytes = await this.#attempt(file, signal, wasDamaged, progress);
      if (await this.#isGenuine(file, bytes)) return bytes;
      throw new DamagedError(file.uri, "is damaged: its SHA-256 is not the one in its name", wasDamaged);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const failure = asFetchError(file, error);
      if (failure.permanent) throw failure;
      return failure;
    }
  }

  /**
   * Waits until the browser is online again, or for the longest back-off: browsers call a page offline that
   * can still reach its own machine.
   */
  async #waitUntilOnline(online: Promise<void>, signal: AbortSignal): Promise<void> {
    const controller = new AbortController();
    const forwardAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", forwardAbort, { once: true });
    try {
      await Promise.race([online, this.#options.wait(LONGEST_BACK_OFF_MS, controller.signal)]);
    } finally {
      signal.removeEventListener("abort", forwardAbort);
      controller.abort();
    }
  }

  #backOff(attempt: number): number {
    return this.#options.random() * Math.min(LONGEST_BACK_OFF_MS, BACK_OFF_MS * 2 ** (attempt - 1));
  }

  /** One request, aborted after `SILENCE_MS` without a byte. */
  async #attempt(
    file: BundleFile,
    signal: AbortSignal,
    reload: boolean,
    progress: ProgressListener,
  ): Promise<Uint8Array> {
    const { now, wait } = this.#options;
    const controller = new AbortController();
    const forwardAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", forwardAbort, { once: true });
    let lastByteAt = now();
    const watchSilence = async () => {
      for (let left = SILENCE_MS; left > 0; left = lastByteAt + SILENCE_MS - now()) {
        await wait(left, controller.signal);
      }
      controller.abort(new FetchError(file.uri, `nothing has arrived for ${SILENCE_MS / 1000} s`, false));
    };
    watchSilence().catch(() => {});
    try {
      return await this.#request(file, controller.signal, reload, (received, head) => {
        lastByteAt = now();
        progress(received, head);
      });
    } catch (error) {
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      signal.removeEventListener("abort", forwardAbort);
      controller.abort();
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
        const retryAfterMs = parseRetryAfter(headers?.get("Retry-After") ?? null);
        throw new FetchError(file.uri, `the server answers ${status}`, PERMANENT_STATUS.has(status), {
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
      // A hostile server could send without end.
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

  /** Whether the bytes have the hash that is in the file's name. */
  async #isGenuine(file: BundleFile, bytes: Uint8Array): Promise<boolean> {
    const expected = HASH.exec(file.uri)?.[1];
    if (!this.#options.subtle || expected === undefined) return true;
    const digest = await this.#options.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
    const first16 = [...new Uint8Array(digest, 0, 16)];
    return first16.map((byte) => byte.toString(16).padStart(2, "0")).join("") === expected;
  }
}

function asFetchError(file: BundleFile, error: unknown): FetchError {
  if (error instanceof FetchError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FetchError(file.uri, message, false, { cause: error });
}

/** The header's seconds as milliseconds; 0 for its other form, a date, which needs the server's clock. */
function parseRetryAfter(header: string | null): number {
  if (header === null || !/^\d{1,9}$/.test(header)) return 0;
  return Math.min(LONGEST_RETRY_AFTER_MS, 1000 * Number(header));
}

/** Safari's ReadableStream is not iterable. Leaving the loop early cancels either kind of body. */
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
