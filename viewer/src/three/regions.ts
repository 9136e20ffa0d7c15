import { type BufferGeometry, type Material, Mesh, type Object3D, SkinnedMesh, type Vector2 } from "three";
import type { Tree } from "../core/bundle/bundle.ts";

/** One node of the base that draws a tree. */
export interface Drawing {
  readonly node: Object3D;
  /** Parent of the meshes of all drawn regions. */
  readonly parent: Object3D;
  /** The base's mesh for each kind of primitive; meshes of all tiers take their material and flags. */
  readonly kinds: readonly Mesh[];
}

/** A region on the GPU: its geometry for each primitive, and its meshes for each drawing and primitive. */
export interface DrawableRegion {
  readonly geometries: readonly BufferGeometry[];
  readonly meshes: readonly (readonly Mesh[])[];
}

/** A tree with the nodes that draw it, and its loaded regions. */
export interface DrawableTree {
  readonly tree: Tree;
  readonly drawings: readonly Drawing[];
  /** By index. */
  readonly regions: Map<number, DrawableRegion>;
}

/**
 * Makes the meshes of a region; they are in no scene yet.
 * @param kinds of the primitives, in the order of `geometries`
 * @throws Error if the base has no mesh of a kind
 */
export function drawableRegion(
  { drawings }: DrawableTree,
  kinds: readonly number[],
  geometries: readonly BufferGeometry[],
): DrawableRegion {
  const meshes = drawings.map((drawing) =>
    geometries.map((geometry, j) => {
      const model = drawing.kinds[kinds[j] ?? -1];
      if (!model) throw new Error(`primitive ${j} has kind ${kinds[j]}, which the base lacks`);
      const mesh = likeModel(model, geometry);
      mesh.name = model.name;
      mesh.layers.mask = model.layers.mask;
      mesh.castShadow = model.castShadow;
      mesh.receiveShadow = model.receiveShadow;
      mesh.renderOrder = model.renderOrder;
      mesh.frustumCulled = model.frustumCulled;
      return mesh;
    }),
  );
  return { geometries, meshes };
}

export function addToScene({ drawings }: DrawableTree, { meshes }: DrawableRegion): void {
  meshes.forEach((ofDrawing, i) => {
    for (const mesh of ofDrawing) drawings[i]?.parent.add(mesh);
  });
}

export function removeFromScene({ meshes }: DrawableRegion): void {
  for (const mesh of meshes.flat()) mesh.removeFromParent();
}

export function freeRegion(region: DrawableRegion): void {
  removeFromScene(region);
  for (const geometry of region.geometries) geometry.dispose();
}

/** Additional properties of a copy of a material that fades: see `Fades`. */
export interface FadeMaterial {
  readonly fadeOriginal: Material;
  /** The noise values in [x, y) whose pixels it draws, of [0, 1]. */
  readonly fadeRange: Vector2;
}

/** The original material of a mesh, also while the mesh is fading. */
export function originalMaterial({ material }: Mesh): Material {
  return (material as Partial<FadeMaterial>).fadeOriginal ?? (material as Material);
}

/** Makes a mesh that deforms like the base's: by the same bones, or by the same morph weights. */
function likeModel(model: Mesh, geometry: BufferGeometry): Mesh {
  const material = originalMaterial(model);
  const skinned = model instanceof SkinnedMesh;
  const mesh = skinned ? new SkinnedMesh(geometry, material) : new Mesh(geometry, material);
  if (skinned) (mesh as SkinnedMesh).bind(model.skeleton, model.bindMatrix);
  if (model.morphTargetInfluences) {
    mesh.morphTargetInfluences = model.morphTargetInfluences;
    mesh.morphTargetDictionary = model.morphTargetDictionary;
  }
  return mesh;
}
