/**
 * What to fetch next: a pure function of what is there, what is seen, and how fast the network is.
 *
 * The wish with the most visible gain per byte, over bases, animations, refinements and texture levels alike, until
 * enough bytes are in flight. docs/streaming.md has the formulas.
 */
import type { AssetFile, AssetState, Download, RefinementDownload } from "./asset.ts";
import { Candidates, movesTrees } from "./candidates.ts";
import type { Candidate, Outlook } from "./choices.ts";
import { TreeSight } from "./demand.ts";
import type { View } from "./gaze.ts";
import { InFlight } from "./in-flight.ts";
import { gpuBytesOf, isHeld, leastUseful, MAX_EVICTIONS, mayMakeWay } from "./memory.ts";
import type { NetworkEstimate } from "./network/bandwidth.ts";
import { type RenderCost, RenderPlan } from "./render-budget.ts";

export interface StreamLimits {
  /** GPU memory for geometry and textures of all assets, bytes. */
  readonly gpuBytes: number;
  /** Triangles and draw calls of a frame, of what is streamed. */
  readonly triangles: number;
  readonly drawCalls: number;
  /** Bytes in flight, as time at the estimated bandwidth, milliseconds. */
  readonly inFlightMs: number;
  /** How many further wishes the plan names, for the HUD and the trace. */
  readonly lookahead: number;
}

export const DEFAULT_LIMITS: StreamLimits = {
  // What a standalone headset's browser can spare beside its own buffers; to be set by device class.
  gpuBytes: 512 * 1024 * 1024,
  // A standalone headset at 72 pictures a second; by device class, too.
  triangles: 750_000,
  drawCalls: 200,
  // Over HTTP/2 the bytes of an aborted request are still on their way: half a second of them is what a turn costs.
  inFlightMs: 500,
  lookahead: 8,
};

export interface Plan {
  /** To be started now, in this order. */
  readonly start: readonly Candidate[];
  /** In flight and not wanted any more: to be aborted now, before the starts. */
  readonly abort: readonly Download[];
  /** Loaded and less useful than what is started: to be released now, before the starts. */
  readonly evict: readonly Download[];
  /** The next wishes in order, held back by the cap on bytes in flight. */
  readonly waiting: readonly Candidate[];
  /** The first of them waits for something better that is about to be known. */
  readonly awaited: boolean;
  /** What of a tree may from now on be drawn finer, of trees where that changes. */
  readonly restrict: readonly Restriction[];
  /** What a frame draws with these. */
  readonly drawn: RenderCost;
  /** GPU bytes of everything that is loaded or being loaded, after this plan. */
  readonly gpuBytes: number;
}

/** Of one tree: the regions in whose place finer ones may be drawn; null: all. */
export interface Restriction {
  readonly asset: AssetState;
  readonly tree: number;
  readonly limit: ReadonlySet<number> | null;
}

/**
 * What to start, abort and release now.
 *
 * @param view of every asset that has none of its own; with `ahead`, also what is about to be seen counts
 * @param now milliseconds, of the same clock as the assets' states
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

/** Whether so much has come since a plan that what it held back can be asked for: time for a new one. */
export function isDue(
  {
    waiting: [next],
    awaited,
  }: Pick<Plan, "awaited"> & { readonly waiting: readonly Pick<Candidate, "download">[] },
  assets: readonly AssetState[],
  network: NetworkEstimate,
  { inFlightMs }: Pick<StreamLimits, "inFlightMs">,
): boolean {
  return next !== undefined && InFlight.of(assets, network, inFlightMs).fits(next.download, awaited);
}

/** The working state of one call of `plan`. */
class Planning {
  readonly #assets: readonly AssetState[];
  readonly #view: View;
  readonly #limits: StreamLimits;
  readonly #now: number;

