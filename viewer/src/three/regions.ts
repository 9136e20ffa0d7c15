import { type BufferGeometry, type Material, Mesh, type Object3D, SkinnedMesh, type Vector2 } from "three";
import type { Tree } from "../core/bundle/bundle.ts";

/** A node that draws a tree: its region meshes come and go below `place`. */
export interface Drawing {
  readonly node: Object3D;
  readonly place: Object3D;
  /** The base's meshes by kind: every tier has their material and flags. */
  readonly kinds: readonly Mesh[];
}

/** A region on the GPU: geometry by primitive, and for each drawing the meshes that draw it. */
export interface DrawableRegion {
  readonly geometries: readonly BufferGeometry[];
  readonly meshes: readonly (readonly Mesh[])[];
}

/** A tree whose base has been found in the scene. */
export interface DrawableTree {
  readonly tree: Tree;
  readonly drawings: readonly Drawing[];
  readonly regions: Map<number, DrawableRegion>;
}

/**
 * The meshes that draw a region, in no scene yet.
 * @param kinds of its primitives, in the order of `geometries`
 */
export function drawableRegion(
  { drawings }: DrawableTree,
  kinds: readonly number[],
  geometries: readonly BufferGeometry[],
): DrawableRegion {
  const meshes = drawings.map((drawing) =>
    geometries.map((geometry, j) => {
      const model = drawing.kinds[kinds[j] ?? -1];
      if (!model) throw new Error(`primitive ${j} is of kind ${kinds[j]}, which the base does not draw`);
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
  meshes.forEach((each, i) => {
    for (const mesh of each) drawings[i]?.place.add(mesh);
  });
}

export function removeFromScene({ meshes }: DrawableRegion): void {
  for (const mesh of meshes.flat()) mesh.removeFromParent();
}

export function freeRegion(region: DrawableRegion): void {
  removeFromScene(region);
  for (const geometry of region.geometries) geometry.dispose();
}

/** What a material's copy that fades says of itself: see `Fades`. */
export interface FadeMaterial {
  readonly veils: Material;
  /** The range of noise values that it draws, in [0, 1]. */
  readonly fadeRange: Vector2;
}

/** A mesh's material, whether it is fading or not. */
export function ownMaterial({ material }: Mesh): Material {
  return (material as Partial<FadeMaterial>).veils ?? (material as Material);
}

/** A mesh that deforms as the base's does: by the same bones, by the same morph weights. */
function likeModel(model: Mesh, geometry: BufferGeometry): Mesh {
  const material = ownMaterial(model);
  const skinned = model instanceof SkinnedMesh;
  const mesh = skinned ? new SkinnedMesh(geometry, material) : new Mesh(geometry, material);
  if (skinned) (mesh as SkinnedMesh).bind(model.skeleton, model.bindMatrix);
  if (model.morphTargetInfluences) {
    mesh.morphTargetInfluences = model.morphTargetInfluences;
    mesh.morphTargetDictionary = model.morphTargetDictionary;
  }
  return mesh;
}
