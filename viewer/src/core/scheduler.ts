/**
 * The plan: the requests to start, to abort and to hold back, and the files to evict. It is a pure function
 * of the assets' states, the view and the network estimate.
 *
 * Files of all kinds (bases, manifests, animations, refinements, texture levels) compete by visible gain per
 * byte, until enough bytes are in flight. docs/streaming.md has the formulas.
 */
import { filesToAbort } from "./aborts.ts";
import type { AssetFile, AssetState, Download, RefinementDownload } from "./asset.ts";
import { Candidates } from "./candidates.ts";
import type { Candidate, PlanState, RankedCandidate } from "./choices.ts";
import { TreeDemand } from "./demand.ts";
import type { View } from "./gaze.ts";
import { InFlight } from "./in-flight.ts";
import {
  gpuBytesOf,
  isHeld,
  isWorthEvicting,
  leastUsefulFile,
  MAX_EVICTIONS,
  type Resident,
} from "./memory.ts";
import type { NetworkEstimate } from "./network/bandwidth.ts";
import { type RenderCost, RenderPlan } from "./render-budget.ts";

export interface StreamLimits {
  /** GPU memory for geometry and textures of all assets, bytes. */
  readonly gpuBytes: number;
  /** Triangles and draw calls of the streamed assets, per frame. */
  readonly triangles: number;
  readonly drawCalls: number;
  /** Bytes in flight, as time at the estimated bandwidth, milliseconds. */
  readonly inFlightMs: number;
  /** Number of further candidates that a plan lists, for the HUD and the trace. */
  readonly lookahead: number;
}

export const DEFAULT_LIMITS: StreamLimits = {
  // For the browser of a standalone headset, beside its own buffers. A page sets it by device class.
  gpuBytes: 512 * 1024 * 1024,
  // For a standalone headset at 72 frames per second. A page sets them by device class, too.
  triangles: 750_000,
  drawCalls: 200,
  // Over HTTP/2 the bytes of an aborted request still arrive, so a turn of the head costs up to this time.
  inFlightMs: 500,
  lookahead: 8,
};

export interface Plan {
  /** Requests to start now, in this order. */
  readonly start: readonly Candidate[];
  /** Requests to abort now, before the starts. */
  readonly abort: readonly Download[];
  /** Loaded files to release now, before the starts: they are less useful than the started ones. */
  readonly evict: readonly Download[];
  /** The next candidates in order. The limit on bytes in flight holds them back. */
  readonly waiting: readonly Candidate[];
  /** The first waiting candidate also waits for a manifest in flight, which will reveal better files. */
  readonly awaitsManifest: boolean;
  /** Trees whose cut is limited in another way from now on. */
  readonly restrict: readonly Restriction[];
  /** Cost of a frame with these restrictions. */
  readonly drawn: RenderCost;
  /** GPU memory of all files that are loaded or loading after this plan, bytes. */
  readonly gpuBytes: number;
}

/** The limit on the cut of one tree; see `Cut.restrict`. */
export interface Restriction {
  readonly asset: AssetState;
  readonly tree: number;
  readonly openable: ReadonlySet<number> | null;
}

/**
 * @param view applies to each asset without a view of its own; `view.predicted` counts, too
 * @param now milliseconds, of the same clock as the assets' load states
 */
export function plan(
  assets: readonly AssetState[],
  view: View,
  network: NetworkEstimate,
  limits: StreamLimits,
  now: number,
): Plan {
  return new Planning(assets, view, network, limits, now).plan();
}

/** The part of a plan that determines when the next plan is due. */
export interface PendingPlan {
  readonly waiting: readonly { readonly download: Download }[];
  readonly awaitsManifest: boolean;
}

/** Whether the first waiting candidate of a plan can start by now, so that a new plan is due. */
export function isDue(
  { waiting: [next], awaitsManifest }: PendingPlan,
  assets: readonly AssetState[],
  network: NetworkEstimate,
  { inFlightMs }: Pick<StreamLimits, "inFlightMs">,
): boolean {
  return next !== undefined && new InFlight(assets, network, inFlightMs).fits(next.download, awaitsManifest);
}

/** The working state of one call of `plan`. */
class Planning implements PlanState {
  readonly #assets: readonly AssetState[];
  readonly #view: View;
  readonly #limits: StreamLimits;
  readonly #now: number;
  readonly #inFlight: InFlight;
  /** By asset and tree; empty for an asset that cannot be refined yet. */
  readonly #treeDemands: readonly (readonly TreeDemand[])[];
  readonly #start: Candidate[] = [];
  readonly #waiting: Candidate[] = [];
  readonly #abort = new Set<Download>();
  readonly #evict = new Set<Download>();
  /** The downloads in `#start` and `#waiting`. */
  readonly #taken = new Set<Download>();
  readonly #render: RenderPlan;
  #awaitsManifest = false;
  #gpuBytes = 0;

