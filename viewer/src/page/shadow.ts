import { DoubleSide, Mesh, MeshBasicMaterial, SkinnedMesh } from "three";
import type { StreamXR } from "../index.ts";
import type { Asset } from "../three/asset.ts";
import { originalMaterial } from "../three/regions.ts";
import type { DemoScene } from "./demo-scene.ts";

/**
 * Triangles that draw one asset's shadow. The shadow is soft, so more of them would cost time without a
 * visible effect.
 */
const MAX_TRIANGLES = 24_000;

/** Drawn into the shadow map only. */
const SHADOW_MATERIAL = new MeshBasicMaterial({
  colorWrite: false,
  depthWrite: false,
  shadowSide: DoubleSide,
});

/** The shadow casters of all assets; requests a new shadow map when one of them changes. */
export class Shadows {
  readonly #demo: DemoScene;
  readonly #casters = new Map<Asset, ShadowCaster>();

  constructor(streamxr: StreamXR, demo: DemoScene) {
    this.#demo = demo;
    streamxr.host.onRegions = (asset) => {
      if (this.#casters.get(asset)?.update()) demo.updateShadow();
    };
  }

  add(asset: Asset): void {
    this.#casters.set(asset, new ShadowCaster(asset));
    this.#demo.updateShadow();
  }

  remove(asset: Asset): void {
    this.#casters.delete(asset);
    this.#demo.updateShadow();
  }

  /** Call once per frame: an animated asset moves its shadow. */
  updateMoving(): void {
    if ([...this.#casters.keys()].some(({ mixer }) => mixer)) this.#demo.updateShadow();
  }
}

/**
 * Casts an asset's shadow from the finest cut so far that is cheap enough, while finer cuts are drawn.
 * Deforming meshes cast their own shadow.
 */
class ShadowCaster {
  readonly #asset: Asset;
  /** By mesh of the asset: a mesh with the same geometry that casts its shadow. */
  readonly #casters = new Map<Mesh, Mesh>();

  constructor(asset: Asset) {
    this.#asset = asset;
    this.update();
  }

  /**
   * Call after another cut is drawn.
   * @returns whether the shadow changed
   */
  update(): boolean {
    const rigid: Mesh[] = [];
    let triangles = 0;
    for (const { mesh } of this.#asset.drawn()) {
      if (mesh instanceof SkinnedMesh || mesh.morphTargetInfluences) {
        mesh.castShadow = true;
        originalMaterial(mesh).shadowSide = DoubleSide;
        continue;
      }
      rigid.push(mesh);
      triangles += (mesh.geometry.index ?? mesh.geometry.getAttribute("position")).count / 3;
    }
    if (triangles > MAX_TRIANGLES && this.#casters.size > 0) return false;
    const removed = this.#removeExcept(new Set(rigid));
    const added = this.#add(rigid);
    return removed || added;
  }

  /** Whether a caster was removed. */
  #removeExcept(kept: ReadonlySet<Mesh>): boolean {
    let changed = false;
    for (const [mesh, caster] of this.#casters) {
      if (kept.has(mesh)) continue;
      changed = true;
      caster.removeFromParent();
      this.#casters.delete(mesh);
      // The core may have released the mesh while its shadow was in use; drawing the shadow uploaded it
      // again.
      if (!mesh.parent) mesh.geometry.dispose();
    }
    return changed;
  }

  /** Whether a caster was added. */
  #add(meshes: readonly Mesh[]): boolean {
    let changed = false;
    for (const mesh of meshes) {
      if (this.#casters.has(mesh)) continue;
      changed = true;
      const caster = new Mesh(mesh.geometry, SHADOW_MATERIAL);
      caster.castShadow = true;
      mesh.parent?.add(caster);
      this.#casters.set(mesh, caster);
    }
    return changed;
  }
}
