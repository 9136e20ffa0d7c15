/**
 * What the page knows, has, loads and lacks of one asset, and where it stands in the world: the planner's input.
 *
 * The host (the three.js side) creates an `AssetState` per asset, keeps `world` and the trees' placements up to date,
 * and hands it to the `Streamer`, which alone moves files through their states (as does the lab, in virtual time).
 */
import type { CatalogueEntry, Manifest, Tree } from "./bundle/bundle.ts";
import { Cut, type CutChange } from "./cut.ts";
import type { Matrix4, View } from "./gaze.ts";

/** One file that may be worth fetching. `key` is unique over all assets of the page. */
export type Download =
  | ManifestDownload
  | BaseDownload
  | AnimationDownload
  | RefinementDownload
  | TextureDownload;

interface DownloadOf {
  readonly key: string;
  readonly asset: AssetState;
  /** Relative to bundle.json. */
  readonly uri: string;
  readonly bytes: number;
  /** GPU memory once it is drawn, bytes. */
  readonly gpuBytes: number;
}
export interface ManifestDownload extends DownloadOf {
  readonly kind: "manifest";
}
export interface BaseDownload extends DownloadOf {
  readonly kind: "base";
}
/** The keyframes of one of the manifest's animations. */
export interface AnimationDownload extends DownloadOf {
  readonly kind: "animation";
  readonly animation: number;
  /** By tree: how far it moves a point from where the base shows it, in units of the tree's space. */
  readonly reach: readonly number[];
}
/** The children of `region` in `tree`: mesh i of the GLB draws `children[i]`. */
export interface RefinementDownload extends DownloadOf {
  readonly kind: "refinement";
  readonly tree: number;
  readonly region: number;
}
export interface TextureDownload extends DownloadOf {
  readonly kind: "texture";
  readonly texture: number;
  readonly level: number;
}

/** A file's way: absent → loading → preparing (decoded, uploaded) → ready, and back to absent; or failed. */
export type LoadState = "absent" | "loading" | "preparing" | "ready" | "failed";

export interface AssetFile<D extends Download = Download> {
  readonly download: D;
  readonly loadState: LoadState;
  /** Bytes that have arrived while loading. */
  readonly received: number;
  /** When the stage began. */
  readonly since: number;
  /** Failed files are not asked for again before; Infinity: never. */
  readonly retryAt: number;
}
type MutableFile<D extends Download = Download> = { -readonly [K in keyof AssetFile<D>]: AssetFile<D>[K] };

/** One tree as the planner reads it: plain arrays beside the manifest's regions. */
export interface TreeState {
  readonly tree: Tree;
  readonly cut: Cut;
  /** By region; null for leaves. */
  readonly refinements: readonly (AssetFile<RefinementDownload> | null)[];
  /** By region: the textures its materials use. */
  readonly textures: readonly (readonly number[])[];
  /**
   * By region: length of one unit of TEXCOORD_0, in units of the tree's space, where it is longest on the finest tier:
   * fewer triangles stretch pictures otherwise, and what is enough on them may not be enough later.
   */
  readonly uvLength: readonly number[];
  /** By region: whether it may be culled by its cone of normals. */
  readonly cullable: readonly boolean[];
  /**
   * Half a step of the quantisation grid, in units of the tree's space: no refinement gets below it. 0 for a skin,
   * whose grid has the scale of its bind pose.
   */
  readonly halfStep: number;
  readonly placements: readonly Matrix4[] | null;
}
type MutableTree = { -readonly [K in keyof TreeState]: TreeState[K] };

export const IDENTITY: Matrix4 = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

export class AssetState {
  /** Unique on the page: two of one catalogue entry have two ids. */
  readonly id: string;
  readonly entry: CatalogueEntry;
  /** Asset space → world: places the asset, and every tree that has no placements of its own. */
  world: Matrix4 = IDENTITY;
  /** Where it is seen from, when that is not the view that the page is planned for: a page may have several canvases. */
  view: View | null = null;
  /** The code that draws it is here: until then nothing finer is fetched, since the code comes over the same link. */
  rendererReady = true;
  /** Names of the animations that are to be had when the asset is seen; null: the first. */
  animationsToPlay: ReadonlySet<string> | null = null;
  readonly base: AssetFile<BaseDownload>;
  readonly manifestFile: AssetFile<ManifestDownload>;
  #manifest: Manifest | null = null;
  #trees: MutableTree[] = [];
  #animations: (MutableFile<AnimationDownload> | null)[] = [];
  #textures: (MutableFile<TextureDownload> | null)[][] = [];
  #levels: number[] = [];
  readonly #files = new Map<string, MutableFile>();

