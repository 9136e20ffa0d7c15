/**
 * Connects the room's shared objects to the page: shows them, lets the visitor move them, and offers to add
 * one.
 */
import { Matrix4, Vector3 } from "three";
import type { CatalogueEntry } from "../core/bundle/bundle.ts";
import type { StreamXR } from "../index.ts";
import type { RelayClock } from "../room/playback.ts";
import type { Room } from "../room/room.ts";
import type { ObjectEvents } from "../room/room-objects.ts";
import type { Asset } from "../three/asset.ts";
import type { DemoScene } from "./demo-scene.ts";
import { GrabInput } from "./grab-input.ts";
import { notice } from "./notices.ts";
import { type ModelSource, SharedObjectsView } from "./shared-objects-view.ts";

/** The parts of the page that a room needs. */
export interface PageContext {
  readonly demo: DemoScene;
  readonly streamxr: StreamXR;
  /** Address of the catalogue. */
  readonly bundle: string;
  readonly catalogue: Readonly<Record<string, CatalogueEntry>>;
  /** Lets an asset cast a shadow. */
  addShadow(asset: Asset): void;
  removeShadow(asset: Asset): void;
}

export interface SharedObjectsUi {
  readonly view: SharedObjectsView;
  /** Call once per frame, before drawing. `now` in milliseconds of performance.now(). */
  update(now: number): void;
}

/** Longest side of the object that a visitor adds, metres: it fits a hand. */
const COPY_SIZE = 0.25;
/** Largest distance of that object from the eye, metres. */
const COPY_DISTANCE = 1;
/** Scales that the relay accepts. */
const [MIN_SCALE, MAX_SCALE] = [0.001, 1000];
/** Marks the objects that the visitor holds: the page's accent colour. */
const OWN_COLOR = "#0f8b8d";
/** The notice about a refusal disappears after this long. */
const DENIAL_NOTICE_MS = 4000;

/** @param clock the relay's */
export function openSharedObjects(room: Room, context: PageContext, clock: RelayClock): SharedObjectsUi {
  const { demo } = context;
  const view = new SharedObjectsView(modelSource(context), clock);
  view.onChange = () => demo.updateShadow();
  demo.scene.add(view);
  const grabInput = new GrabInput(demo, view, room.objects);
  room.on("object", (object) => {
    view.show(object, object.owner === null ? null : colorOf(room, object.owner), performance.now());
    grabInput.objectChanged(object);
  });
  room.on("moved", ({ id, pose, tickMs, ageMs }) => {
    clock.observe(tickMs - ageMs, performance.now());
    view.move(id, pose, tickMs - ageMs);
  });
  room.on("deleted", ({ id }) => {
    grabInput.drop(id);
    view.hide(id);
  });
  room.on("denied", (denied) => {
    if (denied.id !== null && denied.object?.owner !== room.pid) grabInput.drop(denied.id);
    const explanation = explain(room, denied);
    if (explanation) setTimeout(notice(explanation, "quiet"), DENIAL_NOTICE_MS);
  });
  room.on("state", ({ state }) => {
    // Objects that were put down while the connection was lost are still ours: release them.
    if (state === "joined") for (const object of room.objects.all) grabInput.objectChanged(object);
  });
  offerCopy(room, context);
  return {
    view,
    update(now) {
      grabInput.update();
      view.update(now);
    },
  };
}

function modelSource({ streamxr, bundle, catalogue, addShadow, removeShadow }: PageContext): ModelSource {
  const entryOf = (asset: string): CatalogueEntry | null =>
    (Object.hasOwn(catalogue, asset) && catalogue[asset]) || null;
  return {
    bounds: (asset) => entryOf(asset)?.bounds ?? null,
    async open(name): Promise<Asset> {
      const entry = entryOf(name);
      if (!entry) throw new Error(`there is no asset ${name}`);
      const asset = await streamxr.follow(streamxr.session.add(name, entry, bundle));
      addShadow(asset);
      return asset;
    },
    close(model): void {
      removeShadow(model as Asset);
      streamxr.unload(model as Asset);
    },
  };
}

function colorOf(room: Room, pid: number): string {
  return room.participants.find((participant) => participant.pid === pid)?.color ?? OWN_COLOR;
}

/** Explains a refusal to the visitor; null if the visitor can do nothing about it. */
function explain(room: Room, { op, reason, object }: ObjectEvents["denied"]): string | null {
  if (reason === "held" && object) {
    if (object.owner === room.pid) return null;
    const holder = room.participants.find(({ pid }) => pid === object.owner);
    const state = holder?.away ? ", but has lost the connection" : "";
    return `${holder?.name ?? "Another participant"} holds it${state}.`;
  }
  if (reason === "role") return "You are a viewer in this room: you may not move its objects.";
  if (reason === "limit") return "The room is full of objects. Delete one, and try again.";
  if (reason === "store") return "The relay cannot save this now. Try again in a moment.";
  return op === "grab" ? "It is no longer there." : null;
}

/** Sets up the button that adds a small copy of the asset in view, within the visitor's reach. */
function offerCopy(room: Room, context: PageContext): void {
  const button = document.getElementById("share-copy");
  if (!button) return;
  const { streamxr, catalogue } = context;
  const names = streamxr.session.streamer.assets
    .map(({ id }) => id)
    .filter((id) => Object.hasOwn(catalogue, id));
  room.on("state", ({ state }) => {
    button.hidden = state !== "joined" || room.role === "viewer" || names.length === 0;
  });
  button.addEventListener("click", () => addCopy(room, context, names));
}

/** @param names of the assets on the page; at least one */
function addCopy(room: Room, { demo, streamxr, catalogue }: PageContext, names: readonly string[]): void {
  const { camera, controls } = demo;
  camera.updateMatrixWorld();
  const ahead = camera.getWorldDirection(new Vector3());
  const cosineTo = (name: string): number =>
    centreOf(streamxr, name).sub(camera.position).normalize().dot(ahead);
  const [name] = names
    .map((each): [string, number] => [each, cosineTo(each)])
    .reduce((best, next) => (next[1] > best[1] ? next : best));
  const { min, max } = (catalogue[name] as CatalogueEntry).bounds;
  const longest = Math.max(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
  const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, COPY_SIZE / (longest || 1)));
  const distance = Math.min(COPY_DISTANCE, camera.position.distanceTo(controls.target) * 0.6);
  const centre = camera.position.clone().addScaledVector(ahead, distance);
  centre.y = Math.max(centre.y, COPY_SIZE / 2);
  // The pose is of the asset's origin, which may be anywhere in or outside its box.
  const position = centre.sub(boxCentre(min, max).multiplyScalar(scale));
  room.objects.spawn(name, { position: position.toArray(), rotation: [0, 0, 0, 1] }, scale);
}

/** The centre of an asset's box, in the world. */
function centreOf({ session }: StreamXR, name: string): Vector3 {
  const state = session.streamer.assets.find(({ id }) => id === name);
  if (!state) return new Vector3();
  const { min, max } = state.entry.bounds;
  return boxCentre(min, max).applyMatrix4(new Matrix4().fromArray(state.world));
}

type Corner = readonly [number, number, number];

function boxCentre(min: Corner, max: Corner): Vector3 {
  return new Vector3(...min).add(new Vector3(...max)).divideScalar(2);
}
