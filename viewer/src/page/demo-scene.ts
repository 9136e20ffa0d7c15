import {
  BackSide,
  type Camera,
  CircleGeometry,
  Color,
  DirectionalLight,
  Mesh,
  NeutralToneMapping,
  type Object3D,
  PCFShadowMap,
  PerspectiveCamera,
  PlaneGeometry,
  Scene,
  ShaderMaterial,
  ShadowMaterial,
  SphereGeometry,
  type Vector3,
  type WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { studioLight } from "../three/environment.ts";
import { createRenderer, pixelRatio } from "../three/renderer.ts";

/** Radius of the sky sphere, metres; it also limits the camera's distance. */
const HORIZON = 400;

const ZENITH = new Color(0xf6f8fa);
const MIDDLE = new Color(0xdfe5eb);
const FLOOR = new Color(0xc9d1d9);

/** Centre and half sides of an asset's area on the floor, metres. */
export interface Footprint {
  readonly x: number;
  readonly z: number;
  readonly halfX: number;
  readonly halfZ: number;
}

/**
 * The surroundings of the page's assets: renderer, camera, orbit controls, a neutral studio light, a seamless
 * floor with soft shadows.
 */
export class DemoScene {
  readonly renderer: WebGLRenderer;
  readonly scene = new Scene();
  readonly camera: PerspectiveCamera;
  readonly controls: OrbitControls;
  /** True while the GPU's context is lost: then nothing may be uploaded or drawn. */
  contextLost = false;

  readonly #canvas: HTMLCanvasElement;
  /** False if a CPU draws: then each pixel is expensive. */
  readonly #fast: boolean;
  readonly #sun = new DirectionalLight(0xffffff, 1.5);
  readonly #floor = new Floor();

  /**
   * @param fieldOfView degrees, vertical
   * @throws Error that says what to do if the browser has no WebGL 2
   */
  constructor(canvas: HTMLCanvasElement, fieldOfView: number) {
    this.#canvas = canvas;
    const { renderer, fast } = createRenderer(canvas, { alpha: false });
    this.renderer = renderer;
    this.#fast = fast;
    renderer.toneMapping = NeutralToneMapping;
    renderer.shadowMap.enabled = true;
    renderer.shadowMap.type = PCFShadowMap;
    // The shadow map is drawn only after a change: see updateShadow().
    renderer.shadowMap.autoUpdate = false;
    this.#addLight();
    this.scene.add(sky(), this.#floor);
    this.camera = new PerspectiveCamera(fieldOfView, 1, 0.01, HORIZON * 2);
    this.camera.position.set(0, 1.4, 4);
    this.controls = orbitControls(this.camera, canvas);
    canvas.addEventListener("webglcontextlost", () => {
      this.contextLost = true;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      // three.js uploads everything again by itself, but it does not render the shadow map again.
      this.contextLost = false;
      this.updateShadow();
    });
  }

  /** Draws the shadow map again in the next frame, after an object was exchanged or moved. */
  updateShadow(): void {
    this.renderer.shadowMap.needsUpdate = true;
  }

  /**
   * Fits floor and shadow to the assets.
   * @param radius of a circle about the origin that holds all assets, metres
   * @param height of the tallest asset, metres
   */
  fit(radius: number, height: number): void {
    const reach = Math.max(radius, height) * 1.15 + 0.2;
    const sun = this.#sun;
    sun.position.set(-0.55 * reach, 1.6 * reach + height, 0.85 * reach);
    sun.target.position.set(0, height * 0.3, 0);
    const { camera } = sun.shadow;
    camera.left = camera.bottom = -reach;
    camera.right = camera.top = reach;
    camera.near = 0.05;
    camera.far = sun.position.length() * 2 + reach;
    camera.updateProjectionMatrix();
    this.#floor.fit(radius);
    this.updateShadow();
  }

  /** Adds a dark patch for the floor below an asset, which covers part of the sky (ambient occlusion). */
  addOcclusion(): Object3D {
    const patch = new Mesh(this.#floor.occlusion.geometry, this.#floor.occlusion.material);
    patch.name = "occlusion";
    patch.rotation.x = -Math.PI / 2;
    patch.renderOrder = -1;
    this.scene.add(patch);
    return patch;
  }

  /** Moves a dark patch below an asset: a little larger than the asset, and soft below a thin one too. */
  placeOcclusion(patch: Object3D, { x, z, halfX, halfZ }: Footprint): void {
    patch.position.set(x, 0.0005, z);
    const margin = 0.12 + 0.25 * Math.min(halfX, halfZ);
    patch.scale.set(2 * (halfX + margin), 2 * (halfZ + margin), 1);
  }

  /** Places the camera at `from`; it looks at `target` and orbits about it. Metres. */
  lookFrom(from: Vector3, target: Vector3): void {
    this.camera.position.copy(from);
    this.controls.target.copy(target);
    this.controls.update();
  }

  /** The camera that draws: the page's, or the headset's in an XR session. */
  get activeCamera(): Camera {
    return this.renderer.xr.isPresenting ? this.renderer.xr.getCamera() : this.camera;
  }

  /** Matches the drawing buffer to the size of the canvas; cheap if nothing changed. */
  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (width === 0 || height === 0 || this.renderer.xr.isPresenting) return;
    const ratio = pixelRatio(this.#fast);
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    const bufferWidth = Math.floor(width * ratio);
    const bufferHeight = Math.floor(height * ratio);
    if (this.#canvas.width === bufferWidth && this.#canvas.height === bufferHeight) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
  }

  #addLight(): void {
    const sun = this.#sun;
    sun.castShadow = true;
    sun.shadow.mapSize.setScalar(this.#fast ? 2048 : 1024);
    sun.shadow.radius = 5;
    // Only the floor receives the shadow, so that no surface shades itself.
    sun.shadow.bias = -0.0002;
    this.scene.add(sun, sun.target);
    this.scene.environment = studioLight();
    this.scene.environmentIntensity = 0.85;
  }
}

function orbitControls(camera: PerspectiveCamera, canvas: HTMLCanvasElement): OrbitControls {
  const controls = new OrbitControls(camera, canvas);
  controls.enableDamping = true;
  controls.dampingFactor = 0.08;
  controls.maxPolarAngle = Math.PI * 0.54;
  controls.minDistance = 0.05;
  controls.maxDistance = HORIZON / 4;
  return controls;
}

/** A sphere whose colour depends only on the elevation of the view, so that the floor has no visible edge. */
function sky(): Mesh {
  const material = new ShaderMaterial({
    side: BackSide,
    depthWrite: false,
    uniforms: { zenith: { value: ZENITH }, middle: { value: MIDDLE }, floor: { value: FLOOR } },
    vertexShader: /* glsl */ `
      varying vec3 direction;
      void main() {
        direction = position;
        vec4 place = projectionMatrix * mat4(mat3(viewMatrix)) * vec4(position, 1.0);
        gl_Position = place.xyww; // on the far plane
      }`,
    fragmentShader: /* glsl */ `
      uniform vec3 zenith, middle, floor;
      varying vec3 direction;
      void main() {
        float h = normalize(direction).y;
        vec3 c = h > 0.0
          ? mix(middle, zenith, smoothstep(0.0, 0.5, h))
          : mix(middle, floor, smoothstep(0.0, -0.35, h));
        gl_FragColor = vec4(c, 1.0);
        #include <colorspace_fragment>
      }`,
  });
  const mesh = new Mesh(new SphereGeometry(HORIZON, 32, 24), material);
  mesh.name = "sky";
  mesh.frustumCulled = false;
  mesh.renderOrder = -2;
  return mesh;
}

/**
 * A floor at y = 0: a pool of light under the assets, a grid of dots every half metre that fades with
 * distance (it shows the scale, above all in a headset), and the shadow.
 */
class Floor extends Mesh<CircleGeometry, ShaderMaterial> {
  readonly occlusion = {
    geometry: new PlaneGeometry(1, 1),
    material: new ShaderMaterial({
      transparent: true,
      depthWrite: false,
      vertexShader: /* glsl */ `
        varying vec2 place;
        void main() {
          place = 2.0 * uv - 1.0;
          gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
        }`,
      fragmentShader: /* glsl */ `
        varying vec2 place;
        void main() {
          float fraction = min(1.0, length(place));
          gl_FragColor = vec4(0.10, 0.15, 0.21, 0.42 * pow(1.0 - fraction * fraction, 2.0));
          #include <colorspace_fragment>
        }`,
    }),
  };
  readonly #shadow = new Mesh(
    new PlaneGeometry(1, 1),
    new ShadowMaterial({ opacity: 0.26, color: 0x1b2a3a }),
  );

  constructor() {
    super(
      new CircleGeometry(1, 64),
      new ShaderMaterial({
        transparent: true,
        depthWrite: false,
        uniforms: { radius: { value: 1 } },
        vertexShader: /* glsl */ `
          varying vec2 place;
          void main() {
            vec4 world = modelMatrix * vec4(position, 1.0);
            place = world.xz;
            gl_Position = projectionMatrix * viewMatrix * world;
          }`,
        fragmentShader: /* glsl */ `
          uniform float radius;
          varying vec2 place;
          void main() {
            float fraction = length(place) / radius;
            float pool = 0.55 * pow(max(0.0, 1.0 - fraction), 2.0);
            vec2 cell = abs(fract(place / 0.5 + 0.5) - 0.5) * 0.5; // metres to the nearest dot
            float blur = max(fwidth(place.x), fwidth(place.y));
            // A dot smaller than a pixel fades instead of flickering.
            float dot = (1.0 - smoothstep(0.006 - blur, 0.006 + blur, length(cell))) * min(1.0, 0.012 / blur);
            dot *= 0.2 * smoothstep(1.0, 0.25, fraction);
            vec3 c = mix(vec3(1.0), vec3(0.16, 0.22, 0.29), dot / max(1e-4, pool + dot));
            gl_FragColor = vec4(c, max(pool, dot));
            #include <colorspace_fragment>
          }`,
      }),
    );
    this.name = "floor";
    this.rotation.x = -Math.PI / 2;
    this.renderOrder = -1;
    this.#shadow.name = "shadow";
    this.#shadow.receiveShadow = true;
    // One millimetre higher, so that both never have the same depth.
    this.#shadow.position.z = 0.001;
    this.add(this.#shadow);
    this.fit(3);
  }

  /** @param radius of a circle about the origin that holds all assets, metres */
  fit(radius: number): void {
    const reach = Math.max(4, radius * 3);
    this.scale.setScalar(reach);
    // No larger than the sun's shadow: beyond it, the shader would only cost time.
    this.#shadow.scale.setScalar((2 * (radius * 1.4 + 1)) / reach);
    this.#shadow.position.z = 0.001 / reach;
    const uniform = this.material.uniforms.radius;
    if (uniform) uniform.value = reach;
  }
}
