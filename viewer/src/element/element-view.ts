import { NeutralToneMapping, PerspectiveCamera, Scene, Vector3, type WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import type { AssetState } from "../core/asset.ts";
import { StreamXR } from "../index.ts";
import { frameBox, radiusOf } from "../layout.ts";
import type { Asset } from "../three/asset.ts";
import { studioLight } from "../three/environment.ts";
import { createRenderer, pixelRatio } from "../three/renderer.ts";

/** A tab that slept must not make animations jump, seconds. */
const LONGEST_STEP = 0.1;
/** After something changed, frames are drawn for this long: fades and damping end within it, milliseconds. */
const AFTERGLOW_MS = 500;

export interface ElementViewOptions {
  /** Degrees, vertical. */
  readonly fieldOfView: number;
  readonly gaze: "head" | "pointer";
}

/**
 * What `<streamxr-viewer>` shows one asset in: a canvas that the page shines through, a neutral studio light, an
 * orbit about the asset. It draws only while something changes.
 */
export class ElementView {
  readonly renderer: WebGLRenderer;
  readonly streamxr: StreamXR;
  readonly scene = new Scene();
  readonly camera: PerspectiveCamera;
  readonly controls: OrbitControls;
  asset: Asset | null = null;

  private readonly fieldOfView: number;
  private readonly fast: boolean;
  private readonly environment = studioLight();
  private readonly sizes: ResizeObserver;
  private changedAt = Number.NEGATIVE_INFINITY;
  private last = performance.now();
  private framed = false;
  private disposed = false;

  /** @throws Error that says what to do when the browser has no WebGL 2 */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    { fieldOfView, gaze }: ElementViewOptions,
  ) {
    this.fieldOfView = fieldOfView;
    this.camera = new PerspectiveCamera(fieldOfView, 1);
    const { renderer, fast } = createRenderer(canvas, { alpha: true });
    this.renderer = renderer;
    this.fast = fast;
    renderer.toneMapping = NeutralToneMapping;
    this.scene.environment = this.environment;
    this.streamxr = new StreamXR({ renderer, gaze });
    const change = (): void => this.change();
    this.streamxr.host.onRegions = change;
    this.streamxr.host.onLevel = change;
    canvas.addEventListener("webglcontextrestored", change);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.dampingFactor = 0.08;
    this.controls.listenToKeyEvents(canvas);
    this.controls.addEventListener("change", change);
    // The page scrolls over it as over a picture; two fingers zoom.
    canvas.style.touchAction = "pan-y";
    this.sizes = new ResizeObserver(change);
    this.sizes.observe(canvas);
  }

  /** Draws an asset that the session has begun to stream; resolves after its first frame. */
  async show(state: AssetState): Promise<Asset> {
    const { bounds } = state.entry;
    this.resize();
    this.frame(state);
    this.controls.minDistance = 0.02 * radiusOf(bounds);
    this.controls.maxDistance = 20 * radiusOf(bounds);
    const asset = await this.streamxr.follow(state);
    this.asset = asset;
    this.scene.add(asset);
    this.draw();
    this.renderer.setAnimationLoop(() => this.draw());
    return asset;
  }

  /** Draws again soon. */
  change(): void {
    this.changedAt = performance.now();
  }

  /** Draws, or rests while nobody sees it. */
  set visible(visible: boolean) {
    if (!this.asset || this.renderer.xr.isPresenting) return;
    this.renderer.setAnimationLoop(visible ? () => this.draw() : null);
    if (visible) this.change();
  }

  set exposure(exposure: number) {
    this.renderer.toneMappingExposure = exposure;
    this.change();
  }

  /** Enters VR; the visitor stands where the camera was. `onEnd` is called when the session has ended. */
  async enterVr(onEnd: () => void): Promise<void> {
    const { enterVr } = await import("../three/xr.ts");
    const { camera, controls } = this;
    const [from, target] = [camera.position.clone(), controls.target.clone()];
    const yaw = Math.atan2(from.x - target.x, from.z - target.z);
    await enterVr(this.renderer, { x: from.x, z: from.z, yaw }, () => {
      if (this.disposed) return;
      // In the headset three.js moved the camera, and gave it the headset's field of view.
      camera.fov = this.fieldOfView;
      camera.position.copy(from);
      camera.updateProjectionMatrix();
      controls.update();
      this.change();
      onEnd();
    });
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    void this.renderer.xr.getSession()?.end();
    this.renderer.setAnimationLoop(null);
    this.sizes.disconnect();
    this.controls.dispose();
    this.streamxr.dispose();
    this.environment.dispose();
    this.renderer.dispose();
    // Browsers keep few contexts alive, and collect them late.
    this.renderer.forceContextLoss();
  }

  private draw(): void {
    const now = performance.now();
    const dt = Math.min(LONGEST_STEP, (now - this.last) / 1000);
    this.last = now;
    const { renderer, streamxr, asset } = this;
    if (renderer.getContext().isContextLost()) return;
    this.resize();
    if (!renderer.xr.isPresenting) this.controls.update(dt);
    streamxr.update(this.camera, dt);
    const moving = renderer.xr.isPresenting || asset?.mixer;
    if (moving || now - this.changedAt < AFTERGLOW_MS) renderer.render(this.scene, this.camera);
  }

  /** Puts the camera where the whole asset is in the picture. */
  private frame(state: AssetState): void {
    const { camera, controls } = this;
    const { bounds } = state.entry;
    const { eye, target } = frameBox(bounds, this.fieldOfView, camera.aspect);
    const radius = radiusOf(bounds);
    camera.near = 0.01 * radius;
    camera.far = 100 * radius;
    camera.updateProjectionMatrix();
    camera.position.set(...eye);
    controls.target.copy(new Vector3(...target));
    controls.update();
    this.framed = true;
  }

  /** Matches the drawing buffer to the canvas on the page; cheap when nothing changed. */
  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || height === 0 || this.renderer.xr.isPresenting) return;
    const ratio = pixelRatio(this.fast);
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    if (this.canvas.width === Math.floor(width * ratio) && this.canvas.height === Math.floor(height * ratio))
      return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (this.framed) this.change();
  }
}
