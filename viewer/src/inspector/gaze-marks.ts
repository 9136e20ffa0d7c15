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
import { renderOver } from "./overlay.ts";

/** Distance of the mark if the gaze meets no asset, metres. */
const DEFAULT_DISTANCE = 3;
/** The ray begins this far below the eye, metres: from the eye itself it would look like a point. */
const RAY_DROP = 0.12;
/** Half of the dot's size, degrees. */
const DOT_DEGREES = 0.35;

const COLORS: Readonly<Record<GazeSource, number>> = {
  eye: 0x35d0ff,
  pinch: 0xffb84d,
  pointer: 0xc9a0ff,
  head: 0xffffff,
};

const FORWARD = new Vector3(0, 0, -1);
const UP = new Vector3(0, 1, 0);

/**
 * Draws the gaze: a dot where it meets an asset, the ray to the dot, a ring for its uncertainty, and a
 * fainter ring for its predicted direction.
 */
export class GazeMarks {
  visible = false;
  readonly #scene = new Scene();
  readonly #dot = new Mesh(band(0, 1), mark(0.95));
  readonly #outline = new Mesh(band(1, 1.35), mark(0.5, 0x10202c));
  readonly #ray = new Mesh(cone(), mark(0.5));
  readonly #uncertaintyRing = new Mesh(band(0.985, 1), mark(0.7));
  readonly #predictedRing = new Mesh(band(0.985, 1), mark(0.3));
  readonly #rotation = new Quaternion();
  readonly #gaze = new Vector3();
  readonly #eye = new Vector3();

  constructor() {
    const group = new Group();
    group.add(this.#ray, this.#outline, this.#dot, this.#uncertaintyRing, this.#predictedRing);
    group.children.forEach((child, order) => {
      child.renderOrder = order;
      child.frustumCulled = false;
    });
    this.#scene.add(group);
  }

  /** Call after the frame is drawn. */
  render(
    renderer: WebGLRenderer,
    camera: Camera,
    gaze: Gaze,
    view: View,
    assets: readonly AssetState[],
  ): void {
    if (!this.visible) return;
    for (const { material } of [this.#dot, this.#ray, this.#uncertaintyRing, this.#predictedRing]) {
      material.color.setHex(COLORS[gaze.source]);
    }
    const distance = Math.max(2 * view.near, distanceAlong(view, assets) ?? DEFAULT_DISTANCE);
    const size = distance * Math.tan((DOT_DEGREES * Math.PI) / 180);
    const dot = this.#place(this.#dot, view, distance, size);
    this.#place(this.#outline, view, distance, size);
    const radius = Math.tan((view.gazeUncertaintyDegrees * Math.PI) / 180);
    this.#place(this.#uncertaintyRing, view, 1, radius);
    this.#predictedRing.visible = view.predicted !== undefined;
    if (view.predicted) this.#place(this.#predictedRing, view.predicted, 1, radius);
    this.#stretch(this.#ray, this.#eye.set(...view.eye).addScaledVector(UP, -RAY_DROP), dot, size * 0.3);
    renderOver(renderer, this.#scene, camera);
  }

  /**
   * Places a round mark on the gaze, facing the eye.
   * @param distance along the gaze, metres
   */
  #place(mesh: Mesh, view: View, distance: number, size: number): Vector3 {
    this.#gaze.set(...view.gaze);
    mesh.position.set(...view.eye).addScaledVector(this.#gaze, distance);
    mesh.quaternion.copy(this.#rotation.setFromUnitVectors(FORWARD, this.#gaze));
    mesh.scale.set(size, size, 1);
    return mesh.position;
  }

  /** Places the ray between two points. */
  #stretch(mesh: Mesh, from: Vector3, to: Vector3, thickness: number): void {
    const length = Math.max(1e-3, from.distanceTo(to));
    mesh.position.copy(from).lerp(to, 0.5);
    mesh.quaternion.setFromUnitVectors(UP, this.#gaze.copy(to).sub(from).divideScalar(length));
    mesh.scale.set(thickness, length, thickness);
  }
}

/** Distance along the gaze to the nearest region's sphere that it meets, metres: to the sphere's middle. */
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

// Own geometry: three.js has classes for these shapes, but they would be in the first load of each page.

/** A ring about the z axis; a disc if `inner` is 0. */
function band(inner: number, outer: number): BufferGeometry {
  return strip(96, (angle, side) => {
    const radius = side === 0 ? inner : outer;
    return [radius * Math.cos(angle), radius * Math.sin(angle), 0];
  });
}

/**
 * An open cone about the y axis, from a point at −½ to radius 1 at ½: near the eye it does not fill the
 * picture.
 */
function cone(): BufferGeometry {
  return strip(8, (angle, side) => [side * Math.cos(angle), side - 0.5, side * Math.sin(angle)]);
}

/**
 * Quads between two closed lines.
 * @param at the position at an angle on the first or second line
 */
function strip(
  sides: number,
  at: (angle: number, side: 0 | 1) => readonly [number, number, number],
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
    side: 2, // DoubleSide
  });
}
