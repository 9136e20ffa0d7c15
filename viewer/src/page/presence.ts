import { Quaternion, Vector3, type WebGLRenderer } from "three";
import type { BodyPose, RigidPose } from "../room/messages-binary.ts";
import { RelayClock } from "../room/playback.ts";
import { Room } from "../room/room.ts";
import { Avatars } from "./avatars.ts";
import type { DemoScene } from "./demo-scene.ts";
import { notice } from "./notices.ts";
import type { PageOptions } from "./options.ts";
import { openSharedObjects, type PageContext } from "./shared-objects.ts";
import type { SharedObjectsView } from "./shared-objects-view.ts";

/** Readable on the light demo and apart from each other, for those with a colour deficiency too (after Tol). */
const COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"] as const;
/** Milliseconds between two reports to the operator's dashboards. */
const STATS_MS = 5000;

/** Everyone else in the room with what is shared there, and one's own seat in it. */
export interface Presence {
  readonly avatars: Avatars;
  readonly sharedObjects: SharedObjectsView;
  /** Call once per frame, before drawing. `now` in milliseconds of performance.now(). */
  update(now: number): void;
}

/** Joins the room of the page's address: others appear as avatars, and see this camera (or headset) move. */
export function enterRoom(options: PageOptions & { readonly relay: string }, context: PageContext): Presence {
  const { demo, streamxr } = context;
  const clock = new RelayClock();
  const avatars = new Avatars(clock);
  demo.scene.add(avatars);
  const draw = Math.floor(Math.random() * 1000);
  const room = new Room({
    relay: options.relay,
    room: options.room,
    name: options.name ?? `Guest ${draw}`,
    token: options.token ?? undefined,
    color: COLOURS[draw % COLOURS.length] as string,
  });
  room.on("joined", (profile) => avatars.join(profile));
  room.on("updated", (profile) => {
    if (profile.pid !== room.pid) avatars.join(profile);
  });
  room.on("left", ({ pid }) => avatars.leave(pid));
  room.on("poses", ({ tickMs, records }) => {
    const now = performance.now();
    for (const { pid, ageMs, pose } of records) {
      clock.hear(tickMs - ageMs, now);
      avatars.pose(pid, pose, tickMs - ageMs);
    }
  });
  room.on("error", ({ code, message }) => console.warn(`StreamXR: the relay says ${code}: ${message}`));
  let withdraw = (): void => {};
  room.on("state", ({ state, reason }) => {
    if (state === "joined") withdraw();
    if (state === "waiting") {
      withdraw();
      withdraw = notice(
        `Nobody else is seen: the relay ${options.relay} is away (${reason}). Trying again.`,
        "quiet",
      );
    }
    if (state === "closed")
      withdraw = notice(`Nobody else is seen: the relay ${options.relay} says: ${reason}.`);
  });
  for (const event of ["joined", "left", "updated", "state"] as const) room.on(event, () => showPeople(room));

  const objectsUi = openSharedObjects(room, context, clock);
  const body = new Body(demo.renderer);
  const eye = new Vector3();
  let reported = { at: performance.now(), bytes: 0 };
  return {
    avatars,
    sharedObjects: objectsUi.view,
    update(now) {
      room.sendPose(body.read(demo));
      eye.setFromMatrixPosition(demo.seer.matrixWorld);
      avatars.update(now, eye);
      objectsUi.update(now);
      if (now - reported.at < STATS_MS) return;
      const { totalBytes } = streamxr.session.bandwidth;
      const bandwidthBps = streamxr.session.bandwidth.estimate(now).bytesPerSecond * 8;
      // What could not be said now is said the next time.
      const bytes = room.sendStats({ bandwidthBps, cdnBytes: totalBytes - reported.bytes })
        ? totalBytes
        : reported.bytes;
      reported = { at: now, bytes };
    },
  };
}

function showPeople(room: Room): void {
  const line = document.getElementById("people");
  if (!line) return;
  const away = room.participants.filter((one) => one.away).length;
  const others = room.participants.length - away;
  const present = others === 0 ? "only you" : others === 1 ? "you and one other" : `you and ${others} others`;
  const who = away === 0 ? present : `${present}; ${away} away`;
  line.textContent = room.state === "joined" ? `In the room: ${who}` : "Joining the room…";
}

/** The visitor's own pose: the camera's on a screen, head and tracked hands in a headset. */
class Body {
  private readonly position = new Vector3();
  private readonly rotation = new Quaternion();
  private readonly scale = new Vector3();

  constructor(private readonly renderer: WebGLRenderer) {}

  read(demo: DemoScene): BodyPose {
    const { seer } = demo;
    if (seer === demo.camera) seer.updateMatrixWorld();
    seer.matrixWorld.decompose(this.position, this.rotation, this.scale);
    return {
      head: { position: this.position.toArray(), rotation: this.rotation.toArray() },
      left: this.hand("left"),
      right: this.hand("right"),
    };
  }

  private hand(handedness: XRHandedness): RigidPose | null {
    const { xr } = this.renderer;
    if (!xr.isPresenting) return null;
    const space = xr.getReferenceSpace();
    const frame = xr.getFrame();
    for (const source of xr.getSession()?.inputSources ?? []) {
      if (source.handedness !== handedness || !source.gripSpace || !space) continue;
      const pose = frame.getPose(source.gripSpace, space);
      if (!pose) return null;
      const { position: p, orientation: q } = pose.transform;
      return { position: [p.x, p.y, p.z], rotation: [q.x, q.y, q.z, q.w] };
    }
    return null;
  }
}
