import {
  type ArrayCamera,
  type Camera,
  Matrix4,
  Quaternion,
  Vector2,
  Vector3,
  type WebGLRenderer,
} from "three";
import {
  frustumPlanes,
  HEAD_GAZE_UNCERTAINTY,
  type HeadPose,
  pixelsPerDegree,
  predictionHorizon,
  predictView,
  type View,
} from "../core/gaze.ts";
import type { Gaze } from "../core/gaze-sources.ts";
import type { NetworkEstimate } from "../core/network/bandwidth.ts";
import type { GazeReader } from "./gaze.ts";

/** Milliseconds of poses kept: enough for the velocity over 0.1 s at any frame rate that is worth predicting at. */
const HISTORY_MS = 400;
/** Bytes of a typical file of a bundle: for how far ahead to look. */
const TYPICAL_BYTES = 100_000;

export interface CameraViewOptions {
  /** Whether on a screen the mouse is taken for a hint at where its user looks. */
  readonly pointer?: boolean;
  /** Pixels of error that are let pass. */
  readonly pixelTolerance?: number;
}

/**
 * What the eye sees through a three.js camera, in a headset or on a screen. The gaze is the best that the device
 * tells: an eye tracker's, that of a pinch, the mouse's if wanted, else the head's forward.
 */
export class CameraView {
  /** Where the gaze of the last view came from, for the HUD and the trace. */
  gaze: Gaze | null = null;
  latest: View | null = null;
  private reader: GazeReader | null = null;
  private opening = false;
  private disposed = false;
  private readonly poses: HeadPose[] = [];
  private readonly position = new Vector3();
  private readonly forward = new Vector3();
  private readonly rotation = new Quaternion();
  private readonly scale = new Vector3();
  private readonly size = new Vector2();
  private readonly clip = new Matrix4();

  constructor(
    private readonly renderer: WebGLRenderer,
    private readonly options: CameraViewOptions = {},
  ) {}

  /** The head's, at the last view. */
  get pose(): HeadPose | null {
    return this.poses.at(-1) ?? null;
  }

  dispose(): void {
    this.disposed = true;
    this.reader?.dispose();
  }

  /** `now` in milliseconds. In an XR session the session's own camera counts, which spans both eyes. */
  read(camera: Camera, network: NetworkEstimate, now: number): View {
    const { xr } = this.renderer;
    const presenting = xr.enabled && xr.isPresenting;
    const seen = presenting ? xr.getCamera() : camera;
    if (!presenting) seen.updateWorldMatrix(true, false);
    seen.matrixWorld.decompose(this.position, this.rotation, this.scale);
    this.forward.set(0, 0, -1).applyQuaternion(this.rotation);
    this.clip.copy(seen.matrixWorld).invert().premultiply(seen.projectionMatrix);
    const { projection, height } = this.lens(seen, presenting);
    if (!this.opening && (presenting || this.options.pointer)) void this.open();
    const head: Gaze = {
      source: "head",
      direction: this.forward.toArray(),
      uncertaintyDegrees: HEAD_GAZE_UNCERTAINTY,
    };
    this.gaze = this.reader?.read(now, head, camera, this.rotation) ?? head;
    const view: View = {
      eye: this.position.toArray(),
      gaze: this.gaze.direction,
      gazeUncertaintyDegrees: this.gaze.uncertaintyDegrees,
      // What tolerates more pixels sees as one with fewer.
      pixelsPerDegree: pixelsPerDegree(projection.elements, height) / (this.options.pixelTolerance ?? 1),
      near: (seen as { near?: number }).near ?? 0.1,
      frustum: frustumPlanes(this.clip.elements),
    };
    this.poses.push({ time: now, position: view.eye, orientation: this.rotation.toArray() });
    while (this.poses[0] && now - this.poses[0].time > HISTORY_MS) this.poses.shift();
    const horizon = predictionHorizon(network.ttfbMs, TYPICAL_BYTES, network.bytesPerSecond);
    const predicted = predictView(view, this.poses, horizon);
    this.latest = predicted ? { ...view, predicted } : view;
    return this.latest;
  }

  /** Where it cannot be had, the head's forward is what is known. */
  private async open(): Promise<void> {
    this.opening = true;
    const code = await import("./gaze.ts").catch(() => null);
    if (code && !this.disposed)
      this.reader = new code.GazeReader(this.renderer, this.options.pointer ?? false);
  }

  /** The projection and height in pixels of one eye. */
  private lens(camera: Camera, presenting: boolean): { projection: Matrix4; height: number } {
    const eye = presenting ? (camera as ArrayCamera).cameras[0] : undefined;
    if (eye) return { projection: eye.projectionMatrix, height: eye.viewport?.w ?? 1000 };
    return { projection: camera.projectionMatrix, height: this.renderer.getDrawingBufferSize(this.size).y };
  }
}
