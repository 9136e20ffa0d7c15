import {
  Box3,
  CanvasTexture,
  Group,
  Matrix4,
  Mesh,
  MeshStandardMaterial,
  type Object3D,
  Quaternion,
  Ray,
  SphereGeometry,
  Sprite,
  SpriteMaterial,
  Vector3,
} from "three";
import type { Box } from "../core/bundle/bundle.ts";
import type { SharedObject } from "../room/messages.ts";
import type { RigidPose } from "../room/messages-binary.ts";
import { Playback, type RelayClock } from "../room/playback.ts";
import { interpolatePose, parseColor } from "./avatars.ts";

/** The source of the models of shared objects. */
export interface ModelSource {
  /** The box of an asset in its own space; null if there is no such asset. */
  bounds(asset: string): Box | null;
  /** Streams one more copy of an asset. */
  open(asset: string): Promise<Object3D>;
  close(model: Object3D): void;
}

/**
 * Models streamed at once. Any participant could spawn more, and each further one would make the others
 * coarser.
 */
const MAX_MODELS = 24;
/** Size of the placeholder for an asset that the catalogue lacks, metres: at scale 1, and at most. */
const PLACEHOLDER_SIZE = 1;
const MAX_PLACEHOLDER_SIZE = 2;
/** Diameter of the holder's ring, relative to the diagonal of the object. */
const RING_SIZE = 1.15;

const PLACEHOLDER_MATERIAL = new MeshStandardMaterial({
  color: 0x93a0ad,
  roughness: 0.55,
  flatShading: true,
});
// A sphere like those of the avatars: another kind of geometry would be in the first load of each page.
const PLACEHOLDER_GEOMETRY = new SphereGeometry(0.5, 10, 7);

/**
 * Shows the objects that a room shares. A ring in the colour of a participant marks the object that they
 * hold.
 */
export class SharedObjectsView extends Group {
  /** Called when the shadow must be drawn again. */
  onChange: (() => void) | null = null;
  readonly #models: ModelSource;
  readonly #clock: RelayClock;
  readonly #views = new Map<number, ObjectView>();
  #modelCount = 0;

  /** @param clock the relay's */
  constructor(models: ModelSource, clock: RelayClock) {
    super();
    this.#models = models;
    this.#clock = clock;
    this.name = "shared objects";
  }

  /**
   * Shows a new object, or a change of a known one.
   * @param holderColor null if nobody holds it
   * @param now local clock, milliseconds
   */
  show(object: SharedObject, holderColor: string | null, now: number): void {
    let view = this.#views.get(object.id);
    if (view && (view.object.asset !== object.asset || view.object.scale !== object.scale)) {
      this.hide(object.id);
      view = undefined;
    }
    view ??= this.#addView(object);
    const clock = this.#clock.read(now);
    if (clock === null) view.place(object.pose);
    else if (!isSamePose(object.pose, view.object.pose) || !view.placed)
      view.playback.add(object.pose, clock);
    view.object = object;
    view.setHolder(holderColor);
    this.onChange?.();
  }

  /** Another participant moved an object. `at` is the relay's clock, milliseconds. */
  move(id: number, pose: RigidPose, at: number): void {
    const view = this.#views.get(id);
    if (!view) return;
    view.object = { ...view.object, pose };
    view.playback.add(pose, at);
  }

  /** The visitor moved an object: it is shown there without playback. */
  moveAtOnce(id: number, pose: RigidPose): void {
    const view = this.#views.get(id);
    if (!view) return;
    view.object = { ...view.object, pose };
    view.place(pose);
    this.onChange?.();
  }

  /**
   * Shows the model of an asset that the catalogue has gained, in place of the placeholders of its objects.
   */
  showModels(asset: string): void {
    for (const { bounds, object, holderColor } of [...this.#views.values()]) {
      if (bounds || object.asset !== asset) continue;
      this.hide(object.id);
      const view = this.#addView(object);
      view.place(object.pose);
      view.setHolder(holderColor);
    }
    this.onChange?.();
  }

  /** Removes an object. */
  hide(id: number): void {
    const view = this.#views.get(id);
    if (!view) return;
    this.#views.delete(id);
    if (view.model) this.#closeModel(view.model);
    view.model = null;
    view.dispose();
    this.onChange?.();
  }

  /** Call once per frame. `now` is the local clock, milliseconds. */
  update(now: number): void {
    const clock = this.#clock.read(now);
    if (clock === null) return;
    for (const view of this.#views.values()) if (view.update(clock)) this.onChange?.();
  }

  /** The first object along a ray, and its distance in metres. */
  hit(ray: Ray): { readonly id: number; readonly distance: number } | null {
    let first: { id: number; distance: number } | null = null;
    for (const [id, view] of this.#views) {
      const distance = view.hit(ray);
      if (distance !== null && (first === null || distance < first.distance)) first = { id, distance };
    }
    return first;
  }

  /** The object whose box is nearest to `point`, within `reach` metres. */
  near(point: Vector3, reach: number): number | null {
    let nearest: { id: number; distance: number } | null = null;
    for (const [id, view] of this.#views) {
      const distance = view.distanceTo(point);
      if (distance <= (nearest?.distance ?? reach)) nearest = { id, distance };
    }
    return nearest?.id ?? null;
  }

  /** The matrix of an object as it is shown now; null if there is none. */
  matrixOf(id: number): Matrix4 | null {
    const view = this.#views.get(id);
    view?.updateMatrix();
    return view?.matrix ?? null;
  }

  #addView(object: SharedObject): ObjectView {
    const view = new ObjectView(object, this.#models.bounds(object.asset));
    this.#views.set(object.id, view);
    this.add(view);
    void this.#openModel(view);
    return view;
  }

  async #openModel(view: ObjectView): Promise<void> {
    if (!view.bounds || this.#modelCount >= MAX_MODELS) return;
    this.#modelCount++;
    try {
      const model = await this.#models.open(view.object.asset);
      if (this.#views.get(view.object.id) !== view) {
        this.#closeModel(model);
        return;
      }
      view.setModel(model);
      this.onChange?.();
    } catch {
      // The session reports the failure; the placeholder stays.
      this.#modelCount--;
    }
  }

  #closeModel(model: Object3D): void {
    this.#modelCount--;
    this.#models.close(model);
  }
}

/** One object: a placeholder until its model is there, and the holder's ring. */
class ObjectView extends Group {
  readonly playback = new Playback<RigidPose>();
  readonly bounds: Box | null;
  object: SharedObject;
  model: Object3D | null = null;
  /** Whether a pose is known. */
  placed = false;
  /** Null if nobody holds the object. */
  holderColor: string | null = null;
  readonly #box: Box3;
  readonly #placeholder = new Mesh(PLACEHOLDER_GEOMETRY, PLACEHOLDER_MATERIAL);
  readonly #ring = new Sprite(
    new SpriteMaterial({ map: ringTexture(), depthWrite: false, toneMapped: false }),
  );

