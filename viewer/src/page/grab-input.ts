import { Matrix4, Quaternion, Ray, Vector3 } from "three";
import type { SharedObject } from "../room/messages.ts";
import type { RigidPose } from "../room/messages-binary.ts";
import type { RoomObjects } from "../room/room-objects.ts";
import type { DemoScene } from "./demo-scene.ts";
import { isSamePose, type SharedObjectsView } from "./shared-objects-view.ts";

/** Distance from a hand within which it can grab an object, metres. */
const REACH = 0.12;
/** Relative change of the distance per unit of wheel motion; one notch is about 100. */
const WHEEL_RATE = 0.001;

/** A pointer's id, or a controller or hand of the XR session. */
type GrabSource = XRInputSource | number;

/** The pose of a hand, or of a dragging pointer; null while unknown, undefined once it is gone. */
type HandPose = () => Matrix4 | null | undefined;

interface Grab {
  readonly id: number;
  /** The object's pose in the hand's space. */
  readonly offset: Matrix4;
  readonly hand: HandPose;
  /** As last sent. */
  pose: RigidPose | null;
}

/**
 * Lets the visitor move shared objects: a mouse or a finger on the screen drags, a controller squeezes, a
 * tracked hand pinches. An object moves only after the relay has granted it.
 */
export class GrabInput {
  readonly #demo: DemoScene;
  readonly #view: SharedObjectsView;
  readonly #objects: RoomObjects;
  readonly #canvas: HTMLCanvasElement;
  readonly #grabs = new Map<GrabSource, Grab>();
  /** Where the pointer or the controller aims. */
  readonly #ray = new Ray();
  /** Of the dragged object along the camera's axis, metres. */
  #depth = 0;

