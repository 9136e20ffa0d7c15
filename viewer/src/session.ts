import { AssetState, type Download } from "./core/asset.ts";
import type { Catalogue, CatalogueEntry, Manifest } from "./core/bundle/bundle.ts";
import { ManifestError, parseCatalogue } from "./core/bundle/manifest.ts";
import { FramePace } from "./core/frame-pace.ts";
import { HEAD_GAZE_UNCERTAINTY, type View } from "./core/gaze.ts";
import { BandwidthEstimator } from "./core/network/bandwidth.ts";
import { Fetcher } from "./core/network/fetcher.ts";
import { DEFAULT_LIMITS, type StreamLimits } from "./core/scheduler.ts";
import { FRAME_MS, type Host, Streamer } from "./core/streamer.ts";
import { limitsFor } from "./device.ts";
import { type RequestHook, Requests } from "./requests.ts";

export interface SessionOptions {
  /** Changes every request for a bundle's file before it is sent. */
  readonly hook?: RequestHook;
  readonly limits?: Partial<StreamLimits>;
  /** Keeps a log of all requests, for tests. */
  readonly record?: boolean;
}

/** The view to plan with before there is a camera: it decides only the order of several bases. */
export const ANYWHERE: View = {
  eye: [0, 1.6, 3],
  gaze: [0, 0, -1],
  gazeUncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
  pixelsPerDegree: 20,
  near: 0.01,
  frustum: [],
};

/** The bundle of an asset, and the host that draws it. */
interface Streamed {
  readonly bundle: string;
  /** Resolves when there is a host. */
  readonly attached: Promise<Host>;
  readonly resolveAttached: (host: Host) => void;
  host: Host | null;
}

/**
 * Connects the streaming core to the browser: network, clock, hashes. It works before three.js is loaded:
 * files that arrive earlier wait for the host that will draw them.
 */
export class Session {
  readonly requests: Requests;
  readonly bandwidth: BandwidthEstimator;
  readonly fetcher: Fetcher;
  readonly streamer: Streamer;
  /** Downloads that have failed for good, newest last. */
  readonly failures: { readonly download: Download; readonly error: Error }[] = [];
  onFailure: ((download: Download, error: Error) => void) | null = null;

  readonly #pace = new FramePace();
  readonly #streamed = new Map<AssetState, Streamed>();
  /** The view of the last plan. */
  #view = ANYWHERE;
  readonly #catalogues = new Map<string, Promise<Catalogue>>();

  constructor(options: SessionOptions = {}) {
    this.requests = new Requests();
    this.bandwidth = new BandwidthEstimator();
    this.fetcher = new Fetcher({
      request: this.requests.send,
      now: () => performance.now(),
      random: Math.random,
      wait,
      bandwidth: this.bandwidth,
      fromCache: this.requests.fromCache,
      offline,
      // Browsers have `crypto.subtle` in secure contexts only.
      ...(globalThis.crypto?.subtle ? { subtle: crypto.subtle } : {}),
    });
    this.streamer = new Streamer({
      host: this.#dispatchingHost(),
      fetcher: this.fetcher,
      bandwidth: this.bandwidth,
      limits: { ...DEFAULT_LIMITS, ...limitsFor(navigator) },
    });
    this.adjust(options);
  }

  /** Changes the given options, from the next request on. */
  adjust({ hook, limits, record }: SessionOptions): void {
    if (hook) this.requests.hook = hook;
    if (record !== undefined) this.requests.record = record;
    if (limits) this.streamer.limits = { ...this.streamer.limits, ...limits };
  }

