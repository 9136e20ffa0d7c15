/**
 * The page's seat in a room: avatars of the other participants, shared objects, and the visitor's own pose.
 */
import { Quaternion, Vector3, type WebGLRenderer } from "three";
import { VisitMeter } from "../core/visit-meter.ts";
import { deviceClass } from "../device.ts";
import type { StreamXR } from "../index.ts";
import type { BodyPose, RigidPose } from "../room/messages-binary.ts";
import { RelayClock } from "../room/playback.ts";
import { Room } from "../room/room.ts";
import { Avatars } from "./avatars.ts";
import type { DemoScene } from "./demo-scene.ts";
import { notice } from "./notices.ts";
import type { PageOptions } from "./options.ts";
import { openSharedObjects, type PageContext } from "./shared-objects.ts";
import type { SharedObjectsView } from "./shared-objects-view.ts";

/**
 * Readable on the light background, and distinct also for people with a colour vision deficiency (after Paul
 * Tol).
 */
const COLORS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"] as const;
/** Time between two reports for the operator's dashboards. */
const STATS_MS = 5000;

export interface Presence {
  readonly avatars: Avatars;
  readonly sharedObjects: SharedObjectsView;
  /** Call once per frame, before drawing. `now` in milliseconds of performance.now(). */
  update(now: number): void;
}

/**
 * Joins the room of the page's address. Others appear as avatars, and see this page's camera (or headset) as
 * one.
 * @param options with the address of a relay
 */
export function enterRoom(options: PageOptions & { readonly relay: string }, context: PageContext): Presence {
  const { demo, streamxr } = context;
  const number = Math.floor(Math.random() * 1000);
  const room = new Room({
    relay: options.relay,
    room: options.room,
    name: options.name ?? `Guest ${number}`,
    token: options.token ?? undefined,
    color: COLORS[number % COLORS.length] as string,
  });
  const clock = new RelayClock();
  const avatars = openAvatars(room, clock);
  demo.scene.add(avatars);
  const objectsUi = openSharedObjects(room, context, clock);
  showConnection(room, options.relay);
  showPeople(room);
  const ownPose = new OwnPose(demo.renderer);
  const report = options.report ? reporter(room, streamxr) : () => {};
  const eye = new Vector3();
  return {
    avatars,
    sharedObjects: objectsUi.view,
    update(now) {
      room.sendPose(ownPose.read(demo));
      eye.setFromMatrixPosition(demo.activeCamera.matrixWorld);
      avatars.update(now, eye);
      objectsUi.update(now);
      report(now);
    },
  };
}

function openAvatars(room: Room, clock: RelayClock): Avatars {
  const avatars = new Avatars(clock);
  room.on("joined", (profile) => avatars.join(profile));
  room.on("updated", (profile) => {
    if (profile.pid !== room.pid) avatars.join(profile);
  });
  room.on("left", ({ pid }) => avatars.leave(pid));
  room.on("poses", ({ tickMs, records }) => {
    const now = performance.now();
    for (const { pid, ageMs, pose } of records) {
      clock.observe(tickMs - ageMs, now);
      avatars.addPose(pid, pose, tickMs - ageMs);
    }
  });
  return avatars;
}

/** Tells the visitor when the connection is lost or refused. */
function showConnection(room: Room, relay: string): void {
  let removeNotice = (): void => {};
  room.on("state", ({ state, reason }) => {
    if (state === "joined") removeNotice();
    if (state === "waiting") {
      removeNotice();
      const text = `You see no other visitors: the relay ${relay} is away (${reason}). Trying again.`;
      removeNotice = notice(text, "quiet");
    }
    if (state === "closed") {
      removeNotice = notice(
        `You see no other visitors: the relay ${relay} refuses the connection: ${reason}.`,
      );
    }
  });
  room.on("error", ({ code, message }) => console.warn(`StreamXR: error ${code} from the relay: ${message}`));
}

/** Keeps the line with the number of people in the room up to date. */
function showPeople(room: Room): void {
  const line = document.getElementById("people");
  if (!line) return;
  const update = (): void => {
    line.textContent = room.state === "joined" ? `In the room: ${peopleIn(room)}` : "Joining the room…";
  };
  for (const event of ["joined", "left", "updated", "state"] as const) room.on(event, update);
}

function peopleIn(room: Room): string {
  const away = room.participants.filter((participant) => participant.away).length;
  const others = room.participants.length - away;
  const present = others === 0 ? "only you" : others === 1 ? "you and one other" : `you and ${others} others`;
  return away === 0 ? present : `${present}; ${away} away`;
}

/** @returns measures, and sends a report if one is due; call it once per frame */
function reporter(room: Room, { session, shown }: StreamXR): (now: number) => void {
  const { bandwidth, streamer } = session;
  const visit = new VisitMeter();
  const device = deviceClass(navigator);
  let reportedAt = performance.now();
  let reportedBytes = 0;
  return (now) => {
    const { totalBytes } = bandwidth;
    const loading = streamer.loading.length;
    visit.observe({ shown: shown.size, loading, isSettled: streamer.isSettled, totalBytes }, now);
    if (now - reportedAt < STATS_MS) return;
    reportedAt = now;
    const bandwidthBps = bandwidth.estimate(now).bytesPerSecond * 8;
    // Bytes that were not reported go into the next report.
    if (room.sendStats({ bandwidthBps, cdnBytes: totalBytes - reportedBytes })) reportedBytes = totalBytes;
    const report = visit.report();
    if (report && room.sendVisit({ device, ...report })) visit.sent(report);
  };
}

/** The visitor's own pose: the camera's on a screen; head and tracked hands in a headset. */
class OwnPose {
  readonly #renderer: WebGLRenderer;
  readonly #position = new Vector3();
  readonly #rotation = new Quaternion();
  readonly #scale = new Vector3();

  constructor(renderer: WebGLRenderer) {
    this.#renderer = renderer;
  }

  read({ activeCamera, camera }: DemoScene): BodyPose {
    if (activeCamera === camera) camera.updateMatrixWorld();
    activeCamera.matrixWorld.decompose(this.#position, this.#rotation, this.#scale);
    return {
      head: { position: this.#position.toArray(), rotation: this.#rotation.toArray() },
      left: this.#hand("left"),
      right: this.#hand("right"),
    };
  }

  /** Null if the hand is not tracked. */
  #hand(handedness: XRHandedness): RigidPose | null {
    const { xr } = this.#renderer;
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
