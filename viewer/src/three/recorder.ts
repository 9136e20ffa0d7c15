import type { Material, Mesh, Texture } from "three";
import type { FadeMaterial } from "./regions.ts";

/** One region in one frame. All counts are of draw calls that were really sent to the GPU. */
export interface DrawnRegion {
  readonly asset: string;
  /** −1 for a base whose manifest has not arrived: its trees are not known yet. */
  readonly tree: number;
  readonly region: number;
  readonly tier: number;
  /** Geometric error, metres in the asset; infinite while unknown. */
  readonly error: number;
  /** The drawn part of its pixels: less than 1 during a fade. */
  readonly share: number;
  /** Drawn primitives, over all nodes that draw the tree. */
  primitives: number;
  triangles: number;
}

export interface DrawnPicture {
  readonly asset: string;
  readonly image: number;
  readonly level: number;
}

/** Consecutive frames with the same content. Times are those of performance.now(). */
export interface FrameRecord {
  readonly first: number;
  last: number;
  frames: number;
  readonly regions: readonly DrawnRegion[];
  readonly pictures: readonly DrawnPicture[];
}

type RegionLabel = Omit<DrawnRegion, "share" | "primitives" | "triangles">;

/** The oldest records are dropped beyond this number. */
const MAX_RECORDS = 2048;

/**
 * Records the regions and pictures that each frame really draws: three.js calls a mesh's `onBeforeRender`
 * only right before the draw call. Used by the demo page with `?debug=1`.
 */
export class Recorder {
  readonly records: FrameRecord[] = [];
  readonly #pictures = new WeakMap<Texture["source"], DrawnPicture>();
  readonly #regionsNow = new Map<string, DrawnRegion>();
  readonly #picturesNow = new Map<string, DrawnPicture>();
  #key = "";

  /** Records a mesh that draws a region, or a part of one. */
  watch(mesh: Mesh, label: RegionLabel): void {
    mesh.onBeforeRender = (_renderer, _scene, _camera, geometry, material) => {
      const id = `${label.asset}/${label.tree}/${label.region}`;
      let drawn = this.#regionsNow.get(id);
      if (!drawn) {
        drawn = { ...label, share: shareOf(material as Partial<FadeMaterial>), primitives: 0, triangles: 0 };
        this.#regionsNow.set(id, drawn);
      }
      drawn.primitives++;
      drawn.triangles += (geometry.index ?? geometry.getAttribute("position")).count / 3;
      this.#recordPictures(material);
    };
  }

  /** Sets the picture of a texture source. */
  picture(source: Texture["source"], picture: DrawnPicture): void {
    this.#pictures.set(source, picture);
  }

  /** Ends a frame. Call right after drawing. */
  frame(now: number): void {
    const key = JSON.stringify([[...this.#regionsNow.values()], [...this.#picturesNow.keys()].sort()]);
    const last = this.records[this.records.length - 1];
    if (last && key === this.#key) {
      last.last = now;
      last.frames++;
    } else {
      this.#key = key;
      const regions = [...this.#regionsNow.values()];
      this.records.push({
        first: now,
        last: now,
        frames: 1,
        regions,
        pictures: [...this.#picturesNow.values()],
      });
      if (this.records.length > MAX_RECORDS) this.records.shift();
    }
    this.#regionsNow.clear();
    this.#picturesNow.clear();
  }

  #recordPictures(material: Material): void {
    for (const value of Object.values(material) as unknown[]) {
      if (!value || (value as Texture).isTexture !== true) continue;
      const picture = this.#pictures.get((value as Texture).source);
      if (picture) this.#picturesNow.set(`${picture.asset}/${picture.image}/${picture.level}`, picture);
    }
  }
}

function shareOf({ fadeRange }: Partial<FadeMaterial>): number {
  return fadeRange ? fadeRange.y - fadeRange.x : 1;
}
