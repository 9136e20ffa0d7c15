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
import type { Manifest, Tree } from "../core/bundle/bundle.ts";
import type { CutChange } from "../core/cut.ts";
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

/** What an asset needs from the page around it. */
export interface AssetContext {
  readonly loader: GLTFLoader;
  readonly uploads: Uploads;
  readonly recorder: Recorder | null;
  /** Fades are code that the base does not need. */
  readonly openFades: () => Promise<Fades>;
  /** A KTX2 file as blocks that the GPU reads. */
  readonly transcode: (bytes: ArrayBuffer) => Promise<CompressedTexture>;
}

/**
 * One streamed asset, to be added to any scene. It draws its base from the start; once it knows its manifest,
 * regions and pictures are exchanged for finer ones. Which and when is decided by the core: here is only what
 * three.js must do for it. The materials are the base's in every tier; refinements bring geometry alone.
 */
export class Asset extends Group {
  readonly state: AssetState;
  private readonly base: Base;
  private readonly context: AssetContext;
  private readonly pictures: Picture[];
  private readonly player: Player;
  /** Null until it has come: regions are exchanged at once. */
  private fades: Fades | null = null;
  private trees: DrawableTree[] = [];
  /** Why the manifest does not fit the base, when it does not. */
  private mismatch: Error | null = null;
  private disposed = false;
  private lastWorld: readonly number[] = [];
  /** Not wanted any more, but still fading away. */
  private readonly released = new Set<DrawableRegion>();

  /**
   * Parses the base. It is small, so that drawing it may upload it: a frame in which only uploads happen would be one
   * frame later. The asset is not in any scene yet.
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
    this.base = base;
    this.context = context;
    this.pictures = base.slots.map((slots) => new Picture(slots));
    this.pictures.forEach((picture, image) => {
      for (const source of picture.baseSources) {
        context.recorder?.picture(source, { asset: state.id, image, level: 0 });
      }
    });
    for (const mesh of base.meshes) {
      const label = { asset: state.id, tree: -1, region: 0, tier: 0, error: Number.POSITIVE_INFINITY };
      context.recorder?.watch(mesh, label);
    }
    this.add(base.root);
    // Those whose keyframes are files of their own come in as they are asked for.
    this.animations = base.animations;
    this.player = new Player(state, base, () => this.parent !== null);
  }

  /** Plays the asset's animations; null while it has none. */
  get mixer(): AnimationMixer | null {
    return this.player.mixer;
  }

  /** Names of the asset's animations; before its manifest has come, of those in its base. */
  get animationNames(): string[] {
    return this.player.names;
  }

  /**
   * Plays one animation in a loop, the first when none is named; another one stops. One whose keyframes are a file of
   * their own is asked for, and what was done before goes on until it has come.
   */
  play(name?: string): void {
    this.player.play(name);
  }

  /**
   * An animation, to be played by other rules than those of `play`. If its keyframes are a file of their own, they are
   * asked for and come when the asset is seen.
   * @throws Error when there is none of that name, or its file cannot be had
   */
  animation(name: string): Promise<AnimationClip> {
    return this.player.animation(name);
  }

