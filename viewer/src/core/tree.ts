/** Properties of a region tree that follow from its manifest. */
import type { Manifest, Tree } from "./bundle/bundle.ts";

/** The regions that replace `region` together, one tier finer; empty for a leaf. */
export function childrenOf(tree: Tree, region: number): readonly number[] {
  return tree.regions[region]?.children ?? [];
}

/** A region, its only child, the only child of that, and so on. */
export function* chainFrom(tree: Tree, region: number): Generator<number> {
  for (let next: number | undefined = region; next !== undefined; ) {
    yield next;
    const children = childrenOf(tree, next);
    next = children.length === 1 ? children[0] : undefined;
  }
}

/** By region: the textures that its materials use, each once. */
export function texturesByRegion(
  tree: Tree,
  materials: Manifest["materials"],
): readonly (readonly number[])[] {
  const byPrimitive = tree.primitives.map(({ material }) =>
    material === null ? [] : (materials[material]?.textures ?? []),
  );
  return tree.regions.map(({ primitives }) => [...new Set(primitives.flatMap((k) => byPrimitive[k] ?? []))]);
}

/**
 * By region: length of one unit of TEXCOORD_0 in units of the tree's space, the longest among the finest
 * regions below. Coarser regions stretch pictures by a few per cent. Judged by their own lengths, a picture
 * that is sharp enough on them would be too coarse on the finest tier.
 */
export function uvLengths({ regions }: Tree): readonly number[] {
  const finest = regions.map(({ metresPerUv }) => metresPerUv);
  for (let region = regions.length - 1; region >= 0; region--) {
    const below = (regions[region]?.children ?? []).flatMap((child) => finest[child] ?? []);
    if (below.length > 0) finest[region] = Math.max(...below);
  }
  // Where no length was measured, the picture is taken to span the region once: too coarse rather than never.
  return regions.map(({ sphere }, region) => finest[region] ?? 2 * sphere[3]);
}

/**
 * By region: whether it may be culled by its cone of normals, which needs rigid geometry and single-sided,
 * opaque materials. The cone holds the normals of all descendants, and a finer region may have a material
 * that its ancestors lost, so the materials of all descendants count.
 */
export function cullableByCone(tree: Tree, materials: Manifest["materials"]): readonly boolean[] {
  const isSolid = tree.primitives.map(({ material }) => {
    const { doubleSided, alphaMode } = materials[material ?? -1] ?? GLTF_DEFAULT_MATERIAL;
    return !doubleSided && alphaMode === "OPAQUE";
  });
  const solid = tree.regions.map(({ primitives }) => primitives.every((k) => isSolid[k]));
  for (let region = tree.regions.length - 1; region > 0; region--) {
    if (!solid[region]) solid[tree.regions[region]?.parent ?? 0] = false;
  }
  const isRigid = tree.kind === "static" || tree.kind === "rigid";
  return tree.regions.map(({ cone }, region) => isRigid && cone !== null && solid[region] === true);
}

const GLTF_DEFAULT_MATERIAL = { doubleSided: false, alphaMode: "OPAQUE" };

/**
 * Half a step of the tree's quantisation grid, in units of the tree's space: no refinement has a smaller
 * error. 0 for a skin, whose grid has the scale of its bind pose.
 */
export function halfGridStep({ kind, grid }: Tree): number {
  return kind === "skinned" ? 0 : grid.range / (2 ** grid.bits - 1) / 2;
}
