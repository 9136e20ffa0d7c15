/**
 * The state of one asset: its place in the world, its files and how far each has been loaded, and the drawn
 * regions and texture levels. It is the input of the planner.
 *
 * The host (the three.js side) creates an `AssetState` per asset, keeps `world` and the trees' placements up
 * to date and adds it to the `Streamer`. Only the streamer (and the lab, in virtual time) changes the load
 * states of files.
 */
import type { CatalogueEntry, Manifest, Tree } from "./bundle/bundle.ts";
import { Cut, type CutChange } from "./cut.ts";
import type { Matrix4, View } from "./gaze.ts";
import { cullableByCone, halfGridStep, texturesByRegion, uvLengths } from "./tree.ts";

/** One file that can be fetched. */
export type Download =
  | ManifestDownload
  | BaseDownload
  | AnimationDownload
  | RefinementDownload
  | TextureDownload;

interface DownloadFields {
  /** Unique among all assets of the page. */
  readonly key: string;
  readonly asset: AssetState;
  /** Relative to bundle.json. */
  readonly uri: string;
  readonly bytes: number;
  /** GPU memory of the decoded file, bytes; 0 for a base, whose manifest has it. */
  readonly gpuBytes: number;
}
export interface ManifestDownload extends DownloadFields {
  readonly kind: "manifest";
}
export interface BaseDownload extends DownloadFields {
  readonly kind: "base";
}
/** The keyframes of one animation. */
export interface AnimationDownload extends DownloadFields {
  readonly kind: "animation";
  /** Index into the manifest's animations. */
  readonly animation: number;
  /** By tree: the largest distance of a point from its place in the base, in units of the tree's space. */
  readonly reach: readonly number[];
}
/** The children of `region` in `tree`: mesh i of the GLB is region `children[i]`. */
export interface RefinementDownload extends DownloadFields {
  readonly kind: "refinement";
  readonly tree: number;
  readonly region: number;
}
export interface TextureDownload extends DownloadFields {
  readonly kind: "texture";
  readonly texture: number;
  readonly level: number;
}

/** absent → loading → preparing (decoding and upload) → ready; back to absent, or failed. */
export type LoadState = "absent" | "loading" | "preparing" | "ready" | "failed";

/** A file of an asset and its load state. */
export interface AssetFile<D extends Download = Download> {
  readonly download: D;
  readonly loadState: LoadState;
  /** Bytes received so far, while loading. */
  readonly received: number;
  /** Time of the last change of `loadState`, milliseconds. */
  readonly since: number;
  /** Time before which a failed file is not requested again, milliseconds; Infinity: never again. */
  readonly retryAt: number;
}
type MutableFile<D extends Download = Download> = { -readonly [K in keyof AssetFile<D>]: AssetFile<D>[K] };

/** One tree of the manifest, with its files and its cut. */
export interface TreeState {
  readonly tree: Tree;
  readonly cut: Cut;
  /** By region; null for leaves. */
  readonly refinements: readonly (AssetFile<RefinementDownload> | null)[];
  /** By region: see `texturesByRegion`. */
  readonly textures: readonly (readonly number[])[];
  /** By region: see `uvLengths`. */
  readonly uvLength: readonly number[];
  /** By region: see `cullableByCone`. */
  readonly cullable: readonly boolean[];
  /** See the function of the same name. */
  readonly halfGridStep: number;
  /** Tree space → world, one matrix for each node that draws the tree; null: the asset's `world`. */
  readonly placements: readonly Matrix4[] | null;
}
type MutableTree = { -readonly [K in keyof TreeState]: TreeState[K] };

export const IDENTITY: Matrix4 = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

const NO_CHANGE: CutChange = { hide: [], show: [] };

