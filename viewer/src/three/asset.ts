import {
  type AnimationClip,
  type AnimationMixer,
  type Camera,
  type CompressedTexture,
  Group,
  Matrix4,
  type Mesh,
  type Object3D,
  type Scene,
} from "three";
import type { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import type { AssetState, Download } from "../core/asset.ts";
import type { Manifest, SourceObject, Tree } from "../core/bundle/bundle.ts";
import type { CutChange } from "../core/cut.ts";
import type { Fetcher } from "../core/network/fetcher.ts";
import { type Base, exactBuffer, nodesOf, parseBase, primitivesOf } from "./base.ts";
import type { Fades } from "./fades.ts";
import { Player } from "./player.ts";
import type { Recorder } from "./recorder.ts";
import {
  addToScene,
  type DrawableRegion,
  type DrawableTree,
  type Drawing,
  drawableRegion,
  freeRegion,
  removeFromScene,
} from "./regions.ts";
import { decodePicture, discard, Picture } from "./textures.ts";
import type { Uploads } from "./uploads.ts";

/** The parts of a renderer's host that its assets use. */
export interface AssetContext {
  readonly loader: GLTFLoader;
  readonly uploads: Uploads;
  readonly recorder: Recorder | null;
  /** Loads the code of fades, which the base does not need. */
  readonly openFades: () => Promise<Fades>;
  /** Converts a KTX2 file to compressed blocks that the GPU reads. */
  readonly transcode: (bytes: ArrayBuffer) => Promise<CompressedTexture>;
  /** Fetches a file of a bundle that the planner does not fetch. */
  readonly fetch: Fetcher["fetch"];
}

/**
 * One streamed asset, for any scene. It draws its base first; after its manifest has arrived, the core
 * exchanges regions and pictures for finer ones, and this class does so in three.js. All tiers use the
 * materials of the base; a refinement holds geometry only.
 */
export class Asset extends Group {
  readonly state: AssetState;
  readonly #base: Base;
  readonly #context: AssetContext;
  readonly #pictures: Picture[];
  readonly #player: Player;
  /** @internal Null until its code is loaded: regions are then exchanged at once. The browser tests read it. */
  fades: Fades | null = null;
  #trees: DrawableTree[] = [];
  /** The reason why the manifest does not fit the base. */
  #mismatch: Error | null = null;
  readonly #unloaded = new AbortController();
  #lastWorld: readonly number[] = [];
  /** Released regions that are still fading out. */
  readonly #released = new Set<DrawableRegion>();

  /**
   * Parses the base. The base is small, so it is uploaded when it is first drawn; a separate upload would
   * cost one more frame. The asset is not in a scene yet.
   * @throws Error if the base is malformed
   */
  static async load(
    state: AssetState,
    bytes: Uint8Array,
    context: AssetContext,
    signal: AbortSignal,
  ): Promise<Asset> {
    const base = await parseBase(context.loader, exactBuffer(bytes));
    const asset = new Asset(state, base, context);
    if (signal.aborted) asset.dispose();
    signal.throwIfAborted();
    return asset;
  }

  private constructor(state: AssetState, base: Base, context: AssetContext) {
    super();
    this.state = state;
    this.name = state.id;
    this.#base = base;
    this.#context = context;
    this.#pictures = base.slots.map((slots) => new Picture(slots));
    this.#pictures.forEach((picture, image) => {
      for (const source of picture.baseSources) {
        context.recorder?.picture(source, { asset: state.id, image, level: 0 });
      }
    });
    for (const mesh of base.meshes) {
      const label = { asset: state.id, tree: -1, region: 0, tier: 0, error: Number.POSITIVE_INFINITY };
      context.recorder?.watch(mesh, label);
    }
    this.add(base.root);
    // Animations with keyframe files of their own are added when they are requested.
    this.animations = base.animations;
    this.#player = new Player(state, base, () => this.parent !== null);
  }

  /** The mixer that plays the asset's animations; null while there are none. */
  get mixer(): AnimationMixer | null {
    return this.#player.mixer;
  }

  /** Names of all animations; before the manifest has arrived, of those in the base. */
  get animationNames(): string[] {
    return this.#player.names;
  }

  /**
   * Plays an animation in a loop, the first one by default, and stops the current one. If its keyframes are a
   * file of their own, the file is requested, and the current animation continues until it has arrived.
   */
  play(name?: string): void {
    this.#player.play(name);
  }

  /**
   * Returns an animation for the page to play by itself. If its keyframes are a file of their own, the file
   * is requested and arrives when the asset is in view.
   * @throws Error if there is no animation of that name, or its file cannot be loaded
   */
  animation(name: string): Promise<AnimationClip> {
    return this.#player.animation(name);
  }

  /**
   * Resolves with the nodes of the source's default scene: index, parent, name, extras, matrix at rest, and the
   * box of the node's own mesh, both in the asset's space; empty if no node has a name or extras. The list is
   * fetched by the first call. Geometry of these nodes can be moved by itself only if it was kept apart in the
   * build.
   * @throws Error if manifest or list cannot be loaded or are not valid
   */
  async objects(): Promise<readonly SourceObject[]> {
    const { readObjects } = await import("./object-list.ts");
    return readObjects(this.state, this.#context.fetch, this.#unloaded.signal);
  }

  /** Adds an animation from its keyframe file. */
  async addAnimation(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#mismatch) throw this.#mismatch;
    await this.#player.add(bytes, signal);
  }

  /** A download has failed: rejects the calls that wait for it. */
  downloadFailed(download: Download, error: Error): void {
    this.#player.downloadFailed(download, error);
  }

  /**
   * Connects the manifest with the base. If they do not fit, the base stays, and `refine`, `prepareLevel` and
   * `addAnimation` throw the reason.
   */
  bind(manifest: Manifest): void {
    this.#player.update();
    try {
      this.#trees = manifest.trees.map((tree, index) => this.#bindTree(tree, index));
      const images = this.#pictures.length;
      if (manifest.textures.length !== images) {
        throw new Error(`the manifest has ${manifest.textures.length} textures, the base ${images} images`);
      }
    } catch (error) {
      this.#mismatch = error as Error;
      this.#trees = [];
      return;
    }
    this.#lastWorld = [];
    if (this.#trees.some(({ tree }) => tree.regions.length > 1)) void this.#prepareFades();
  }

  /** Decodes and uploads the children of a region, without drawing them. */
  async refine(tree: number, region: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#mismatch) throw this.#mismatch;
    const drawable = this.#trees[tree];
    const parent = drawable?.tree.regions[region];
    if (!drawable || !parent) throw new Error(`there is no region ${region} in tree ${tree}`);
    const { parser, scene } = await this.#context.loader.parseAsync(exactBuffer(bytes), "");
    signal.throwIfAborted();
    const nodes = await nodesOf(parser, scene);
    const children = parent.children.map((child, order) => {
      const kinds = drawable.tree.regions[child]?.primitives ?? [];
      const geometries = primitivesOf(parser, nodes[order] ?? null, order).map((mesh) => mesh.geometry);
      if (geometries.length !== kinds.length) {
        throw new Error(
          `mesh ${order} has ${geometries.length} primitives, but the manifest says ${kinds.length}`,
        );
      }
      return { child, region: drawableRegion(drawable, kinds, geometries) };
    });
    try {
      const geometries = children.flatMap(({ region: { geometries } }) => geometries);
      await Promise.all(geometries.map((geometry) => this.#context.uploads.geometry(geometry, signal)));
    } catch (error) {
      for (const { region: unused } of children) freeRegion(unused);
      throw error;
    }
    for (const { child, region: ready } of children) {
      drawable.regions.set(child, ready);
      this.#watch(drawable, tree, child);
    }
  }

  /** Frees the children of a region; those that are fading out are freed after the fade. */
  releaseRefinement(tree: number, region: number): void {
    const drawable = this.#trees[tree];
    for (const child of drawable?.tree.regions[region]?.children ?? []) {
      const released = drawable?.regions.get(child);
      drawable?.regions.delete(child);
      if (!released) continue;
      if (this.fades?.isFadingOut(released)) this.#released.add(released);
      else freeRegion(released);
    }
  }

  /** Draws other regions of a tree, all in the same frame. */
  showRegions(tree: number, { hide, show }: CutChange): void {
    const drawable = this.#trees[tree];
    if (!drawable) return;
    const regions = (indices: readonly number[]): DrawableRegion[] =>
      indices.flatMap((index) => drawable.regions.get(index) ?? []);
    const shown = regions(show);
    for (const region of shown) addToScene(drawable, region);
    const remove = (region: DrawableRegion): void => {
      if (this.#released.delete(region)) freeRegion(region);
      else removeFromScene(region);
    };
    if (this.fades) this.fades.cross(regions(hide), shown, remove);
    else regions(hide).forEach(remove);
  }

  /**
   * All drawn meshes, without those that are fading out. Tree and region are −1 for a mesh outside of all
   * trees.
   */
  *drawn(): Generator<{ readonly mesh: Mesh; readonly tree: number; readonly region: number }> {
    const inTrees = new Set<Mesh>();
    for (const [tree, { regions, drawings }] of this.#trees.entries()) {
      for (const mesh of drawings.flatMap(({ kinds }) => kinds)) inTrees.add(mesh);
      for (const region of this.state.cuts[tree]?.drawn ?? []) {
        for (const mesh of regions.get(region)?.meshes.flat() ?? []) yield { mesh, tree, region };
      }
    }
    for (const mesh of this.#base.meshes) if (!inTrees.has(mesh)) yield { mesh, tree: -1, region: -1 };
  }

  /** Whether a fade is in progress. */
  get fading(): boolean {
    return this.fades?.active ?? false;
  }

  /** Decodes and uploads a level of a picture, without drawing it. */
  async prepareLevel(image: number, level: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#mismatch) throw this.#mismatch;
    const picture = this.#pictures[image];
    const size = this.state.manifest?.textures[image]?.levels[level];
    if (!picture || !size) throw new Error(`there is no level ${level} of texture ${image}`);
    const pixels = await decodePicture(exactBuffer(bytes), size.uri ?? "", size, this.#context.transcode);
    if (signal.aborted) discard(pixels);
    signal.throwIfAborted();
    const source = await picture.prepare(level, pixels, this.#context.uploads, signal);
    this.#context.recorder?.picture(source, { asset: this.state.id, image, level });
  }

  showLevel(image: number, level: number): void {
    this.#pictures[image]?.show(level);
    this.fades?.updateTextures();
  }

  releaseLevel(image: number, level: number): void {
    this.#pictures[image]?.release(level);
  }

  /**
   * Advances animations and fades, and reports positions to the core.
   * @param dt seconds since the last frame
   * @param now milliseconds
   */
  update(dt: number, now: number, camera: Camera): void {
    this.#player.mixer?.update(dt);
    this.fades?.update(now, sceneOf(this), camera);
    // Outside a scene it has no place in the world; the core keeps the expected one.
    if (this.parent) this.#reportPlaces();
  }

  override dispose(): void {
    this.#unloaded.abort(new DOMException("the asset was unloaded", "AbortError"));
    this.removeFromParent();
    this.#player.dispose();
    this.fades?.dispose();
    for (const { regions } of this.#trees) {
      for (const [index, region] of regions) if (index > 0) freeRegion(region);
    }
    for (const picture of this.#pictures) picture.dispose();
    for (const mesh of this.#base.meshes) {
      mesh.geometry.dispose();
      for (const material of [mesh.material].flat()) material.dispose();
      if ("skeleton" in mesh) (mesh.skeleton as { dispose(): void }).dispose();
    }
  }

  /** Loads the fades. If that fails, tiers are exchanged at once. */
  async #prepareFades(): Promise<void> {
    const fades = await this.#context.openFades().catch(() => null);
    if (!fades || this.#unloaded.signal.aborted) return;
    this.fades = fades;
    for (const { tree, drawings } of this.#trees) {
      if (tree.regions.length > 1) fades.expect(drawings.flatMap(({ kinds }) => kinds));
    }
  }

  #bindTree(tree: Tree, index: number): DrawableTree {
    const drawings = tree.nodes.map((number): Drawing => {
      const node = this.#base.nodes[number];
      if (!node) throw new Error(`tree ${index} names node ${number}, which is not in the base's scene`);
      const kinds = this.#base.primitives(number);
      // Region 0 is in the base, and gives each kind of primitive its material.
      if (tree.primitives.some((_, kind) => !kinds[kind])) {
        throw new Error(
          `tree ${index} has ${tree.primitives.length} kinds of primitives, node ${number} ${kinds.length}`,
        );
      }
      return { node, parent: this.#parentFor(tree, node), kinds };
    });
    const inRoot = new Set(tree.regions[0]?.primitives);
    const meshes = drawings.map(({ kinds }) => kinds.filter((_, kind) => inRoot.has(kind)));
    const root: DrawableRegion = { geometries: meshes[0]?.map((mesh) => mesh.geometry) ?? [], meshes };
    // The other meshes only give finer tiers their materials.
    for (const mesh of drawings.flatMap(({ kinds }) => kinds.filter((_, kind) => !inRoot.has(kind)))) {
      mesh.removeFromParent();
    }
    const drawable: DrawableTree = { tree, drawings, regions: new Map([[0, root]]) };
    // Root meshes get the same parent as all regions, so that they are shown and hidden in the same way.
    if (tree.regions.length > 1) {
      for (const [i, { parent }] of drawings.entries()) parent.add(...(meshes[i] ?? []));
    }
    this.#watch(drawable, index, 0);
    return drawable;
  }

  /**
   * The parent for a tree's meshes: the node, or, if their positions are in asset space, a child of the node
   * that inverts the node's transform.
   */
  #parentFor(tree: Tree, node: Object3D): Object3D {
    // The bones place a skinned mesh, and its node has no effect.
    if (tree.space === "mesh" || tree.kind === "skinned" || tree.regions.length === 1) return node;
    const toNode = new Matrix4();
    for (let object: Object3D | null = node; object && object !== this.#base.root; object = object.parent) {
      object.updateMatrix();
      toNode.premultiply(object.matrix);
    }
    if (toNode.equals(new Matrix4())) return node;
    const frame = new Group();
    toNode.invert().decompose(frame.position, frame.quaternion, frame.scale);
    node.add(frame);
    return frame;
  }

  /** Lets the recorder note when a region is drawn. */
  #watch(drawable: DrawableTree, tree: number, region: number): void {
    const { recorder } = this.#context;
    const entry = drawable.tree.regions[region];
    if (!recorder || !entry) return;
    const error = entry.error * drawable.tree.scale;
    const label = { asset: this.state.id, tree, region, tier: entry.tier, error };
    for (const mesh of drawable.regions.get(region)?.meshes.flat() ?? []) recorder.watch(mesh, label);
  }

  /** Gives the core the world matrices that changed; those of animated nodes are of the last frame. */
  #reportPlaces(): void {
    this.updateWorldMatrix(true, false);
    const { elements } = this.matrixWorld;
    const moved = !sameNumbers(elements, this.#lastWorld);
    if (moved) {
      this.updateWorldMatrix(false, true);
      this.#lastWorld = [...elements];
      this.state.world = this.#lastWorld;
    }
    this.#trees.forEach(({ tree, drawings }, index) => {
      if (tree.space === "asset" || (!moved && !this.#player.mixer)) return;
      this.state.setPlacements(
        index,
        drawings.map(({ node }) => [...node.matrixWorld.elements]),
      );
    });
  }
}

function sceneOf(object: Object3D): Scene | null {
  let top = object;
  while (top.parent) top = top.parent;
  return (top as Partial<Scene>).isScene ? (top as Scene) : null;
}

function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}
