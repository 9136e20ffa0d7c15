import type { Material, Mesh, Texture } from "three";
import type { FadeMaterial } from "./regions.ts";

/** One region as it was drawn in a frame: every count is of what reached the GPU, not of what was planned. */
export interface DrawnRegion {
  readonly asset: string;
  /** −1: a base whose manifest has not arrived, so that nobody knows what its trees are. */
  readonly tree: number;
  readonly region: number;
  readonly tier: number;
  /** Geometric error, metres in the asset; infinite while it is not known. */
  readonly error: number;
  /** The part of its pixels that it drew: less than 1 while it fades. */
  readonly share: number;
  /** Primitives drawn, over all nodes that draw the tree. */
  primitives: number;
  triangles: number;
}

export interface DrawnPicture {
  readonly asset: string;
  readonly image: number;
  readonly level: number;
}

/** Consecutive frames that drew the same things. Times are those of performance.now(). */
export interface FrameRecord {
  readonly first: number;
  last: number;
  frames: number;
  readonly regions: readonly DrawnRegion[];
  readonly pictures: readonly DrawnPicture[];
}

type RegionLabel = Omit<DrawnRegion, "share" | "primitives" | "triangles">;

/** Distinct records kept; the oldest are dropped. */
const KEPT_RECORDS = 2048;

/**
 * Notes what every frame really drew: three.js calls a mesh's `onBeforeRender` only when it is about to send
 * the draw call. Runs only when a page asks for it (`?debug=1`).
 */
export class Recorder {
  readonly records: FrameRecord[] = [];
  private readonly pictures = new WeakMap<Texture["source"], DrawnPicture>();
  private readonly regionsNow = new Map<string, DrawnRegion>();
  private readonly picturesNow = new Map<string, DrawnPicture>();
  private key = "";

  /** Follows a mesh that draws (part of) a region. */
  watch(mesh: Mesh, label: RegionLabel): void {
    mesh.onBeforeRender = (_renderer, _scene, _camera, geometry, material) => {
      const id = `${label.asset}/${label.tree}/${label.region}`;
      let drawn = this.regionsNow.get(id);
      if (!drawn) {
        drawn = { ...label, share: shareOf(material as Partial<FadeMaterial>), primitives: 0, triangles: 0 };
        this.regionsNow.set(id, drawn);
      }
      drawn.primitives++;
      drawn.triangles += (geometry.index ?? geometry.getAttribute("position")).count / 3;
      this.see(material);
    };
  }

  /** Names the pixels behind a texture. */
  picture(source: Texture["source"], picture: DrawnPicture): void {
    this.pictures.set(source, picture);
  }

  /** Closes a frame: call right after drawing. */
  frame(now: number): void {
    const key = JSON.stringify([[...this.regionsNow.values()], [...this.picturesNow.keys()].sort()]);
    const last = this.records[this.records.length - 1];
    if (last && key === this.key) {
      last.last = now;
      last.frames++;
    } else {
      this.key = key;
      const regions = [...this.regionsNow.values()];
      this.records.push({
        first: now,
        last: now,
        frames: 1,
        regions,
        pictures: [...this.picturesNow.values()],
      });
      if (this.records.length > KEPT_RECORDS) this.records.shift();
    }
    this.regionsNow.clear();
    this.picturesNow.clear();
  }

  private see(material: Material): void {
    for (const value of Object.values(material) as unknown[]) {
      if (!value || (value as Texture).isTexture !== true) continue;
      const picture = this.pictures.get((value as Texture).source);
      if (picture) this.picturesNow.set(`${picture.asset}/${picture.image}/${picture.level}`, picture);
    }
  }
}

function shareOf({ fadeRange }: Partial<FadeMaterial>): number {
  return fadeRange ? fadeRange.y - fadeRange.x : 1;
}
