import { DoubleSide, Mesh, MeshBasicMaterial, SkinnedMesh } from "three";
import type { Asset } from "../three/asset.ts";
import { ownMaterial } from "../three/regions.ts";

/** Triangles that one asset's shadow is drawn with: soft as it is, more would not be seen, but be drawn twice. */
const MOST_TRIANGLES = 24_000;

/** Seen by the sun's camera alone. */
const UNSEEN = new MeshBasicMaterial({ colorWrite: false, depthWrite: false, shadowSide: DoubleSide });

/**
 * What casts an asset's shadow: the finest cut so far that is cheap enough, while finer ones are looked at.
 * Deforming meshes cast their own.
 */
export class ShadowCaster {
  private readonly followers = new Map<Mesh, Mesh>();

  constructor(private readonly asset: Asset) {
    this.update();
  }

  /** Call after another cut is drawn. True when the shadow changed. */
  update(): boolean {
    const drawn: Mesh[] = [];
    let triangles = 0;
    for (const { mesh } of this.asset.drawn()) {
      if (mesh instanceof SkinnedMesh || mesh.morphTargetInfluences) {
        mesh.castShadow = true;
        ownMaterial(mesh).shadowSide = DoubleSide;
        continue;
      }
      drawn.push(mesh);
      triangles += (mesh.geometry.index ?? mesh.geometry.getAttribute("position")).count / 3;
    }
    if (triangles > MOST_TRIANGLES && this.followers.size > 0) return false;
    const wanted = new Set(drawn);
    let changed = false;
    for (const [mesh, follower] of this.followers) {
      if (wanted.has(mesh)) continue;
      changed = true;
      follower.removeFromParent();
      this.followers.delete(mesh);
      // The core may have released it while its shadow was still in use; drawing it uploaded it anew.
      if (!mesh.parent) mesh.geometry.dispose();
    }
    for (const mesh of drawn) {
      if (this.followers.has(mesh)) continue;
      changed = true;
      const follower = new Mesh(mesh.geometry, UNSEEN);
      follower.castShadow = true;
      mesh.parent?.add(follower);
      this.followers.set(mesh, follower);
    }
    return changed;
  }
}
