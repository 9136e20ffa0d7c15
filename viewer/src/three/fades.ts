import {
  type Camera,
  Group,
  type Material,
  type Mesh,
  type Scene,
  Texture,
  Vector2,
  type WebGLRenderer,
} from "three";
import type { FadeMaterial } from "./regions.ts";

/** However long a frame takes, it moves a fade on by no more than half, so that a slow device sees one too. */
const MOST_PER_FRAME = 0.5;

/** What is drawn of a region: its meshes, for each node that draws it. */
export interface Fadable {
  readonly meshes: readonly (readonly Mesh[])[];
}

/** What compiles a renderer's programs: while it goes on drawing, where the browser can. */
export type Compiler = Pick<WebGLRenderer, "compile" | "compileAsync" | "extensions">;

/** A material's copy that draws only the pixels whose noise lies in [x, y). */
interface Veil {
  readonly material: Material;
  readonly range: Vector2;
}

interface Fade {
  /** When it began to appear; −∞: it is all there; ∞: it begins with the next frame. */
  rise: number;
  /** When it began to give way; ∞: not yet; null: it stays. */
  fall: number | null;
  readonly veiled: readonly { readonly mesh: Mesh; readonly own: Material; readonly veil: Veil }[];
  gone: () => void;
}

/**
 * Fades between the tiers of one asset: for 200 ms the old and the new are both drawn, each in the pixels that the
 * other leaves out, so that there is neither a pop nor a pixel without either, nor one that is blended twice.
 *
 * Every pixel has a noise value n in [0, 1). What appears takes n < t, what gives way keeps n ≥ t, while t goes from 0
 * to 1. A region that is itself replaced while it appears keeps [t', t): fades nest to any depth, and at every moment
 * the ranges along any path through the tree are a partition of [0, 1).
 *
 * Pixels are left out by `discard`, which costs tiled GPUs their early depth test: so only copies of the materials
 * have it, for as long as a fade lasts. Until the copies' programs are compiled, regions are exchanged at once.
 */
export class Fades {
  lengthMs: number;
  private readonly compiler: Compiler;
  private readonly running = new Map<Fadable, Fade>();
  private readonly pool = new Map<Material, Veil[]>();
  private readonly made: Veil[] = [];
  private readonly ready = new Set<Material>();
  private unready: Mesh[] = [];
  private clock = 0;
  private last = 0;
  private disposed = false;

  constructor(compiler: Compiler, lengthMs: number) {
    this.compiler = compiler;
    this.lengthMs = lengthMs;
  }

  get active(): boolean {
    return this.running.size > 0;
  }

  /** Has the programs compiled with which meshes like these will fade, once they are in a scene. */
  expect(models: readonly Mesh[]): void {
    this.unready.push(...models);
  }

  /**
   * From one set of regions to another; those of `show` are in the scene already.
   * @param gone called when a region of `hide` has vanished and is to leave the scene: at once, or after the fade
   */
  cross<R extends Fadable>(hide: readonly R[], show: readonly R[], gone: (region: R) => void): void {
    const fades = this.lengthMs > 0 && [...hide, ...show].every((region) => this.canFade(region));
    for (const region of show) {
      // One that was about to vanish stays: it is drawn whole beside what replaced it, and nothing is missing.
      this.end(region);
      if (fades) this.running.set(region, this.begin(region, Number.POSITIVE_INFINITY, null));
    }
    for (const region of hide) {
      const fade = this.running.get(region);
      const vanish = (): void => gone(region);
      if (!fades) {
        this.end(region);
        vanish();
      } else if (fade) {
        Object.assign(fade, { fall: Number.POSITIVE_INFINITY, gone: vanish });
      } else {
        const whole = Number.NEGATIVE_INFINITY;
        this.running.set(region, this.begin(region, whole, Number.POSITIVE_INFINITY, vanish));
      }
    }
  }

  /** Whether a region is still drawn though it gives way. */
  isVanishing(region: Fadable): boolean {
    return (this.running.get(region)?.fall ?? null) !== null;
  }

