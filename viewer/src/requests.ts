import type { FetchResponse } from "./core/network/fetcher.ts";

/** One request as the page saw it; times of performance.now(), null until they have happened. */
export interface RequestRecord {
  readonly url: string;
  readonly start: number;
  firstByte: number | null;
  end: number | null;
  bytes: number;
  /** HTTP status; 0 when there was no answer. */
  status: number;
  /** True when it was aborted or broke off. */
  broken: boolean;
}

/** Changes a request before it is sent: headers, credentials, a signed address for a private CDN. */
export type RequestHook = (request: Request) => Request | Promise<Request>;

const KEPT_RECORDS = 1000;

/**
 * Sends the bundle's requests. Addresses in a bundle are relative to its `bundle.json`; files are named by their
 * content, so one name on two hosts is one file, and the last host named for it is asked.
 */
export class Requests {
  hook: RequestHook | null = null;
  record = false;
  /** Filled when `record` is set; the oldest are dropped. */
  readonly log: RequestRecord[] = [];
  private readonly roots = new Map<string, string>();

  /** Remembers where a bundle's file is. */
  place(uri: string, bundle: string): void {
    this.roots.set(uri, bundle);
  }

  /** The address of a file: an absolute one is left as it is. */
  address(uri: string): string {
    return new URL(uri, this.roots.get(uri) ?? document.baseURI).href;
  }

  /**
   * GETs a file. Rejects when there is no answer at all; a status is an answer.
   * @param reload what the cache holds is damaged: go past it, and put the new one there
   */
  readonly send = async (
    uri: string,
    signal?: AbortSignal,
    reload = false,
  ): Promise<FetchResponse & { json(): Promise<unknown> }> => {
    const url = this.address(uri);
    // As three.js and <link rel=preload crossorigin> ask, so that all of them share the browser's cache.
    let request = new Request(url, {
      signal: signal ?? null,
      credentials: "same-origin",
      cache: reload ? "reload" : "default",
    });
    if (this.hook) request = await this.hook(request);
    const record = this.open(url);
    try {
      const response = await fetch(request);
      if (record) record.status = response.status;
      return {
        status: response.status,
        headers: response.headers,
        body: record && response.body ? follow(response.body, record) : response.body,
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

  /** Whether a file came out of the browser's cache the last time; false where the server hides it. */
  readonly fromCache = (uri: string): boolean => {
    const timing = performance.getEntriesByName(this.address(uri), "resource").at(-1);
    if (!(timing instanceof PerformanceResourceTiming)) return false;
    return timing.transferSize === 0 && timing.decodedBodySize > 0;
  };

  private open(url: string): RequestRecord | null {
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
    if (this.log.length > KEPT_RECORDS) this.log.shift();
    return record;
  }
}

async function* follow(body: ReadableStream<Uint8Array>, record: RequestRecord): AsyncGenerator<Uint8Array> {
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
    // Left early: the consumer gave up, or the connection broke.
    if (record.end === null) {
      record.broken = true;
      reader.cancel().catch(() => {});
    }
  }
}
