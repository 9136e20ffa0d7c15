import {
  type ArrayCamera,
  type Camera,
  Matrix4,
  Quaternion,
  Vector2,
  Vector3,
  type WebGLRenderer,
} from "three";
import type { Network } from "../core/bandwidth.ts";
import {
  frustumPlanes,
  type HeadPose,
  pixelsPerDegree,
  predictionHorizon,
  predictView,
  type View,
} from "../core/gaze.ts";
import { type Gaze, type GazeRay, GazeTracker } from "../core/gaze-sources.ts";
import { PointerRay, sessionRays } from "./gaze.ts";

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
  private readonly tracker = new GazeTracker();
  private readonly pointer: PointerRay | null;
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
  ) {
    this.pointer = options.pointer ? new PointerRay(renderer.domElement) : null;
  }

  dispose(): void {
    this.pointer?.dispose();
  }

  /** `now` in milliseconds. In an XR session the session's own camera counts, which spans both eyes. */
  read(camera: Camera, network: Network, now: number): View {
    const { xr } = this.renderer;
    const presenting = xr.enabled && xr.isPresenting;
    const seen = presenting ? xr.getCamera() : camera;
    if (!presenting) seen.updateWorldMatrix(true, false);
    seen.matrixWorld.decompose(this.position, this.rotation, this.scale);
    this.forward.set(0, 0, -1).applyQuaternion(this.rotation);
    this.clip.copy(seen.matrixWorld).invert().premultiply(seen.projectionMatrix);
    const { projection, height } = this.lens(seen, presenting);
    const rays = presenting ? sessionRays(this.renderer, camera) : this.pointerRays(seen);
    this.gaze = this.tracker.read(now, this.forward.toArray(), rays);
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
    const ahead = predictView(view, this.poses, horizon);
    return ahead ? { ...view, ahead } : view;
  }

  private pointerRays(camera: Camera): GazeRay[] {
    const ray = this.pointer?.read(camera, this.rotation);
    return ray ? [ray] : [];
  }

  /** The projection and height in pixels of one eye. */
  private lens(camera: Camera, presenting: boolean): { projection: Matrix4; height: number } {
    const eye = presenting ? (camera as ArrayCamera).cameras[0] : undefined;
    if (eye) return { projection: eye.projectionMatrix, height: eye.viewport?.w ?? 1000 };
    return { projection: camera.projectionMatrix, height: this.renderer.getDrawingBufferSize(this.size).y };
  }
}