export class AssetState {
  /** Unique on the page: two assets of one catalogue entry have two ids. */
  readonly id: string;
  readonly entry: CatalogueEntry;
  /** Asset space → world. Also places every tree that has no placements of its own. */
  world: Matrix4 = IDENTITY;
  /** The view of the canvas that shows the asset, if it differs from the view of the plan; else null. */
  view: View | null = null;
  /**
   * The code that draws the asset has loaded. Until then only base and manifest are fetched, since the code
   * comes over the same link.
   */
  rendererReady = true;
  /** Names of the animations to fetch when the asset is seen; null: the first. */
  animationsToPlay: ReadonlySet<string> | null = null;
  readonly base: AssetFile<BaseDownload>;
  readonly manifestFile: AssetFile<ManifestDownload>;
  #manifest: Manifest | null = null;
  #trees: MutableTree[] = [];
  #animations: (MutableFile<AnimationDownload> | null)[] = [];
  #textures: (MutableFile<TextureDownload> | null)[][] = [];
  #drawnLevels: number[] = [];
  readonly #files = new Map<string, MutableFile>();

  constructor(id: string, entry: CatalogueEntry) {
    this.id = id;
    this.entry = entry;
    this.base = this.#addFile({
      kind: "base",
      key: `${id}/base`,
      asset: this,
      ...entry.base,
      gpuBytes: 0,
    });
    this.manifestFile = this.#addFile({
      kind: "manifest",
      key: `${id}/manifest`,
      asset: this,
      ...entry.manifest,
      gpuBytes: 0,
    });
  }

  /** Null until it has arrived. */
  get manifest(): Manifest | null {
    return this.#manifest;
  }

  /** Base and manifest have arrived, so refinements and texture levels can follow. */
  get refinable(): boolean {
    const { loadState } = this.base;
    return this.#manifest !== null && (loadState === "ready" || loadState === "preparing");
  }

  /** By tree of the manifest; empty before it has arrived. */
  get trees(): readonly TreeState[] {
    return this.#trees;
  }

  /** By animation of the manifest; null: its keyframes are in the base. */
  get animations(): readonly (AssetFile<AnimationDownload> | null)[] {
    return this.#animations;
  }

  /** By texture of the manifest and by level; null for level 0, which is in the base. */
  get textures(): readonly (readonly (AssetFile<TextureDownload> | null)[])[] {
    return this.#textures;
  }

  /** By texture: the drawn level. Level 0 is the base's. */
  get drawnLevels(): readonly number[] {
    return this.#drawnLevels;
  }

  /** By tree. */
  get cuts(): readonly Cut[] {
    return this.#trees.map(({ cut }) => cut);
  }

  /** All files that are known so far. */
  get files(): IterableIterator<AssetFile> {
    return this.#files.values();
  }

  /** Whether an animation is to be fetched when the asset is seen. */
  plays(animation: number): boolean {
    if (!this.animationsToPlay) return animation === 0;
    return this.animationsToPlay.has(this.#manifest?.animations[animation]?.name ?? "");
  }

  /**
   * Places the nodes that draw a tree.
   *
   * @param placements tree space → world, one matrix per node, in any order
   * @throws RangeError if the manifest has no such tree
   */
  setPlacements(tree: number, placements: readonly Matrix4[]): void {
    const state = this.#trees[tree];
    if (!state) throw new RangeError(`asset "${this.id}" has no tree ${tree}`);
    state.placements = placements;
  }

  /** Adds the files that the manifest names: trees, textures and animations. */
  setManifest(manifest: Manifest): void {
    this.#manifest = manifest;
    this.#animations = manifest.animations.map(({ keyframes }, animation) => {
      if (keyframes === null) return null;
      const key = `${this.id}/animation/${animation}`;
      return this.#addFile({ kind: "animation", key, asset: this, ...keyframes, gpuBytes: 0, animation });
    });
    this.#drawnLevels = manifest.textures.map(() => 0);
    this.#textures = manifest.textures.map(({ levels }, texture) =>
      levels.map(({ uri, bytes, gpuBytes }, level) => {
        if (uri === null) return null;
        const key = `${this.id}/texture/${texture}/${level}`;
        return this.#addFile({ kind: "texture", key, asset: this, uri, bytes, gpuBytes, texture, level });
      }),
    );
    this.#trees = manifest.trees.map((tree, index) => this.#addTree(manifest, tree, index));
  }

  /** A request was started. */
  begin(download: Download, now: number): void {
    this.#setLoadState(download, "loading", now);
  }

  /** @param received bytes that have arrived so far */
  progress(download: Download, received: number): void {
    this.#fileOf(download).received = received;
  }

  /** The last byte has arrived, and decoding begins. */
  arrive(download: Download, now: number): void {
    this.#setLoadState(download, "preparing", now);
  }

  /**
   * The file can be drawn.
   *
   * @returns the change of its tree's cut
   */
  ready(download: Download, now: number): CutChange {
    this.#setLoadState(download, "ready", now);
    if (download.kind === "refinement") return this.#treeOf(download).cut.arrive(download.region);
    if (download.kind === "texture") this.#chooseLevel(download.texture);
    return NO_CHANGE;
  }

  /** The file was given up. @param retryAt see `AssetFile.retryAt` */
  fail(download: Download, now: number, retryAt: number): void {
    this.#setLoadState(download, "failed", now);
    this.#fileOf(download).retryAt = retryAt;
  }

  /**
   * The request was aborted, or the file was released.
   *
   * @returns the change of its tree's cut
   */
  drop(download: Download, now: number): CutChange {
    this.#setLoadState(download, "absent", now);
    if (download.kind === "refinement") return this.#treeOf(download).cut.release(download.region);
    if (download.kind === "texture") this.#chooseLevel(download.texture);
    return NO_CHANGE;
  }

  /** Limits the cut of a tree; see `Cut.restrict`. */
  restrict(tree: number, openable: ReadonlySet<number> | null): CutChange {
    return this.#treeOf({ tree }).cut.restrict(openable);
  }

  /** Loaded levels of a texture that another level has replaced. */
  replacedLevels(texture: number): TextureDownload[] {
    const drawn = this.#drawnLevels[texture];
    return (this.#textures[texture] ?? []).flatMap((file) =>
      file?.loadState === "ready" && file.download.level !== drawn ? [file.download] : [],
    );
  }

  /** @throws RangeError if the download is not one of this asset */
  file(download: Download): AssetFile {
    return this.#fileOf(download);
  }

  #addFile<D extends Download>(download: D): MutableFile<D> {
    const file: MutableFile<D> = { download, loadState: "absent", received: 0, since: 0, retryAt: 0 };
    this.#files.set(download.key, file);
    return file;
  }

  #addTree(manifest: Manifest, tree: Tree, index: number): MutableTree {
    const refinements = tree.regions.map(({ refinement }, region) => {
      if (refinement === null) return null;
      const key = `${this.id}/tree/${index}/${region}`;
      return this.#addFile({ kind: "refinement", key, asset: this, ...refinement, tree: index, region });
    });
    return {
      tree,
      cut: new Cut(tree.regions),
      refinements,
      textures: texturesByRegion(tree, manifest.materials),
      uvLength: uvLengths(tree),
      cullable: cullableByCone(tree, manifest.materials),
      halfGridStep: halfGridStep(tree),
      placements: null,
    };
  }

  #fileOf(download: Download): MutableFile {
    const file = this.#files.get(download.key);
    if (!file) throw new RangeError(`asset "${this.id}" has no file ${download.key}`);
    return file;
  }

  #treeOf({ tree }: { readonly tree: number }): MutableTree {
    return this.#trees[tree] as MutableTree;
  }

  #setLoadState(download: Download, loadState: LoadState, now: number): void {
    const file = this.#fileOf(download);
    file.loadState = loadState;
    file.since = now;
    file.received = 0;
  }

  /** Draws the finest level that is ready. */
  #chooseLevel(texture: number): void {
    let finest = 0;
    for (const file of this.#textures[texture] ?? []) {
      if (file?.loadState === "ready") finest = file.download.level;
    }
    this.#drawnLevels[texture] = finest;
  }
}
