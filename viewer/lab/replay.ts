/**
 * One session in virtual time: a scene, a head, a network and a policy. The same input always gives the same
 * outcome.
 */
import type { AssetState, Download } from "../src/core/asset.ts";
import { TreeDemand } from "../src/core/demand.ts";
import type { View } from "../src/core/gaze.ts";
import { isHeld } from "../src/core/memory.ts";
import { BandwidthEstimator } from "../src/core/network/bandwidth.ts";
import { type RenderCost, RenderPlan } from "../src/core/render-budget.ts";
import { isDue } from "../src/core/scheduler.ts";
import { FRAME_MS, PLAN_INTERVAL_MS } from "../src/core/streamer.ts";
import { type HeadTrace, viewAt, viewWithPrediction } from "./head.ts";
import { Judge, type Outcome } from "./judge.ts";
import { Link } from "./link.ts";
import type { NetworkTrace } from "./network.ts";
import { type Decide, type Decision, LIMITS, type Policy, UNLIMITED } from "./policies.ts";
import { assetsOf, type Scene } from "./scene.ts";

/** Step of the virtual time. */
const STEP_MS = 5;
/** Time between two samples of the judge. */
const SAMPLE_MS = 50;
/** Time from the last byte of a file to its first frame: a worker's task, an upload, the frame. */
export const PREPARE_MS = 30;
/** Decoding of Draco and pictures on a headset, bytes per millisecond. */
const DECODE_BYTES_PER_MS = 10_000;

/** @param budget limit of a frame, the same for every policy */
export function replay(
  scene: Scene,
  head: HeadTrace,
  network: NetworkTrace,
  policy: Policy,
  budget: RenderCost = UNLIMITED,
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
  #decision: Decision | null = null;
  /** Requests by uri: assets that share a file share its request. */
  readonly #requests = new Map<string, Set<Download>>();
  /** Files that are being decoded. */
  #preparing: { readonly download: Download; readonly readyAt: number }[] = [];
  /** The browser's cache. */
  readonly #cachedUris = new Set<string>();
  readonly #delivered: Download[] = [];
  #decidedAt = Number.NEGATIVE_INFINITY;
  /** Something has changed since the last decision. */
  #isStale = true;

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
      this.#finishPreparing(now);
      if (this.#isStale || now - this.#decidedAt >= PLAN_INTERVAL_MS || this.#isDue(now)) this.#plan(now);
      if (now > 0 && now % SAMPLE_MS === 0) this.#judge.sample(viewAt(this.#head, now), now);
    }
    return this.#judge.outcome(this.#delivered, this.#link.carried, this.#link.aborted);
  }

  #isDue(now: number): boolean {
    if (now % FRAME_MS !== 0 || !this.#decision) return false;
    return isDue(this.#decision, this.#assets, this.#estimator.estimate(now), LIMITS);
  }

  #receive(now: number): void {
    if (now === 0) return;
    for (const { uri, received, complete } of this.#link.advance(now - STEP_MS, now)) {
      const downloads = this.#requests.get(uri) ?? [];
      for (const download of downloads) {
        if (complete) this.#arrive(download, now);
        else download.asset.progress(download, received);
      }
      if (complete) this.#requests.delete(uri);
    }
  }

  #arrive(download: Download, now: number): void {
    download.asset.arrive(download, now);
    this.#cachedUris.add(download.uri);
    this.#delivered.push(download);
    const ms = download.kind === "manifest" ? 0 : PREPARE_MS + download.bytes / DECODE_BYTES_PER_MS;
    this.#preparing.push({ download, readyAt: now + ms });
    this.#isStale = true;
  }

  #finishPreparing(now: number): void {
    const ready = this.#preparing.filter(({ readyAt }) => readyAt <= now);
    if (ready.length === 0) return;
    this.#preparing = this.#preparing.filter(({ readyAt }) => readyAt > now);
    this.#isStale = true;
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

  /** Lets the policy decide, and carries out its decision. */
  #plan(now: number): void {
    this.#isStale = false;
    this.#decidedAt = now;
    const network = this.#estimator.estimate(now);
    const view = viewWithPrediction(this.#head, now, network);
    if (this.#budget !== UNLIMITED) this.#restrictCuts(view);
    this.#decision = this.#decide(this.#assets, view, network, now);
    const { abort, evict, start } = this.#decision;
    for (const download of abort) this.#abort(download, now);
    for (const download of evict) download.asset.drop(download, now);
    for (const { download } of start) this.#start(download, now);
  }

  #abort(download: Download, now: number): void {
    download.asset.drop(download, now);
    const shared = this.#requests.get(download.uri);
    shared?.delete(download);
    if (shared?.size !== 0) return;
    this.#requests.delete(download.uri);
    this.#link.abort(download.uri, now);
  }

  #start(download: Download, now: number): void {
    download.asset.begin(download, now);
    const shared = this.#requests.get(download.uri);
    if (shared) shared.add(download);
    else if (this.#cachedUris.has(download.uri)) this.#arrive(download, now);
    else {
      this.#requests.set(download.uri, new Set([download]));
      this.#link.request(download.uri, download.bytes, now);
    }
  }

  /** Limits the cuts to the render budget under every policy, as a plan of ours does. */
  #restrictCuts(view: View): void {
    const treeDemands = this.#assets.map((asset) =>
      asset.base.loadState === "ready" ? asset.trees.map((state) => new TreeDemand(asset, state, view)) : [],
    );
    const render = new RenderPlan(treeDemands.flat(), this.#budget, isHeld);
    this.#assets.forEach((asset, a) => {
      treeDemands[a]?.forEach((treeDemand, tree) => {
        asset.restrict(tree, render.openable(treeDemand));
      });
    });
  }
}
