import { type Camera, Color, Mesh, MeshBasicMaterial, Scene, SkinnedMesh, type WebGLRenderer } from "three";
import type { AssetState } from "../core/asset.ts";
import type { Demand } from "../core/demand.ts";
import type { Asset } from "../three/asset.ts";

/** The property that decides the colour of a region. */
export type ColorBy = "tier" | "need";

/** Colour of regions that are out of view or face away. */
const UNSEEN = new Color(0x77838f);
/** Milliseconds between two updates of the colours. */
const PERIOD_MS = 100;

/** Colour of a tier: from warm (coarse) to cool (fine). */
export function tierColor(tier: number, finest: number): Color {
  const t = finest === 0 ? 1 : tier / finest;
  return new Color().setHSL((32 + 148 * t) / 360, 0.72 - 0.1 * t, 0.56);
}

/**
 * Colour of a region by its error relative to its need.
 * @param octaves log2(error ÷ need): cool up to 0, where the error is invisible, then yellow, and red from 3
 * on
 */
export function needColor(octaves: number): Color {
  if (octaves <= 0) return new Color().setHSL(0.49, 0.55, 0.5 + 0.04 * Math.max(-4, octaves));
  const t = Math.min(1, octaves / 3);
  return new Color().setHSL((52 - 48 * t) / 360, 0.85, 0.58 - 0.04 * t);
}

/**
 * Draws the regions a second time over the picture, in flat colours. It shares their geometry, so it needs
 * draw calls but no memory, and does not change the assets' materials.
 */
export class Overlay {
  colorBy: ColorBy | null = null;
  readonly #scene = new Scene();
  readonly #twins = new WeakMap<Mesh, Mesh>();
  readonly #materials = new Map<string, MeshBasicMaterial>();
  #colors = new Map<AssetState, Map<string, Color>>();
  #updatedAt = Number.NEGATIVE_INFINITY;
  #updatedFor: ColorBy | null = null;

  readonly #demandOf: (asset: AssetState, tree: number, region: number) => Demand;

  /** @param demandOf the demand of the current view on a region */
  constructor(demandOf: (asset: AssetState, tree: number, region: number) => Demand) {
    this.#demandOf = demandOf;
    this.#scene.matrixWorldAutoUpdate = false;
  }

  /** Call after the frame is drawn. `now` in milliseconds. */
  render(renderer: WebGLRenderer, camera: Camera, assets: Iterable<Asset>, now: number): void {
    if (!this.colorBy) return;
    const shown = [...assets];
    if (now - this.#updatedAt >= PERIOD_MS || this.#updatedFor !== this.colorBy) {
      this.#colors = new Map(shown.map(({ state }) => [state, this.#colorsOf(state)]));
      this.#updatedAt = now;
      this.#updatedFor = this.colorBy;
    }
    this.#scene.children.length = 0;
    for (const asset of shown) {
      for (const { mesh, tree, region } of asset.drawn()) {
        if (tree < 0) continue;
        const twin = this.#twin(mesh);
        twin.material = this.#material(this.#colors.get(asset.state)?.get(`${tree}.${region}`) ?? UNSEEN);
        this.#scene.children.push(twin);
      }
    }
    renderOver(renderer, this.#scene, camera);
  }

  #colorsOf(asset: AssetState): Map<string, Color> {
    const colors = new Map<string, Color>();
    asset.trees.forEach(({ tree, cut }, index) => {
      const finest = Math.max(...tree.regions.map(({ tier }) => tier));
      for (const region of cut.drawn) {
        colors.set(`${index}.${region}`, shade(this.#colorOf(asset, index, region, finest), region));
      }
    });
    return colors;
  }

  #colorOf(asset: AssetState, tree: number, region: number, finest: number): Color {
    if (this.colorBy === "tier") {
      return tierColor(asset.manifest?.trees[tree]?.regions[region]?.tier ?? 0, finest);
    }
    const { error, need, weight } = this.#demandOf(asset, tree, region);
    if (weight === 0) return UNSEEN.clone();
    return needColor(error === 0 ? -4 : Math.log2(error / need));
  }

  #material(color: Color): MeshBasicMaterial {
    const name = color.getHexString();
    let material = this.#materials.get(name);
    if (!material) {
      material = new MeshBasicMaterial({
        color,
        transparent: true,
        opacity: 0.6,
        depthWrite: false,
        toneMapped: false,
        polygonOffset: true,
        polygonOffsetFactor: -1,
        polygonOffsetUnits: -1,
      });
      this.#materials.set(name, material);
    }
    return material;
  }

  /** A mesh with the same geometry, place and deformation. */
  #twin(mesh: Mesh): Mesh {
    const known = this.#twins.get(mesh);
    if (known) return known;
    const twin = mesh instanceof SkinnedMesh ? new SkinnedMesh(mesh.geometry) : new Mesh(mesh.geometry);
    if (mesh instanceof SkinnedMesh) {
      (twin as SkinnedMesh).bind(mesh.skeleton, mesh.bindMatrix);
      (twin as SkinnedMesh).bindMatrixInverse = mesh.bindMatrixInverse;
    }
    if (mesh.morphTargetInfluences) twin.morphTargetInfluences = mesh.morphTargetInfluences;
    twin.matrixWorld = mesh.matrixWorld;
    twin.frustumCulled = mesh.frustumCulled;
    twin.layers.mask = mesh.layers.mask;
    this.#twins.set(mesh, twin);
    return twin;
  }
}

/** Varies the lightness, so that neighbouring regions of one colour differ. */
function shade(color: Color, region: number): Color {
  const step = ((region * 7) % 5) / 4 - 0.5;
  return color.offsetHSL(0, 0, 0.11 * step);
}

/** Draws a scene over the current picture, without another shadow map. */
export function renderOver(renderer: WebGLRenderer, scene: Scene, camera: Camera): void {
  const { autoClear, shadowMap } = renderer;
  const { needsUpdate } = shadowMap;
  renderer.autoClear = false;
  shadowMap.needsUpdate = false;
  renderer.render(scene, camera);
  renderer.autoClear = autoClear;
  shadowMap.needsUpdate = needsUpdate;
}
