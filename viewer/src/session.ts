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
  /** Changes every request of the bundle before it is sent. */
  readonly hook?: RequestHook;
  readonly limits?: Partial<StreamLimits>;
  /** Keep a log of all requests, for tests and the inspector. */
  readonly record?: boolean;
}

/** What is planned for before there is a camera: only the order of several bases depends on it. */
export const ANYWHERE: View = {
  eye: [0, 1.6, 3],
  gaze: [0, 0, -1],
  gazeUncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
  pixelsPerDegree: 20,
  near: 0.01,
  frustum: [],
};

/** An asset of the session: where its bundle is, and who draws it. */
interface Streamed {
  readonly bundle: string;
  readonly attached: Promise<Host>;
  readonly settle: (host: Host) => void;
  host: Host | null;
}

/**
 * The streaming core with what it needs of a browser: network, clock, hashes. It needs no three.js and can
 * fetch before three.js has arrived; what is fetched then waits for the host that will draw it.
 */
export class Session {
  readonly requests: Requests;
  readonly bandwidth: BandwidthEstimator;
  readonly fetcher: Fetcher;
  readonly streamer: Streamer;
  /** Files that were given up, newest last. */
  readonly failures: { readonly download: Download; readonly error: Error }[] = [];
  onFailure: ((download: Download, error: Error) => void) | null = null;

  private readonly pace = new FramePace();
  private readonly streamed = new Map<AssetState, Streamed>();
  /** What the last plan was made for. */
  private view = ANYWHERE;
  private readonly catalogues = new Map<string, Promise<Catalogue>>();

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
      // Browsers offer hashes to secure contexts alone.
      ...(globalThis.crypto?.subtle ? { subtle: crypto.subtle } : {}),
    });
    this.streamer = new Streamer({
      host: this.relayedHost(),
      fetcher: this.fetcher,
      bandwidth: this.bandwidth,
      limits: { ...DEFAULT_LIMITS, ...limitsFor(navigator) },
    });
    this.adjust(options);
  }

  /** Changes what is named, from the next request on. */
  adjust({ hook, limits, record }: SessionOptions): void {
    if (hook) this.requests.hook = hook;
    if (record !== undefined) this.requests.record = record;
    if (limits) this.streamer.limits = { ...this.streamer.limits, ...limits };
  }

  /**
   * Reads a bundle's catalogue; once, however often it is asked for.
   * @throws Error that names the address and what is wrong with it
   */
  open(url: string): Promise<Catalogue> {
    const address = new URL(url, document.baseURI).href;
    let catalogue = this.catalogues.get(address);
    if (!catalogue) {
      catalogue = this.read(address);
      this.catalogues.set(address, catalogue);
      // One that failed may be there the next time.
      catalogue.catch(() => this.catalogues.delete(address));
    }
    return catalogue;
  }

  /**
   * Starts to stream an asset of a bundle.
   * @param name may be left out when the bundle has one asset
   * @throws Error when the bundle cannot be read or has no such asset
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

  /** A frame begins on a display of this rate: where frames come late, less is drawn. */
  framed(now: number, framesPerSecond: number): void {
    this.pace.frame(now, framesPerSecond);
    this.streamer.renderShare = this.pace.share;
  }

  /** Plans for what is seen; assets that have a view of their own are planned for that one. */
  plan(view: View): void {
    this.view = view;
    this.streamer.update(view, performance.now());
  }

  /**
   * Plans again and again for a view that is only expected, until it is stopped: what is needed first is asked for
   * while three.js is still on its way.
   * @returns stops it
   */
  foresee(view: View): () => void {
    this.plan(view);
    const timer = setInterval(() => this.plan(view), FRAME_MS);
    return () => clearInterval(timer);
  }

  /** Starts to stream an asset of a catalogue. Its id is `name`, with a number where the session has that already. */
  add(name: string, entry: CatalogueEntry, bundle: string): AssetState {
    const taken = new Set(this.streamer.assets.map(({ id }) => id));
    let id = name;
    for (let copy = 2; taken.has(id); copy++) id = `${name}#${copy}`;
    const address = new URL(bundle, document.baseURI).href;
    this.requests.place(entry.base.uri, address);
    this.requests.place(entry.manifest.uri, address);
    const asset = new AssetState(id, entry);
    asset.rendererReady = false;
    let settle: (host: Host) => void = () => {};
    const attached = new Promise<Host>((resolve) => {
      settle = resolve;
    });
    this.streamed.set(asset, { bundle: address, attached, settle, host: null });
    this.streamer.add(asset);
    return asset;
  }

  /** Gives an asset the side that draws it. Once. */
  attach(asset: AssetState, host: Host): void {
    const streamed = this.streamed.get(asset);
    if (!streamed) return;
    streamed.host = host;
    asset.rendererReady = true;
    streamed.settle(host);
  }

  remove(asset: AssetState): void {
    this.streamer.remove(asset);
    this.streamed.delete(asset);
  }

  private async read(address: string): Promise<Catalogue> {
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

  /** A file has arrived: the next one is asked for now, not in the next frame, or the link would lie idle. */
  private goOn(): void {
    queueMicrotask(() => {
      // Before anything was seen, what is expected to be seen is planned for by whoever expects it.
      if (this.streamer.assets.every(({ view }) => view !== null)) this.plan(this.view);
    });
  }

  private relayedHost(): Host {
    const hostOf = (asset: AssetState): Host | null => this.streamed.get(asset)?.host ?? null;
    // Nothing can be shown before it was prepared, so only `prepare` has to wait for the host.
    return {
      prepare: async (download, bytes, signal) => {
        this.goOn();
        const host = await this.streamed.get(download.asset)?.attached;
        await host?.prepare(download, bytes, signal);
      },
      baseProgress: (asset, head) => hostOf(asset)?.baseProgress?.(asset, head),
      manifestReady: (asset) => {
        const streamed = this.streamed.get(asset);
        if (!streamed || !asset.manifest) return;
        this.goOn();
        for (const uri of urisOf(asset.manifest)) this.requests.place(uri, streamed.bundle);
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
 * The page's one session: everything that streams on a page shares one queue, one bandwidth estimate and one memory
 * budget. Options of a later caller replace those of an earlier one.
 */
export function pageSession(options: SessionOptions = {}): Session {
  shared ??= new Session();
  shared.adjust(options);
  return shared;
}

function* urisOf(manifest: Manifest): Generator<string> {
  for (const { keyframes } of manifest.animations) if (keyframes) yield keyframes.uri;
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
