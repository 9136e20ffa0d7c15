import { Matrix4, Quaternion, Ray, Vector3 } from "three";
import type { SharedObject } from "../room/messages.ts";
import type { RigidPose } from "../room/messages-binary.ts";
import type { RoomObjects } from "../room/room-objects.ts";
import type { DemoScene } from "./demo-scene.ts";
import type { SharedObjectsView } from "./shared-objects-view.ts";

/** Metres from a hand at which something can still be taken. */
const REACH = 0.12;
/** Of the distance, what a notch of the wheel (100) moves it by. */
const WHEEL = 0.001;

interface Grip {
  readonly id: number;
  /** The object in the hand's space. */
  readonly hold: Matrix4;
  /** Where the hand is; null: not known just now. Undefined: it is gone. */
  readonly hand: () => Matrix4 | null | undefined;
  pose: RigidPose | null;
}

/**
 * What one's own hands do to shared objects: the mouse (or a finger on the screen) drags, a controller squeezes, a
 * tracked hand pinches. Nothing moves before the relay has granted it.
 */
export class GrabInput {
  /** By what grips: a controller or hand of the session, or the pointer's id. */
  private readonly grips = new Map<XRInputSource | number, Grip>();
  private readonly canvas: HTMLCanvasElement;
  private readonly pointer = new Ray();
  /** Of the dragged object, metres along the camera's axis. */
  private depth = 0;

  constructor(
    private readonly demo: DemoScene,
    private readonly view: SharedObjectsView,
    private readonly objects: RoomObjects,
  ) {
    this.canvas = demo.renderer.domElement;
    // Before the orbit, which must not turn while something is dragged.
    const first = { capture: true };
    this.canvas.addEventListener("pointerdown", (event) => this.press(event), first);
    this.canvas.addEventListener("pointermove", (event) => this.point(event), first);
    for (const type of ["pointerup", "pointercancel"] as const) {
      this.canvas.addEventListener(type, ({ pointerId }) => this.letGo(pointerId), first);
    }
    this.canvas.addEventListener("wheel", (event) => this.roll(event), { capture: true, passive: false });
    addEventListener("keydown", ({ key }) => {
      if (key === "Delete" || key === "Backspace") this.throwAway();
    });
    demo.renderer.xr.addEventListener("sessionstart", () => this.enter());
    if (demo.renderer.xr.isPresenting) this.enter();
  }

  /** Call once per frame: what is held follows its hand. */
  update(): void {
    for (const [key, grip] of this.grips) {
      const hand = grip.hand();
      if (hand === undefined) this.letGo(key);
      if (!hand || !this.objects.holds(grip.id)) continue;
      const pose = poseOf(world.multiplyMatrices(hand, grip.hold));
      if (grip.pose && same(grip.pose, pose)) continue;
      grip.pose = pose;
      this.view.carry(grip.id, pose);
      this.objects.move(grip.id, pose);
    }
  }

  /** An object changed. What somebody else holds slips out of one's hand; what no hand holds any more is put down. */
  hear({ id, owner }: SharedObject): void {
    const held = this.objects.holds(id);
    const gripped = [...this.grips.values()].some((grip) => grip.id === id);
    if (held && !gripped) this.objects.release(id);
    if (!held && owner !== null) this.drop(id);
  }

  /** It could not be had, or is gone. */
  drop(id: number): void {
    for (const [key, grip] of this.grips) if (grip.id === id) this.grips.delete(key);
    this.canvas.style.cursor = "";
  }

  private take(key: XRInputSource | number, id: number, hand: Grip["hand"]): void {
    const place = this.view.placeOf(id);
    const from = hand();
    const gripped = [...this.grips.values()].some((grip) => grip.id === id);
    if (!place || !from || gripped || !this.objects.grab(id)) return;
    // The size is the object's, not the hand's business.
    const hold = rigid(place).premultiply(from.clone().invert());
    this.grips.set(key, { id, hold, hand, pose: null });
  }

  private letGo(key: XRInputSource | number): void {
    const grip = this.grips.get(key);
    if (!grip) return;
    this.grips.delete(key);
    this.canvas.style.cursor = "";
    // One that is not granted yet is put down when it is.
    if (this.objects.holds(grip.id)) this.objects.release(grip.id, grip.pose ?? undefined);
  }

  private throwAway(): void {
    for (const { id } of this.grips.values()) if (this.objects.holds(id)) this.objects.delete(id);
  }