  constructor(demo: DemoScene, view: SharedObjectsView, objects: RoomObjects) {
    this.#demo = demo;
    this.#view = view;
    this.#objects = objects;
    this.#canvas = demo.renderer.domElement;
    this.#listenToPointer();
    const { xr } = demo.renderer;
    xr.addEventListener("sessionstart", () => this.#listenToSession());
    if (xr.isPresenting) this.#listenToSession();
  }

  /** Moves held objects with their hands. Call once per frame. */
  update(): void {
    for (const [source, grab] of this.#grabs) {
      const hand = grab.hand();
      if (hand === undefined) this.#letGo(source);
      if (!hand || !this.#objects.holds(grab.id)) continue;
      const pose = poseOf(world.multiplyMatrices(hand, grab.offset));
      if (grab.pose && isSamePose(grab.pose, pose)) continue;
      grab.pose = pose;
      this.#view.moveAtOnce(grab.id, pose);
      this.#objects.move(grab.id, pose);
    }
  }

  /**
   * An object changed: ends our grab if another participant holds it, and releases it if no hand holds it any
   * more.
   */
  objectChanged({ id, owner }: SharedObject): void {
    const isHeld = this.#objects.holds(id);
    if (isHeld && !this.#isGrabbed(id)) this.#objects.release(id);
    if (!isHeld && owner !== null) this.drop(id);
  }

  /** Ends the grab of an object that was denied or deleted. */
  drop(id: number): void {
    for (const [source, grab] of this.#grabs) if (grab.id === id) this.#grabs.delete(source);
    this.#canvas.style.cursor = "";
  }

  #isGrabbed(id: number): boolean {
    return [...this.#grabs.values()].some((grab) => grab.id === id);
  }

  #grab(source: GrabSource, id: number, hand: HandPose): void {
    const object = this.#view.matrixOf(id);
    const start = hand();
    if (!object || !start || this.#isGrabbed(id) || !this.#objects.grab(id)) return;
    // Without the object's scale, which does not change.
    const offset = withoutScale(object).premultiply(start.clone().invert());
    this.#grabs.set(source, { id, offset, hand, pose: null });
  }

  #letGo(source: GrabSource): void {
    const grab = this.#grabs.get(source);
    if (!grab) return;
    this.#grabs.delete(source);
    this.#canvas.style.cursor = "";
    // Before the relay has granted the object, `objectChanged` releases it later.
    if (this.#objects.holds(grab.id)) this.#objects.release(grab.id, grab.pose ?? undefined);
  }

  #deleteHeld(): void {
    for (const { id } of this.#grabs.values()) if (this.#objects.holds(id)) this.#objects.delete(id);
  }

  #listenToPointer(): void {
    const canvas = this.#canvas;
    // In the capture phase, before the orbit controls: the camera must not turn while an object is dragged.
    const options = { capture: true };
    canvas.addEventListener("pointerdown", (event) => this.#onPointerDown(event), options);
    canvas.addEventListener("pointermove", (event) => this.#onPointerMove(event), options);
    for (const type of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(type, ({ pointerId }) => this.#letGo(pointerId), options);
    }
    canvas.addEventListener("wheel", (event) => this.#onWheel(event), { capture: true, passive: false });
    addEventListener("keydown", ({ key }) => {
      if (key === "Delete" || key === "Backspace") this.#deleteHeld();
    });
  }

  #onPointerDown(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary || this.#demo.renderer.xr.isPresenting) return;
    this.#aim(event);
    const hit = this.#view.hit(this.#ray);
    if (!hit) return;
    event.stopImmediatePropagation();
    this.#canvas.setPointerCapture(event.pointerId);
    this.#canvas.style.cursor = "grabbing";
    this.#depth = hit.distance * this.#cosineToAxis();
    this.#grab(event.pointerId, hit.id, () => this.#dragPoint());
  }

  #onPointerMove(event: PointerEvent): void {
    if (event.buttons !== 0 && !this.#grabs.has(event.pointerId)) return;
    this.#aim(event);
    if (event.buttons === 0) this.#canvas.style.cursor = this.#view.hit(this.#ray) ? "grab" : "";
  }

  #onWheel(event: WheelEvent): void {
    const isDragging = [...this.#grabs.keys()].some((source) => typeof source === "number");
    if (!isDragging) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    this.#depth *= Math.exp(-WHEEL_RATE * event.deltaY);
  }

  #aim({ clientX, clientY }: PointerEvent): void {
    const { camera } = this.#demo;
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    const x = ((clientX - left) / width) * 2 - 1;
    const y = 1 - ((clientY - top) / height) * 2;
    camera.updateMatrixWorld();
    this.#ray.origin.setFromMatrixPosition(camera.matrixWorld);
    this.#ray.direction.set(x, y, 0.5).unproject(camera).sub(this.#ray.origin).normalize();
  }

  /** Of the angle between the ray and the camera's axis. */
  #cosineToAxis(): number {
    return this.#ray.direction.dot(this.#demo.camera.getWorldDirection(axis));
  }

  /** The point below the pointer in a plane that faces the camera, and not below the floor. */
  #dragPoint(): Matrix4 {
    const { x, y, z } = this.#ray.at(this.#depth / Math.max(this.#cosineToAxis(), 0.01), point);
    return new Matrix4().makeTranslation(x, Math.max(y, 0), z);
  }

  #listenToSession(): void {
    const session = this.#demo.renderer.xr.getSession();
    if (!session) return;
    session.addEventListener("squeezestart", (event) => this.#grabByHand(event, session));
    session.addEventListener("squeezeend", ({ inputSource }) => this.#letGo(inputSource));
    // A controller grabs only with its squeeze button, a tracked hand by a pinch.
    session.addEventListener("selectstart", (event) => {
      if (isPinch(event.inputSource)) this.#grabByHand(event, session);
    });
    session.addEventListener("selectend", ({ inputSource }) => {
      if (isPinch(inputSource)) this.#letGo(inputSource);
    });
    session.addEventListener("end", () => {
      for (const source of [...this.#grabs.keys()]) this.#letGo(source);
    });
  }

  /** Grabs the object within reach of the hand, or else the one at which it points. */
  #grabByHand({ inputSource, frame }: XRInputSourceEvent, session: XRSession): void {
    const { xr } = this.#demo.renderer;
    const floor = xr.getReferenceSpace();
    const grip = inputSource.gripSpace ?? inputSource.targetRaySpace;
    const matrixIn = (space: XRSpace, at: XRFrame): Matrix4 | null => {
      const pose = floor && at.getPose(space, floor);
      return pose ? new Matrix4().fromArray(pose.transform.matrix) : null;
    };
    const start = matrixIn(grip, frame);
    if (!start) return;
    const id = this.#objectAt(start, matrixIn(inputSource.targetRaySpace, frame));
    if (id === null) return;
    // The event's frame ends with the event; later poses come from the renderer's frame.
    let first: Matrix4 | null = start;
    this.#grab(inputSource, id, () => {
      if (first) {
        const hand = first;
        first = null;
        return hand;
      }
      return [...session.inputSources].includes(inputSource) ? matrixIn(grip, xr.getFrame()) : undefined;
    });
  }

  #objectAt(hand: Matrix4, aim: Matrix4 | null): number | null {
    const near = this.#view.near(point.setFromMatrixPosition(hand), REACH);
    if (near !== null || !aim) return near;
    this.#ray.origin.setFromMatrixPosition(aim);
    this.#ray.direction.setFromMatrixColumn(aim, 2).negate().normalize();
    return this.#view.hit(this.#ray)?.id ?? null;
  }
}

/** Whether the `select` of an input source is a pinch: of a tracked hand, or of eyes and hand together. */
function isPinch({ hand, targetRayMode }: XRInputSource): boolean {
  return hand !== undefined || (targetRayMode as string) === "transient-pointer";
}

const axis = new Vector3();
const point = new Vector3();
const world = new Matrix4();

function withoutScale(matrix: Matrix4): Matrix4 {
  const [position, rotation, scale] = [new Vector3(), new Quaternion(), new Vector3()];
  matrix.decompose(position, rotation, scale);
  return new Matrix4().compose(position, rotation, scale.set(1, 1, 1));
}

function poseOf(matrix: Matrix4): RigidPose {
  const [position, rotation] = [new Vector3(), new Quaternion()];
  matrix.decompose(position, rotation, new Vector3());
  return { position: position.toArray(), rotation: rotation.toArray() };
}