  /** Takes in the keyframes of an animation. */
  async addAnimation(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.mismatch) throw this.mismatch;
    await this.player.add(bytes, signal);
  }

  /** A file was given up: who waits for what is in it need not. */
  lack(download: Download, error: Error): void {
    this.player.lack(download, error);
  }

  /**
   * Connects the manifest with the base. Where they do not fit, the base stays, and `refine` and `prepareLevel`
   * say why.
   */
  bind(manifest: Manifest): void {
    this.player.look();
    try {
      this.trees = manifest.trees.map((tree, index) => this.bindTree(tree, index));
      const images = this.pictures.length;
      if (manifest.textures.length !== images) {
        throw new Error(`the manifest has ${manifest.textures.length} textures, the base ${images} images`);
      }
    } catch (error) {
      this.mismatch = error as Error;
      this.trees = [];
      return;
    }
    this.lastWorld = [];
    if (this.trees.some(({ tree }) => tree.regions.length > 1)) void this.prepareFades();
  }

  /** Decodes and uploads the children of a region; nothing of them is drawn. */
  async refine(tree: number, region: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.mismatch) throw this.mismatch;
    const drawable = this.trees[tree];
    const parent = drawable?.tree.regions[region];
    if (!drawable || !parent) throw new Error(`there is no region ${region} in tree ${tree}`);
    const { parser, scene } = await this.context.loader.parseAsync(exactBuffer(bytes), "");
    signal.throwIfAborted();
    const nodes = await nodesOf(parser, scene);
    const children = parent.children.map((child, order) => {
      const kinds = drawable.tree.regions[child]?.primitives ?? [];
      const geometries = primitivesOf(parser, nodes[order] ?? null, order).map((mesh) => mesh.geometry);
      if (geometries.length !== kinds.length) {
        throw new Error(
          `mesh ${order} has ${geometries.length} primitives where the manifest says ${kinds.length}`,
        );
      }
      return { child, region: drawableRegion(drawable, kinds, geometries) };
    });
    try {
      const geometries = children.flatMap(({ region: { geometries } }) => geometries);
      await Promise.all(geometries.map((geometry) => this.context.uploads.geometry(geometry, signal)));
    } catch (error) {
      for (const { region: unused } of children) freeRegion(unused);
      throw error;
    }
    for (const { child, region: ready } of children) {
      drawable.regions.set(child, ready);
      this.watch(drawable, tree, child);
    }
  }

  /** Frees the children of a region, those that are fading away when they are gone. */
  releaseRefinement(tree: number, region: number): void {
    const drawable = this.trees[tree];
    for (const child of drawable?.tree.regions[region]?.children ?? []) {
      const released = drawable?.regions.get(child);
      drawable?.regions.delete(child);
      if (!released) continue;
      if (this.fades?.isVanishing(released)) this.released.add(released);
      else freeRegion(released);
    }
  }

  /** Draws other regions of a tree, all at once: no frame shows the scene half changed. */
  showRegions(tree: number, { hide, show }: CutChange): void {
    const drawable = this.trees[tree];
    if (!drawable) return;
    const regions = (indices: readonly number[]): DrawableRegion[] =>
      indices.flatMap((index) => drawable.regions.get(index) ?? []);
    const shown = regions(show);
    for (const region of shown) addToScene(drawable, region);
    const gone = (region: DrawableRegion): void => {
      if (this.released.delete(region)) freeRegion(region);
      else removeFromScene(region);
    };
    if (this.fades) this.fades.cross(regions(hide), shown, gone);
    else regions(hide).forEach(gone);
  }

  /** Every mesh that is drawn and stays: by tree and region, −1 for what no tree draws. */
  *drawn(): Generator<{ readonly mesh: Mesh; readonly tree: number; readonly region: number }> {
    const followed = new Set<Mesh>();
    for (const [tree, { regions, drawings }] of this.trees.entries()) {
      for (const mesh of drawings.flatMap(({ kinds }) => kinds)) followed.add(mesh);
      for (const region of this.state.cuts[tree]?.drawn ?? []) {
        for (const mesh of regions.get(region)?.meshes.flat() ?? []) yield { mesh, tree, region };
      }
    }
    for (const mesh of this.base.meshes) if (!followed.has(mesh)) yield { mesh, tree: -1, region: -1 };
  }

  /** Whether something is still fading. */
  get fading(): boolean {
    return this.fades?.active ?? false;
  }

  /** Decodes and uploads a level of a picture; it is not used yet. */
  async prepareLevel(image: number, level: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.mismatch) throw this.mismatch;
    const picture = this.pictures[image];
    const size = this.state.manifest?.textures[image]?.levels[level];
    if (!picture || !size) throw new Error(`there is no level ${level} of texture ${image}`);
    const pixels = await decodePicture(exactBuffer(bytes), size.uri ?? "", size, this.context.transcode);
    if (signal.aborted) discard(pixels);
    signal.throwIfAborted();
    const source = await picture.prepare(level, pixels, this.context.uploads, signal);
    this.context.recorder?.picture(source, { asset: this.state.id, image, level });
  }

  showLevel(image: number, level: number): void {
    this.pictures[image]?.show(level);
    this.fades?.follow();
  }

  releaseLevel(image: number, level: number): void {
    this.pictures[image]?.release(level);
  }

  /**
   * Moves animations and fades on, and tells the core where everything is.
   * @param dt seconds since the last frame
   * @param now milliseconds
   */
  update(dt: number, now: number, camera: Camera): void {
    this.player.mixer?.update(dt);
    this.fades?.update(now, sceneOf(this), camera);
    // Outside a scene it is nowhere: what the page planned with remains.
    if (this.parent) this.locate();
  }

  override dispose(): void {
    this.disposed = true;
    this.removeFromParent();
    this.player.dispose();
    this.fades?.dispose();
    for (const { regions } of this.trees) {
      for (const [index, region] of regions) if (index > 0) freeRegion(region);
    }
    for (const picture of this.pictures) picture.dispose();
    for (const mesh of this.base.meshes) {
      mesh.geometry.dispose();
      for (const material of [mesh.material].flat()) material.dispose();
      if ("skeleton" in mesh) (mesh.skeleton as { dispose(): void }).dispose();
    }
  }

  /** Without them, as where the code cannot be had, nothing is missing but the softness. */
  private async prepareFades(): Promise<void> {
    const fades = await this.context.openFades().catch(() => null);
    if (!fades || this.disposed) return;
    this.fades = fades;
    for (const { tree, drawings } of this.trees) {
      if (tree.regions.length > 1) fades.expect(drawings.flatMap(({ kinds }) => kinds));
    }
  }

  private bindTree(tree: Tree, index: number): DrawableTree {
    const drawings = tree.nodes.map((number): Drawing => {
      const node = this.base.nodes[number];
      if (!node) throw new Error(`tree ${index} names node ${number}, which is not in the base's scene`);
      const kinds = this.base.primitives(number);
      // Region 0 is what the base draws; a kind it does not use has no mesh to take a material from.
      if (tree.primitives.some((_, kind) => !kinds[kind])) {
        throw new Error(
          `tree ${index} has ${tree.primitives.length} kinds of primitives, node ${number} draws ${kinds.length}`,
        );
      }
      return { node, place: this.placeOf(tree, node), kinds };
    });
    const root: DrawableRegion = {
      geometries: drawings[0]?.kinds.map((mesh) => mesh.geometry) ?? [],
      meshes: drawings.map(({ kinds }) => kinds),
    };
    const drawable: DrawableTree = { tree, drawings, regions: new Map([[0, root]]) };
    // Root meshes go where the regions go, so that one rule shows and hides them all.
    if (tree.regions.length > 1) {
      for (const { place, kinds } of drawings) place.add(...kinds);
    }
    this.watch(drawable, index, 0);
    return drawable;
  }

  /** Where a tree's meshes belong: below the node, in a frame that undoes it when positions are the asset's. */
  private placeOf(tree: Tree, node: Object3D): Object3D {
    // Bones place a skin, whatever its node does.
    if (tree.space === "mesh" || tree.kind === "skinned" || tree.regions.length === 1) return node;
    const toNode = new Matrix4();
    for (let each: Object3D | null = node; each && each !== this.base.root; each = each.parent) {
      each.updateMatrix();
      toNode.premultiply(each.matrix);
    }
    if (toNode.equals(new Matrix4())) return node;
    const frame = new Group();
    toNode.invert().decompose(frame.position, frame.quaternion, frame.scale);
    node.add(frame);
    return frame;
  }

  private watch(drawable: DrawableTree, tree: number, region: number): void {
    const { recorder } = this.context;
    const about = drawable.tree.regions[region];
    if (!recorder || !about) return;
    const error = about.error * drawable.tree.scale;
    const label = { asset: this.state.id, tree, region, tier: about.tier, error };
    for (const mesh of drawable.regions.get(region)?.meshes.flat() ?? []) recorder.watch(mesh, label);
  }

  /** Hands world matrices to the core when they changed; those of animated nodes are the last frame's. */
  private locate(): void {
    this.updateWorldMatrix(true, false);
    const { elements } = this.matrixWorld;
    const moved = !sameNumbers(elements, this.lastWorld);
    if (moved) {
      this.updateWorldMatrix(false, true);
      this.lastWorld = [...elements];
      this.state.world = this.lastWorld;
    }
    this.trees.forEach(({ tree, drawings }, index) => {
      if (tree.space === "asset" || (!moved && !this.player.mixer)) return;
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
