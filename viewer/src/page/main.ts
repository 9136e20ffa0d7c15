/** The demo page once three.js is loaded: draws the exhibition, and opens HUD, XR and room as needed. */
import { Vector3 } from "three";
import type { Box } from "../core/bundle/bundle.ts";
import { StreamXR } from "../index.ts";
import type { Hud } from "../inspector/hud.ts";
import { frame } from "../layout.ts";
import type { Asset } from "../three/asset.ts";
import type { Recorder } from "../three/recorder.ts";
import { DemoScene, type Footprint } from "./demo-scene.ts";
import type { Exhibition } from "./exhibition.ts";
import { notice } from "./notices.ts";
import type { Presence } from "./presence.ts";
import { ShadowCaster } from "./shadow.ts";

/** Longest step of animations, seconds: they must not jump after the tab was hidden. */
const MAX_STEP_S = 0.1;
const UP = new Vector3(0, 1, 0);
/** Angle about the assets over which visitors of a room start, radians. */
const START_SPREAD = 1.4;

/** Opens the demo scene, and draws as long as the page is open. */
export async function show(exhibition: Exhibition): Promise<void> {
  const { options, session, layout, fieldOfView } = exhibition;
  const demo = new DemoScene(byId<HTMLCanvasElement>("view"), fieldOfView);
  const recorder = options.debug ? new (await import("../three/recorder.ts")).Recorder() : null;
  const streamxr = new StreamXR({
    renderer: demo.renderer,
    gaze: options.gaze,
    ...(options.tolerance ? { tolerance: options.tolerance } : {}),
    ...(recorder ? { recorder } : {}),
  });
  demo.resize();
  demo.fit(layout.radius, layout.height);
  placeCamera(exhibition, demo);
  const shadows = new Shadows(streamxr, demo);
  showAssets(exhibition, { demo, streamxr, shadows });
  const hud = new LazyHud(streamxr, demo);
  if (options.hud) hud.toggle();
  offerVr(demo);
  const presence = await openPresence(exhibition, { demo, streamxr, shadows });
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
}

interface Drawing {
  readonly demo: DemoScene;
  readonly streamxr: StreamXR;
  readonly shadows: Shadows;
}

function placeCamera({ options, layout, fieldOfView }: Exhibition, demo: DemoScene): void {
  const { eye, target } = options.camera ?? frame(layout, fieldOfView, demo.camera.aspect);
  const from = new Vector3(...eye);
  // The visitors of a room start at different places along the front, so that no head is inside another.
  if (options.relay && !options.camera) from.applyAxisAngle(UP, (Math.random() - 0.5) * START_SPREAD);
  demo.lookFrom(from, new Vector3(...target));
}

/** Adds each asset to the scene when its base can be drawn. */
function showAssets({ assets, layout }: Exhibition, { demo, streamxr, shadows }: Drawing): void {
  const loadingBar = new LoadingBar(assets.size);
  for (const { id, scale, position } of layout.places) {
    const state = assets.get(id);
    if (!state) continue;
    streamxr.follow(state).then(
      (asset) => {
        asset.scale.setScalar(scale);
        asset.position.set(...position);
        demo.scene.add(asset);
        demo.addOcclusion(footprint(state.entry.bounds, scale, position));
        shadows.add(asset);
        loadingBar.addShown();
      },
      // The session has already told the visitor.
      () => loadingBar.addFailed(),
    );
  }
}

/** The area of a placed asset on the floor. */
function footprint({ min, max }: Box, scale: number, [x, , z]: readonly [number, number, number]): Footprint {
  return {
    x: x + ((min[0] + max[0]) / 2) * scale,
    z: z + ((min[2] + max[2]) / 2) * scale,
    halfX: ((max[0] - min[0]) / 2) * scale,
    halfZ: ((max[2] - min[2]) / 2) * scale,
  };
}

/** Enters the room of the page's address; null without a relay. */
async function openPresence(
  { options, session }: Exhibition,
  { demo, streamxr, shadows }: Drawing,
): Promise<Presence | null> {
  const { relay, bundle } = options;
  if (!relay) return null;
  const { enterRoom } = await import("./presence.ts");
  const { assets: catalogue } = await session.open(bundle);
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

/** The shadow casters of all assets; requests a new shadow map when one of them changes. */
class Shadows {
  readonly #demo: DemoScene;
  readonly #casters = new Map<Asset, ShadowCaster>();

  constructor(streamxr: StreamXR, demo: DemoScene) {
    this.#demo = demo;
    streamxr.host.onRegions = (asset) => {
      if (this.#casters.get(asset)?.update()) demo.updateShadow();
    };
  }

  add(asset: Asset): void {
    this.#casters.set(asset, new ShadowCaster(asset));
    this.#demo.updateShadow();
  }

  remove(asset: Asset): void {
    this.#casters.delete(asset);
    this.#demo.updateShadow();
  }

  /** Call once per frame: an animated asset moves its shadow. */
  updateMoving(): void {
    if ([...this.#casters.keys()].some(({ mixer }) => mixer)) this.#demo.updateShadow();
  }
}

/** The bar at the top edge, and the line below the title. */
class LoadingBar {
  readonly #total: number;
  #shown = 0;
  #failed = 0;

  constructor(total: number) {
    this.#total = total;
    this.#update();
  }

  addShown(): void {
    this.#shown++;
    this.#update();
  }

  addFailed(): void {
    this.#failed++;
    this.#update();
  }

  #update(): void {
    const [total, shown, failed] = [this.#total, this.#shown, this.#failed];
    const finished = shown + failed;
    const bar = byId("progress");
    (bar.firstElementChild as HTMLElement).style.width = `${total === 0 ? 100 : (100 * finished) / total}%`;
    bar.ariaValueNow = String(finished);
    bar.ariaValueMax = String(total);
    bar.classList.toggle("done", finished >= total);
    const loaded = `${shown} asset${shown === 1 ? "" : "s"}`;
    const caption = finished < total ? `Loading ${total - finished} of ${total}…` : loaded;
    byId("caption").textContent = failed > 0 ? `${caption}, ${failed} missing` : caption;
  }
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

function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element as T;
}
