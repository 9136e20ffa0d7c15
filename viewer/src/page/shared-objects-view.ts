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
import { blend, readColor } from "./avatars.ts";

/** Where the looks of shared objects come from. */
export interface Models {
  /** How large an asset is, in its own space; null: there is no such asset. */
  bounds(asset: string): Box | null;
  /** Streams one more of an asset. */
  open(asset: string): Promise<Object3D>;
  close(model: Object3D): void;
}

/** Streamed at once. More could be spawned by anybody, and would only make each of them coarser. */
const MOST_MODELS = 24;
/** Of an asset that the page does not know: metres across, at scale 1 and at most. */
const STRANGE_SIZE = 1;
const STRANGE_MOST = 2;

const NEUTRAL = new MeshStandardMaterial({ color: 0x93a0ad, roughness: 0.55, flatShading: true });
// Of the shapes that avatars need too: another kind of geometry would be in everybody's first load.
const PEBBLE = new SphereGeometry(0.5, 10, 7);

/** The objects that a room shares, as they are seen. Whoever holds one is shown by a ring in their colour. */
export class SharedObjectsView extends Group {
  /** Called when shadows have to be drawn again. */
  onChange: (() => void) | null = null;
  private readonly known = new Map<number, Thing>();
  private models = 0;

  constructor(
    private readonly source: Models,
    private readonly clock: RelayClock,
  ) {
    super();
    this.name = "shared objects";
  }

  /**
   * An object is new, or something about it changed.
   * @param holder the colour of who holds it; null: nobody
   * @param now local clock, milliseconds
   */
  put(object: SharedObject, holder: string | null, now: number): void {
    let thing = this.known.get(object.id);
    if (thing && (thing.object.asset !== object.asset || thing.object.scale !== object.scale)) {
      this.take(object.id);
      thing = undefined;
    }
    if (!thing) {
      thing = new Thing(object, this.source.bounds(object.asset));
      this.known.set(object.id, thing);
      this.add(thing);
      void this.dress(thing);
    }
    const clock = this.clock.read(now);
    if (clock === null) thing.place(object.pose);
    else if (!samePose(object.pose, thing.object.pose) || !thing.placed)
      thing.playback.take(object.pose, clock);
    thing.object = object;
    thing.show(holder);
    this.onChange?.();
  }

  /** Somebody else moved one. `at`: the relay's clock, milliseconds. */
  move(id: number, pose: RigidPose, at: number): void {
    const thing = this.known.get(id);
    if (!thing) return;
    thing.object = { ...thing.object, pose };
    thing.playback.take(pose, at);
  }

  /** One moves it oneself: seen at once. */
  carry(id: number, pose: RigidPose): void {
    const thing = this.known.get(id);
    if (!thing) return;
    thing.object = { ...thing.object, pose };
    thing.place(pose);
    this.onChange?.();
  }

  take(id: number): void {
    const thing = this.known.get(id);
    if (!thing) return;
    this.known.delete(id);
    if (thing.model) this.undress(thing.model);
    thing.model = null;
    thing.dispose();
    this.onChange?.();
  }

  /** Call once per frame. `now`: local clock, milliseconds. */
  update(now: number): void {
    const clock = this.clock.read(now);
    if (clock === null) return;
    for (const thing of this.known.values()) if (thing.play(clock)) this.onChange?.();
  }

  /** The nearest object that a ray meets, and how far that is, metres. */
  hit(ray: Ray): { readonly id: number; readonly distance: number } | null {
    let best: { id: number; distance: number } | null = null;
    for (const [id, thing] of this.known) {
      const distance = thing.hit(ray);
      if (distance !== null && (best === null || distance < best.distance)) best = { id, distance };
    }
    return best;
  }

  /** The object that a hand at `point` can take hold of: not further from its box than `reach` metres. */
  near(point: Vector3, reach: number): number | null {
    let best: { id: number; distance: number } | null = null;
    for (const [id, thing] of this.known) {
      const distance = thing.distanceTo(point);
      if (distance <= (best?.distance ?? reach)) best = { id, distance };
    }
    return best?.id ?? null;
  }

  /** Where one is shown now; null: there is none. */
  placeOf(id: number): Matrix4 | null {
    const thing = this.known.get(id);
    thing?.updateMatrix();
    return thing?.matrix ?? null;
  }

