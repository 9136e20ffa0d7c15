/** One session in virtual time: a scene, a head, a network and a policy. The same four give the same outcome. */
import type { AssetFile, AssetState, Download } from "../src/core/asset.ts";
import { TreeSight } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import { BandwidthEstimator } from "../src/core/network/bandwidth.ts";
import { type RenderCost, RenderPlan } from "../src/core/render-budget.ts";
import { isDue } from "../src/core/scheduler.ts";
import { FRAME_MS, PLAN_INTERVAL_MS } from "../src/core/streamer.ts";
import { type HeadTrace, viewAt, viewWithPrediction } from "./head.ts";
import { Judge, type Outcome } from "./judge.ts";
import { Link } from "./link.ts";
import type { NetworkTrace } from "./network.ts";
import { type Decide, EVERYTHING, LIMITS, type Policy } from "./policies.ts";
import { assetsOf, type Scene } from "./scene.ts";

/** Between two looks at the network, and between two of the judge, milliseconds. */
const STEP_MS = 5;
const LOOK_MS = 50;
/** From a file's last byte to its first frame: a task for a worker, an upload, the frame. */
export const PREPARE_MS = 30;
/** And decoding: Draco and pictures on a headset, bytes per millisecond. */
const DECODE_BYTES_PER_MS = 10_000;

/** @param budget what a frame may draw, the same for every policy */
export function replay(
  scene: Scene,
  head: HeadTrace,
  network: NetworkTrace,
  policy: Policy,
  budget: RenderCost = EVERYTHING,
): Outcome {
  return new Session(scene, head, network, policy, budget).run();
}

class Session {
  readonly #scene: Scene;
  readonly #head: HeadTrace;
  readonly #budget: RenderCost;
  readonly #assets: readonly AssetState[];
  readonly #estimator = new BandwidthEstimator();
  readonly #link: Link;
  readonly #judge: Judge;
  readonly #decide: Decide;
  #plan: ReturnType<Decide> | null = null;
  /** Requests by uri: assets that share a file share its request. */
  readonly #requests = new Map<string, Set<Download>>();
  /** Files that are being decoded, and when they will be ready. */
  #preparing: { readonly download: Download; readonly readyAt: number }[] = [];
  /** What has come once is in the browser's cache. */
  readonly #cached = new Set<string>();
  readonly #delivered: Download[] = [];
  #plannedAt = Number.NEGATIVE_INFINITY;
  #stale = true;

  constructor(scene: Scene, head: HeadTrace, network: NetworkTrace, policy: Policy, budget: RenderCost) {
    this.#scene = scene;
    this.#budget = budget;
    this.#head = head;
    this.#assets = assetsOf(scene);
    this.#link = new Link(network, this.#estimator);
    this.#judge = new Judge(scene, this.#assets, assetsOf(scene));
    this.#decide = policy.begin(budget);
  }

  run(): Outcome {
    for (let now = 0; now < this.#head.durationMs; now += STEP_MS) {
      this.#receive(now);
      this.#show(now);
      if (this.#stale || now - this.#plannedAt >= PLAN_INTERVAL_MS || this.#isDue(now)) this.#act(now);
      if (now > 0 && now % LOOK_MS === 0) this.#judge.look(viewAt(this.#head, now), now);
    }
    return this.#judge.outcome(this.#delivered, this.#link.carried, this.#link.aborted);
  }

  #isDue(now: number): boolean {
    if (now % FRAME_MS !== 0 || !this.#plan) return false;
    return isDue(this.#plan, this.#assets, this.#estimator.estimate(now), LIMITS);
  }

  #receive(now: number): void {
    if (now === 0) return;
    for (const { uri, received, complete } of this.#link.pass(now - STEP_MS, now)) {
      const downloads = this.#requests.get(uri) ?? [];
      for (const download of downloads) {
        if (complete) this.#arrived(download, now);
        else download.asset.progress(download, received);
      }
      if (complete) this.#requests.delete(uri);
    }
  }

  #arrived(download: Download, now: number): void {
    download.asset.arrive(download, now);
    this.#cached.add(download.uri);
    this.#delivered.push(download);
    const ms = download.kind === "manifest" ? 0 : PREPARE_MS + download.bytes / DECODE_BYTES_PER_MS;
    this.#preparing.push({ download, readyAt: now + ms });
    this.#stale = true;
  }

  #show(now: number): void {
    const ready = this.#preparing.filter(({ readyAt }) => readyAt <= now);
    if (ready.length === 0) return;
    this.#preparing = this.#preparing.filter(({ readyAt }) => readyAt > now);
    this.#stale = true;
    for (const { download } of ready) {
      const { asset } = download;
      if (download.kind === "manifest") {
        const index = this.#assets.indexOf(asset);
        const manifest = this.#scene.placed[index]?.manifest;
        if (manifest) asset.setManifest(manifest);
      }
      asset.ready(download, now);
      if (download.kind !== "texture") continue;
      for (const replaced of asset.replacedLevels(download.texture)) asset.drop(replaced, now);
    }
  }

  #act(now: number): void {
    this.#stale = false;
    this.#plannedAt = now;
    const network = this.#estimator.estimate(now);
    const view = viewWithPrediction(this.#head, now, network);
    if (this.#budget !== EVERYTHING) this.#restrict(view);
    this.#plan = this.#decide(this.#assets, view, network, now);
    const { abort, evict, start } = this.#plan;
    for (const download of abort) {
      download.asset.drop(download, now);
      const shared = this.#requests.get(download.uri);
      shared?.delete(download);
      if (shared?.size !== 0) continue;
      this.#requests.delete(download.uri);
      this.#link.abort(download.uri, now);
    }
    for (const download of evict) download.asset.drop(download, now);
    for (const { download } of start) {
      download.asset.begin(download, now);
      const shared = this.#requests.get(download.uri);
      if (shared) shared.add(download);
      else if (this.#cached.has(download.uri)) this.#arrived(download, now);
      else {
        this.#requests.set(download.uri, new Set([download]));
        this.#link.request(download.uri, download.bytes, now);
      }
    }
  }

  /** As the page does with every plan: what of what is there a frame draws. */
  #restrict(view: View): void {
    const sights = this.#assets.map((asset) =>
      asset.base.loadState === "ready" ? asset.trees.map((state) => new TreeSight(asset, state, view)) : [],
    );
    const isComing = ({ loadState }: AssetFile) =>
      loadState === "loading" || loadState === "preparing" || loadState === "ready";
    const render = new RenderPlan(sights.flat(), this.#budget, isComing);
    this.#assets.forEach((asset, a) => {
      sights[a]?.forEach((sight, tree) => {
        asset.restrict(tree, render.limit(sight));
      });
    });
  }
}
