/**
 * What to fetch next: a pure function of what is there, what is seen, and how fast the network is.
 *
 * Bases first. Then the wish with the most visible gain per byte, over refinements and texture levels alike, until
 * enough bytes are in flight. docs/streaming.md has the formulas.
 */
import type {
  AssetState,
  Download,
  FileState,
  RefinementDownload,
  TextureDownload,
  TreeState,
} from "./asset.ts";
import type { Network } from "./bandwidth.ts";
import { TreeSight } from "./demand.ts";
import { look, type View } from "./gaze.ts";
import { Heap } from "./heap.ts";
import { InFlight, remaining } from "./in-flight.ts";
import { childrenOf, gpuBytesOf, isHeld, leastUseful, MAX_EVICTIONS, mayMakeWay } from "./memory.ts";

export { type Demand, demandOf } from "./demand.ts";

export interface Limits {
  /** GPU memory for geometry and textures of all assets, bytes. */
  readonly gpuBytes: number;
  /** Bytes in flight, as time at the estimated bandwidth, milliseconds. */
  readonly inFlightMs: number;
  /** How many further wishes the plan names, for the HUD and the trace. */
  readonly lookahead: number;
}

export const DEFAULT_LIMITS: Limits = {
  // What a standalone headset's browser can spare beside its own buffers; to be set by device class.
  gpuBytes: 512 * 1024 * 1024,
  // Over HTTP/2 the bytes of an aborted request are still on their way: half a second of them is what a turn costs.
  inFlightMs: 500,
  lookahead: 8,
};

/** A wish displaces a request in flight when it is worth so many times more per remaining byte. */
const OUTBID = 4;
/** Gains below are rounding. */
const EPSILON = 1e-9;

/** A file that is worth fetching. */
export interface Wish {
  readonly download: Download;
  /** Visible gain: octaves of error × visual weight. Of bases and manifests, the weight of the asset. */
  readonly gain: number;
  /** Gain per byte, a request's latency counted as bytes: what the plan is ordered by. */
  readonly score: number;
}

export interface Plan {
  /** To be started now, in this order. */
  readonly start: readonly Wish[];
  /** In flight and not wanted any more: to be aborted now, before the starts. */
  readonly abort: readonly Download[];
  /** Loaded and less useful than what is started: to be released now, before the starts. */
  readonly evict: readonly Download[];
  /** The next wishes in order, held back by the cap on bytes in flight. */
  readonly waiting: readonly Wish[];
  /** GPU bytes of everything that is loaded or being loaded, after this plan. */
  readonly gpuBytes: number;
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
  network: Network,
  limits: Limits,
  now: number,
): Plan {
  return new Planning(assets, view, network, limits, now).plan();
}

interface Candidate extends Wish {
  /** Still what it was when it was pushed? Wishes for one thing change with each other. */
  readonly current?: () => boolean;
  /** Wishes for what can follow it. */
  readonly taken?: () => void;
}

/** The working state of one call of `plan`. */
class Planning {
  readonly #assets: readonly AssetState[];
  readonly #view: View;
  readonly #limits: Limits;
  readonly #now: number;
  /** A request costs its latency too: as bytes that could have come meanwhile. */
  readonly #latencyBytes: number;

  readonly #start: Wish[] = [];
  readonly #waiting: Wish[] = [];
  readonly #abort = new Set<Download>();
  readonly #evict = new Set<Download>();
  /** In `#start` or `#waiting`. */
  readonly #taken = new Set<Download>();
  readonly #inFlight: InFlight;
  #gpuBytes = 0;
  #sights: TreeSight[][] = [];
  /** By asset, texture and level: the gain over the level that is drawn. */
  #textureGains: number[][][] = [];
  readonly #wishes = new Heap<Candidate>((a, b) => a.score > b.score);

