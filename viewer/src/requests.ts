import type { FetchResponse } from "./core/network/fetcher.ts";

/** One request, for tests. Times are those of performance.now(), and null before the event. */
export interface RequestRecord {
  readonly url: string;
  readonly start: number;
  firstByte: number | null;
  end: number | null;
  bytes: number;
  /** HTTP status; 0 without an answer. */
  status: number;
  /** True if the request was aborted or broke off. */
  broken: boolean;
}

/**
 * Changes a request before it is sent, for example its headers, credentials or address (signed, for a private
 * CDN).
 */
export type RequestHook = (request: Request) => Request | Promise<Request>;

const MAX_RECORDS = 1000;

/**
 * Sends the requests for bundle files. Addresses in a bundle are relative to its `bundle.json`. Files are
 * named by their content, so the same name in two bundles is the same file; it is fetched from the bundle
 * that was set last.
 */
export class Requests {
  hook: RequestHook | null = null;
  record = false;
  /** Filled while `record` is set; the oldest are dropped. */
  readonly log: RequestRecord[] = [];
  readonly #bundles = new Map<string, string>();

  /**
   * Sets the bundle of a file.
   * @param bundle address of its `bundle.json`
   */
  setBundle(uri: string, bundle: string): void {
    this.#bundles.set(uri, bundle);
  }

  /** The absolute address of a file. */
  address(uri: string): string {
    return new URL(uri, this.#bundles.get(uri) ?? document.baseURI).href;
  }

  /**
   * Fetches a file with GET. Rejects only if there is no answer; any HTTP status is an answer.
   * @param reload replaces the browser's cached copy, because it is damaged
   */
  readonly send = async (
    uri: string,
    signal?: AbortSignal,
    reload = false,
  ): Promise<FetchResponse & { json(): Promise<unknown> }> => {
    const url = this.address(uri);
    // The same mode as of three.js and <link rel=preload crossorigin>, so that all share the browser's cache.
    let request = new Request(url, {
      signal: signal ?? null,
      credentials: "same-origin",
      cache: reload ? "reload" : "default",
    });
    if (this.hook) request = await this.hook(request);
    const record = this.#openRecord(url);
    try {
      const response = await fetch(request);
      if (record) record.status = response.status;
      return {
        status: response.status,
        headers: response.headers,
        body: record && response.body ? recordedBody(response.body, record) : response.body,
        json: async () => {
          const value: unknown = await response.json();
          if (record) record.end = performance.now();
          return value;
        },
      };
    } catch (error) {
      if (record) record.broken = true;
      throw error;
    }
  };

  /**
   * Whether the last request for a file was answered by the browser's cache; false if the server hides
   * timings.
   */
  readonly fromCache = (uri: string): boolean => {
    const timing = performance.getEntriesByName(this.address(uri), "resource").at(-1);
    if (!(timing instanceof PerformanceResourceTiming)) return false;
    return timing.transferSize === 0 && timing.decodedBodySize > 0;
  };

  #openRecord(url: string): RequestRecord | null {
    if (!this.record) return null;
    const record: RequestRecord = {
      url,
      start: performance.now(),
      firstByte: null,
      end: null,
      bytes: 0,
      status: 0,
      broken: false,
    };
    this.log.push(record);
    if (this.log.length > MAX_RECORDS) this.log.shift();
    return record;
  }
}

/** The chunks of a body, noted in a record. */
async function* recordedBody(
  body: ReadableStream<Uint8Array>,
  record: RequestRecord,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        record.end = performance.now();
        return;
      }
      record.firstByte ??= performance.now();
      record.bytes += value.byteLength;
      yield value;
    }
  } finally {
    // The consumer stopped early, or the connection broke.
    if (record.end === null) {
      record.broken = true;
      reader.cancel().catch(() => {});
    }
  }
}
