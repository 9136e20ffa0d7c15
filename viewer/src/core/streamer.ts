/**
 * One streamer per page: it makes the plans, fetches the files that they start and hands them to the host.
 *
 * It owns no timer: the host calls `update` once per frame, or as often as it likes, with the view and the
 * time of the fetcher's clock.
 */
import type { AssetFile, AssetState, Download, ManifestDownload } from "./asset.ts";
import { ManifestError, parseManifest } from "./bundle/manifest.ts";
import type { CutChange } from "./cut.ts";
import type { View } from "./gaze.ts";
import type { BandwidthEstimator } from "./network/bandwidth.ts";
import { FetchError, type Fetcher } from "./network/fetcher.ts";
import { isDue, type Plan, plan, type StreamLimits } from "./scheduler.ts";

/** The drawing side (three.js). None of its methods may throw; `prepare` may reject. */
export interface Host {
  /**
   * Decodes and uploads a file. Resolves when the file can be drawn in the next frame, and before it is
   * drawn. If it rejects, the file counts as failed for good, and the drawn state stays. The signal aborts
   * when the asset is removed: no further call follows, and the host frees the resources of the file.
   */
  prepare(
    download: Exclude<Download, ManifestDownload>,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<void>;
  /** More bytes of a base have arrived. @param head all bytes so far, not checked yet */
  baseProgress?(asset: AssetState, head: Uint8Array): void;
  /** A manifest has arrived and is valid: `asset.manifest`, `asset.trees` and `asset.drawnLevels` are set. */
  manifestReady?(asset: AssetState): void;
  /** Draws the base from now on. */
  showBase(asset: AssetState): void;
  /** Changes the drawn regions of a tree. All regions to show are prepared (or are region 0, the base's). */
  showRegions(asset: AssetState, tree: number, change: CutChange): void;
  /** Draws a level of a texture: a prepared one, or level 0, the base's. */
  showLevel(asset: AssetState, texture: number, level: number): void;
  /** Frees a prepared file. It is not drawn any more, and may be fetched again later. */
  release(download: Download): void;
  /** A file was given up, for good or until a later retry. For the log and the HUD. */
  failed?(download: Download, error: Error): void;
}

export interface StreamerOptions {
  readonly host: Host;
  readonly fetcher: Fetcher;
  readonly bandwidth: BandwidthEstimator;
  readonly limits: StreamLimits;
}

/** A saccade and a fixation take longer than this, so more frequent plans would change nothing. */
export const PLAN_INTERVAL_MS = 50;
/** How often `update` should be called: at the frame rate of a headset. */
export const FRAME_MS = 15;
/** Time until a file is requested again after all attempts of the fetcher have failed. */
export const RETRY_AFTER_MS = 15_000;

export class Streamer {
  limits: StreamLimits;
  /** Share of the render budget in `limits`; below 1 where frames are late. */
  renderShare = 1;
  /** Receives every plan before it is carried out. There may be several in one frame. */
  onPlan: ((plan: Plan, now: number) => void) | null = null;
  readonly #options: StreamerOptions;
  readonly #assets: AssetState[] = [];
  /** Downloads that are being fetched or prepared. */
  readonly #running = new Map<Download, AbortController>();
  #plan: Plan | null = null;
  #plannedAt = Number.NEGATIVE_INFINITY;
  /** Something has changed since the last plan. */
  #isStale = true;

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