  constructor(assets: readonly AssetState[], view: View, network: Network, limits: Limits, now: number) {
    this.#assets = assets;
    this.#view = view;
    this.#limits = limits;
    this.#now = now;
    this.#latencyBytes = (network.bytesPerSecond * network.ttfbMs) / 1000;
    this.#inFlight = new InFlight(network.bytesPerSecond, limits.inFlightMs);
    for (const asset of assets) {
      for (const file of asset.files) {
        if (file.stage === "loading") this.#inFlight.add(file.download, remaining(file));
        if (isHeld(file)) this.#gpuBytes += gpuBytesOf(file);
      }
    }
  }

  plan(): Plan {
    if (this.#wishForBases()) this.#wishForDetail();
    this.#takeWishes();
    return {
      start: this.#start,
      abort: [...this.#abort],
      evict: [...this.#evict],
      waiting: this.#waiting,
      gpuBytes: this.#gpuBytes,
    };
  }

  /** Bases and manifests; true when the last byte of every base is here: only then anything finer is started. */
  #wishForBases(): boolean {
    let complete = true;
    for (const asset of this.#assets) {
      if (asset.base.stage === "loading" || this.#mayStart(asset.base)) complete = false;
      for (const file of [asset.base, asset.manifestFile]) {
        if (!this.#mayStart(file)) continue;
        const gain = assetWeight(asset, asset.view ?? this.#view);
        // The most visible asset first, and all bases before all manifests; what is not seen is still wanted.
        const rank = file === asset.base ? 1e12 : 1e6;
        this.#wishes.push({
          download: file.download,
          gain,
          score: rank * this.#score(EPSILON + gain, file.download),
        });
      }
    }
    return complete;
  }

  #wishForDetail(): void {
    this.#sights = this.#assets.map((asset) =>
      asset.base.stage === "ready" || asset.base.stage === "preparing"
        ? asset.trees.map((state) => new TreeSight(asset, state, asset.view ?? this.#view))
        : [],
    );
    this.#abortUnseenRefinements();
    this.#shrinkToBudget();
    this.#textureGains = this.#assets.map((asset) => asset.textures.map((levels) => levels.map(() => 0)));
    const seen: TexturedRegion[] = [];
    this.#sights.forEach((sights, a) => {
      for (const sight of sights) this.#openRegion(a, sight, 0, seen);
    });
    this.#abortUnseenTextures(seen);
    this.#assets.forEach((asset, a) => {
      for (const texture of asset.textures.keys()) this.#wishForLevels(a, texture);
    });
  }

  #abortUnseenRefinements(): void {
    for (const sights of this.#sights) {
      for (const sight of sights) {
        for (const file of sight.state.refinements) {
          if (file?.stage !== "loading" || this.#inFlight.nearlyDone(file)) continue;
          const { region } = file.download;
          const error = sight.state.tree.regions[region]?.error ?? 0;
          if (!sight.nearlySeen(region, error)) this.#abortNow(file);
        }
      }
    }
  }

  /** Levels that are finer than needed, or that nobody sees. */
  #abortUnseenTextures(seen: readonly TexturedRegion[]): void {
    this.#assets.forEach((asset, a) => {
      asset.textures.forEach((levels, texture) => {
        let coarser = asset.levels[texture] ?? 0;
        for (const file of levels) {
          if (!file || !isHeld(file)) continue;
          const { level } = file.download;
          if (file.stage === "loading" && !this.#inFlight.nearlyDone(file)) {
            const width = asset.manifest?.textures[texture]?.levels[coarser]?.width ?? 1;
            const wanted =
              level > coarser &&
              seen.some(
                (each) =>
                  each.a === a &&
                  each.sight.state.textures[each.region]?.includes(texture) &&
                  each.sight.nearlySeen(each.region, (each.sight.state.uvLength[each.region] ?? 0) / width),
              );
            if (!wanted) {
              this.#abortNow(file);
              continue;
            }
          }
          coarser = Math.max(coarser, level);
        }
      });
    });
  }

  #abortNow(file: FileState): void {
    this.#abort.add(file.download);
    this.#inFlight.remove(file.download);
    this.#gpuBytes -= gpuBytesOf(file);
  }

  /**
   * Walks down from a region, through everything that is there or on its way, to what will be drawn, and wishes for
   * what could follow there.
   *
   * @param textured gets the regions with textures at which it ends
   */
  #openRegion(a: number, sight: TreeSight, region: number, textured?: TexturedRegion[]): void {
    const { state } = sight;
    if (this.#goesDeeper(state, region)) {
      for (const child of childrenOf(state, region)) this.#openRegion(a, sight, child, textured);
      return;
    }
    if (textured && state.textures[region]?.length) {
      textured.push({ a, sight, region });
      this.#addTextureGains(a, sight, region);
    }
    if (sight.demand(region).weight === 0) return;
    // A region with an only child may skip it: what lies between two tiers of a chain is a waste on a fast link.
    for (let file = region; ; ) {
      const refinement = state.refinements[file];
      if (!refinement) break;
      if (this.#mayStart(refinement)) this.#wishForRefinement(a, sight, region, refinement);
      const [child, another] = childrenOf(state, file);
      if (child === undefined || another !== undefined) break;
      file = child;
    }
  }

  #wishForRefinement(
    a: number,
    sight: TreeSight,
    region: number,
    { download }: FileState<RefinementDownload>,
  ): void {
    const { state } = sight;
    const gain = sight.refinementGain(region, download.region);
    if (gain <= EPSILON) return;
    this.#wishes.push({
      download,
      gain,
      score: this.#score(gain, download),
      current: () => !this.#goesDeeper(state, region),
      taken: () => {
        for (const child of childrenOf(state, download.region)) this.#openRegion(a, sight, child);
      },
    });
  }

  /** Whether a region is, or will be, covered by something finer than itself. */
  #goesDeeper(state: TreeState, region: number): boolean {
    const file = state.refinements[region];
    if (!file) return false;
    if (this.#isComing(file)) return true;
    return childrenOf(state, region).every((child) => this.#goesDeeper(state, child));
  }

  #addTextureGains(a: number, sight: TreeSight, region: number): void {
    const asset = this.#assets[a] as AssetState;
    if (sight.demand(region).weight === 0) return;
    for (const texture of sight.state.textures[region] ?? []) {
      const levels = asset.manifest?.textures[texture]?.levels;
      const gains = this.#textureGains[a]?.[texture];
      if (!levels || !gains) continue;
      const drawn = asset.levels[texture] ?? 0;
      for (let level = drawn + 1; level < levels.length; level++) {
        const gain = sight.textureGain(region, levels[drawn]?.width ?? 1, levels[level]?.width ?? 1);
        if (gain === 0) break;
        gains[level] = (gains[level] ?? 0) + gain;
      }
    }
  }

  /** Wishes for every level finer than the finest that is coming: levels may be skipped. */
  #wishForLevels(a: number, texture: number): void {
    const levels = this.#assets[a]?.textures[texture] ?? [];
    const gains = this.#textureGains[a]?.[texture] ?? [];
    const finest = this.#finestComing(levels);
    for (const file of levels) {
      if (!file || file.download.level <= finest || !this.#mayStart(file)) continue;
      const gain = (gains[file.download.level] ?? 0) - (gains[finest] ?? 0);
      if (gain <= EPSILON) continue;
      this.#wishes.push({
        download: file.download,
        gain,
        score: this.#score(gain, file.download),
        current: () => this.#finestComing(levels) === finest,
        taken: () => this.#wishForLevels(a, texture),
      });
    }
  }

  #finestComing(levels: readonly (FileState<TextureDownload> | null)[]): number {
    let finest = 0;
    for (const file of levels) if (file && this.#isComing(file)) finest = file.download.level;
    return finest;
  }

  /** Takes wishes by score: first into `start` while the cap allows, then some into `waiting`. */
  #takeWishes(): void {
    let full = false;
    for (let wish = this.#wishes.pop(); wish; wish = this.#wishes.pop()) {
      if (full && this.#waiting.length >= this.#limits.lookahead) break;
      if (wish.current && !wish.current()) continue;
      const { download, gain, score } = wish;
      // What does not fit holds up everything after it, or small files would starve a large one for ever.
      full ||= !this.#inFlight.fits(download) && !this.#outbid(wish);
      if (full) {
        this.#waiting.push({ download, gain, score });
      } else {
        if (!this.#makeRoom(wish)) continue;
        this.#start.push({ download, gain, score });
        this.#gpuBytes += download.gpuBytes;
        this.#inFlight.add(download, download.bytes);
      }
      this.#taken.add(download);
      wish.taken?.();
    }
  }

  /** Aborts what is in flight and worth far less than a wish, if then that fits. */
  #outbid(wish: Wish): boolean {
    const { kind } = wish.download;
    if (kind !== "refinement" && kind !== "texture") return false;
    const losers: { file: FileState; score: number }[] = [];
    this.#assets.forEach((asset, a) => {
      for (const file of asset.files) {
        if (file.stage !== "loading" || this.#abort.has(file.download) || this.#inFlight.nearlyDone(file))
          continue;
        const gain = this.#gainInFlight(a, file);
        if (gain === null) continue;
        // Its latency is paid: what is left costs the bytes that are left.
        const score = gain / (remaining(file) + 1);
        if (score * OUTBID < wish.score) losers.push({ file, score });
      }
    });
    losers.sort((x, y) => x.score - y.score);
    for (const [i, { file }] of losers.entries()) {
      this.#inFlight.remove(file.download);
      if (!this.#inFlight.fits(wish.download)) continue;
      for (const loser of losers.slice(0, i + 1)) this.#abortNow(loser.file);
      return true;
    }
    for (const { file } of losers) this.#inFlight.add(file.download, remaining(file));
    return false;
  }

  /** Null for what is never aborted. */
  #gainInFlight(a: number, { download }: FileState): number | null {
    if (download.kind === "refinement") {
      return this.#sights[a]?.[download.tree]?.refinementGain(download.region, download.region) ?? null;
    }
    if (download.kind === "texture")
      return this.#textureGains[a]?.[download.texture]?.[download.level] ?? null;
    return null;
  }

  /** Whether a file may take its memory, after releasing what is far less useful. Bases always may. */
  #makeRoom({ download, gain }: Wish): boolean {
    if (download.kind === "base" || download.kind === "manifest") return true;
    const released: FileState[] = [];
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
    return leastUseful(this.#assets, this.#sights, this.#now, (file) => this.#isComing(file));
  }

  #release(file: FileState): void {
    this.#evict.add(file.download);
    this.#gpuBytes -= gpuBytesOf(file);
  }

  #mayStart(file: FileState): boolean {
    if (this.#taken.has(file.download)) return false;
    return file.stage === "absent" || (file.stage === "failed" && file.retryAt <= this.#now);
  }

  /** Whether a file is there or will be. */
  #isComing(file: FileState): boolean {
    if (this.#taken.has(file.download)) return true;
    return isHeld(file) && !this.#abort.has(file.download) && !this.#evict.has(file.download);
  }

  #score(gain: number, download: Download): number {
    const bytes = this.#inFlight.has(download) ? 0 : download.bytes;
    return gain / (bytes + this.#latencyBytes + 1);
  }
}

interface TexturedRegion {
  readonly a: number;
  readonly sight: TreeSight;
  readonly region: number;
}

/** Visual weight of the sphere around an asset's bounds. */
function assetWeight({ entry, world: m }: AssetState, view: View): number {
  const { min, max } = entry.bounds;
  const centre = [(min[0] + max[0]) / 2, (min[1] + max[1]) / 2, (min[2] + max[2]) / 2] as const;
  const radius = Math.hypot(max[0] - min[0], max[1] - min[1], max[2] - min[2]) / 2;
  const el = (i: number) => m[i] ?? 0;
  const at = (row: number) =>
    el(row) * centre[0] + el(4 + row) * centre[1] + el(8 + row) * centre[2] + el(12 + row);
  const scale = Math.max(...[0, 4, 8].map((i) => Math.hypot(el(i), el(i + 1), el(i + 2))));
  return look(view, at(0), at(1), at(2), radius * scale).weight;
}
