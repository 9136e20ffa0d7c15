/**
 * One streamer per page: it asks the planner what is worth fetching, has it fetched, and hands it to the host.
 *
 * It owns no timer: the host calls `update` once per frame (or whenever it likes) with the view and the time, of the
 * clock that the fetcher has.
 */
import type { AssetFile, AssetState, Download, ManifestDownload } from "./asset.ts";
import { ManifestError, parseManifest } from "./bundle/manifest.ts";
import type { CutChange } from "./cut.ts";
import type { View } from "./gaze.ts";
import type { BandwidthEstimator } from "./network/bandwidth.ts";
import { FetchError, type Fetcher } from "./network/fetcher.ts";
import { isDue, type Plan, plan, type StreamLimits } from "./scheduler.ts";

/** What the host (the three.js side) does for the streamer. None of it may throw; `prepare` may reject. */
export interface Host {
  /**
   * Decode a file and upload it; resolve when it can be drawn in the next frame, and return before it is drawn. A
   * rejection marks the file as failed for good, and what is shown stays. The signal is aborted when the asset was
   * removed meanwhile: then nothing more is called for it, and what was made of it is the host's to free.
   */
  prepare(
    download: Exclude<Download, ManifestDownload>,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<void>;
  /** So much of a base has come; nothing of it is checked yet. */
  baseProgress?(asset: AssetState, head: Uint8Array): void;
  /** The manifest has arrived and is valid: `asset.manifest`, `asset.trees` and `asset.levels` are there. */
  manifestReady?(asset: AssetState): void;
  /** Draw the base, from now on. */
  showBase(asset: AssetState): void;
  /** Draw other regions of a tree: all of `show` are prepared (or are region 0, the base's). */
  showRegions(asset: AssetState, tree: number, change: CutChange): void;
  /** Use a level of a texture; level 0 is the base's. Called after the level was prepared, and on eviction. */
  showLevel(asset: AssetState, texture: number, level: number): void;
  /** Free what `prepare` made of a file: it is not drawn any more and will be fetched anew if it is wanted again. */
  release(download: Download): void;
  /** A file was given up (or will be tried again much later): for the log and the HUD. */
  failed?(download: Download, error: Error): void;
}

export interface StreamerOptions {
  readonly host: Host;
  readonly fetcher: Fetcher;
  readonly bandwidth: BandwidthEstimator;
  readonly limits: StreamLimits;
}

/** Gaze moves on this scale (a saccade and a fixation take longer); planning more often changes nothing. */
export const PLAN_INTERVAL_MS = 50;
/** How often `update` should be called: as headsets draw frames. */
export const FRAME_MS = 15;
/** A file that failed for now, after all of the fetcher's attempts, is asked for again after this long. */
export const RETRY_AFTER_MS = 15_000;

export class Streamer {
  limits: StreamLimits;
  /** Of the triangles and draw calls that the limits allow; less than 1 where frames take too long. */
  renderShare = 1;
  /** Hears of every plan, before it is carried out: several may be made between two frames. */
  onPlan: ((plan: Plan, now: number) => void) | null = null;
  readonly #options: StreamerOptions;
  readonly #assets: AssetState[] = [];
  /** What is being fetched or prepared. */
  readonly #running = new Map<Download, AbortController>();
  #plan: Plan | null = null;
  #plannedAt = Number.NEGATIVE_INFINITY;
  #stale = true;

  constructor(options: StreamerOptions) {
    this.#options = options;
    this.limits = options.limits;
  }

  get assets(): readonly AssetState[] {
    return this.#assets;
  }

  /** The last plan, for the HUD and the trace. */
  get plan(): Plan | null {
    return this.#plan;
  }

