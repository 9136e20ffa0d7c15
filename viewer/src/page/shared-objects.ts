/** The objects of the page's room: shows them, lets the visitor handle them, and offers to put one there. */
import { Matrix4, Vector3 } from "three";
import type { Box, CatalogueEntry } from "../core/bundle/bundle.ts";
import type { StreamXR } from "../index.ts";
import type { RelayClock } from "../room/playback.ts";
import type { Room } from "../room/room.ts";
import type { ObjectEvents } from "../room/room-objects.ts";
import type { Asset } from "../three/asset.ts";
import type { DemoScene } from "./demo-scene.ts";
import { GrabInput } from "./grab-input.ts";
import { notice } from "./notices.ts";
import { type Models, SharedObjectsView } from "./shared-objects-view.ts";

/** What the page shows, and how. */
export interface PageContext {
  readonly demo: DemoScene;
  readonly streamxr: StreamXR;
  /** Address of the catalogue. */
  readonly bundle: string;
  readonly catalogue: Readonly<Record<string, CatalogueEntry>>;
  /** Lets an asset cast its shadow. */
  cast(asset: Asset): void;
  /** Takes the shadow away. */
  uncast(asset: Asset): void;
}

export interface SharedObjectsUi {
  readonly view: SharedObjectsView;
  /** Call once per frame, before drawing. */
  update(now: number): void;
}

/** The longest side of what a visitor puts into the room, metres: fits a hand. */
const COPY_SIZE = 0.25;
/** Metres before the eye at which it appears, at most. */
const ARM = 1;

/** @param clock the relay's */
export function openSharedObjects(room: Room, context: PageContext, clock: RelayClock): SharedObjectsUi {
  const { demo } = context;
  const view = new SharedObjectsView(modelsOf(context), clock);
  view.onChange = () => demo.updateShadow();
  demo.scene.add(view);
  const grabInput = new GrabInput(demo, view, room.objects);
  room.on("object", (object) => {
    view.put(object, object.owner === null ? null : colorOf(room, object.owner), performance.now());
    grabInput.hear(object);
  });
  room.on("moved", ({ id, pose, tickMs, ageMs }) => {
    clock.hear(tickMs - ageMs, performance.now());
    view.move(id, pose, tickMs - ageMs);
  });
  room.on("deleted", ({ id }) => {
    grabInput.drop(id);
    view.take(id);
  });
  room.on("denied", (denied) => {
    if (denied.id !== null && denied.object?.owner !== room.pid) grabInput.drop(denied.id);
    const words = explain(room, denied);
    if (words) setTimeout(notice(words, "quiet"), 4000);
  });
  room.on("state", ({ state }) => {
    // What was put down while the line was lost is still one's own.
    if (state === "joined") for (const object of room.objects.all) grabInput.hear(object);
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

function modelsOf({ streamxr, bundle, catalogue, cast, uncast }: PageContext): Models {
  const entryOf = (asset: string): CatalogueEntry | null =>
    (Object.hasOwn(catalogue, asset) && catalogue[asset]) || null;
  return {
    bounds: (asset: string): Box | null => entryOf(asset)?.bounds ?? null,
    async open(name: string): Promise<Asset> {
      const entry = entryOf(name);
      if (!entry) throw new Error(`there is no asset ${name}`);
      const asset = await streamxr.follow(streamxr.session.add(name, entry, bundle));
      cast(asset);
      return asset;
    },
    close(asset): void {
      uncast(asset as Asset);
      streamxr.unload(asset as Asset);
    },
  };
}

/** Of who holds an object; one's own is the page's accent. */
function colorOf(room: Room, pid: number): string {
  return room.participants.find((one) => one.pid === pid)?.color ?? "#0f8b8d";
}

/** Why something was not done, for the visitor; null: there is nothing they could do about it. */
function explain(room: Room, { op, reason, object }: ObjectEvents["denied"]): string | null {
  if (reason === "held" && object) {
    if (object.owner === room.pid) return null;
    const holder = room.participants.find(({ pid }) => pid === object.owner);
    return `${holder?.name ?? "Somebody else"} holds it${holder?.away ? ", and has lost the line" : ""}.`;
  }
  if (reason === "role") return "Your place in this room is to look: you may not handle its objects.";
  if (reason === "limit") return "The room holds as many objects as it may.";
  if (reason === "store") return "The relay cannot keep this just now. Try again in a moment.";
  return op === "grab" ? "It is no longer there." : null;
}

/** A button that puts a small copy of what one looks at within reach. */
function offerCopy(room: Room, { demo, streamxr, catalogue }: PageContext): void {
  const button = document.getElementById("share-copy");
  if (!button) return;
  const shown = streamxr.session.streamer.assets
    .map(({ id }) => id)
    .filter((id) => Object.hasOwn(catalogue, id));
  room.on("state", ({ state }) => {
    button.hidden = state !== "joined" || room.role === "viewer" || shown.length === 0;
  });
  button.addEventListener("click", () => {
    const { camera, controls } = demo;
    camera.updateMatrixWorld();
    const ahead = camera.getWorldDirection(new Vector3());
    const [name] = shown
      .map((each): [string, number] => {
        const towards = centreOf(streamxr, each).sub(camera.position).normalize();
        return [each, towards.dot(ahead)];
      })
      .reduce((best, next) => (next[1] > best[1] ? next : best));
    const { min, max } = (catalogue[name] as CatalogueEntry).bounds;
    const longest = Math.max(max[0] - min[0], max[1] - min[1], max[2] - min[2]);
    const scale = Math.min(1000, Math.max(0.001, COPY_SIZE / (longest || 1)));
    const distance = Math.min(ARM, camera.position.distanceTo(controls.target) * 0.6);
    const at = camera.position.clone().addScaledVector(ahead, distance);
    at.y = Math.max(at.y, COPY_SIZE / 2);
    // Its middle is there, wherever its own origin is.
    const position = at.sub(
      new Vector3(min[0] + max[0], min[1] + max[1], min[2] + max[2]).multiplyScalar(scale / 2),
    );
    room.objects.spawn(name, { position: position.toArray(), rotation: [0, 0, 0, 1] }, scale);
  });
}

/** The middle of an exhibit, in the world. */
function centreOf({ session }: StreamXR, name: string): Vector3 {
  const state = session.streamer.assets.find(({ id }) => id === name);
  if (!state) return new Vector3();
  const { min, max } = state.entry.bounds;
  return new Vector3(...min)
    .add(new Vector3(...max))
    .divideScalar(2)
    .applyMatrix4(new Matrix4().fromArray(state.world));
}
