import { type Camera, Matrix4, type Quaternion, Vector3, type WebGLRenderer } from "three";
import { type Gaze, type GazeRay, GazeTracker } from "../core/gaze-sources.ts";

const direction = new Vector3();
const toWorld = new Matrix4();

/** Reads the gaze from the sources of a device. Its code is loaded only if there may be such a source. */
export class GazeReader {
  readonly #tracker = new GazeTracker();
  readonly #pointer: PointerRay | null;

  readonly #renderer: WebGLRenderer;

  /** @param pointer whether the mouse serves as a hint for the gaze on a screen */
  constructor(renderer: WebGLRenderer, pointer: boolean) {
    this.#renderer = renderer;
    this.#pointer = pointer ? new PointerRay(renderer.domElement) : null;
  }

  /**
   * The best gaze that the sources give.
   * @param now milliseconds
   * @param head the gaze without other sources
   * @param camera the page's
   * @param orientation of the head
   */
  read(now: number, head: Gaze, camera: Camera, orientation: Quaternion): Gaze {
    const { xr } = this.#renderer;
    if (xr.enabled && xr.isPresenting) {
      return this.#tracker.read(now, head, sessionRays(this.#renderer, camera));
    }
    const ray = this.#pointer?.read(camera, orientation);
    return this.#tracker.read(now, head, ray ? [ray] : []);
  }

  dispose(): void {
    this.#pointer?.dispose();
  }
}

/**
 * The rays of a session's input sources that may follow the eyes, in world space.
 * @param camera the page's; its parent's transform applies to the whole session
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
    // The ray of a space points along its −z.
    direction.setFromMatrixColumn(toWorld, 2).negate().normalize();
    rays.push({ mode, source, direction: direction.toArray() });
  }
  return rays;
}

/** The mouse on a canvas as a ray. Touches do not count: the finger covers the point at which it is aimed. */
class PointerRay {
  /** In normalised device coordinates. */
  #position: { readonly x: number; readonly y: number } | null = null;
  #ray: GazeRay | null = null;
  readonly #listener = new AbortController();

  constructor(canvas: HTMLCanvasElement) {
    const { signal } = this.#listener;
    canvas.addEventListener(
      "pointermove",
      ({ pointerType, offsetX, offsetY }) => {
        if (pointerType !== "mouse" && pointerType !== "pen") return;
        const { clientWidth, clientHeight } = canvas;
        this.#position = { x: (2 * offsetX) / clientWidth - 1, y: 1 - (2 * offsetY) / clientHeight };
        this.#ray = null;
      },
      { signal },
    );
  }

  /** The ray through a camera; the same one until the mouse moves again. Null before it has moved. */
  read(camera: Camera, orientation: Quaternion): GazeRay | null {
    if (this.#position && !this.#ray) {
      const { projectionMatrixInverse } = camera;
      direction.set(this.#position.x, this.#position.y, 0.5).applyMatrix4(projectionMatrixInverse);
      direction.applyQuaternion(orientation).normalize();
      this.#ray = { mode: "pointer", source: this.#position, direction: direction.toArray() };
    }
    return this.#ray;
  }

  dispose(): void {
    this.#listener.abort();
  }
}
