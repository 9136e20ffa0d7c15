import { type Camera, Color, Mesh, MeshBasicMaterial, Scene, SkinnedMesh, type WebGLRenderer } from "three";
import type { AssetState } from "../core/asset.ts";
import type { Demand } from "../core/demand.ts";
import type { Asset } from "../three/asset.ts";

/** What regions are coloured by. */
export type Colouring = "tier" | "need";

/** Regions that are not seen, or look away. */
const UNSEEN = new Color(0x77838f);
/** Milliseconds between two looks at what the eye demands. */
const PERIOD_MS = 100;

/** Colour of a tier: from warm and coarse to cool and fine. */
export function tierColour(tier: number, finest: number): Color {
  const t = finest === 0 ? 1 : tier / finest;
  return new Color().setHSL((32 + 148 * t) / 360, 0.72 - 0.1 * t, 0.56);
}

/**
 * Colour of a region by how far its error is above what the eye sees there, in octaves: cool where nobody sees a
 * difference any more, then yellow, and red from three octaves on.
 */
export function needColour(octaves: number): Color {
  if (octaves <= 0) return new Color().setHSL(0.49, 0.55, 0.5 + 0.04 * Math.max(-4, octaves));
  const t = Math.min(1, octaves / 3);
  return new Color().setHSL((52 - 48 * t) / 360, 0.85, 0.58 - 0.04 * t);
}

/**
 * Draws the regions once more, in flat colours, over what was drawn: geometry is shared, so it costs draw calls and no
 * memory, and the assets' own materials are not touched.
 */
export class Overlay {
  colouring: Colouring | null = null;
  private readonly scene = new Scene();
  private readonly twins = new WeakMap<Mesh, Mesh>();
  private readonly materials = new Map<string, MeshBasicMaterial>();
  private colours = new Map<AssetState, Map<string, Color>>();
  private lookedAt = Number.NEGATIVE_INFINITY;
  private lookedFor: Colouring | null = null;

  /** @param demandOf what the eye demands of a region */
  constructor(private readonly demandOf: (asset: AssetState, tree: number, region: number) => Demand) {
    this.scene.matrixWorldAutoUpdate = false;
  }

  /** Call after the frame was drawn. `now` in milliseconds. */
  render(renderer: WebGLRenderer, camera: Camera, assets: Iterable<Asset>, now: number): void {
    if (!this.colouring) return;
    const shown = [...assets];
    if (now - this.lookedAt >= PERIOD_MS || this.lookedFor !== this.colouring) {
      this.colours = new Map(shown.map(({ state }) => [state, this.coloursOf(state)]));
      this.lookedAt = now;
      this.lookedFor = this.colouring;
    }
    this.scene.children.length = 0;
    for (const asset of shown) {
      for (const { mesh, tree, region } of asset.drawn()) {
        if (tree < 0) continue;
        const twin = this.twin(mesh);
        twin.material = this.material(this.colours.get(asset.state)?.get(`${tree}.${region}`) ?? UNSEEN);
        this.scene.children.push(twin);
      }
    }
    const { autoClear } = renderer;
    const shadows = renderer.shadowMap.needsUpdate;
    renderer.autoClear = false;
    renderer.shadowMap.needsUpdate = false;
    renderer.render(this.scene, camera);
    renderer.autoClear = autoClear;
    renderer.shadowMap.needsUpdate = shadows;
  }

  dispose(): void {
    for (const material of this.materials.values()) material.dispose();
    this.materials.clear();
  }

  private coloursOf(asset: AssetState): Map<string, Color> {
    const colours = new Map<string, Color>();
    asset.trees.forEach(({ tree, cut }, index) => {
      const finest = Math.max(...tree.regions.map(({ tier }) => tier));
      for (const region of cut.drawn) {
        colours.set(`${index}.${region}`, shade(this.colourOf(asset, index, region, finest), region));
      }
    });
    return colours;
  }

  private colourOf(asset: AssetState, tree: number, region: number, finest: number): Color {
    if (this.colouring === "tier") {
      return tierColour(asset.manifest?.trees[tree]?.regions[region]?.tier ?? 0, finest);
    }
    const { error, need, weight } = this.demandOf(asset, tree, region);
    if (weight === 0) return UNSEEN.clone();
    return needColour(error === 0 ? -4 : Math.log2(error / need));
  }

  private material(colour: Color): MeshBasicMaterial {
    const name = colour.getHexString();
    let material = this.materials.get(name);
    if (!material) {
      material = new MeshBasicMaterial({
        color: colour,
        transparent: true,
        opacity: 0.6,
        depthWrite: false,
        toneMapped: false,
        polygonOffset: true,
        polygonOffsetFactor: -1,
        polygonOffsetUnits: -1,
      });
      this.materials.set(name, material);
    }
    return material;
  }

  /** A mesh with the same geometry in the same place, that deforms in the same way. */
  private twin(mesh: Mesh): Mesh {
    const known = this.twins.get(mesh);
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
    this.twins.set(mesh, twin);
    return twin;
  }
}

/** Neighbours of one colour are told apart by their lightness. */
function shade(colour: Color, region: number): Color {
  const step = ((region * 7) % 5) / 4 - 0.5;
  return colour.offsetHSL(0, 0, 0.11 * step);
}
