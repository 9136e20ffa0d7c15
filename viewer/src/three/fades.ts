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

/** Largest part of a fade in one frame, so that a slow device shows at least one step between. */
const MAX_STEP = 0.5;

/** The meshes that draw a region, for each drawing and primitive. */
export interface Fadable {
  readonly meshes: readonly (readonly Mesh[])[];
}

/** The part of a renderer that compiles shaders. */
export type Compiler = Pick<WebGLRenderer, "compile" | "compileAsync" | "extensions">;

/** A copy of a material that draws only the pixels with a noise value in [range.x, range.y). */
interface FadeCopy {
  readonly material: Material;
  readonly range: Vector2;
}

interface Fade {
  /** When the region began to appear: −∞ if it was drawn before; ∞ if it begins with the next frame. */
  fadeInAt: number;
  /** When the region began to disappear: ∞ if it begins with the next frame; null if it stays. */
  fadeOutAt: number | null;
  readonly parts: readonly { readonly mesh: Mesh; readonly original: Material; readonly copy: FadeCopy }[];
  onRemove: () => void;
}

/**
 * Fades between the tiers of one asset. For 200 ms both the old and the new regions are drawn, in
 * complementary sets of pixels, so that nothing pops, and no pixel is missing or blended.
 *
 * Each pixel has a noise value n in [0, 1). A new region draws n < t and an old one n ≥ t, while t goes from
 * 0 to 1. A region that is replaced while it still appears draws [t', t): fades nest to any depth, and at
 * each moment the ranges along a path through the tree are a partition of [0, 1).
 *
 * The shader drops pixels by `discard`, which costs tiled GPUs their early depth test. So only copies of the
 * materials do this, and only during a fade. Regions are exchanged at once until the shaders of the copies
 * are compiled.
 */
export class Fades {
  lengthMs: number;
  readonly #compiler: Compiler;
  /** @internal The browser tests read it. */
  readonly running = new Map<Fadable, Fade>();
  /** @internal Time that fades go by, milliseconds: a long frame counts only in part. The browser tests set it. */
  clock = 0;
  /** Copies that are free, by original material. */
  readonly #pool = new Map<Material, FadeCopy[]>();
  readonly #copies: FadeCopy[] = [];
  /** Original materials whose copies are compiled. */
  readonly #compiled = new Set<Material>();
  #toCompile: Mesh[] = [];
  #updatedAt = 0;
  #disposed = false;

  constructor(compiler: Compiler, lengthMs: number) {
    this.#compiler = compiler;
    this.lengthMs = lengthMs;
  }

  get active(): boolean {
    return this.running.size > 0;
  }

  /** Precompiles the fade shaders for meshes like these, once there is a scene. */
  expect(models: readonly Mesh[]): void {
    this.#toCompile.push(...models);
  }