  /**
   * Reads a bundle's catalogue. All calls for one address share one request.
   * @throws Error if it cannot be loaded or is not valid; the message names the address and the reason
   */
  open(url: string): Promise<Catalogue> {
    const address = new URL(url, document.baseURI).href;
    let catalogue = this.#catalogues.get(address);
    if (!catalogue) {
      catalogue = this.#read(address);
      this.#catalogues.set(address, catalogue);
      // After a failure, the next call tries again.
      catalogue.catch(() => this.#catalogues.delete(address));
    }
    return catalogue;
  }

  /**
   * Reads a bundle's catalogue again; later calls of `open` return the new one.
   * @throws Error if it cannot be loaded or is not valid; the message names the address and the reason
   */
  async reopen(url: string): Promise<Catalogue> {
    const address = new URL(url, document.baseURI).href;
    const catalogue = await this.#read(address);
    this.#catalogues.set(address, Promise.resolve(catalogue));
    return catalogue;
  }

  /**
   * Starts to stream an asset of a bundle.
   * @param name may be omitted if the bundle has one asset
   * @throws Error if the bundle cannot be read or has no such asset
   */
  async begin(url: string, name?: string): Promise<AssetState> {
    const { assets } = await this.open(url);
    const names = Object.keys(assets);
    const chosen = name ?? (names.length === 1 ? names[0] : undefined);
    const entry = chosen !== undefined && Object.hasOwn(assets, chosen) ? assets[chosen] : undefined;
    if (chosen === undefined || !entry) {
      const has = `${url} has ${names.length === 0 ? "no assets" : names.join(", ")}`;
      throw new Error(name === undefined ? `name one asset: ${has}` : `there is no asset "${name}": ${has}`);
    }
    return this.add(chosen, entry, url);
  }

  /** Call at the start of each frame: if frames are late for this rate, the render budget shrinks. */
  beginFrame(now: number, framesPerSecond: number): void {
    this.#pace.frame(now, framesPerSecond);
    this.streamer.renderShare = this.#pace.share;
  }

  /** Plans downloads for a view. An asset with a view of its own is planned with that one. */
  plan(view: View): void {
    this.#view = view;
    this.streamer.update(view, performance.now());
  }

  /**
   * Plans repeatedly with an expected view while three.js is still loading.
   * @returns stops it
   */
  planAhead(view: View): () => void {
    this.plan(view);
    const timer = setInterval(() => this.plan(view), FRAME_MS);
    return () => clearInterval(timer);
  }

  /**
   * Starts to stream an asset of a catalogue. Its id is `name`, plus a number if the session already has that
   * id.
   * @param bundle address of the catalogue
   */
  add(name: string, entry: CatalogueEntry, bundle: string): AssetState {
    const taken = new Set(this.streamer.assets.map(({ id }) => id));
    let id = name;
    for (let copy = 2; taken.has(id); copy++) id = `${name}#${copy}`;
    const address = new URL(bundle, document.baseURI).href;
    this.requests.setBundle(entry.base.uri, address);
    this.requests.setBundle(entry.manifest.uri, address);
    const asset = new AssetState(id, entry);
    asset.rendererReady = false;
    let resolveAttached: (host: Host) => void = () => {};
    const attached = new Promise<Host>((resolve) => {
      resolveAttached = resolve;
    });
    this.#streamed.set(asset, { bundle: address, attached, resolveAttached, host: null });
    this.streamer.add(asset);
    return asset;
  }

  /** Sets the host that draws an asset. Call it once for each asset. */
  attach(asset: AssetState, host: Host): void {
    const streamed = this.#streamed.get(asset);
    if (!streamed) return;
    streamed.host = host;
    asset.rendererReady = true;
    streamed.resolveAttached(host);
  }

  remove(asset: AssetState): void {
    this.streamer.remove(asset);
    this.#streamed.delete(asset);
  }

  async #read(address: string): Promise<Catalogue> {
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
      throw new Error(`${address} is not a valid catalogue: ${error.message}`, { cause: error });
    }
  }

  /**
   * After a file has arrived: requests the next one at once, since the network would be idle until the next
   * frame.
   */
  #planSoon(): void {
    queueMicrotask(() => {
      // Until every asset has been in a frame, `planAhead` plans with the expected view.
      if (this.streamer.assets.every(({ view }) => view !== null)) this.plan(this.#view);
    });
  }

  /** The streamer's host: passes each call to the host of the asset. */
  #dispatchingHost(): Host {
    const hostOf = (asset: AssetState): Host | null => this.#streamed.get(asset)?.host ?? null;
    // A file is shown only after `prepare`, so no other call has to wait for the host.
    return {
      prepare: async (download, bytes, signal) => {
        this.#planSoon();
        const host = await this.#streamed.get(download.asset)?.attached;
        await host?.prepare(download, bytes, signal);
      },
      baseProgress: (asset, head) => hostOf(asset)?.baseProgress?.(asset, head),
      manifestReady: (asset) => {
        const streamed = this.#streamed.get(asset);
        if (!streamed || !asset.manifest) return;
        this.#planSoon();
        for (const uri of urisOf(asset.manifest)) this.requests.setBundle(uri, streamed.bundle);
        if (streamed.host) streamed.host.manifestReady?.(asset);
        else void streamed.attached.then((host) => host.manifestReady?.(asset));
      },
      showBase: (asset) => hostOf(asset)?.showBase(asset),
      showRegions: (asset, tree, change) => hostOf(asset)?.showRegions(asset, tree, change),
      showLevel: (asset, texture, level) => hostOf(asset)?.showLevel(asset, texture, level),
      release: (download) => hostOf(download.asset)?.release(download),
      failed: (download, error) => {
        this.failures.push({ download, error });
        hostOf(download.asset)?.failed?.(download, error);
        this.onFailure?.(download, error);
      },
    };
  }
}

let shared: Session | null = null;

/**
 * The session of the page: all its assets share one queue, one bandwidth estimate and one memory budget.
 * Options of a later caller replace those of an earlier one.
 */
export function pageSession(options: SessionOptions = {}): Session {
  shared ??= new Session();
  shared.adjust(options);
  return shared;
}

/** All files that a manifest names. */
function* urisOf(manifest: Manifest): Generator<string> {
  if (manifest.objects) yield manifest.objects.uri;
  for (const { keyframes } of manifest.animations) if (keyframes) yield keyframes.uri;
  for (const { levels } of manifest.textures) for (const { uri } of levels) if (uri) yield uri;
  for (const { regions } of manifest.trees) {
    for (const { refinement } of regions) if (refinement) yield refinement.uri;
  }
}

/** Resolves when the browser is online again; null if it is online. */
function offline(): Promise<void> | null {
  if (navigator.onLine) return null;
  return new Promise((resolve) => addEventListener("online", () => resolve(), { once: true }));
}

/** Rejects with the signal's reason if it is aborted first. */
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
