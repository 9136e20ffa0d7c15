import {
  BackSide,
  type Camera,
  CircleGeometry,
  Color,
  DirectionalLight,
  Mesh,
  NeutralToneMapping,
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

/** Metres; the sky sphere, and with it how far the camera may go. */
const HORIZON = 400;

const ZENITH = new Color(0xf6f8fa);
const MIDDLE = new Color(0xdfe5eb);
const FLOOR = new Color(0xc9d1d9);

/** Centre and half sides of what stands on the floor, metres. */
export interface Footprint {
  readonly x: number;
  readonly z: number;
  readonly halfX: number;
  readonly halfZ: number;
}

/**
 * The room that the page shows its assets in: renderer, camera, orbit, a neutral studio light, a seamless
 * floor with soft shadows. It knows nothing about streaming.
 */
export class DemoScene {
  readonly renderer: WebGLRenderer;
  readonly scene = new Scene();
  readonly camera: PerspectiveCamera;
  readonly controls: OrbitControls;
  /** False where a CPU draws: then every pixel is dear. */
  readonly fast: boolean;
  /** True while the GPU's context is lost: nothing may be uploaded or drawn. */
  lost = false;

  private readonly canvas: HTMLCanvasElement;
  private readonly sun = new DirectionalLight(0xffffff, 1.5);
  private readonly floor = new Floor();
  private readonly environment = studioLight();

  /** Throws an Error that says what to do when the browser has no WebGL 2. */
  constructor(canvas: HTMLCanvasElement, fieldOfView: number) {
    this.camera = new PerspectiveCamera(fieldOfView, 1, 0.01, HORIZON * 2);
    this.canvas = canvas;
    const { renderer, fast } = createRenderer(canvas, { alpha: false });
    this.renderer = renderer;
    this.fast = fast;
    this.renderer.toneMapping = NeutralToneMapping;
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFShadowMap;
    // The shadow is drawn again only when geometry changes or moves: see updateShadow().
    this.renderer.shadowMap.autoUpdate = false;

    this.scene.add(sky(), this.floor, this.sun, this.sun.target);
    this.sun.castShadow = true;
    this.sun.shadow.mapSize.setScalar(this.fast ? 2048 : 1024);
    this.sun.shadow.radius = 5;
    // Only the floor receives it, so there is no surface that could shade itself.
    this.sun.shadow.bias = -0.0002;
    this.scene.environment = this.environment;
    this.scene.environmentIntensity = 0.85;

    this.camera.position.set(0, 1.4, 4);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.dampingFactor = 0.08;
    this.controls.maxPolarAngle = Math.PI * 0.54;
    this.controls.minDistance = 0.05;
    this.controls.maxDistance = HORIZON / 4;

    canvas.addEventListener("webglcontextlost", this.onLost);
    canvas.addEventListener("webglcontextrestored", this.onRestored);
  }

  /** Asks for a new shadow in the next frame: something was swapped in, or moved. */
  updateShadow(): void {
    this.renderer.shadowMap.needsUpdate = true;
  }

  /**
   * Fits floor and shadow to what stands on the demo.
   * @param radius metres from the origin that hold everything
   * @param height metres of the tallest
   */
  fit(radius: number, height: number): void {
    const reach = Math.max(radius, height) * 1.15 + 0.2;
    this.sun.position.set(-0.55 * reach, 1.6 * reach + height, 0.85 * reach);
    this.sun.target.position.set(0, height * 0.3, 0);
    const { camera } = this.sun.shadow;
    camera.left = camera.bottom = -reach;
    camera.right = camera.top = reach;
    camera.near = 0.05;
    camera.far = this.sun.position.length() * 2 + reach;
    camera.updateProjectionMatrix();
    this.floor.fit(radius);
    this.updateShadow();
  }

  /** Darkens the floor below something: the light of the sky that it keeps away. */
  ground({ x, z, halfX, halfZ }: Footprint): void {
    const patch = new Mesh(this.floor.occlusion.geometry, this.floor.occlusion.material);
    patch.name = "occlusion";
    patch.rotation.x = -Math.PI / 2;
    patch.position.set(x, 0.0005, z);
    // The dark reaches a little further than the thing, and is soft for a thin one too.
    const spread = 0.12 + 0.25 * Math.min(halfX, halfZ);
    patch.scale.set(2 * (halfX + spread), 2 * (halfZ + spread), 1);
    patch.renderOrder = -1;
    this.scene.add(patch);
  }

  /** Sets the camera; the orbit turns about `target`. Metres. */
  look(from: Vector3, target: Vector3): void {
    this.camera.position.copy(from);
    this.controls.target.copy(target);
    this.controls.update();
  }

  /** The camera that sees: the page's, or the headset's while it presents. */
  get seer(): Camera {
    return this.renderer.xr.isPresenting ? this.renderer.xr.getCamera() : this.camera;
  }

  /** Matches the drawing buffer to the canvas on the page; cheap when nothing changed. */
  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || height === 0 || this.renderer.xr.isPresenting) return;
    const ratio = pixelRatio(this.fast);
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    const wide = Math.floor(width * ratio);
    const high = Math.floor(height * ratio);
    if (this.canvas.width === wide && this.canvas.height === high) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
  }

  private readonly onLost = (): void => {
    this.lost = true;
  };

  private readonly onRestored = (): void => {
    // three.js uploads everything again by itself; only the shadow, which was rendered, is gone.
    this.lost = false;
    this.updateShadow();
  };
}

