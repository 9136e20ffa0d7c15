import {
  BufferAttribute,
  BufferGeometry,
  type Camera,
  Group,
  Mesh,
  MeshBasicMaterial,
  Quaternion,
  Scene,
  Vector3,
  type WebGLRenderer,
} from "three";
import type { AssetState } from "../core/asset.ts";
import type { View } from "../core/gaze.ts";
import type { Gaze, GazeSource } from "../core/gaze-sources.ts";

/** Metres at which the gaze is marked when it meets nothing. */
const NOWHERE = 3;
/** Metres below the eye at which the ray begins: from the eye itself it would be a point. */
const CHIN = 0.12;

const COLOURS: Readonly<Record<GazeSource, number>> = {
  eye: 0x35d0ff,
  pinch: 0xffb84d,
  pointer: 0xc9a0ff,
  head: 0xffffff,
};

const AHEAD = new Vector3(0, 0, -1);
const UP = new Vector3(0, 1, 0);

/**
 * The gaze in the picture: a dot where it meets something, the ray that leads there, a ring within which the eye may
 * be, and a fainter ring where the head's motion will have carried it.
 */
export class GazeMarks {
  visible = false;
  private readonly scene = new Scene();
  private readonly dot = new Mesh(band(0, 1), mark(0.95));
  private readonly outline = new Mesh(band(1, 1.35), mark(0.5, 0x10202c));
  private readonly ray = new Mesh(tube(), mark(0.5));
  private readonly ring = new Mesh(band(0.985, 1), mark(0.7));
  private readonly next = new Mesh(band(0.985, 1), mark(0.3));
  private readonly turned = new Quaternion();
  private readonly gaze = new Vector3();
  private readonly eye = new Vector3();

  constructor() {
    const group = new Group();
    group.add(this.ray, this.outline, this.dot, this.ring, this.next);
    group.children.forEach((each, order) => {
      each.renderOrder = order;
      each.frustumCulled = false;
    });
    this.scene.add(group);
  }

  /** Call after the frame was drawn. */
  render(
    renderer: WebGLRenderer,
    camera: Camera,
    gaze: Gaze,
    view: View,
    assets: readonly AssetState[],
  ): void {
    if (!this.visible) return;
    for (const { material } of [this.dot, this.ray, this.ring, this.next]) {
      material.color.setHex(COLOURS[gaze.source]);
    }
    const distance = Math.max(2 * view.near, distanceAlong(view, assets) ?? NOWHERE);
    const size = distance * Math.tan((0.35 * Math.PI) / 180);
    const place = this.place(this.dot, view, distance, size);
    this.place(this.outline, view, distance, size);
    const radius = Math.tan((view.gazeUncertaintyDegrees * Math.PI) / 180);
    this.place(this.ring, view, 1, radius);
    this.next.visible = view.predicted !== undefined;
    if (view.predicted) this.place(this.next, view.predicted, 1, radius);
    this.aim(this.ray, this.eye.set(...view.eye).addScaledVector(UP, -CHIN), place, size * 0.3);
    const { autoClear } = renderer;
    const shadows = renderer.shadowMap.needsUpdate;
    renderer.autoClear = false;
    renderer.shadowMap.needsUpdate = false;
    renderer.render(this.scene, camera);
    renderer.autoClear = autoClear;
    renderer.shadowMap.needsUpdate = shadows;
  }

  dispose(): void {
    for (const { geometry, material } of [this.dot, this.outline, this.ray, this.ring, this.next]) {
      geometry.dispose();
      material.dispose();
    }
  }

  /** Something round, facing the eye from so many metres along its gaze. */
  private place(mesh: Mesh, view: View, distance: number, size: number): Vector3 {
    this.gaze.set(...view.gaze);
    mesh.position.set(...view.eye).addScaledVector(this.gaze, distance);
    mesh.quaternion.copy(this.turned.setFromUnitVectors(AHEAD, this.gaze));
    mesh.scale.set(size, size, 1);
    return mesh.position;
  }

  private aim(mesh: Mesh, from: Vector3, to: Vector3, thickness: number): void {
    const length = Math.max(1e-3, from.distanceTo(to));
    mesh.position.copy(from).lerp(to, 0.5);
    mesh.quaternion.setFromUnitVectors(UP, this.gaze.copy(to).sub(from).divideScalar(length));
    mesh.scale.set(thickness, length, thickness);
  }
}

/** Metres along the gaze to the middle of what it meets: by the regions' spheres, without looking at triangles. */
function distanceAlong(view: View, assets: readonly AssetState[]): number | null {
  let nearest: number | null = null;
  const centre = new Vector3();
  const [gx, gy, gz] = view.gaze;
  for (const asset of assets) {
    for (const { tree, cut, placements } of asset.trees) {
      for (const matrix of placements ?? [asset.world]) {
        const at = (i: number): number => matrix[i] ?? 0;
        const scale = Math.hypot(at(0), at(1), at(2));
        for (const region of cut.drawn) {
          const [x, y, z, radius] = tree.regions[region]?.sphere ?? [0, 0, 0, 0];
          centre.set(
            at(0) * x + at(4) * y + at(8) * z + at(12) - view.eye[0],
            at(1) * x + at(5) * y + at(9) * z + at(13) - view.eye[1],
            at(2) * x + at(6) * y + at(10) * z + at(14) - view.eye[2],
          );
          const along = centre.x * gx + centre.y * gy + centre.z * gz;
          const beside = Math.sqrt(Math.max(0, centre.lengthSq() - along * along));
          if (along <= 0 || beside > radius * scale) continue;
          if (nearest === null || along < nearest) nearest = along;
        }
      }
    }
  }
  return nearest;
}

// By hand: what three.js has for these would weigh on every page's first load, not on the inspector's.

/** A ring about z, or a disc. */
function band(inner: number, outer: number): BufferGeometry {
  return strip(96, (turn, side) => {
    const radius = side === 0 ? inner : outer;
    return [radius * Math.cos(turn), radius * Math.sin(turn), 0];
  });
}

/** An open cone about y, from a point at −½ to radius 1 at ½: near the eye it must not fill the picture. */
function tube(): BufferGeometry {
  return strip(8, (turn, side) => [side * Math.cos(turn), side - 0.5, side * Math.sin(turn)]);
}

/** Quads between two closed lines. */
function strip(
  sides: number,
  at: (turn: number, side: 0 | 1) => readonly [number, number, number],
): BufferGeometry {
  const positions: number[] = [];
  for (let i = 0; i < sides; i++) {
    const [from, to] = [(2 * Math.PI * i) / sides, (2 * Math.PI * (i + 1)) / sides];
    positions.push(...at(from, 0), ...at(from, 1), ...at(to, 1), ...at(from, 0), ...at(to, 1), ...at(to, 0));
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(positions), 3));
  return geometry;
}

function mark(opacity: number, color = 0xffffff): MeshBasicMaterial {
  return new MeshBasicMaterial({
    color,
    opacity,
    transparent: true,
    depthTest: false,
    depthWrite: false,
    toneMapped: false,
    side: 2, // DoubleSide: a ring is seen from either
  });
}