  /** Moves all fades on. Call once per frame, before drawing. `now` in milliseconds. */
  update(now: number, scene: Scene | null, camera: Camera): void {
    if (this.unready.length > 0 && scene) void this.compile(scene, camera);
    this.clock += Math.min(now - this.last, this.lengthMs * MOST_PER_FRAME);
    this.last = now;
    for (const [region, fade] of this.running) {
      if (fade.rise === Number.POSITIVE_INFINITY) fade.rise = this.clock;
      if (fade.fall === Number.POSITIVE_INFINITY) fade.fall = this.clock;
      const upper = this.progress(fade.rise);
      const lower = fade.fall === null ? 0 : this.progress(fade.fall);
      for (const { veil } of fade.veiled) veil.range.set(lower, upper);
      if (lower < 1 && !(upper === 1 && fade.fall === null)) continue;
      this.end(region);
      if (fade.fall !== null) fade.gone();
    }
  }

  /** Takes over textures that were exchanged in the materials. */
  follow(): void {
    for (const { veiled } of this.running.values()) {
      for (const { own, veil } of veiled) takeTextures(veil.material, own);
    }
  }

  dispose(): void {
    this.disposed = true;
    for (const [region, { gone }] of [...this.running]) {
      this.end(region);
      gone();
    }
    for (const { material } of this.made) material.dispose();
    this.pool.clear();
    this.unready = [];
  }

  private progress(since: number): number {
    return Math.min(1, Math.max(0, (this.clock - since) / this.lengthMs));
  }

  private canFade({ meshes }: Fadable): boolean {
    return meshes.flat().every(({ material }) => {
      return this.ready.has((material as Partial<FadeMaterial>).veils ?? (material as Material));
    });
  }

  private begin({ meshes }: Fadable, rise: number, fall: number | null, gone = (): void => {}): Fade {
    // Meshes of one material share its copy.
    const shared = new Map<Material, Veil>();
    const veiled = meshes.flat().map((mesh) => {
      const own = mesh.material as Material;
      const veil = shared.get(own) ?? this.veil(own);
      shared.set(own, veil);
      takeTextures(veil.material, own);
      veil.range.set(0, fall === null ? 0 : 1);
      mesh.material = veil.material;
      return { mesh, own, veil };
    });
    return { rise, fall, veiled, gone };
  }

  private end(region: Fadable): void {
    const fade = this.running.get(region);
    if (!fade) return;
    this.running.delete(region);
    for (const { mesh, own } of fade.veiled) mesh.material = own;
    for (const [own, veil] of new Map(fade.veiled.map(({ own, veil }) => [own, veil]))) {
      this.pool.get(own)?.push(veil);
    }
  }

  private veil(own: Material): Veil {
    const free = this.pool.get(own)?.pop();
    if (free) return free;
    if (!this.pool.has(own)) this.pool.set(own, []);
    const veil = veilOf(own);
    this.made.push(veil);
    return veil;
  }

  private async compile(scene: Scene, camera: Camera): Promise<void> {
    const { compiler } = this;
    const standIns = new Group();
    const owners = new Map<Material, Veil>();
    for (const model of this.unready) {
      const own = model.material as Material;
      const veil = owners.get(own) ?? this.veil(own);
      owners.set(own, veil);
      const standIn = model.clone(false);
      standIn.material = veil.material;
      standIns.add(standIn);
    }
    this.unready = [];
    if (compiler.extensions.has("KHR_parallel_shader_compile")) {
      await compiler.compileAsync(standIns, camera, scene);
    } else {
      compiler.compile(standIns, camera, scene);
    }
    if (this.disposed) return;
    for (const [own, veil] of owners) {
      this.pool.get(own)?.push(veil);
      this.ready.add(own);
    }
  }
}

// Interleaved gradient noise (Jimenez 2014, Next Generation Post Processing in Call of Duty): neighbours differ much.
const LEAVE_OUT = /* glsl */ `
  uniform vec2 fadeRange;
  void main() {
    float fadeNoise = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    if (fadeNoise < fadeRange.x || fadeNoise >= fadeRange.y) discard;`;

function veilOf(own: Material): Veil {
  const material = own.clone();
  const range = new Vector2(0, 1);
  Object.assign(material, { veils: own, fadeRange: range } satisfies FadeMaterial);
  material.onBeforeCompile = (shader, renderer) => {
    own.onBeforeCompile(shader, renderer);
    shader.uniforms.fadeRange = { value: range };
    shader.fragmentShader = shader.fragmentShader.replace("void main() {", LEAVE_OUT);
  };
  material.customProgramCacheKey = () => `${own.customProgramCacheKey()}|fade`;
  return { material, range };
}

function takeTextures(to: Material, from: Material): void {
  for (const [slot, value] of Object.entries(from)) {
    if (value instanceof Texture) Object.assign(to, { [slot]: value });
  }
}
