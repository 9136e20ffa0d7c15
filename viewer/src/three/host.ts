import type { Camera, CompressedTexture, WebGLRenderer } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import type { AssetState, Download, ManifestDownload } from "../core/asset.ts";
import type { CutChange } from "../core/cut.ts";
import type { Host } from "../core/streamer.ts";
import { Asset, type AssetContext } from "./asset.ts";
import { borrowDraco, DECODERS, type DecoderFiles, managerOf, releaseDraco } from "./decoders.ts";
import type { Transcoder } from "./ktx2.ts";
import type { Recorder } from "./recorder.ts";
import type { ShaderWarmup } from "./shader-warmup.ts";
import { embeddedPictures } from "./textures.ts";
import { Uploads } from "./uploads.ts";

/** A file that decodes for longer is taken for broken: large ones need under a second, milliseconds. */
const DECODE_LIMIT_MS = 60_000;
/** Milliseconds of a fade between tiers: shorter is a pop, longer holds the finer picture back. */
const FADE_MS = 200;

/** The three.js side of the streamer: turns files into things on the GPU and shows them when it is told to. */
export class ThreeHost implements Host {
  readonly uploads: Uploads;
  /** Called when an asset can be drawn for the first time; the caller puts it into a scene. */
  onBase: ((asset: Asset) => void) | null = null;
  /** Called after a texture's level of an asset was exchanged. */
  onLevel: ((asset: Asset) => void) | null = null;
  /** Called after other regions of an asset are drawn. */
  onRegions: ((asset: Asset) => void) | null = null;
  /** Called when a file was given up. */
  onFailed: ((download: Download, error: Error) => void) | null = null;

  private readonly context: AssetContext;
  private warmup: ShaderWarmup | null = null;
  private transcoder: Promise<Transcoder> | null = null;
  private readonly openTranscoder: () => Promise<Transcoder>;
  private disposed = false;
  private readonly loading = new WeakMap<AssetState, Promise<Asset>>();
  private readonly assets = new Map<AssetState, Asset>();

  constructor(
    private readonly renderer: WebGLRenderer,
    private readonly decoder: DecoderFiles,
    transcoder: DecoderFiles,
    recorder: Recorder | null,
    fadeMs = FADE_MS,
  ) {
    this.uploads = new Uploads(renderer);
    this.context = {
      loader: new GLTFLoader(managerOf(decoder))
        .setDRACOLoader(borrowDraco(decoder))
        .register(embeddedPictures),
      uploads: this.uploads,
      recorder,
      openFades: async () => new (await import("./fades.ts")).Fades(renderer, fadeMs),
      transcode: (bytes) => this.transcode(bytes),
    };
    this.openTranscoder = async () => {
      const { openTranscoder } = await import("./ktx2.ts");
      return openTranscoder(renderer, transcoder, DECODERS);
    };
  }

  asset(state: AssetState): Asset | null {
    return this.assets.get(state) ?? null;
  }

  async prepare(
    download: Exclude<Download, ManifestDownload>,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const { asset: state } = download;
    if (download.kind === "base") {
      const loading = inTime(Asset.load(state, bytes, this.context, signal));
      this.loading.set(state, loading);
      const asset = await loading;
      this.assets.set(state, asset);
      if (state.manifest) asset.bind(state.manifest);
      return;
    }
    // The base's bytes are there before anything finer is asked for, but it may still be decoding.
    const asset = await this.loading.get(state);
    if (!asset) throw new Error(`the base of ${state.id} is not there yet`);
    signal.throwIfAborted();
    if (download.kind === "animation") {
      await inTime(asset.addAnimation(bytes, signal));
    } else if (download.kind === "refinement") {
      await inTime(asset.refine(download.tree, download.region, bytes, signal));
    } else {
      await inTime(asset.prepareLevel(download.texture, download.level, bytes, signal));
    }
  }

  /** What has ready what will draw an asset; its code comes when it is wanted. */
  async openShaderWarmup(): Promise<ShaderWarmup> {
    const { ShaderWarmup } = await import("./shader-warmup.ts");
    this.warmup ??= new ShaderWarmup(this.renderer, new GLTFLoader());
    return this.warmup;
  }

  /** Call once per frame, before drawing. */
  update(camera: Camera): void {
    this.uploads.slice();
    this.warmup?.step(camera);
  }

  baseProgress(state: AssetState, head: Uint8Array): void {
    this.warmup?.hear(state, head);
  }

  manifestReady(state: AssetState): void {
    const asset = this.assets.get(state);
    if (asset && state.manifest) asset.bind(state.manifest);
  }

  showBase(state: AssetState): void {
    this.warmup?.end(state);
    const asset = this.assets.get(state);
    if (asset) this.onBase?.(asset);
  }

  showRegions(state: AssetState, tree: number, change: CutChange): void {
    const asset = this.assets.get(state);
    asset?.showRegions(tree, change);
    if (asset) this.onRegions?.(asset);
  }

  showLevel(state: AssetState, texture: number, level: number): void {
    const asset = this.assets.get(state);
    asset?.showLevel(texture, level);
    if (asset) this.onLevel?.(asset);
  }

  release(download: Download): void {
    const asset = this.assets.get(download.asset);
    if (download.kind === "refinement") asset?.releaseRefinement(download.tree, download.region);
    if (download.kind === "texture") asset?.releaseLevel(download.texture, download.level);
  }

  /** Frees everything of an asset. */
  remove(state: AssetState): void {
    this.warmup?.remove(state);
    this.assets.get(state)?.dispose();
    this.assets.delete(state);
  }

  failed(download: Download, error: Error): void {
    if (download.kind === "base") this.warmup?.end(download.asset);
    this.assets.get(download.asset)?.lack(download, error);
    this.onFailed?.(download, error);
  }

  dispose(): void {
    if (this.disposed) return;
    for (const state of [...this.assets.keys()]) this.remove(state);
    this.warmup?.dispose();
    this.uploads.dispose();
    releaseDraco(this.decoder);
    this.disposed = true;
    void this.transcoder?.then((transcoder) => transcoder.dispose()).catch(() => {});
    this.transcoder = null;
  }

  /** Code and transcoder come with the first KTX2 picture; what could not be had may be there the next time. */
  private async transcode(bytes: ArrayBuffer): Promise<CompressedTexture> {
    if (this.disposed) throw new Error("disposed");
    if (!this.transcoder) {
      const opening = this.openTranscoder();
      this.transcoder = opening;
      opening.catch(() => {
        if (this.transcoder === opening) this.transcoder = null;
      });
    }
    return (await this.transcoder).transcode(bytes);
  }
}

/** A decoder that died answers nothing; a hidden page uploads nothing and must not be punished for it. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const check = (): void => {
      if (document.hidden) timer = setTimeout(check, DECODE_LIMIT_MS);
      else reject(new Error(`not decoded after ${DECODE_LIMIT_MS / 1000} s`));
    };
    timer = setTimeout(check, DECODE_LIMIT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
