import { type Camera, Matrix4, type Quaternion, Vector3, type WebGLRenderer } from "three";
import { type Gaze, type GazeRay, GazeTracker } from "../core/gaze-sources.ts";

const direction = new Vector3();
const toWorld = new Matrix4();

/** Follows the gaze by what the device tells. Code that is only there where it tells something. */
export class GazeReader {
  private readonly tracker = new GazeTracker();
  private readonly pointer: PointerRay | null;

  /** @param pointer whether on a screen the mouse is taken for a hint */
  constructor(
    private readonly renderer: WebGLRenderer,
    pointer: boolean,
  ) {
    this.pointer = pointer ? new PointerRay(renderer.domElement) : null;
  }

  /**
   * @param now milliseconds
   * @param camera the page's
   * @param turned orientation of the head
   */
  read(now: number, head: Gaze, camera: Camera, turned: Quaternion): Gaze {
    const { xr } = this.renderer;
    if (xr.enabled && xr.isPresenting) {
      return this.tracker.read(now, head, sessionRays(this.renderer, camera));
    }
    const ray = this.pointer?.read(camera, turned);
    return this.tracker.read(now, head, ray ? [ray] : []);
  }

  dispose(): void {
    this.pointer?.dispose();
  }
}

/**
 * Rays of the session's input sources that may follow the eyes, in the scene's world.
 * @param camera the page's: what moves it moves everything of the session
 */
function sessionRays({ xr }: WebGLRenderer, camera: Camera): GazeRay[] {
  const frame = xr.getFrame();
  const space = xr.getReferenceSpace();
  const rays: GazeRay[] = [];
  for (const source of xr.getSession()?.inputSources ?? []) {
    const mode: string = source.targetRayMode;
    if ((mode !== "gaze" && mode !== "transient-pointer") || !space) continue;
    const pose = frame?.getPose(source.targetRaySpace, space);
    if (!pose) continue;
    toWorld.fromArray(pose.transform.matrix);
    if (camera.parent) toWorld.premultiply(camera.parent.matrixWorld);
    // A ray points along −z of its space.
    direction.setFromMatrixColumn(toWorld, 2).negate().normalize();
    rays.push({ mode, source, direction: direction.toArray() });
  }
  return rays;
}

/** The mouse over a canvas as a ray; one ray for each move. Touches are no gaze: the finger covers what it points at. */
class PointerRay {
  private place: { readonly x: number; readonly y: number } | null = null;
  private ray: GazeRay | null = null;
  private readonly ear = new AbortController();

  constructor(canvas: HTMLCanvasElement) {
    const { signal } = this.ear;
    canvas.addEventListener(
      "pointermove",
      ({ pointerType, offsetX, offsetY }) => {
        if (pointerType !== "mouse" && pointerType !== "pen") return;
        const { clientWidth, clientHeight } = canvas;
        this.place = { x: (2 * offsetX) / clientWidth - 1, y: 1 - (2 * offsetY) / clientHeight };
        this.ray = null;
      },
      { signal },
    );
  }

  /** As seen through a camera; the same ray until the mouse moves again. */
  read(camera: Camera, turned: Quaternion): GazeRay | null {
    if (this.place && !this.ray) {
      const { projectionMatrixInverse } = camera;
      direction.set(this.place.x, this.place.y, 0.5).applyMatrix4(projectionMatrixInverse);
      direction.applyQuaternion(turned).normalize();
      this.ray = { mode: "pointer", source: this.place, direction: direction.toArray() };
    }
    return this.ray;
  }

  dispose(): void {
    this.ear.abort();
  }
}
