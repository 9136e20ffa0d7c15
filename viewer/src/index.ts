/**
 * StreamXR for three.js.
 *
 * ```ts
 * const streamxr = new StreamXR({ renderer, decoder });
 * const asset = await streamxr.load("https://cdn.example/bundle.json", "duck");
 * scene.add(asset);
 * renderer.setAnimationLoop(() => {
 *   streamxr.update(camera, clock.getDelta());
 *   renderer.render(scene, camera);
 * });
 * ```
 */
import type { Camera, WebGLRenderer } from "three";
import type { AssetState } from "./core/asset.ts";
import type { Catalogue } from "./core/bundle.ts";
import { type Demand, demandOf } from "./core/demand.ts";
import { pixelTolerance } from "./device.ts";
import { Session, type SessionOptions } from "./session.ts";
import type { Asset } from "./three/asset.ts";
import { type DecoderFiles, ThreeHost } from "./three/host.ts";
import type { Recorder } from "./three/recorder.ts";
import { CameraView } from "./three/view.ts";

export type { Asset, DecoderFiles };
export { Session, type SessionOptions };

export interface StreamXROptions extends SessionOptions {
  readonly renderer: WebGLRenderer;
  /** Where the Draco decoder is: the two files of three's `examples/jsm/libs/draco/gltf/`. */
  readonly decoder: DecoderFiles;
  /** Where the KTX2 transcoder is: the two files of `examples/jsm/libs/basis/`. Fetched when a bundle needs it. */
  readonly transcoder?: DecoderFiles;
  /** A session that is fetching already; one is made when there is none. */
  readonly session?: Session;
  /** `pointer`: on a screen, the mouse is taken for a hint at where its user looks. A headset tells by itself. */
  readonly gaze?: "head" | "pointer";
  /** Milliseconds in which tiers fade into each other; 0: they are exchanged at once. */
  readonly fadeMs?: number;
  /** Notes what every frame draws. */
  readonly recorder?: Recorder;
}

/** All streamed assets of a page: they share one plan, one bandwidth estimate and one memory budget. */
export class StreamXR {
  readonly session: Session;
  readonly host: ThreeHost;

  private readonly renderer: WebGLRenderer;
  /** What is seen, and where the gaze came from. */
  readonly view: CameraView;
  private readonly catalogues = new Map<string, Promise<Catalogue>>();
  private readonly waiting = new Map<
    AssetState,
    { resolve(asset: Asset): void; reject(error: Error): void }
  >();
  /** Assets whose base has arrived. */
  readonly shown = new Set<Asset>();
  private loads = 0;

  constructor(options: StreamXROptions) {
    this.session = options.session ?? new Session(options);
    this.host = new ThreeHost(
      options.renderer,
      options.decoder,
      options.transcoder ?? null,
      options.recorder ?? null,
      options.fadeMs,
    );
    this.renderer = options.renderer;
    this.view = new CameraView(options.renderer, {
      pointer: options.gaze === "pointer",
      pixelTolerance: pixelTolerance(navigator),
    });
    this.host.onBase = (asset) => {
      this.shown.add(asset);
      this.waiting.get(asset.state)?.resolve(asset);
      this.waiting.delete(asset.state);
    };
    const { onFailure } = this.session;
    this.session.onFailure = (download, error) => {
      onFailure?.(download, error);
      if (download.kind !== "base") return;
      this.waiting.get(download.asset)?.reject(error);
      this.waiting.delete(download.asset);
    };
    this.session.attach(this.host);
  }

  /**
   * Starts to stream an asset and resolves when its base can be drawn. It is in no scene yet; it must be in one
   * before the next `update`, which decides by its place in the world.
   * @param url of the bundle's `bundle.json`
   * @param name of the asset in it; may be left out when the bundle has one
   * @throws Error when the bundle, the asset or its base cannot be had
   */
  async load(url: string, name?: string): Promise<Asset> {
    let catalogue = this.catalogues.get(url);
    if (!catalogue) {
      catalogue = this.session.open(url);
      this.catalogues.set(url, catalogue);
      // A catalogue that failed may be there the next time.
      catalogue.catch(() => this.catalogues.delete(url));
    }
    const { assets } = await catalogue;
    const names = Object.keys(assets);
    const chosen = name ?? (names.length === 1 ? names[0] : undefined);
    const entry = chosen === undefined ? undefined : assets[chosen];
    if (chosen === undefined || !entry) {
      const has = `${url} has ${names.length === 0 ? "no assets" : names.join(", ")}`;
      throw new Error(name === undefined ? `name one asset: ${has}` : `there is no asset "${name}": ${has}`);
    }
    return this.follow(this.session.add(`${chosen}#${++this.loads}`, entry, url));
  }

  /** Resolves when the base of an asset of the session can be drawn. */
  follow(state: AssetState): Promise<Asset> {
    const asset = this.host.asset(state);
    if (asset && this.shown.has(asset)) return Promise.resolve(asset);
    return new Promise((resolve, reject) => this.waiting.set(state, { resolve, reject }));
  }

  /** Stops streaming an asset and frees everything it has. */
  unload(asset: Asset): void {
    this.session.remove(asset.state);
    this.host.remove(asset.state);
    this.shown.delete(asset);
  }

  /**
   * Uploads a slice, moves animations on and decides what to fetch. Call once per frame, before drawing.
   * @param dt seconds since the last call
   */
  update(camera: Camera, dt: number): void {
    // What is sent to a lost context is lost with it.
    if (this.renderer.getContext().isContextLost()) return;
    const now = performance.now();
    this.host.uploads.slice();
    for (const asset of this.shown) asset.update(dt, now, camera);
    this.session.streamer.update(this.view.read(camera, this.session.bandwidth.network(now), now), now);
  }

  /**
   * What the eye demands of a region, as it is seen now.
   * @throws Error before the first `update`
   */
  demand(asset: AssetState, tree: number, region: number): Demand {
    if (!this.view.latest) throw new Error("nothing has been seen yet: call update() first");
    return demandOf(asset, tree, region, this.view.latest);
  }

  dispose(): void {
    for (const asset of [...this.shown]) this.unload(asset);
    this.host.dispose();
    this.view.dispose();
  }
}
