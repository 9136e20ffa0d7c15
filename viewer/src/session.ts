import { AssetState, type Download } from "./core/asset.ts";
import { BandwidthEstimator } from "./core/bandwidth.ts";
import type { Catalogue, CatalogueEntry, Manifest } from "./core/bundle.ts";
import { Fetcher } from "./core/fetcher.ts";
import { ManifestError, parseCatalogue } from "./core/manifest.ts";
import { DEFAULT_LIMITS, type Limits } from "./core/scheduler.ts";
import { type Host, Streamer } from "./core/streamer.ts";
import { limitsFor } from "./device.ts";
import { type RequestHook, Requests } from "./requests.ts";

export interface SessionOptions {
  /** Changes every request of the bundle before it is sent. */
  readonly hook?: RequestHook;
  readonly limits?: Partial<Limits>;
  /** Keep a log of all requests, for tests and the inspector. */
  readonly record?: boolean;
}

/**
 * The streaming core with what it needs of a browser: network, clock, hashes. It needs no three.js and can
 * fetch before three.js has arrived; what is fetched then waits for the host to be attached.
 */
export class Session {
  readonly requests: Requests;
  readonly bandwidth: BandwidthEstimator;
  readonly fetcher: Fetcher;
  readonly streamer: Streamer;
  /** Files that were given up, newest last. */
  readonly failures: { readonly download: Download; readonly error: Error }[] = [];
  onFailure: ((download: Download, error: Error) => void) | null = null;

  private host: Host | null = null;
  private readonly attached: Promise<Host>;
  private settle: (host: Host) => void = () => {};

  constructor({ hook, limits, record = false }: SessionOptions = {}) {
    this.requests = new Requests({ hook, record });
    this.bandwidth = new BandwidthEstimator();
    this.attached = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.fetcher = new Fetcher({
      request: this.requests.send,
      now: () => performance.now(),
      random: Math.random,
      wait,
      bandwidth: this.bandwidth,
      fromCache: this.requests.fromCache,
      offline,
      // Browsers offer hashes to secure contexts alone.
      ...(globalThis.crypto?.subtle ? { subtle: crypto.subtle } : {}),
    });
    this.streamer = new Streamer({
      host: this.relayedHost(),
      fetcher: this.fetcher,
      bandwidth: this.bandwidth,
      limits: { ...DEFAULT_LIMITS, ...limitsFor(navigator), ...limits },
    });
  }

  /** Gives the session the side that draws. Once. */
  attach(host: Host): void {
    this.host = host;
    this.settle(host);
  }

  /**
   * Reads a bundle's catalogue.
   * @throws Error that names the address and what is wrong with it
   */
  async open(url: string): Promise<Catalogue> {
    const address = new URL(url, document.baseURI).href;
    let json: unknown;
    try {
      const response = await this.requests.send(address);
      if (response.status !== 200) throw new Error(`the server answers ${response.status}`);
      json = await response.json();
    } catch (error) {
      const reason =
        error instanceof SyntaxError ? "is not JSON" : `cannot be loaded: ${(error as Error).message}`;
      throw new Error(`${address} ${reason}`, { cause: error });
    }
    try {
      return parseCatalogue(json);
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
      throw new Error(`${address} is not a bundle's catalogue: ${error.message}`, { cause: error });
    }
  }

  /** Starts to stream an asset of a catalogue. `id` is unique in the session. */
  add(id: string, entry: CatalogueEntry, bundle: string): AssetState {
    const address = new URL(bundle, document.baseURI).href;
    this.requests.place(entry.base.uri, address);
    this.requests.place(entry.manifest.uri, address);
    this.bundles.set(id, address);
    const asset = new AssetState(id, entry);
    this.streamer.add(asset);
    return asset;
  }

  remove(asset: AssetState): void {
    this.streamer.remove(asset);
    this.bundles.delete(asset.id);
  }

  private readonly bundles = new Map<string, string>();

  private relayedHost(): Host {
    // Nothing can be shown before it was prepared, so only `prepare` has to wait for the host.
    return {
      prepare: async (download, bytes, signal) => (await this.attached).prepare(download, bytes, signal),
      described: (asset) => {
        const bundle = this.bundles.get(asset.id);
        if (bundle && asset.manifest)
          for (const uri of urisOf(asset.manifest)) this.requests.place(uri, bundle);
        if (this.host) this.host.described?.(asset);
        else void this.attached.then((host) => host.described?.(asset));
      },
      showBase: (asset) => this.host?.showBase(asset),
      showRegions: (asset, tree, change) => this.host?.showRegions(asset, tree, change),
      showLevel: (asset, texture, level) => this.host?.showLevel(asset, texture, level),
      release: (download) => this.host?.release(download),
      failed: (download, error) => {
        this.failures.push({ download, error });
        this.host?.failed?.(download, error);
        this.onFailure?.(download, error);
      },
    };
  }
}

function* urisOf(manifest: Manifest): Generator<string> {
  for (const { levels } of manifest.textures) for (const { uri } of levels) if (uri) yield uri;
  for (const { regions } of manifest.trees) {
    for (const { refinement } of regions) if (refinement) yield refinement.uri;
  }
}

function offline(): Promise<void> | null {
  if (navigator.onLine) return null;
  return new Promise((resolve) => addEventListener("online", () => resolve(), { once: true }));
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(done, ms);
    function done(): void {
      signal.removeEventListener("abort", abort);
      resolve();
    }
    function abort(): void {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal.addEventListener("abort", abort, { once: true });
  });
}