  /** @param bounds of the asset; null if the catalogue lacks it */
  constructor(object: SharedObject, bounds: Box | null) {
    super();
    this.object = object;
    this.bounds = bounds;
    this.name = `${object.asset} ${object.id}`;
    // Invisible until the first pose.
    this.visible = false;
    this.scale.setScalar(
      bounds ? object.scale : Math.min(object.scale, MAX_PLACEHOLDER_SIZE / PLACEHOLDER_SIZE),
    );
    const half = PLACEHOLDER_SIZE / 2;
    this.#box = bounds
      ? new Box3(new Vector3(...bounds.min), new Vector3(...bounds.max))
      : new Box3(new Vector3(-half, -half, -half), new Vector3(half, half, half));
    const size = this.#box.getSize(new Vector3());
    this.#box.getCenter(this.#placeholder.position);
    this.#placeholder.scale.copy(size).clampScalar(1e-6, Number.POSITIVE_INFINITY);
    this.#placeholder.castShadow = true;
    this.#ring.position.copy(this.#placeholder.position);
    this.#ring.scale.setScalar(size.length() * RING_SIZE);
    this.#ring.visible = false;
    this.add(this.#placeholder, this.#ring);
  }

  setModel(model: Object3D): void {
    this.model = model;
    this.#placeholder.visible = false;
    this.add(model);
  }

  /** @param color of the holder; null if nobody holds the object */
  setHolder(color: string | null): void {
    this.holderColor = color;
    this.#ring.visible = color !== null;
    if (color !== null) this.#ring.material.color.copy(parseColor(color));
  }

  /** Shows the object at a pose without playback. */
  place(pose: RigidPose): void {
    this.playback.clear();
    interpolatePose(this, pose, pose, 1);
    this.visible = this.placed = true;
  }

  /**
   * Plays poses back.
   * @param clock relay's clock, milliseconds
   * @returns whether the object moved
   */
  update(clock: number): boolean {
    const played = this.playback.read(clock);
    if (!played) return false;
    positionBefore.copy(this.position);
    rotationBefore.copy(this.quaternion);
    interpolatePose(this, played.from, played.to, played.t);
    const isNew = !this.placed;
    this.visible = this.placed = true;
    return isNew || !positionBefore.equals(this.position) || !rotationBefore.equals(this.quaternion);
  }

  /** The distance along a ray, metres; null if the ray misses the object's box. */
  hit(ray: Ray): number | null {
    if (!this.visible) return null;
    this.updateMatrixWorld();
    localRay.copy(ray).applyMatrix4(inverse.copy(this.matrixWorld).invert());
    if (!localRay.intersectBox(this.#box, point)) return null;
    return point.applyMatrix4(this.matrixWorld).distanceTo(ray.origin);
  }

  /** The distance of a point from the object's box, metres. */
  distanceTo(position: Vector3): number {
    if (!this.visible) return Number.POSITIVE_INFINITY;
    this.updateMatrixWorld();
    point.copy(position).applyMatrix4(inverse.copy(this.matrixWorld).invert());
    return this.#box.distanceToPoint(point) * this.scale.x;
  }

  override dispose(): void {
    this.removeFromParent();
    this.#ring.material.dispose();
  }
}

const positionBefore = new Vector3();
const rotationBefore = new Quaternion();
const point = new Vector3();
const inverse = new Matrix4();
const localRay = new Ray();

let ring: CanvasTexture | null = null;

/** A white ring, to be multiplied by the holder's colour. */
function ringTexture(): CanvasTexture {
  if (ring) return ring;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 256;
  const context = canvas.getContext("2d");
  if (context) {
    context.strokeStyle = "#ffffff";
    context.lineWidth = 8;
    context.arc(128, 128, 122, 0, 2 * Math.PI);
    context.stroke();
  }
  ring = new CanvasTexture(canvas);
  return ring;
}

export function isSamePose(a: RigidPose, b: RigidPose): boolean {
  return a.position.every((x, i) => x === b.position[i]) && a.rotation.every((x, i) => x === b.rotation[i]);
}
