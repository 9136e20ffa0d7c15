import { type Camera, Matrix4, type Quaternion, Vector3, type WebGLRenderer } from "three";
import type { GazeRay } from "../core/gaze-sources.ts";

const direction = new Vector3();
const toWorld = new Matrix4();

/**
 * Rays of the session's input sources that may follow the eyes, in the scene's world.
 * @param camera the page's: what moves it moves everything of the session
 */
export function sessionRays({ xr }: WebGLRenderer, camera: Camera): GazeRay[] {
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
export class PointerRay {
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
