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

export type { Box, SourceObject } from "./core/bundle/bundle.ts";
export type { StreamLimits as Limits } from "./core/scheduler.ts";
export type { RequestHook } from "./requests.ts";
export type { Profile, Role, RoomLimits, SharedObject } from "./room/messages.ts";
export type { BodyPose, PoseRecord, RigidPose } from "./room/messages-binary.ts";
export type { Room, RoomEvents, RoomOptions, RoomState } from "./room/room.ts";
export type { ObjectEvents, RoomObjects } from "./room/room-objects.ts";
export type { Session, SessionOptions } from "./session.ts";
export type { Asset } from "./three/asset.ts";
export type { DecoderFiles } from "./three/decoders.ts";

/** The session's options apply to the whole page, since all renderers share one session. */
export interface StreamXROptions extends SessionOptions {
  readonly renderer: WebGLRenderer;
  /** Replaces the Draco decoder of this library, for example by three's `examples/jsm/libs/draco/gltf/`. */
  readonly decoder?: DecoderFiles;
  /**
   * Replaces the KTX2 transcoder, for example by three's `examples/jsm/libs/basis/`. Loaded when a bundle
   * needs it.
   */
  readonly transcoder?: DecoderFiles;
  /**
   * `pointer`: on a screen, the mouse serves as a hint for the gaze. In a headset, the device tells the gaze.
   */
  readonly gaze?: "head" | "pointer";
  /** Tolerated error on the screen, pixels: 1 by default. Doubled if the browser saves data. */
  readonly tolerance?: number;
  /** Length of a fade between tiers, milliseconds; 0 exchanges them at once. */
  readonly fadeMs?: number;
  /** Records what each frame draws. */
  readonly recorder?: Recorder;
}

export interface LoadOptions {
  /** Name in the catalogue; may be omitted if the bundle has one asset. */
  readonly asset?: string | undefined;
  /**
   * The scene that will show the asset. With it, shaders for the scene's lights are compiled while the asset
   * is loading, and the first frame with the asset comes earlier.
   */
  readonly scene?: Scene | undefined;
  /** Cancels loading; the parts that are loaded are freed. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the loaded and total bytes of the base. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/** The promise of `follow` for an asset that cannot be drawn yet. */
interface Pending {
  resolve(asset: Asset): void;
  reject(error: unknown): void;
}

/**
 * After this long without `update`, planning continues by itself: a page may await its assets before it
 * draws.
 */
const IDLE_MS = 50;
const IDLE_PLAN_MS = 50;
const PROGRESS_MS = 50;

/**
 * The streamed assets of one renderer. All assets of a page, in any renderer, share one plan, one bandwidth
 * estimate, one memory budget and one render budget.
 */
export class StreamXR {
  readonly session: Session;
  readonly host: ThreeHost;
  /** The view of the last frame, and the source of its gaze. */
  readonly view: CameraView;
  /** Assets that can be drawn. */
  readonly shown = new Set<Asset>();

  readonly #renderer: WebGLRenderer;
  readonly #states = new Set<AssetState>();
  readonly #pending = new Map<AssetState, Pending>();
  readonly #framesPerSecond = framesPerSecond(navigator);
  #idleTimer: ReturnType<typeof setInterval> | undefined;
  #updatedAt = Number.NEGATIVE_INFINITY;

  constructor(options: StreamXROptions) {
    const { renderer, decoder = DRACO, transcoder = BASIS, recorder = null } = options;
    this.session = pageSession(options);
    this.host = new ThreeHost(renderer, {
      decoder,
      transcoder,
      recorder,
      fadeMs: options.fadeMs,
      fetch: (...file) => this.session.fetcher.fetch(...file),
    });
    this.#renderer = renderer;
    this.view = new CameraView(renderer, {
      pointer: options.gaze === "pointer",
      pixelTolerance: pixelTolerance(navigator) * (options.tolerance ?? 1),
    });
    this.host.onBase = (asset) => {
      this.shown.add(asset);
      this.#takePending(asset.state)?.resolve(asset);
    };
    this.host.onFailed = ({ kind, asset }, error) => {
      if (kind === "base") this.#takePending(asset)?.reject(error);
    };
  }

