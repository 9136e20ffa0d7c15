/**
 * Checks that the parts of a manifest agree with each other. Each part is well-formed already.
 *
 * All functions throw ManifestError if the parts disagree.
 */
import type { Manifest, Region, Tree } from "./bundle.ts";
import { ManifestError, quoted } from "./json.ts";

/**
 * Checks the regions of one tree: there is one root, parents precede their children and agree with them,
 * errors fall and tiers rise from parent to child.
 */
export function checkRegions(regions: readonly Region[], path: string): void {
  const root = regions[0];
  if (root && root.parent !== null) throw new ManifestError(`${path}[0].parent`, "is set on the root");
  if (root && root.tier !== 0) throw new ManifestError(`${path}[0].tier`, "is not 0 on the root");
  /** Regions that a region before them names as a child. */
  const claimed = new Set<number>();
  regions.forEach((region, r) => {
    const place = `${path}[${r}]`;
    if (r > 0 && !claimed.has(r)) {
      const parent = quoted(region.parent);
      throw new ManifestError(place, `is not a child of a region before it (its parent is ${parent})`);
    }
    if (region.children.length === 0 && region.refinement !== null) {
      throw new ManifestError(`${place}.refinement`, "is set on a region without children");
    }
    if (region.children.length > 0 && region.refinement === null) {
      throw new ManifestError(`${place}.refinement`, "is null on a region with children");
    }
    checkChildren(regions, r, path, claimed);
  });
}

function checkChildren(regions: readonly Region[], p: number, path: string, claimed: Set<number>): void {
  const parent = regions[p] as Region;
  parent.children.forEach((c, i) => {
    const child = regions[c];
    const place = `${path}[${p}].children[${i}]`;
    if (!child) throw new ManifestError(place, `is ${c}, but there are ${regions.length} regions`);
    if (c <= p) throw new ManifestError(place, `is ${c}, which does not come after its parent ${p}`);
    if (claimed.has(c)) throw new ManifestError(place, `repeats ${c}, which is a child already`);
    claimed.add(c);
    checkChild(parent, p, child, `${path}[${c}]`);
  });
}

function checkChild(parent: Region, p: number, child: Region, path: string): void {
  if (child.parent !== p) {
    const actual = quoted(child.parent);
    throw new ManifestError(`${path}.parent`, `is ${actual}, but region ${p} has it as a child`);
  }
  if (!(child.error < parent.error)) {
    const problem = `is ${child.error}, not less than its parent's ${parent.error}`;
    throw new ManifestError(`${path}.error`, problem);
  }
  if (child.tier <= parent.tier) {
    throw new ManifestError(`${path}.tier`, `is ${child.tier}, not above its parent's ${parent.tier}`);
  }
}

/**
 * Checks that the base has the first animation or none, so that a viewer knows what to play from the base
 * alone, and that each reach has one number per tree.
 */
export function checkAnimations({ animations, trees }: Manifest): void {
  const isFirstApart = animations[0]?.keyframes != null;
  animations.forEach(({ keyframes }, a) => {
    const path = `$.animations[${a}].keyframes`;
    if (keyframes === null && isFirstApart) {
      throw new ManifestError(path, "is null, but the first animation's is a file");
    }
    if (keyframes && keyframes.reach.length !== trees.length) {
      throw new ManifestError(
        `${path}.reach`,
        `has ${keyframes.reach.length} numbers, but there are ${trees.length} trees`,
      );
    }
  });
}

/** Checks that each node is drawn by one tree: a node has one mesh. */
export function checkNodes(trees: readonly Tree[]): void {
  const treeByNode = new Map<number, number>();
  trees.forEach(({ nodes }, t) => {
    nodes.forEach((node, i) => {
      const other = treeByNode.get(node);
      if (other !== undefined) {
        throw new ManifestError(`$.trees[${t}].nodes[${i}]`, `is ${node}, which tree ${other} draws already`);
      }
      treeByNode.set(node, t);
    });
  });
}

/** Checks that each file has one size. A name contains a hash, so equal names are the same file. */
export function checkFileSizes(manifest: Manifest): void {
  const sizes = new Map<string, number>();
  const check = (file: { readonly uri: string; readonly bytes: number }, path: string) => {
    const known = sizes.get(file.uri);
    if (known !== undefined && known !== file.bytes) {
      throw new ManifestError(`${path}.bytes`, `is ${file.bytes}, but the same file has ${known} elsewhere`);
    }
    sizes.set(file.uri, file.bytes);
  };
  check(manifest.base, "$.base");
  manifest.animations.forEach(({ keyframes }, a) => {
    if (keyframes) check(keyframes, `$.animations[${a}].keyframes`);
  });
  manifest.textures.forEach(({ levels }, t) => {
    levels.forEach(({ uri, bytes }, l) => {
      if (uri !== null) check({ uri, bytes }, `$.textures[${t}].levels[${l}]`);
    });
  });
  manifest.trees.forEach(({ regions }, t) => {
    regions.forEach(({ refinement }, r) => {
      if (refinement !== null) check(refinement, `$.trees[${t}].regions[${r}].refinement`);
    });
  });
}
