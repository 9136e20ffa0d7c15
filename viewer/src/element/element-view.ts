import { NeutralToneMapping, PerspectiveCamera, Scene, Vector3, type WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import type { AssetState } from "../core/asset.ts";
import { StreamXR } from "../index.ts";
import { frameBox, radiusOf } from "../layout.ts";
import type { Asset } from "../three/asset.ts";
import { studioLight } from "../three/environment.ts";
import { createRenderer, pixelRatio } from "../three/renderer.ts";

/** Longest step of animations, seconds: they must not jump after the tab was hidden. */
const MAX_STEP_S = 0.1;
/** Fades and damping end within this time after a change, milliseconds. */
const SETTLING_MS = 500;

export interface ElementViewOptions {
  /** Degrees, vertical. */
  readonly fieldOfView: number;
  readonly gaze: "head" | "pointer";
}

/**
 * The canvas and camera of one `<streamxr-viewer>`: a transparent background, a neutral studio light, and
 * orbit controls about the asset. It draws only while something changes.
 */
export class ElementView {
  readonly renderer: WebGLRenderer;
  readonly streamxr: StreamXR;
  asset: Asset | null = null;

  readonly #canvas: HTMLCanvasElement;
  readonly #fieldOfView: number;
  /** False if a CPU draws. */
  readonly #fast: boolean;
  readonly #scene = new Scene();
  readonly #camera: PerspectiveCamera;
  readonly #controls: OrbitControls;
  readonly #environment = studioLight();
  readonly #resizeObserver: ResizeObserver;
  #changedAt = Number.NEGATIVE_INFINITY;
  #updatedAt = performance.now();
  #drawnAt = Number.NEGATIVE_INFINITY;
  /** Whether the camera is placed. */
  #framed = false;
  #disposed = false;

  /** @throws Error that says what to do if the browser has no WebGL 2 */
  constructor(canvas: HTMLCanvasElement, { fieldOfView, gaze }: ElementViewOptions) {
    this.#canvas = canvas;
    this.#fieldOfView = fieldOfView;
    const { renderer, fast } = createRenderer(canvas, { alpha: true });
    this.renderer = renderer;
    this.#fast = fast;
    renderer.toneMapping = NeutralToneMapping;
    this.#scene.environment = this.#environment;
    this.#camera = new PerspectiveCamera(fieldOfView, 1);
    this.streamxr = new StreamXR({ renderer, gaze });
    const change = (): void => this.#change();
    this.streamxr.host.onRegions = change;
    this.streamxr.host.onLevel = change;
    canvas.addEventListener("webglcontextrestored", change);
    this.#controls = orbitControls(this.#camera, canvas);
    this.#controls.addEventListener("change", change);
    this.#resizeObserver = new ResizeObserver(change);
    this.#resizeObserver.observe(canvas);
  }

  /** Draws an asset that the session already streams; resolves after its first frame. */
  async show(state: AssetState): Promise<Asset> {
    this.#resize();
    this.#placeCamera(state);
    const asset = await this.streamxr.follow(state);
    this.asset = asset;
    this.#scene.add(asset);
    this.#change();
    this.#draw();
    this.renderer.setAnimationLoop(() => this.#draw());
    return asset;
  }

  /** Whether the element is in view: else nothing is drawn. */
  set visible(visible: boolean) {
    if (!this.asset || this.renderer.xr.isPresenting) return;
    this.renderer.setAnimationLoop(visible ? () => this.#draw() : null);
    if (visible) this.#change();
  }

  set exposure(exposure: number) {
    this.renderer.toneMappingExposure = exposure;
    this.#change();
  }

  /** Enters VR: the visitor stands where the camera was. `onEnd` is called when the XR session has ended. */
  async enterVr(onEnd: () => void): Promise<void> {
    const { enterVr } = await import("../three/xr.ts");
    const [camera, controls] = [this.#camera, this.#controls];
    const [from, target] = [camera.position.clone(), controls.target.clone()];
    const yaw = Math.atan2(from.x - target.x, from.z - target.z);
    await enterVr(this.renderer, { x: from.x, z: from.z, yaw }, () => {
      if (this.#disposed) return;
      // During the session three.js moves the camera, and gives it the headset's field of view.
      camera.fov = this.#fieldOfView;
      camera.position.copy(from);
      camera.updateProjectionMatrix();
      controls.update();
      this.#change();
      onEnd();
    });
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    void this.renderer.xr.getSession()?.end();
    this.renderer.setAnimationLoop(null);
    this.#resizeObserver.disconnect();
    this.#controls.dispose();
    this.streamxr.dispose();
    this.#environment.dispose();
    this.renderer.dispose();
    // A page may have only a few contexts, and garbage collection frees them late.
    this.renderer.forceContextLoss();
  }

  /** Starts to draw again for a while. */
  #change(): void {
    this.#changedAt = performance.now();
  }

  #draw(): void {
    const now = performance.now();
    const dt = Math.min(MAX_STEP_S, (now - this.#updatedAt) / 1000);
    this.#updatedAt = now;
    const { renderer, streamxr, asset } = this;
    if (renderer.getContext().isContextLost()) return;
    this.#resize();
    if (!renderer.xr.isPresenting) this.#controls.update(dt);
    streamxr.update(this.#camera, dt);
    const isMoving = renderer.xr.isPresenting || asset?.mixer;
    // The last frame must show the state after the change, however long a frame takes.
    if (!isMoving && this.#drawnAt >= this.#changedAt + SETTLING_MS) return;
    this.#drawnAt = now;
    renderer.render(this.#scene, this.#camera);
  }

  /** Places the camera so that the whole asset is in the picture. */
  #placeCamera({ entry: { bounds } }: AssetState): void {
    const [camera, controls] = [this.#camera, this.#controls];
    const { eye, target } = frameBox(bounds, this.#fieldOfView, camera.aspect);
    const radius = radiusOf(bounds);
    camera.near = 0.01 * radius;
    camera.far = 100 * radius;
    camera.updateProjectionMatrix();
    camera.position.set(...eye);
    controls.target.copy(new Vector3(...target));
    controls.update();
    controls.minDistance = 0.02 * radius;
    controls.maxDistance = 20 * radius;
    this.#framed = true;
  }

  /** Matches the drawing buffer to the size of the canvas; cheap if nothing changed. */
  #resize(): void {
    const [canvas, camera] = [this.#canvas, this.#camera];
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0 || height === 0 || this.renderer.xr.isPresenting) return;
    const ratio = pixelRatio(this.#fast);
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    if (canvas.width === Math.floor(width * ratio) && canvas.height === Math.floor(height * ratio)) return;
    this.renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    if (this.#framed) this.#change();
  }
}

function orbitControls(camera: PerspectiveCamera, canvas: HTMLCanvasElement): OrbitControls {
  const controls = new OrbitControls(camera, canvas);
  controls.enableDamping = true;
  controls.dampingFactor = 0.08;
  controls.listenToKeyEvents(canvas);
  // One finger scrolls the page as over a picture; two fingers zoom.
  canvas.style.touchAction = "pan-y";
  return controls;
}
