/**
 * StreamXR for three.js.
 *
 * ```ts
 * const streamxr = new StreamXR({ renderer });
 * const asset = await streamxr.load("https://cdn.example/bundle.json", { asset: "duck", scene });
 * scene.add(asset);
 * renderer.setAnimationLoop(() => {
 *   streamxr.update(camera, clock.getDelta());
 *   renderer.render(scene, camera);
 * });
 * ```
 */
import type { Camera, Scene, WebGLRenderer } from "three";
import type { AssetState } from "./core/asset.ts";
import { type Demand, demandOf } from "./core/demand.ts";
import { framesPerSecond, pixelTolerance } from "./device.ts";
import type { Room, RoomOptions } from "./room/room.ts";
import { ANYWHERE, pageSession, type Session, type SessionOptions } from "./session.ts";
import type { Asset } from "./three/asset.ts";
import { BASIS, type DecoderFiles, DRACO } from "./three/decoders.ts";
import { ThreeHost } from "./three/host.ts";
import type { Recorder } from "./three/recorder.ts";
import { CameraView } from "./three/view.ts";

export type { StreamLimits as Limits } from "./core/scheduler.ts";
export type { RequestHook } from "./requests.ts";
export type { Profile, Role, RoomLimits, SharedObject } from "./room/messages.ts";
export type { BodyPose, PoseRecord, RigidPose } from "./room/messages-binary.ts";
export type { Room, RoomEvents, RoomOptions, RoomState } from "./room/room.ts";
export type { ObjectEvents, RoomObjects } from "./room/room-objects.ts";
export type { Session, SessionOptions } from "./session.ts";
export type { Asset } from "./three/asset.ts";
export type { DecoderFiles } from "./three/decoders.ts";

/** Options of the session are the page's: all renderers share one. */
export interface StreamXROptions extends SessionOptions {
  readonly renderer: WebGLRenderer;
  /** Another Draco decoder than the one beside this library: three's `examples/jsm/libs/draco/gltf/`. */
  readonly decoder?: DecoderFiles;
  /** Another KTX2 transcoder: three's `examples/jsm/libs/basis/`. Fetched when a bundle needs it. */
  readonly transcoder?: DecoderFiles;
  /** `pointer`: on a screen, the mouse is taken for a hint at where its user looks. A headset tells by itself. */
  readonly gaze?: "head" | "pointer";
  /** Error on the screen that nobody minds, pixels: 1 by default; twice as much for who saves data. */
  readonly tolerance?: number;
  /** Milliseconds in which tiers fade into each other; 0: they are exchanged at once. */
  readonly fadeMs?: number;
  /** Notes what every frame draws. */
  readonly recorder?: Recorder;
}

export interface LoadOptions {
  /** Name in the catalogue; may be left out when the bundle has one asset. */
  readonly asset?: string | undefined;
  /**
   * What it will be shown in. Then what draws it is made ready while it is on its way, with the lights that are there:
   * the first frame with it comes earlier.
   */
  readonly scene?: Scene | undefined;
  /** Gives up; what was loaded is freed. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the base so far. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

interface Waiting {
  resolve(asset: Asset): void;
  reject(error: unknown): void;
}

/** Without an `update` for this long, loading goes on by itself: a page may await its assets before it draws. */
const IDLE_MS = 50;
const IDLE_PERIOD_MS = 50;
const PROGRESS_MS = 50;

/**
 * The streamed assets of one renderer. All of a page, whatever renderer draws them, share one plan, one bandwidth
 * estimate and one budget of memory and of what a frame draws.
 */
export class StreamXR {
  readonly session: Session;
  readonly host: ThreeHost;
  /** What is seen, and where the gaze came from. */
  readonly view: CameraView;
  /** Assets whose base has arrived. */
  readonly shown = new Set<Asset>();

  private readonly renderer: WebGLRenderer;
  private readonly states = new Set<AssetState>();
  private readonly waiting = new Map<AssetState, Waiting>();
  private idle: ReturnType<typeof setInterval> | undefined;
  private updatedAt = Number.NEGATIVE_INFINITY;
  private readonly framesPerSecond = framesPerSecond(navigator);

  constructor(options: StreamXROptions) {
    const { renderer, decoder = DRACO, transcoder = BASIS, recorder = null } = options;
    this.session = pageSession(options);
    this.host = new ThreeHost(renderer, decoder, transcoder, recorder, options.fadeMs);
    this.renderer = renderer;
    this.view = new CameraView(renderer, {
      pointer: options.gaze === "pointer",
      pixelTolerance: pixelTolerance(navigator) * (options.tolerance ?? 1),
    });
    this.host.onBase = (asset) => {
      this.shown.add(asset);
      this.settle(asset.state)?.resolve(asset);
    };
    this.host.onFailed = ({ kind, asset }, error) => {
      if (kind === "base") this.settle(asset)?.reject(error);
    };
  }

