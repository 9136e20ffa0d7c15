/** The demo page once three.js is loaded: draws the exhibition, and opens HUD, XR and room as needed. */
import { StreamXR } from "../index.ts";
import type { Hud } from "../inspector/hud.ts";
import type { Recorder } from "../three/recorder.ts";
import { byId } from "./by-id.ts";
import { DemoScene } from "./demo-scene.ts";
import type { Exhibition } from "./exhibition.ts";
import { type Drawing, Gallery } from "./gallery.ts";
import { notice } from "./notices.ts";
import type { Presence } from "./presence.ts";
import { Shadows } from "./shadow.ts";

/** Longest step of animations, seconds: they must not jump after the tab was hidden. */
const MAX_STEP_S = 0.1;

/** Opens the demo scene, and draws as long as the page is open. */
export async function show(exhibition: Exhibition): Promise<Gallery> {
  const { options, session, fieldOfView } = exhibition;
  const demo = new DemoScene(byId<HTMLCanvasElement>("view"), fieldOfView);
  const recorder = options.debug ? new (await import("../three/recorder.ts")).Recorder() : null;
  const streamxr = new StreamXR({
    renderer: demo.renderer,
    gaze: options.gaze,
    ...(options.tolerance ? { tolerance: options.tolerance } : {}),
    ...(recorder ? { recorder } : {}),
  });
  demo.resize();
  const shadows = new Shadows(streamxr, demo);
  const gallery = new Gallery(exhibition, { demo, streamxr, shadows });
  const hud = new LazyHud(streamxr, demo);
  if (options.hud) hud.toggle();
  offerVr(demo);
  const presence = await openPresence(exhibition, { demo, streamxr, shadows });
  gallery.onAdded = (id) => presence?.sharedObjects.showModels(id);
  draw({ demo, streamxr, shadows, hud, recorder, presence });
  if (recorder) {
    Object.assign(window, {
      streamxr: {
        demo,
        streamxr,
        session,
        frames: recorder.records,
        requests: session.requests.log,
        avatars: () => presence?.avatars.children ?? [],
        sharedObjects: () => presence?.sharedObjects.children ?? [],
      },
    });
  }
  return gallery;
}

/** Enters the room of the page's address; null without a relay. */
async function openPresence(
  { options, catalogue }: Exhibition,
  { demo, streamxr, shadows }: Drawing,
): Promise<Presence | null> {
  const { relay, bundle } = options;
  if (!relay) return null;
  const { enterRoom } = await import("./presence.ts");
  return enterRoom(
    { ...options, relay },
    {
      demo,
      streamxr,
      bundle,
      catalogue,
      addShadow: (asset) => shadows.add(asset),
      removeShadow: (asset) => shadows.remove(asset),
    },
  );
}

interface FrameParts extends Drawing {
  readonly hud: LazyHud;
  readonly recorder: Recorder | null;
  readonly presence: Presence | null;
}

function draw({ demo, streamxr, shadows, hud, recorder, presence }: FrameParts): void {
  let last = performance.now();
  demo.renderer.setAnimationLoop(() => {
    const now = performance.now();
    const dt = Math.min(MAX_STEP_S, (now - last) / 1000);
    last = now;
    if (demo.contextLost) return;
    demo.resize();
    if (!demo.renderer.xr.isPresenting) demo.controls.update(dt);
    presence?.update(now);
    streamxr.update(demo.camera, dt);
    shadows.updateMoving();
    demo.render();
    recorder?.frame(now);
    hud.update(now);
  });
}

/** Loads the HUD's code when the visitor first opens it. */
class LazyHud {
  readonly #streamxr: StreamXR;
  readonly #demo: DemoScene;
  #hud: Hud | null = null;
  #isOpen = false;

  constructor(streamxr: StreamXR, demo: DemoScene) {
    this.#streamxr = streamxr;
    this.#demo = demo;
    byId("toggle-hud").hidden = false;
    byId("toggle-hud").addEventListener("click", () => this.toggle());
    addEventListener("keydown", (event) => {
      const typing =
        event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey;
      if (event.key.toLowerCase() === "h" && !typing && !event.repeat) this.toggle();
    });
  }

  toggle(): void {
    this.#isOpen = !this.#isOpen;
    byId("toggle-hud").ariaPressed = String(this.#isOpen);
    if (this.#hud) this.#hud.visible = this.#isOpen;
    else if (this.#isOpen) void this.#load();
  }

  /** Call once per frame, after drawing. */
  update(now: number): void {
    this.#hud?.update(now, this.#demo.camera);
  }

  async #load(): Promise<void> {
    try {
      const { Hud } = await import("../inspector/hud.ts");
      this.#hud ??= new Hud(this.#streamxr, this.#demo.renderer);
      this.#hud.visible = this.#isOpen;
    } catch (error) {
      this.#isOpen = false;
      notice(`The HUD cannot be loaded: ${(error as Error).message}`);
    }
  }
}

/** Shows “Enter VR” if the device supports it. */
function offerVr(demo: DemoScene): void {
  const button = byId<HTMLButtonElement>("enter-vr");
  const check = async (): Promise<void> => {
    const supported = await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false);
    button.hidden = !supported;
  };
  void check();
  navigator.xr?.addEventListener("devicechange", () => void check());
  button.addEventListener("click", async () => {
    button.disabled = true;
    const onEnd = (): void => {
      button.disabled = false;
    };
    try {
      await startVr(demo, onEnd);
    } catch (error) {
      onEnd();
      notice(`VR does not start: ${(error as Error).message}`);
    }
  });
}

/** The visitor stands where the camera was. `onEnd` is called when the XR session has ended. */
async function startVr(demo: DemoScene, onEnd: () => void): Promise<void> {
  const { enterVr } = await import("../three/xr.ts");
  const { camera, controls } = demo;
  const [from, target, fov] = [camera.position.clone(), controls.target.clone(), camera.fov];
  const yaw = Math.atan2(from.x - target.x, from.z - target.z);
  await enterVr(demo.renderer, { x: from.x, z: from.z, yaw }, () => {
    onEnd();
    // During the session three.js moves the page's camera, and gives it the headset's field of view.
    camera.fov = fov;
    camera.updateProjectionMatrix();
    demo.lookFrom(from, target);
  });
}