  constructor(id: string, entry: CatalogueEntry) {
    this.id = id;
    this.entry = entry;
    // The memory of the base is in the manifest; until that arrives it is not known.
    this.base = this.#file({ kind: "base", key: `${id}/base`, asset: this, ...entry.base, gpuBytes: 0 });
    this.manifestFile = this.#file({
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

  /** Its base and its manifest have come: what refines it is known. */
  get refinable(): boolean {
    const { loadState } = this.base;
    return this.#manifest !== null && (loadState === "ready" || loadState === "preparing");
  }

  /** By tree of the manifest; empty before it. */
  get trees(): readonly TreeState[] {
    return this.#trees;
  }

  /** By animation of the manifest; null: in the base. */
  get animations(): readonly (AssetFile<AnimationDownload> | null)[] {
    return this.#animations;
  }

  /** By texture of the manifest, by level; null for level 0, which is the base's. */
  get textures(): readonly (readonly (AssetFile<TextureDownload> | null)[])[] {
    return this.#textures;
  }

  /** By texture: the level that is drawn; 0 is the base's own. */
  get drawnLevels(): readonly number[] {
    return this.#levels;
  }

  /** By tree: what is drawn of it. */
  get cuts(): readonly Cut[] {
    return this.#trees.map(({ cut }) => cut);
  }

  /** Every file of the asset that is known so far. */
  get files(): IterableIterator<AssetFile> {
    return this.#files.values();
  }

  /** Whether one of the manifest's animations is to be had when the asset is seen. */
  plays(animation: number): boolean {
    if (!this.animationsToPlay) return animation === 0;
    return this.animationsToPlay.has(this.#manifest?.animations[animation]?.name ?? "");
  }

  /** Space of a tree → world, one for each node that draws it: any number of instances, in any order. */
  setPlacements(tree: number, placements: readonly Matrix4[]): void {
    const state = this.#trees[tree];
    if (!state) throw new RangeError(`${this.id}: there is no tree ${tree}`);
    state.placements = placements;
  }

  /** The manifest has arrived and was parsed: from now on there are trees and textures to refine. */
  setManifest(manifest: Manifest): void {
    this.#manifest = manifest;
    this.#animations = manifest.animations.map(({ keyframes }, animation) => {
      if (keyframes === null) return null;
      const key = `${this.id}/animation/${animation}`;
      return this.#file({ kind: "animation", key, asset: this, ...keyframes, gpuBytes: 0, animation });
    });
    this.#levels = manifest.textures.map(() => 0);
    this.#textures = manifest.textures.map(({ levels }, texture) =>
      levels.map(({ uri, bytes, gpuBytes }, level) => {
        if (uri === null) return null;
        const key = `${this.id}/texture/${texture}/${level}`;
        return this.#file({ kind: "texture", key, asset: this, uri, bytes, gpuBytes, texture, level });
      }),
    );
    this.#trees = manifest.trees.map((tree, index) => this.#describeTree(manifest, tree, index));
  }

  /** A request was started. */
  begin(download: Download, now: number): void {
    this.#move(download, "loading", now);
  }

  /** So many of its bytes have arrived. */
  progress(download: Download, received: number): void {
    this.#of(download).received = received;
  }

  /** Its last byte has arrived; it is being decoded. */
  arrive(download: Download, now: number): void {
    this.#move(download, "preparing", now);
  }

  /** It can be drawn: returns what changes in the cut of its tree. */
  ready(download: Download, now: number): CutChange {
    this.#move(download, "ready", now);
    if (download.kind === "refinement") return this.#tree(download.tree).cut.arrive(download.region);
    if (download.kind === "texture") this.#chooseLevel(download.texture);
    return { hide: [], show: [] };
  }

  /** It was given up until `retryAt`. */
  fail(download: Download, now: number, retryAt: number): void {
    this.#move(download, "failed", now);
    this.#of(download).retryAt = retryAt;
  }

  /** It is not there any more (aborted or released): returns what changes in the cut of its tree. */
  drop(download: Download, now: number): CutChange {
    this.#move(download, "absent", now);
    if (download.kind === "refinement") return this.#tree(download.tree).cut.release(download.region);
    if (download.kind === "texture") this.#chooseLevel(download.texture);
    return { hide: [], show: [] };
  }

  /** Only these regions of a tree are drawn finer from now on (null: all): returns what changes. */
  restrict(tree: number, limit: ReadonlySet<number> | null): CutChange {
    return this.#tree(tree).cut.restrict(limit);
  }

  /** Levels of a texture that are there but not drawn: one level is, and what it replaces is not needed any more. */
  replacedLevels(texture: number): TextureDownload[] {
    const drawn = this.#levels[texture];
    return (this.#textures[texture] ?? []).flatMap((file) =>
      file?.loadState === "ready" && file.download.level !== drawn ? [file.download] : [],
    );
  }

  /** Where a file of this asset stands. */
  file(download: Download): AssetFile {
    return this.#of(download);
  }

  #file<D extends Download>(download: D): MutableFile<D> {
    const file: MutableFile<D> = { download, loadState: "absent", received: 0, since: 0, retryAt: 0 };
    this.#files.set(download.key, file);
    return file;
  }

  #of(download: Download): MutableFile {
    const file = this.#files.get(download.key);
    if (!file) throw new RangeError(`${this.id}: ${download.key} is no file of it`);
    return file;
  }

  #tree(tree: number): MutableTree {
    return this.#trees[tree] as MutableTree;
  }

  #move(download: Download, stage: LoadState, now: number): void {
    const file = this.#of(download);
    file.loadState = stage;
    file.since = now;
    file.received = 0;
  }

  #chooseLevel(texture: number): void {
    const levels = this.#textures[texture] ?? [];
    let finest = 0;
    for (const level of levels) if (level?.loadState === "ready") finest = level.download.level;
    this.#levels[texture] = finest;
  }

  #describeTree(manifest: Manifest, tree: Tree, index: number): MutableTree {
    const used = tree.primitives.map(({ material }) =>
      material === null ? [] : (manifest.materials[material]?.textures ?? []),
    );
    const solid = tree.primitives.map(({ material }) => {
      const { doubleSided, alphaMode } = manifest.materials[material ?? -1] ?? GLTF_DEFAULT_MATERIAL;
      return !doubleSided && alphaMode === "OPAQUE";
    });
    const rigid = tree.kind === "static" || tree.kind === "rigid";
    const allSolid = tree.regions.map(({ primitives }) => primitives.every((k) => solid[k]));
    // A cone holds the normals of all descendants, and a finer one may have a material that its ancestor had lost.
    for (let region = tree.regions.length - 1; region > 0; region--) {
      if (!allSolid[region]) allSolid[tree.regions[region]?.parent ?? 0] = false;
    }
    const finest = tree.regions.map(({ metresPerUv }) => metresPerUv);
    for (let region = tree.regions.length - 1; region >= 0; region--) {
      const below = (tree.regions[region]?.children ?? []).flatMap((child) => finest[child] ?? []);
      if (below.length > 0) finest[region] = Math.max(...below);
    }
    const refinements = tree.regions.map(({ refinement }, region) => {
      if (refinement === null) return null;
      const key = `${this.id}/tree/${index}/${region}`;
      return this.#file({ kind: "refinement", key, asset: this, ...refinement, tree: index, region });
    });
    return {
      tree,
      cut: new Cut(tree.regions),
      refinements,
      textures: tree.regions.map(({ primitives }) => [...new Set(primitives.flatMap((k) => used[k] ?? []))]),
      // Without a measured length the picture is taken to lie across the region once: too coarse rather than never.
      uvLength: tree.regions.map(({ sphere }, region) => finest[region] ?? 2 * sphere[3]),
      cullable: tree.regions.map(({ cone }, region) => rigid && cone !== null && allSolid[region] === true),
      halfStep: tree.kind === "skinned" ? 0 : tree.grid.range / (2 ** tree.grid.bits - 1) / 2,
      placements: null,
    };
  }
}

const GLTF_DEFAULT_MATERIAL = { doubleSided: false, alphaMode: "OPAQUE" };