  /** The files that are being fetched. */
  get loading(): readonly AssetFile[] {
    return [...this.#running.keys()]
      .map((download) => download.asset.file(download))
      .filter(({ loadState }) => loadState === "loading");
  }

  /** Whether nothing more is wanted for the view of the last update. */
  get isSettled(): boolean {
    if (this.#assets.length === 0 || this.#running.size > 0 || !this.#plan) return false;
    return this.#plan.start.length + this.#plan.waiting.length === 0;
  }

  /** @throws RangeError if there is an asset with the same id */
  add(asset: AssetState): void {
    if (this.#assets.some(({ id }) => id === asset.id)) {
      throw new RangeError(`there is already an asset "${asset.id}"`);
    }
    this.#assets.push(asset);
    this.#isStale = true;
  }

  /** Aborts the asset's requests. The host frees the files that it has prepared. */
  remove(asset: AssetState): void {
    const index = this.#assets.indexOf(asset);
    if (index < 0) return;
    this.#assets.splice(index, 1);
    for (const [download, controller] of this.#running) {
      if (download.asset !== asset) continue;
      this.#running.delete(download);
      controller.abort(new DOMException("the asset was removed", "AbortError"));
      asset.drop(download, this.#options.fetcher.now());
    }
    this.#isStale = true;
  }

  /**
   * Makes a plan if one is due (every `PLAN_INTERVAL_MS`, after an arrival, or when the next request can
   * start), and carries it out.
   */
  update(view: View, now: number): void {
    if (!this.#isStale && now - this.#plannedAt < PLAN_INTERVAL_MS && !this.#isDue(now)) return;
    this.#isStale = false;
    this.#plannedAt = now;
    const network = this.#options.bandwidth.estimate(now);
    const { triangles, drawCalls } = this.limits;
    const share = this.renderShare;
    const limits = { ...this.limits, triangles: share * triangles, drawCalls: share * drawCalls };
    const next = plan(this.#assets, view, network, limits, now);
    this.#plan = next;
    this.onPlan?.(next, now);
    for (const download of next.abort) this.#abort(download, now);
    for (const download of next.evict) this.#evict(download, now);
    for (const { asset, tree, openable } of next.restrict) {
      this.#showRegions(asset, tree, asset.restrict(tree, openable));
    }
    for (const { download } of next.start) {
      // An aborted request for the same file may still be running.
      if (!this.#running.has(download)) void this.#run(download, now);
    }
  }

  #isDue(now: number): boolean {
    const network = this.#options.bandwidth.estimate(now);
    return this.#plan !== null && isDue(this.#plan, this.#assets, network, this.limits);
  }

  #abort(download: Download, now: number): void {
    this.#running.get(download)?.abort(new DOMException("the file is no longer needed", "AbortError"));
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

  /** Takes a file through all its load states. Never rejects. */
  async #run(download: Download, startedAt: number): Promise<void> {
    const { fetcher, host } = this.#options;
    const { asset } = download;
    const controller = new AbortController();
    const { signal } = controller;
    this.#running.set(download, controller);
    asset.begin(download, startedAt);
    try {
      const bytes = await fetcher.fetch(download, signal, (received, head) => {
        if (signal.aborted) return;
        asset.progress(download, received);
        if (download.kind === "base" && head) host.baseProgress?.(asset, head);
      });
      if (signal.aborted) return;
      asset.arrive(download, fetcher.now());
      this.#isStale = true;
      if (download.kind === "manifest") this.#readManifest(asset, bytes);
      else await host.prepare(download, bytes, signal);
      if (signal.aborted) return;
      this.#running.delete(download);
      this.#isStale = true;
      this.#show(download, asset.ready(download, fetcher.now()));
    } catch (error) {
      if (!signal.aborted) this.#fail(download, error);
    }
  }

  #fail(download: Download, error: unknown): void {
    this.#running.delete(download);
    this.#isStale = true;
    const now = this.#options.fetcher.now();
    const isTemporary = error instanceof FetchError && !error.permanent;
    download.asset.fail(download, now, isTemporary ? now + RETRY_AFTER_MS : Number.POSITIVE_INFINITY);
    this.#options.host.failed?.(download, error instanceof Error ? error : new Error(String(error)));
  }

  /** @throws ManifestError if the bytes are not a valid manifest */
  #readManifest(asset: AssetState, bytes: Uint8Array): void {
    let json: unknown;
    try {
      json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw new ManifestError("$", `is not JSON: ${error instanceof Error ? error.message : error}`);
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
    const drawn = asset.drawnLevels[download.texture] ?? 0;
    if (drawn === download.level) host.showLevel(asset, download.texture, drawn);
    for (const replaced of asset.replacedLevels(download.texture)) {
      asset.drop(replaced, fetcher.now());
      host.release(replaced);
    }
  }

  #showRegions(asset: AssetState, tree: number, change: CutChange): void {
    if (change.hide.length + change.show.length > 0) this.#options.host.showRegions(asset, tree, change);
  }
}