/** A sphere whose colour depends on the height of the view alone, so that the floor meets no visible edge. */
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
        vec3 c = h > 0.0 ? mix(middle, zenith, smoothstep(0.0, 0.5, h)) : mix(middle, floor, smoothstep(0.0, -0.35, h));
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
 * A floor at y = 0: a pool of light under the assets, a dot every half metre that fades with distance (it
 * gives the eye a scale, in a headset above all), and the shadow.
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
          float away = min(1.0, length(place));
          gl_FragColor = vec4(0.10, 0.15, 0.21, 0.42 * pow(1.0 - away * away, 2.0));
          #include <colorspace_fragment>
        }`,
    }),
  };
  private readonly shade = new Mesh(
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
            float away = length(place) / radius;
            float pool = 0.55 * pow(max(0.0, 1.0 - away), 2.0);
            vec2 cell = abs(fract(place / 0.5 + 0.5) - 0.5) * 0.5; // metres to the nearest dot
            float blur = max(fwidth(place.x), fwidth(place.y));
            // A dot smaller than a pixel fades instead of shimmering.
            float dot = (1.0 - smoothstep(0.006 - blur, 0.006 + blur, length(cell))) * min(1.0, 0.012 / blur);
            dot *= 0.2 * smoothstep(1.0, 0.25, away);
            vec3 c = mix(vec3(1.0), vec3(0.16, 0.22, 0.29), dot / max(1e-4, pool + dot));
            gl_FragColor = vec4(c, max(pool, dot));
            #include <colorspace_fragment>
          }`,
      }),
    );
    this.name = "floor";
    this.rotation.x = -Math.PI / 2;
    this.renderOrder = -1;
    this.shade.name = "shadow";
    this.shade.receiveShadow = true;
    // A millimetre above, so that the two never fight for depth.
    this.shade.position.z = 0.001;
    this.add(this.shade);
    this.fit(3);
  }

  /** @param radius metres from the origin that hold what stands on the floor */
  fit(radius: number): void {
    const reach = Math.max(4, radius * 3);
    this.scale.setScalar(reach);
    // No further than the sun's shadow reaches: beyond it there is only a shader to run.
    this.shade.scale.setScalar((2 * (radius * 1.4 + 1)) / reach);
    this.shade.position.z = 0.001 / reach;
    const uniform = this.material.uniforms.radius;
    if (uniform) uniform.value = reach;
  }
}
