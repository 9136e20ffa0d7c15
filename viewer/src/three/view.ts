import {
  type ArrayCamera,
  type Camera,
  Matrix4,
  Quaternion,
  Vector2,
  Vector3,
  type WebGLRenderer,
} from "three";
import { frustumPlanes, HEAD_GAZE_UNCERTAINTY, pixelsPerDegree, type View } from "../core/gaze.ts";
import type { Gaze } from "../core/gaze-sources.ts";
import type { NetworkEstimate } from "../core/network/bandwidth.ts";
import { type HeadPose, predictionHorizon, predictView } from "../core/prediction.ts";
import type { GazeReader } from "./gaze.ts";

/**
 * Poses kept, milliseconds: enough for the velocity over 0.1 s at any frame rate at which prediction is
 * useful.
 */
const HISTORY_MS = 400;
/** Size of a typical file of a bundle, bytes: its download time is the time to predict for. */
const TYPICAL_FILE_BYTES = 100_000;

export interface CameraViewOptions {
  /** Whether the mouse serves as a hint for the gaze on a screen. */
  readonly pointer: boolean;
  /** Tolerated error on the screen, pixels. */
  readonly pixelTolerance: number;
}

/**
 * The view through a three.js camera, in a headset or on a screen. The gaze comes from the best source of the
 * device: an eye tracker, a pinch, the mouse if enabled, or else the forward direction of the head.
 */
export class CameraView {
  /** The gaze of the last view and its source, for the inspector. */
  gaze: Gaze | null = null;
  latest: View | null = null;
  /** Tolerated error on the screen, pixels. */
  pixelTolerance: number;
  readonly #renderer: WebGLRenderer;
  readonly #pointer: boolean;
  /** Null until its code is loaded. */
  #gazeReader: GazeReader | null = null;
  #readerRequested = false;
  #disposed = false;
  readonly #poses: HeadPose[] = [];
  readonly #position = new Vector3();
  readonly #forward = new Vector3();
  readonly #orientation = new Quaternion();
  readonly #scale = new Vector3();
  readonly #size = new Vector2();
  readonly #clip = new Matrix4();

  constructor(renderer: WebGLRenderer, { pointer, pixelTolerance }: CameraViewOptions) {
    this.#renderer = renderer;
    this.#pointer = pointer;
    this.pixelTolerance = pixelTolerance;
  }

  /** The head's pose of the last view. */
  get pose(): HeadPose | null {
    return this.#poses.at(-1) ?? null;
  }

  dispose(): void {
    this.#disposed = true;
    this.#gazeReader?.dispose();
  }

  /**
   * Reads the current view. In an XR session, the camera is the session's own, which spans both eyes.
   * @param now milliseconds
   */
  read(camera: Camera, network: NetworkEstimate, now: number): View {
    const { xr } = this.#renderer;
    const presenting = xr.enabled && xr.isPresenting;
    const active = presenting ? xr.getCamera() : camera;
    if (!presenting) active.updateWorldMatrix(true, false);
    active.matrixWorld.decompose(this.#position, this.#orientation, this.#scale);
    this.#clip.copy(active.matrixWorld).invert().premultiply(active.projectionMatrix);
    const { projection, height } = this.#lens(active, presenting);
    const gaze = this.#readGaze(camera, presenting, now);
    this.gaze = gaze;
    const view: View = {
      eye: this.#position.toArray(),
      gaze: gaze.direction,
      gazeUncertaintyDegrees: gaze.uncertaintyDegrees,
      // A tolerance of n pixels has the effect of a display with 1/n of the pixels.
      pixelsPerDegree: pixelsPerDegree(projection.elements, height) / this.pixelTolerance,
      near: (active as { near?: number }).near ?? 0.1,
      frustum: frustumPlanes(this.#clip.elements),
    };
    this.#poses.push({ time: now, position: view.eye, orientation: this.#orientation.toArray() });
    while (this.#poses[0] && now - this.#poses[0].time > HISTORY_MS) this.#poses.shift();
    const horizon = predictionHorizon(network.ttfbMs, TYPICAL_FILE_BYTES, network.bytesPerSecond);
    const predicted = predictView(view, this.#poses, horizon);
    this.latest = predicted ? { ...view, predicted } : view;
    return this.latest;
  }

  /** Uses position and orientation of the active camera. */
  #readGaze(camera: Camera, presenting: boolean, now: number): Gaze {
    this.#forward.set(0, 0, -1).applyQuaternion(this.#orientation);
    const head: Gaze = {
      source: "head",
      direction: this.#forward.toArray(),
      uncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
    };
    if (!this.#readerRequested && (presenting || this.#pointer)) void this.#loadReader();
    return this.#gazeReader?.read(now, head, camera, this.#orientation) ?? head;
  }

  /** If the code cannot be loaded, the gaze stays the head's forward direction. */
  async #loadReader(): Promise<void> {
    this.#readerRequested = true;
    const code = await import("./gaze.ts").catch(() => null);
    if (code && !this.#disposed) this.#gazeReader = new code.GazeReader(this.#renderer, this.#pointer);
  }

  /** The projection and the height in pixels of one eye. */
  #lens(camera: Camera, presenting: boolean): { projection: Matrix4; height: number } {
    const eye = presenting ? (camera as ArrayCamera).cameras[0] : undefined;
    if (eye) return { projection: eye.projectionMatrix, height: eye.viewport?.w ?? 1000 };
    return { projection: camera.projectionMatrix, height: this.#renderer.getDrawingBufferSize(this.#size).y };
  }
}