  /** Files that are being fetched, with the bytes that have arrived. */
  get loading(): readonly AssetFile[] {
    return [...this.#running.keys()]
      .map((download) => download.asset.file(download))
      .filter(({ loadState }) => loadState === "loading");
  }

  /** @throws RangeError when there is one with the same id */
  add(asset: AssetState): void {
    if (this.#assets.some(({ id }) => id === asset.id)) {
      throw new RangeError(`there already is an asset "${asset.id}"`);
    }
    this.#assets.push(asset);
    this.#stale = true;
  }

  /** Aborts what is in flight for an asset; the host frees what it has made for it. */
  remove(asset: AssetState): void {
    const index = this.#assets.indexOf(asset);
    if (index < 0) return;
    this.#assets.splice(index, 1);
    for (const [download, stop] of this.#running) {
      if (download.asset !== asset) continue;
      this.#running.delete(download);
      stop.abort(new DOMException("the asset was removed", "AbortError"));
      asset.drop(download, this.#options.fetcher.now());
    }
    this.#stale = true;
  }

  /**
   * Plans (every `PLAN_INTERVAL_MS`, when something has arrived, or when the next request is due), then aborts, releases
   * and starts.
   */
  update(view: View, now: number): void {
    if (!this.#stale && now - this.#plannedAt < PLAN_INTERVAL_MS && !this.#isDue(now)) return;
    this.#stale = false;
    this.#plannedAt = now;
    const network = this.#options.bandwidth.estimate(now);
    const { triangles, drawCalls } = this.limits;
    const share = this.renderShare;
    const limits = { ...this.limits, triangles: share * triangles, drawCalls: share * drawCalls };
    const next = plan(this.#assets, view, network, limits, now);
    this.#plan = next;
    this.onPlan?.(next, now);
    for (const download of next.abort) this.#cancel(download, now);
    for (const download of next.evict) this.#evict(download, now);
    for (const { asset, tree, limit } of next.restrict) {
      this.#showRegions(asset, tree, asset.restrict(tree, limit));
    }
    for (const { download } of next.start) {
      // A file of this name may still be on its way to an aborted end.
      if (!this.#running.has(download)) void this.#run(download, now);
    }
  }

  #isDue(now: number): boolean {
    const network = this.#options.bandwidth.estimate(now);
    return this.#plan !== null && isDue(this.#plan, this.#assets, network, this.limits);
  }

  #cancel(download: Download, now: number): void {
    this.#running.get(download)?.abort(new DOMException("no longer wanted", "AbortError"));
    this.#running.delete(download);
    download.asset.drop(download, now);
  }

  #evict(download: Download, now: number): void {
    const { host } = this.#options;
    const { asset } = download;
    const change = asset.drop(download, now);
    if (download.kind === "refinement") this.#showRegions(asset, download.tree, change);
    if (download.kind === "texture") {
      host.showLevel(asset, download.texture, asset.drawnLevels[download.texture] ?? 0);
    }
    host.release(download);
  }

  async #run(download: Download, started: number): Promise<void> {
    const { fetcher, host } = this.#options;
    const now = () => fetcher.now();
    const { asset } = download;
    const stop = new AbortController();
    this.#running.set(download, stop);
    asset.begin(download, started);
    try {
      const bytes = await fetcher.fetch(download, stop.signal, (received, soFar) => {
        if (stop.signal.aborted) return;
        asset.progress(download, received);
        if (download.kind === "base" && soFar) host.baseProgress?.(asset, soFar);
      });
      if (stop.signal.aborted) return;
      asset.arrive(download, now());
      this.#stale = true;
      if (download.kind === "manifest") this.#describe(asset, bytes);
      else await host.prepare(download, bytes, stop.signal);
      if (stop.signal.aborted) return;
      this.#running.delete(download);
      this.#stale = true;
      this.#show(download, asset.ready(download, now()));
    } catch (error) {
      if (stop.signal.aborted) return;
      this.#running.delete(download);
      this.#stale = true;
      const mayPass = error instanceof FetchError && !error.permanent;
      asset.fail(download, now(), mayPass ? now() + RETRY_AFTER_MS : Number.POSITIVE_INFINITY);
      host.failed?.(download, error instanceof Error ? error : new Error(String(error)));
    }
  }

  #describe(asset: AssetState, bytes: Uint8Array): void {
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw new ManifestError("$", `is no JSON: ${error instanceof Error ? error.message : error}`);
    }
    asset.setManifest(parseManifest(json));
    this.#options.host.manifestReady?.(asset);
  }

  #show(download: Download, change: CutChange): void {
    const { fetcher, host } = this.#options;
    const { asset } = download;
    if (download.kind === "base") host.showBase(asset);
    if (download.kind === "refinement") this.#showRegions(asset, download.tree, change);
    if (download.kind !== "texture") return;
    const finest = asset.drawnLevels[download.texture] ?? 0;
    if (finest === download.level) host.showLevel(asset, download.texture, finest);
    for (const replaced of asset.replacedLevels(download.texture)) {
      asset.drop(replaced, fetcher.now());
      host.release(replaced);
    }
  }

  #showRegions(asset: AssetState, tree: number, change: CutChange): void {
    if (change.hide.length + change.show.length > 0) this.#options.host.showRegions(asset, tree, change);
  }
}