  readonly #start: Candidate[] = [];
  readonly #waiting: Candidate[] = [];
  readonly #abort = new Set<Download>();
  readonly #evict = new Set<Download>();
  /** In `#start` or `#waiting`. */
  readonly #taken = new Set<Download>();
  readonly #inFlight: InFlight;
  #awaited = false;
  #gpuBytes = 0;
  #sights: TreeSight[][] = [];
  #render = new RenderPlan([], DEFAULT_LIMITS, () => false);
  readonly #outlook: Outlook = {
    isClosed: (sight, region) => this.#render.isClosed(sight, region),
    isComing: (file) => this.#isComing(file),
    mayStart: (file) => this.#mayStart(file),
  };

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
    this.#inFlight = InFlight.of(assets, network, limits.inFlightMs);
    for (const asset of assets) {
      for (const file of asset.files) if (isHeld(file)) this.#gpuBytes += gpuBytesOf(file);
    }
  }

  plan(): Plan {
    this.#sights = this.#assets.map((asset) =>
      asset.rendererReady && asset.refinable
        ? asset.trees.map((state) => new TreeSight(asset, state, asset.view ?? this.#view))
        : [],
    );
    this.#abortUnseenAnimations();
    this.#abortUnseenRefinements();
    this.#abortUnseenTextures();
    this.#render = new RenderPlan(this.#sights.flat(), this.#limits, (file) => this.#isComing(file));
    this.#shrinkToBudget();
    this.#takeWishes();
    return {
      start: this.#start,
      abort: [...this.#abort],
      evict: [...this.#evict],
      waiting: this.#waiting,
      awaited: this.#awaited,
      restrict: this.#restrict(),
      drawn: this.#render.drawn,
      gpuBytes: this.#gpuBytes,
    };
  }

  #restrict(): Restriction[] {
    return this.#assets.flatMap((asset, a) =>
      (this.#sights[a] ?? []).flatMap((sight, tree) => {
        const limit = this.#render.limit(sight);
        return sameRegions(limit, sight.state.cut.limit) ? [] : [{ asset, tree, limit }];
      }),
    );
  }

  #abortUnseenAnimations(): void {
    this.#assets.forEach((asset, a) => {
      for (const file of asset.animations) {
        if (file?.loadState !== "loading" || this.#inFlight.nearlyDone(file)) continue;
        const { animation, reach } = file.download;
        const seen = this.#sights[a]?.some((sight, tree) => sight.nearlySeen(0, reach[tree] ?? 0));
        if (!asset.plays(animation) || (movesTrees(reach) && !seen)) this.#abortNow(file);
      }
    });
  }

  #abortUnseenRefinements(): void {
    for (const sights of this.#sights) {
      for (const sight of sights) {
        for (const file of sight.state.refinements) {
          if (file?.loadState !== "loading" || this.#inFlight.nearlyDone(file)) continue;
          const { region } = file.download;
          const error = sight.state.tree.regions[region]?.error ?? 0;
          if (!sight.nearlySeen(region, error)) this.#abortNow(file);
        }
      }
    }
  }

  /** Levels that are finer than needed, or that nobody sees. */
  #abortUnseenTextures(): void {
    this.#assets.forEach((asset, a) => {
      asset.textures.forEach((levels, texture) => {
        let coarser = asset.drawnLevels[texture] ?? 0;
        for (const file of levels) {
          if (!file || !isHeld(file)) continue;
          const { level } = file.download;
          if (file.loadState === "loading" && !this.#inFlight.nearlyDone(file)) {
            const width = asset.manifest?.textures[texture]?.levels[coarser]?.width ?? 1;
            if (level <= coarser || !this.#nearlySeen(this.#sights[a] ?? [], texture, width)) {
              this.#abortNow(file);
              continue;
            }
          }
          coarser = Math.max(coarser, level);
        }
      });
    });
  }

  /** Whether somewhere the texels of a level are seen, or nearly so. */
  #nearlySeen(sights: readonly TreeSight[], texture: number, width: number): boolean {
    return sights.some((sight) => {
      const { textures, uvLength } = sight.state;
      return [...sight.state.cut.drawn].some(
        (region) =>
          textures[region]?.includes(texture) && sight.nearlySeen(region, (uvLength[region] ?? 0) / width),
      );
    });
  }

  #abortNow(file: AssetFile): void {
    this.#abort.add(file.download);
    this.#inFlight.remove(file.download);
    this.#gpuBytes -= gpuBytesOf(file);
  }

  /** Takes wishes by score: first into `start` while the cap allows, then some into `waiting`. */
  #takeWishes(): void {
    const wishes = new Candidates(this.#assets, this.#sights, this.#view, this.#outlook);
    let full = false;
    for (let wish = wishes.next(); wish; wish = wishes.next()) {
      if (full && this.#waiting.length >= this.#limits.lookahead) break;
      const { download, gain, score } = wish;
      // What does not fit holds up everything after it, or small files would starve a large one for ever.
      if (!full) {
        this.#awaited = score < wishes.promised;
        full = !this.#inFlight.fits(download, this.#awaited);
      }
      if (full) {
        this.#waiting.push({ download, gain, score });
      } else {
        if (!this.#mayDraw(wish) || !this.#makeRoom(wish)) {
          wish.refused?.();
          continue;
        }
        if (download.kind === "refinement") {
          const sight = this.#sightOf(download);
          if (sight) this.#render.take(sight, download);
        }
        this.#start.push({ download, gain, score });
        this.#gpuBytes += download.gpuBytes;
        this.#inFlight.add(download, download.bytes);
      }
      this.#taken.add(download);
      wish.taken?.();
    }
  }

  /** Whether a frame could draw what a file brings. */
  #mayDraw({ download, gain }: Candidate): boolean {
    if (download.kind !== "refinement") return true;
    const sight = this.#sightOf(download);
    return !sight || this.#render.mayTake(sight, download, gain);
  }

  #sightOf({ asset, tree }: RefinementDownload): TreeSight | undefined {
    return this.#sights[this.#assets.indexOf(asset)]?.[tree];
  }

  /** Whether a file may take its memory, after releasing what is far less useful. What takes none, or bases, always may. */
  #makeRoom({ download, gain }: Candidate): boolean {
    if (download.gpuBytes === 0) return true;
    const released: AssetFile[] = [];
    while (this.#gpuBytes + download.gpuBytes > this.#limits.gpuBytes) {
      const least =
        download.gpuBytes <= this.#limits.gpuBytes && this.#evict.size < MAX_EVICTIONS
          ? this.#leastUseful()
          : null;
      if (!least || !mayMakeWay(least, gain, download.gpuBytes)) {
        for (const file of released) {
          this.#evict.delete(file.download);
          this.#gpuBytes += gpuBytesOf(file);
        }
        return false;
      }
      this.#release(least.file);
      released.push(least.file);
    }
    return true;
  }

  /** The budget has shrunk, or bases took more than was there: the least useful go, whatever else is wanted. */
  #shrinkToBudget(): void {
    while (this.#gpuBytes > this.#limits.gpuBytes && this.#evict.size < MAX_EVICTIONS) {
      const least = this.#leastUseful();
      if (!least) return;
      this.#release(least.file);
    }
  }

  #leastUseful() {
    return leastUseful(this.#assets, this.#sights, this.#render, this.#now, (file) => this.#isComing(file));
  }

  #release(file: AssetFile): void {
    this.#evict.add(file.download);
    this.#gpuBytes -= gpuBytesOf(file);
  }

  #mayStart(file: AssetFile): boolean {
    if (this.#taken.has(file.download)) return false;
    return file.loadState === "absent" || (file.loadState === "failed" && file.retryAt <= this.#now);
  }

  /** Whether a file is there or will be. */
  #isComing(file: AssetFile): boolean {
    if (this.#taken.has(file.download)) return true;
    return isHeld(file) && !this.#abort.has(file.download) && !this.#evict.has(file.download);
  }
}

function sameRegions(a: ReadonlySet<number> | null, b: ReadonlySet<number> | null): boolean {
  if (a === null || b === null) return a === b;
  return a.size === b.size && [...a].every((region) => b.has(region));
}