  /**
   * Starts to stream an asset and resolves when its base can be drawn. It is in no scene yet; it must be in one
   * before the next `update`, which decides by its place in the world.
   * @param url of the bundle's `bundle.json`
   * @throws Error when the bundle, the asset or its base cannot be had; the signal's reason when it was aborted
   */
  async load(url: string, { asset: name, scene, signal, onProgress }: LoadOptions = {}): Promise<Asset> {
    signal?.throwIfAborted();
    const state = await this.session.begin(url, name);
    const { bytes } = state.entry.base;
    const ticker = onProgress && setInterval(() => onProgress(state.base.received, bytes), PROGRESS_MS);
    const abort = (): void => this.settle(state)?.reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const shown = this.follow(state, scene);
      if (signal?.aborted) abort();
      const asset = await shown;
      onProgress?.(bytes, bytes);
      return asset;
    } catch (error) {
      this.forget(state);
      throw error;
    } finally {
      clearInterval(ticker);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Draws an asset that the session has begun to stream; resolves when its base can be drawn.
   * @param scene what it will be shown in, as for `load`
   */
  follow(state: AssetState, scene?: Scene): Promise<Asset> {
    this.states.add(state);
    this.session.attach(state, this.host);
    const asset = this.host.asset(state);
    if (asset && this.shown.has(asset)) return Promise.resolve(asset);
    const failure = this.session.failures.find(({ download }) => download === state.base.download);
    if (failure && state.base.loadState === "failed") return Promise.reject(failure.error);
    if (scene) void this.warmUp(state, scene);
    const shown = new Promise<Asset>((resolve, reject) => this.waiting.set(state, { resolve, reject }));
    // Asked for now, not in the next frame.
    this.session.plan(ANYWHERE);
    this.idle ??= setInterval(() => this.goOn(), IDLE_PERIOD_MS);
    return shown;
  }

  /** Stops streaming an asset and frees everything it has. */
  unload(asset: Asset): void {
    this.forget(asset.state);
  }

  /**
   * Uploads a slice, moves animations on and decides what to fetch. Call once per frame, before drawing.
   * @param dt seconds since the last call
   */
  update(camera: Camera, dt: number): void {
    // What is sent to a lost context is lost with it.
    if (this.renderer.getContext().isContextLost()) return;
    this.updatedAt = performance.now();
    const { frameRate } = this.renderer.xr.getSession() ?? {};
    this.session.framed(this.updatedAt, frameRate ?? this.framesPerSecond);
    this.host.update(camera);
    for (const asset of this.shown) asset.update(dt, this.updatedAt, camera);
    const view = this.view.read(camera, this.session.bandwidth.estimate(this.updatedAt), this.updatedAt);
    for (const state of this.states) state.view = view;
    this.session.plan(view);
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
    for (const state of [...this.states]) this.forget(state);
    this.host.dispose();
    this.view.dispose();
  }

  private async warmUp(state: AssetState, scene: Scene): Promise<void> {
    // Should the code not come, the asset is only seen a little later.
    const warmup = await this.host.openShaderWarmup().catch(() => null);
    if (this.states.has(state) && state.base.loadState !== "ready") warmup?.expect(state, scene);
  }

  /** Plans for a base while nobody calls `update`. */
  private goOn(): void {
    if (performance.now() - this.updatedAt >= IDLE_MS) this.session.plan(ANYWHERE);
  }

  private forget(state: AssetState): void {
    this.session.remove(state);
    this.settle(state)?.reject(new DOMException("the asset was unloaded", "AbortError"));
    const asset = this.host.asset(state);
    if (asset) this.shown.delete(asset);
    this.host.remove(state);
    this.states.delete(state);
  }

  private settle(state: AssetState): Waiting | undefined {
    const waiting = this.waiting.get(state);
    this.waiting.delete(state);
    if (this.waiting.size === 0) {
      clearInterval(this.idle);
      this.idle = undefined;
    }
    return waiting;
  }
}

/**
 * Joins a relay's room; its code is fetched now. Listeners added as soon as this resolves hear of everything and everyone
 * in the room.
 * @throws TypeError when an option is not valid
 */
export async function joinRoom(options: RoomOptions): Promise<Room> {
  const { Room } = await import("./room/room.ts");
  return new Room(options);
}