  private press(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary || this.demo.renderer.xr.isPresenting) return;
    this.aim(event);
    const hit = this.view.hit(this.pointer);
    if (!hit) return;
    event.stopImmediatePropagation();
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.style.cursor = "grabbing";
    const { camera } = this.demo;
    this.depth = hit.distance * this.pointer.direction.dot(camera.getWorldDirection(axis));
    this.take(event.pointerId, hit.id, () => this.dragged());
  }

  private point(event: PointerEvent): void {
    if (event.buttons !== 0 && !this.grips.has(event.pointerId)) return;
    this.aim(event);
    if (event.buttons === 0) this.canvas.style.cursor = this.view.hit(this.pointer) ? "grab" : "";
  }

  private roll(event: WheelEvent): void {
    if (![...this.grips.keys()].some((key) => typeof key === "number")) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    this.depth *= Math.exp(-WHEEL * event.deltaY);
  }

  private aim({ clientX, clientY }: PointerEvent): void {
    const { camera } = this.demo;
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const x = ((clientX - left) / width) * 2 - 1;
    const y = 1 - ((clientY - top) / height) * 2;
    camera.updateMatrixWorld();
    this.pointer.origin.setFromMatrixPosition(camera.matrixWorld);
    this.pointer.direction.set(x, y, 0.5).unproject(camera).sub(this.pointer.origin).normalize();
  }

  /** The point under the mouse in a plane that faces the camera, and not below the floor. */
  private dragged(): Matrix4 {
    const along = this.pointer.direction.dot(this.demo.camera.getWorldDirection(axis));
    const { x, y, z } = this.pointer.at(this.depth / Math.max(along, 0.01), spot);
    return new Matrix4().makeTranslation(x, Math.max(y, 0), z);
  }

  /** Listens to what squeezes and pinches in a headset. */
  private enter(): void {
    const session = this.demo.renderer.xr.getSession();
    if (!session) return;
    session.addEventListener("squeezestart", (event) => this.grasp(event, session));
    session.addEventListener("squeezeend", ({ inputSource }) => this.letGo(inputSource));
    // A pinch of a tracked hand; a controller has its trigger for other view.
    session.addEventListener("selectstart", (event) => {
      if (pinches(event.inputSource)) this.grasp(event, session);
    });
    session.addEventListener("selectend", ({ inputSource }) => {
      if (pinches(inputSource)) this.letGo(inputSource);
    });
    session.addEventListener("end", () => {
      for (const key of [...this.grips.keys()]) this.letGo(key);
    });
  }

  /** Takes what the hand is at, or else what it points at. */
  private grasp({ inputSource, frame }: XRInputSourceEvent, session: XRSession): void {
    const { xr } = this.demo.renderer;
    const floor = xr.getReferenceSpace();
    const grip = inputSource.gripSpace ?? inputSource.targetRaySpace;
    const matrixIn = (space: XRSpace, at: XRFrame): Matrix4 | null => {
      const pose = floor && at.getPose(space, floor);
      return pose ? new Matrix4().fromArray(pose.transform.matrix) : null;
    };
    const hand = matrixIn(grip, frame);
    const aim = matrixIn(inputSource.targetRaySpace, frame);
    if (!hand) return;
    if (aim) {
      this.pointer.origin.setFromMatrixPosition(aim);
      this.pointer.direction.setFromMatrixColumn(aim, 2).negate().normalize();
    }
    const id =
      this.view.near(spot.setFromMatrixPosition(hand), REACH) ?? (aim && this.view.hit(this.pointer)?.id);
    if (id === null || id === undefined) return;
    // The event's frame is over after it; later ones are the renderer's.
    let at: Matrix4 | null = hand;
    this.take(inputSource, id, () => {
      if (at) {
        const first = at;
        at = null;
        return first;
      }
      return [...session.inputSources].includes(inputSource) ? matrixIn(grip, xr.getFrame()) : undefined;
    });
  }
}

/** Whether its `select` is a pinch: of a tracked hand, or of eyes and hand together. */
function pinches({ hand, targetRayMode }: XRInputSource): boolean {
  return hand !== undefined || (targetRayMode as string) === "transient-pointer";
}

const axis = new Vector3();
const spot = new Vector3();
const world = new Matrix4();

function rigid(matrix: Matrix4): Matrix4 {
  const [position, rotation, scale] = [new Vector3(), new Quaternion(), new Vector3()];
  matrix.decompose(position, rotation, scale);
  return new Matrix4().compose(position, rotation, scale.set(1, 1, 1));
}

function poseOf(matrix: Matrix4): RigidPose {
  const [position, rotation] = [new Vector3(), new Quaternion()];
  matrix.decompose(position, rotation, new Vector3());
  return { position: position.toArray(), rotation: rotation.toArray() };
}

function same(a: RigidPose, b: RigidPose): boolean {
  return a.position.every((x, i) => x === b.position[i]) && a.rotation.every((x, i) => x === b.rotation[i]);
}