  /**
   * Starts to stream an asset, and resolves when its base can be drawn. Add it to a scene before the next
   * `update`, which plans with its place in the world.
   * @param url address of the bundle's `bundle.json`
   * @throws Error if the bundle, the asset or its base cannot be loaded; the signal's reason if it was
   * aborted
   */
  async load(url: string, { asset: name, scene, signal, onProgress }: LoadOptions = {}): Promise<Asset> {
    signal?.throwIfAborted();
    const state = await this.session.begin(url, name);
    const { bytes } = state.entry.base;
    const progressTimer =
      onProgress && setInterval(() => onProgress(state.base.received, bytes), PROGRESS_MS);
    const abort = (): void => this.#takePending(state)?.reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const drawable = this.follow(state, scene);
      if (signal?.aborted) abort();
      const asset = await drawable;
      onProgress?.(bytes, bytes);
      return asset;
    } catch (error) {
      this.#remove(state);
      throw error;
    } finally {
      clearInterval(progressTimer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Draws an asset that the session already streams; resolves when its base can be drawn.
   * @param scene that will show it, as for `load`
   */
  follow(state: AssetState, scene?: Scene): Promise<Asset> {
    this.#states.add(state);
    this.session.attach(state, this.host);
    const asset = this.host.asset(state);
    if (asset && this.shown.has(asset)) return Promise.resolve(asset);
    const failure = this.session.failures.find(({ download }) => download === state.base.download);
    if (failure && state.base.loadState === "failed") return Promise.reject(failure.error);
    if (scene) void this.#warmUpShaders(state, scene);
    const drawable = new Promise<Asset>((resolve, reject) => this.#pending.set(state, { resolve, reject }));
    // Plans now, not in the next frame.
    this.session.plan(ANYWHERE);
    this.#idleTimer ??= setInterval(() => this.#planIdle(), IDLE_PLAN_MS);
    return drawable;
  }

  /** Stops streaming an asset, and frees all its resources. */
  unload(asset: Asset): void {
    this.#remove(asset.state);
  }

  /**
   * Uploads a slice, advances animations and plans downloads. Call once per frame, before drawing.
   * @param dt seconds since the last call
   */
  update(camera: Camera, dt: number): void {
    // A lost context loses all that is sent to it.
    if (this.#renderer.getContext().isContextLost()) return;
    const now = performance.now();
    this.#updatedAt = now;
    const { frameRate } = this.#renderer.xr.getSession() ?? {};
    this.session.beginFrame(now, frameRate ?? this.#framesPerSecond);
    this.host.update(camera);
    for (const asset of this.shown) asset.update(dt, now, camera);
    const view = this.view.read(camera, this.session.bandwidth.estimate(now), now);
    for (const state of this.#states) state.view = view;
    this.session.plan(view);
  }

  /**
   * The demand of the last frame's view on a region.
   * @throws Error before the first `update`
   */
  demand(asset: AssetState, tree: number, region: number): Demand {
    if (!this.view.latest) throw new Error("there is no view yet: call update() first");
    return demandOf(asset, tree, region, this.view.latest);
  }

  dispose(): void {
    for (const state of [...this.#states]) this.#remove(state);
    this.host.dispose();
    this.view.dispose();
  }

  async #warmUpShaders(state: AssetState, scene: Scene): Promise<void> {
    // Without the code of the warm-up, the asset only appears a little later.
    const warmup = await this.host.openShaderWarmup().catch(() => null);
    if (this.#states.has(state) && state.base.loadState !== "ready") warmup?.expect(state, scene);
  }

  /** Plans for a base while the page does not call `update`. */
  #planIdle(): void {
    if (performance.now() - this.#updatedAt >= IDLE_MS) this.session.plan(ANYWHERE);
  }

  #remove(state: AssetState): void {
    this.session.remove(state);
    this.#takePending(state)?.reject(new DOMException("the asset was unloaded", "AbortError"));
    const asset = this.host.asset(state);
    if (asset) this.shown.delete(asset);
    this.host.remove(state);
    this.#states.delete(state);
  }

  #takePending(state: AssetState): Pending | undefined {
    const pending = this.#pending.get(state);
    this.#pending.delete(state);
    if (this.#pending.size === 0) {
      clearInterval(this.#idleTimer);
      this.#idleTimer = undefined;
    }
    return pending;
  }
}

/**
 * Joins a room of a relay; loads the code for it first. Listeners that are added as soon as this resolves
 * miss nothing.
 * @throws TypeError if an option is not valid
 */
export async function joinRoom(options: RoomOptions): Promise<Room> {
  const { Room } = await import("./room/room.ts");
  return new Room(options);
}