  constructor(
    assets: readonly AssetState[],
    view: View,
    network: NetworkEstimate,
    limits: StreamLimits,
    now: number,
  ) {
    this.#assets = assets;
    this.#view = view;
    this.#limits = limits;
    this.#now = now;
    this.#inFlight = new InFlight(assets, network, limits.inFlightMs);
    for (const asset of assets) {
      for (const file of asset.files) if (isHeld(file)) this.#gpuBytes += gpuBytesOf(file);
    }
    this.#treeDemands = assets.map((asset) =>
      asset.rendererReady && asset.refinable
        ? asset.trees.map((state) => new TreeDemand(asset, state, asset.view ?? view))
        : [],
    );
    for (const file of filesToAbort(assets, this.#treeDemands, this.#inFlight)) this.#abortFile(file);
    this.#render = new RenderPlan(this.#treeDemands.flat(), limits, (file) => this.willBeHeld(file));
  }

  plan(): Plan {
    this.#shrinkToBudget();
    this.#takeCandidates();
    return {
      start: this.#start,
      abort: [...this.#abort],
      evict: [...this.#evict],
      waiting: this.#waiting,
      awaitsManifest: this.#awaitsManifest,
      restrict: this.#restrictions(),
      drawn: this.#render.drawn,
      gpuBytes: this.#gpuBytes,
    };
  }

  willBeHeld(file: AssetFile): boolean {
    if (this.#taken.has(file.download)) return true;
    return isHeld(file) && !this.#abort.has(file.download) && !this.#evict.has(file.download);
  }

  canStart(file: AssetFile): boolean {
    if (this.#taken.has(file.download)) return false;
    return file.loadState === "absent" || (file.loadState === "failed" && file.retryAt <= this.#now);
  }

  isBudgetLimited(treeDemand: TreeDemand, region: number): boolean {
    return this.#render.isBudgetLimited(treeDemand, region);
  }

  /** The trees whose limit changes. */
  #restrictions(): Restriction[] {
    return this.#assets.flatMap((asset, a) =>
      (this.#treeDemands[a] ?? []).flatMap((treeDemand, tree) => {
        const openable = this.#render.openable(treeDemand);
        return sameRegions(openable, treeDemand.state.cut.openable) ? [] : [{ asset, tree, openable }];
      }),
    );
  }

  #abortFile(file: AssetFile): void {
    this.#abort.add(file.download);
    this.#inFlight.remove(file.download);
    this.#gpuBytes -= gpuBytesOf(file);
  }

  /** Takes candidates by score: into `start` while they fit, then into `waiting` up to the lookahead. */
  #takeCandidates(): void {
    const candidates = new Candidates(this.#assets, this.#treeDemands, this.#view, this);
    let isFull = false;
    for (let candidate = candidates.next(); candidate; candidate = candidates.next()) {
      if (isFull && this.#waiting.length >= this.#limits.lookahead) break;
      // The first candidate that does not fit holds back all others, or small files would starve a large one.
      if (!isFull) {
        this.#awaitsManifest = candidate.score < candidates.revealedScoreLowerBound;
        isFull = !this.#inFlight.fits(candidate.download, this.#awaitsManifest);
      }
      const { download, gain, score } = candidate;
      if (isFull) this.#waiting.push({ download, gain, score });
      else if (!this.#tryStart(candidate)) continue;
      this.#taken.add(download);
      candidate.onTaken?.();
    }
  }

  /** Starts a request if a frame has room for the file and memory has, too; else its item falls back. */
  #tryStart({ download, gain, score, onRefused }: RankedCandidate): boolean {
    const treeDemand = download.kind === "refinement" ? this.#treeDemandOf(download) : undefined;
    const refinement = download as RefinementDownload;
    const isDrawable = !treeDemand || this.#render.hasRoomFor(treeDemand, refinement, gain);
    if (!isDrawable || !this.#makeRoom(download, gain)) {
      onRefused?.();
      return false;
    }
    if (treeDemand) this.#render.reserve(treeDemand, refinement);
    this.#start.push({ download, gain, score });
    this.#gpuBytes += download.gpuBytes;
    this.#inFlight.add(download, download.bytes);
    return true;
  }

  #treeDemandOf({ asset, tree }: RefinementDownload): TreeDemand | undefined {
    return this.#treeDemands[this.#assets.indexOf(asset)]?.[tree];
  }

  /** Evicts files until a download fits into memory. False, and no eviction, if they are about as useful. */
  #makeRoom(download: Download, gain: number): boolean {
    // Manifests, animations and bases always fit.
    if (download.gpuBytes === 0) return true;
    const evicted: AssetFile[] = [];
    while (this.#gpuBytes + download.gpuBytes > this.#limits.gpuBytes) {
      const canFit = download.gpuBytes <= this.#limits.gpuBytes && this.#evict.size < MAX_EVICTIONS;
      const least = canFit ? this.#leastUsefulFile() : null;
      if (!least || !isWorthEvicting(least, gain, download.gpuBytes)) {
        for (const file of evicted) this.#undoEviction(file);
        return false;
      }
      this.#evictFile(least.file);
      evicted.push(least.file);
    }
    return true;
  }

  /** Evicts the least useful files if the budget was lowered, or if bases have taken more than it. */
  #shrinkToBudget(): void {
    while (this.#gpuBytes > this.#limits.gpuBytes && this.#evict.size < MAX_EVICTIONS) {
      const least = this.#leastUsefulFile();
      if (!least) return;
      this.#evictFile(least.file);
    }
  }

  #leastUsefulFile(): Resident | null {
    return leastUsefulFile(this.#assets, this.#treeDemands, this.#render, this.#now, (file) =>
      this.willBeHeld(file),
    );
  }

  #evictFile(file: AssetFile): void {
    this.#evict.add(file.download);
    this.#gpuBytes -= gpuBytesOf(file);
  }

  #undoEviction(file: AssetFile): void {
    this.#evict.delete(file.download);
    this.#gpuBytes += gpuBytesOf(file);
  }
}

function sameRegions(a: ReadonlySet<number> | null, b: ReadonlySet<number> | null): boolean {
  if (a === null || b === null) return a === b;
  return a.size === b.size && [...a].every((region) => b.has(region));
}