  /**
   * Fades from one set of regions to another. The meshes of `show` are already in the scene.
   * @param remove called for each region of `hide` when it is to leave the scene: at once, or after the fade
   */
  cross<R extends Fadable>(hide: readonly R[], show: readonly R[], remove: (region: R) => void): void {
    const fades = this.lengthMs > 0 && [...hide, ...show].every((region) => this.#isCompiled(region));
    for (const region of show) {
      // A region that was disappearing becomes whole at once, beside its replacement: no pixel is missing.
      this.#end(region);
      if (fades) this.running.set(region, this.#begin(region, Number.POSITIVE_INFINITY, null));
    }
    for (const region of hide) {
      const fade = this.running.get(region);
      const onRemove = (): void => remove(region);
      if (!fades) {
        this.#end(region);
        onRemove();
      } else if (fade) {
        Object.assign(fade, { fadeOutAt: Number.POSITIVE_INFINITY, onRemove });
      } else {
        const [past, future] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
        this.running.set(region, this.#begin(region, past, future, onRemove));
      }
    }
  }

  isFadingOut(region: Fadable): boolean {
    return (this.running.get(region)?.fadeOutAt ?? null) !== null;
  }

  /** Advances all fades. Call once per frame, before drawing. `now` in milliseconds. */
  update(now: number, scene: Scene | null, camera: Camera): void {
    if (this.#toCompile.length > 0 && scene) void this.#compile(scene, camera);
    this.clock += Math.min(now - this.#updatedAt, this.lengthMs * MAX_STEP);
    this.#updatedAt = now;
    for (const [region, fade] of this.running) {
      if (fade.fadeInAt === Number.POSITIVE_INFINITY) fade.fadeInAt = this.clock;
      if (fade.fadeOutAt === Number.POSITIVE_INFINITY) fade.fadeOutAt = this.clock;
      const upper = this.#progress(fade.fadeInAt);
      const lower = fade.fadeOutAt === null ? 0 : this.#progress(fade.fadeOutAt);
      for (const { copy } of fade.parts) copy.range.set(lower, upper);
      const isWhole = upper === 1 && fade.fadeOutAt === null;
      if (lower < 1 && !isWhole) continue;
      this.#end(region);
      if (fade.fadeOutAt !== null) fade.onRemove();
    }
  }

  /** Copies exchanged textures from the original materials. */
  updateTextures(): void {
    for (const { parts } of this.running.values()) {
      for (const { original, copy } of parts) copyTextures(original, copy.material);
    }
  }

  dispose(): void {
    this.#disposed = true;
    for (const [region, { onRemove }] of [...this.running]) {
      this.#end(region);
      onRemove();
    }
    for (const { material } of this.#copies) material.dispose();
    this.#pool.clear();
    this.#toCompile = [];
  }

  #progress(since: number): number {
    return Math.min(1, Math.max(0, (this.clock - since) / this.lengthMs));
  }

  #isCompiled({ meshes }: Fadable): boolean {
    // Like `originalMaterial`, whose import would add a file to the first load.
    return meshes.flat().every(({ material }) => {
      const { fadeOriginal = material as Material } = material as Partial<FadeMaterial>;
      return this.#compiled.has(fadeOriginal);
    });
  }

  #begin({ meshes }: Fadable, fadeInAt: number, fadeOutAt: number | null, onRemove = (): void => {}): Fade {
    // Meshes with the same material share its copy.
    const copies = new Map<Material, FadeCopy>();
    const parts = meshes.flat().map((mesh) => {
      const original = mesh.material as Material;
      const copy = copies.get(original) ?? this.#takeCopy(original);
      copies.set(original, copy);
      copyTextures(original, copy.material);
      copy.range.set(0, fadeOutAt === null ? 0 : 1);
      mesh.material = copy.material;
      return { mesh, original, copy };
    });
    return { fadeInAt, fadeOutAt, parts, onRemove };
  }

  #end(region: Fadable): void {
    const fade = this.running.get(region);
    if (!fade) return;
    this.running.delete(region);
    for (const { mesh, original } of fade.parts) mesh.material = original;
    for (const [original, copy] of new Map(fade.parts.map(({ original, copy }) => [original, copy]))) {
      this.#pool.get(original)?.push(copy);
    }
  }

  #takeCopy(original: Material): FadeCopy {
    const free = this.#pool.get(original)?.pop();
    if (free) return free;
    if (!this.#pool.has(original)) this.#pool.set(original, []);
    const copy = fadeCopyOf(original);
    this.#copies.push(copy);
    return copy;
  }

  async #compile(scene: Scene, camera: Camera): Promise<void> {
    const compiler = this.#compiler;
    const standIns = new Group();
    const copies = new Map<Material, FadeCopy>();
    for (const model of this.#toCompile) {
      const original = model.material as Material;
      const copy = copies.get(original) ?? this.#takeCopy(original);
      copies.set(original, copy);
      const standIn = model.clone(false);
      standIn.material = copy.material;
      standIns.add(standIn);
    }
    this.#toCompile = [];
    if (compiler.extensions.has("KHR_parallel_shader_compile")) {
      await compiler.compileAsync(standIns, camera, scene);
    } else {
      compiler.compile(standIns, camera, scene);
    }
    if (this.#disposed) return;
    for (const [original, copy] of copies) {
      this.#pool.get(original)?.push(copy);
      this.#compiled.add(original);
    }
  }
}

// Interleaved gradient noise (Jimenez 2014, Next Generation Post Processing in Call of Duty): neighbours
// differ much.
const DISCARD_BY_NOISE = /* glsl */ `
  uniform vec2 fadeRange;
  void main() {
    float fadeNoise = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    if (fadeNoise < fadeRange.x || fadeNoise >= fadeRange.y) discard;`;

function fadeCopyOf(original: Material): FadeCopy {
  const material = original.clone();
  const range = new Vector2(0, 1);
  Object.assign(material, { fadeOriginal: original, fadeRange: range } satisfies FadeMaterial);
  material.onBeforeCompile = (shader, renderer) => {
    original.onBeforeCompile(shader, renderer);
    shader.uniforms.fadeRange = { value: range };
    shader.fragmentShader = shader.fragmentShader.replace("void main() {", DISCARD_BY_NOISE);
  };
  material.customProgramCacheKey = () => `${original.customProgramCacheKey()}|fade`;
  return { material, range };
}

function copyTextures(from: Material, to: Material): void {
  for (const [slot, value] of Object.entries(from)) {
    if (value instanceof Texture) Object.assign(to, { [slot]: value });
  }
}