  private async dress(thing: Thing): Promise<void> {
    if (!thing.bounds || this.models >= MOST_MODELS) return;
    this.models++;
    try {
      const model = await this.source.open(thing.object.asset);
      if (this.known.get(thing.object.id) !== thing) {
        this.undress(model);
        return;
      }
      thing.wear(model);
      this.onChange?.();
    } catch {
      // The session has said so; the neutral shape stays.
      this.models--;
    }
  }

  private undress(model: Object3D): void {
    this.models--;
    this.source.close(model);
  }
}

class Thing extends Group {
  readonly playback = new Playback<RigidPose>();
  model: Object3D | null = null;
  placed = false;
  private readonly box: Box3;
  private readonly shape = new Mesh(PEBBLE, NEUTRAL);
  private readonly ring = new Sprite(
    new SpriteMaterial({ map: ringPicture(), depthWrite: false, toneMapped: false }),
  );

  constructor(
    public object: SharedObject,
    readonly bounds: Box | null,
  ) {
    super();
    this.name = `${object.asset} ${object.id}`;
    // Nothing is drawn before a pose says where.
    this.visible = false;
    this.scale.setScalar(bounds ? object.scale : Math.min(object.scale, STRANGE_MOST / STRANGE_SIZE));
    const half = STRANGE_SIZE / 2;
    this.box = bounds
      ? new Box3(new Vector3(...bounds.min), new Vector3(...bounds.max))
      : new Box3(new Vector3(-half, -half, -half), new Vector3(half, half, half));
    const size = this.box.getSize(new Vector3());
    this.box.getCenter(this.shape.position);
    this.ring.position.copy(this.shape.position);
    this.ring.scale.setScalar(size.length() * 1.15);
    this.ring.visible = false;
    this.shape.scale.copy(size).clampScalar(1e-6, Number.POSITIVE_INFINITY);
    this.shape.castShadow = true;
    this.add(this.shape, this.ring);
  }

  wear(model: Object3D): void {
    this.model = model;
    this.shape.visible = false;
    this.add(model);
  }

  show(holder: string | null): void {
    this.ring.visible = holder !== null;
    if (holder !== null) this.ring.material.color.copy(readColor(holder));
  }

  place(pose: RigidPose): void {
    this.playback.clear();
    blend(this, pose, pose, 1);
    this.visible = this.placed = true;
  }

  /** True when it moved. */
  play(clock: number): boolean {
    const played = this.playback.read(clock);
    if (!played) return false;
    before.copy(this.position);
    turned.copy(this.quaternion);
    blend(this, played.from, played.to, played.t);
    const appeared = !this.placed;
    this.visible = this.placed = true;
    return appeared || !before.equals(this.position) || !turned.equals(this.quaternion);
  }

  hit(ray: Ray): number | null {
    if (!this.visible) return null;
    this.updateMatrixWorld();
    local.copy(ray).applyMatrix4(inverse.copy(this.matrixWorld).invert());
    if (!local.intersectBox(this.box, point)) return null;
    return point.applyMatrix4(this.matrixWorld).distanceTo(ray.origin);
  }

  distanceTo(place: Vector3): number {
    if (!this.visible) return Number.POSITIVE_INFINITY;
    this.updateMatrixWorld();
    point.copy(place).applyMatrix4(inverse.copy(this.matrixWorld).invert());
    return this.box.distanceToPoint(point) * this.scale.x;
  }

  override dispose(): void {
    this.removeFromParent();
    this.ring.material.dispose();
  }
}

const before = new Vector3();
const turned = new Quaternion();
const point = new Vector3();
const inverse = new Matrix4();
const local = new Ray();

let ring: CanvasTexture | null = null;

/** A white ring, to be tinted. */
function ringPicture(): CanvasTexture {
  if (ring) return ring;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 256;
  const pen = canvas.getContext("2d");
  if (pen) {
    pen.strokeStyle = "#ffffff";
    pen.lineWidth = 8;
    pen.arc(128, 128, 122, 0, 2 * Math.PI);
    pen.stroke();
  }
  ring = new CanvasTexture(canvas);
  return ring;
}

function samePose(a: RigidPose, b: RigidPose): boolean {
  return a === b || [...a.position, ...a.rotation].every((x, i) => x === [...b.position, ...b.rotation][i]);
}
