import type { Camera, CompressedTexture, WebGLRenderer } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import type { AssetState, Download, ManifestDownload } from "../core/asset.ts";
import type { CutChange } from "../core/cut.ts";
import type { Fetcher } from "../core/network/fetcher.ts";
import type { Host } from "../core/streamer.ts";
import { Asset, type AssetContext } from "./asset.ts";
import { acquireDraco, DECODERS, type DecoderFiles, loadingManager, releaseDraco } from "./decoders.ts";
import type { Transcoder } from "./ktx2.ts";
import type { Recorder } from "./recorder.ts";
import type { ShaderWarmup } from "./shader-warmup.ts";
import { embeddedPictures } from "./textures.ts";
import { Uploads } from "./uploads.ts";

/**
 * A file that takes longer to decode counts as broken, milliseconds: even large files need less than a
 * second.
 */
const DECODE_LIMIT_MS = 60_000;
/** Length of a fade between tiers: a shorter one looks like a pop, a longer one delays the finer tier. */
const FADE_MS = 200;

export interface ThreeHostOptions {
  readonly decoder: DecoderFiles;
  readonly transcoder: DecoderFiles;
  readonly recorder: Recorder | null;
  /** Milliseconds; 200 by default. */
  readonly fadeMs: number | undefined;
  /** Fetches a file of a bundle that the planner does not fetch. */
  readonly fetch: Fetcher["fetch"];
}

/**
 * The three.js host of the streamer: decodes files, uploads them, and draws them when the streamer says so.
 */
export class ThreeHost implements Host {
  readonly uploads: Uploads;
  /** Called when an asset can be drawn for the first time. The caller adds it to a scene. */
  onBase: ((asset: Asset) => void) | null = null;
  /** Called after a texture of an asset has changed its level. */
  onLevel: ((asset: Asset) => void) | null = null;
  /** Called after an asset draws other regions. */
  onRegions: ((asset: Asset) => void) | null = null;
  /** Called when a download has failed. */
  onFailed: ((download: Download, error: Error) => void) | null = null;

  readonly #renderer: WebGLRenderer;
  readonly #decoder: DecoderFiles;
  readonly #context: AssetContext;
  readonly #openTranscoder: () => Promise<Transcoder>;
  /** Null until the first KTX2 picture. */
  #transcoder: Promise<Transcoder> | null = null;
  #warmup: ShaderWarmup | null = null;
  /** Assets whose base is being decoded, or is decoded. */
  readonly #loading = new WeakMap<AssetState, Promise<Asset>>();
  readonly #assets = new Map<AssetState, Asset>();
  #disposed = false;

  constructor(
    renderer: WebGLRenderer,
    { decoder, transcoder, recorder, fadeMs = FADE_MS, fetch }: ThreeHostOptions,
  ) {
    this.#renderer = renderer;
    this.#decoder = decoder;
    this.uploads = new Uploads(renderer);
    this.#context = {
      loader: new GLTFLoader(loadingManager(decoder))
        .setDRACOLoader(acquireDraco(decoder))
        .register(embeddedPictures),
      uploads: this.uploads,
      recorder,
      openFades: async () => new (await import("./fades.ts")).Fades(renderer, fadeMs),
      transcode: (bytes) => this.#transcode(bytes),
      fetch,
    };
    this.#openTranscoder = async () => {
      const { openTranscoder } = await import("./ktx2.ts");
      return openTranscoder(renderer, transcoder, DECODERS);
    };
  }

  asset(state: AssetState): Asset | null {
    return this.#assets.get(state) ?? null;
  }

  async prepare(
    download: Exclude<Download, ManifestDownload>,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const { asset: state } = download;
    if (download.kind === "base") {
      const loading = inTime(Asset.load(state, bytes, this.#context, signal));
      this.#loading.set(state, loading);
      const asset = await loading;
      this.#assets.set(state, asset);
      if (state.manifest) asset.bind(state.manifest);
      return;
    }
    // Finer files are requested after all bytes of the base are there, but the base may still be decoding.
    const asset = await this.#loading.get(state);
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

  /** Loads the code that compiles an asset's shaders before its data arrives. */
  async openShaderWarmup(): Promise<ShaderWarmup> {
    const { ShaderWarmup } = await import("./shader-warmup.ts");
    this.#warmup ??= new ShaderWarmup(this.#renderer, new GLTFLoader());
    return this.#warmup;
  }

  /** Call once per frame, before drawing. */
  update(camera: Camera): void {
    this.uploads.slice();
    this.#warmup?.update(camera);
  }

  baseProgress(state: AssetState, head: Uint8Array): void {
    this.#warmup?.baseProgress(state, head);
  }

  manifestReady(state: AssetState): void {
    const asset = this.#assets.get(state);
    if (asset && state.manifest) asset.bind(state.manifest);
  }

  showBase(state: AssetState): void {
    this.#warmup?.end(state);
    const asset = this.#assets.get(state);
    if (asset) this.onBase?.(asset);
  }

  showRegions(state: AssetState, tree: number, change: CutChange): void {
    const asset = this.#assets.get(state);
    asset?.showRegions(tree, change);
    if (asset) this.onRegions?.(asset);
  }

  showLevel(state: AssetState, texture: number, level: number): void {
    const asset = this.#assets.get(state);
    asset?.showLevel(texture, level);
    if (asset) this.onLevel?.(asset);
  }

  release(download: Download): void {
    const asset = this.#assets.get(download.asset);
    if (download.kind === "refinement") asset?.releaseRefinement(download.tree, download.region);
    if (download.kind === "texture") asset?.releaseLevel(download.texture, download.level);
  }

  failed(download: Download, error: Error): void {
    if (download.kind === "base") this.#warmup?.end(download.asset);
    this.#assets.get(download.asset)?.downloadFailed(download, error);
    this.onFailed?.(download, error);
  }

  /** Frees all resources of an asset. */
  remove(state: AssetState): void {
    this.#warmup?.remove(state);
    this.#assets.get(state)?.dispose();
    this.#assets.delete(state);
  }

  dispose(): void {
    if (this.#disposed) return;
    for (const state of [...this.#assets.keys()]) this.remove(state);
    this.#warmup?.dispose();
    this.uploads.dispose();
    releaseDraco(this.#decoder);
    this.#disposed = true;
    void this.#transcoder?.then((transcoder) => transcoder.dispose()).catch(() => {});
    this.#transcoder = null;
  }

  /** Loads the transcoder with the first KTX2 picture; if that fails, the next picture tries again. */
  async #transcode(bytes: ArrayBuffer): Promise<CompressedTexture> {
    if (this.#disposed) throw new Error("disposed");
    if (!this.#transcoder) {
      const opening = this.#openTranscoder();
      this.#transcoder = opening;
      opening.catch(() => {
        if (this.#transcoder === opening) this.#transcoder = null;
      });
    }
    return (await this.#transcoder).transcode(bytes);
  }
}

/**
 * Rejects if decoding and upload take too long, since a decoder that has crashed never answers. The time does
 * not count while the page is hidden: a hidden page uploads nothing.
 */
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
