/** What must agree between the parts of a manifest whose parts are well-formed. All throw ManifestError. */
import type { Manifest, Region, Tree } from "./bundle.ts";
import { ManifestError, shown } from "./json.ts";

/** One tree: a root, parents before their children and in agreement with them, errors that fall, tiers that rise. */
export function checkShape(regions: readonly Region[], path: string): void {
  const claimed = new Set<number>();
  regions.forEach((parent, p) => {
    const place = `${path}[${p}]`;
    if (p === 0 && parent.parent !== null) throw new ManifestError(`${place}.parent`, "is set on the root");
    if (p === 0 && parent.tier !== 0) throw new ManifestError(`${place}.tier`, "is not 0 on the root");
    // Every parent comes first, so by now it has claimed this region if it is its child.
    if (p > 0 && !claimed.has(p)) {
      throw new ManifestError(
        place,
        `is no child of a region before it (its parent says ${shown(parent.parent)})`,
      );
    }
    if (parent.children.length === 0 && parent.refinement !== null) {
      throw new ManifestError(`${place}.refinement`, "is set on a region without children");
    }
    if (parent.children.length > 0 && parent.refinement === null) {
      throw new ManifestError(`${place}.refinement`, "is null on a region with children");
    }
    parent.children.forEach((c, i) => {
      const child = regions[c];
      const at = `${place}.children[${i}]`;
      if (!child) throw new ManifestError(at, `is ${c}, but there are ${regions.length} regions`);
      if (c <= p) throw new ManifestError(at, `is ${c}, which does not stand after its parent ${p}`);
      if (claimed.has(c)) throw new ManifestError(at, `repeats ${c}, which already is a child`);
      claimed.add(c);
      const of = `${path}[${c}]`;
      if (child.parent !== p) {
        throw new ManifestError(
          `${of}.parent`,
          `is ${shown(child.parent)}, but region ${p} has it as a child`,
        );
      }
      if (!(child.error < parent.error)) {
        throw new ManifestError(
          `${of}.error`,
          `is ${child.error}, not less than its parent's ${parent.error}`,
        );
      }
      if (child.tier <= parent.tier) {
        throw new ManifestError(`${of}.tier`, `is ${child.tier}, not above its parent's ${parent.tier}`);
      }
    });
  });
}

/** What plays first is known from the base alone: it has the first animation or none. And all trees have a reach. */
export function checkAnimations({ animations, trees }: Manifest): void {
  const apart = animations[0]?.keyframes != null;
  animations.forEach(({ keyframes }, a) => {
    const path = `$.animations[${a}].keyframes`;
    if (keyframes === null && apart)
      throw new ManifestError(path, "is null, but the first animation's is a file");
    if (keyframes && keyframes.reach.length !== trees.length) {
      throw new ManifestError(
        `${path}.reach`,
        `has ${keyframes.reach.length} numbers, but there are ${trees.length} trees`,
      );
    }
  });
}

/** A node has one mesh, so one tree draws it. */
export function refuseSharedNodes(trees: readonly Tree[]): void {
  const owners = new Map<number, number>();
  trees.forEach((tree, t) => {
    tree.nodes.forEach((node, i) => {
      const owner = owners.get(node);
      if (owner !== undefined) {
        throw new ManifestError(`$.trees[${t}].nodes[${i}]`, `is ${node}, which tree ${owner} draws already`);
      }
      owners.set(node, t);
    });
  });
}

/** A name is a hash: what stands twice is one file, and has one size. */
export function refuseTwoSizes(manifest: Manifest): void {
  const sizes = new Map<string, number>();
  const check = (file: { uri: string; bytes: number }, path: string) => {
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
