/** The demo page once three.js is loaded: draws the exhibition, and opens HUD, XR and room as needed. */
import { type Object3D, Vector3 } from "three";
import type { Box } from "../core/bundle/bundle.ts";
import { StreamXR } from "../index.ts";
import type { Hud } from "../inspector/hud.ts";
import { frame, type Place } from "../layout.ts";
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

interface Drawing {
  readonly demo: DemoScene;
  readonly streamxr: StreamXR;
  readonly shadows: Shadows;
}

/** The assets at their places, and the camera that has them in view. */
export class Gallery {
  /** Called for each asset that the catalogue has gained. */
  onAdded: ((id: string) => void) | null = null;
  readonly #exhibition: Exhibition;
  readonly #drawing: Drawing;
  readonly #loadingBar = new LoadingBar();
  /** By id: the assets that are shown, and their dark patch on the floor. */
  readonly #shown = new Map<string, { readonly asset: Asset; readonly occlusion: Object3D }>();
  readonly #followed = new Set<string>();
  /** The visitors of a room start at different places along the front, so that no head is inside another. */
  readonly #startAngle: number;
  #visitorMoved = false;

  constructor(exhibition: Exhibition, drawing: Drawing) {
    this.#exhibition = exhibition;
    this.#drawing = drawing;
    this.#startAngle = exhibition.options.relay ? (Math.random() - 0.5) * START_SPREAD : 0;
    drawing.demo.controls.addEventListener("start", () => {
      this.#visitorMoved = true;
    });
    this.arrange();
  }

  /**
   * Puts every asset at its place of the present layout, and starts to draw new ones. The camera follows
   * until the visitor takes it.
   * @param added ids of new entries of the catalogue
   */
  arrange(added: readonly string[] = []): void {
    const { layout, assets, options } = this.#exhibition;
    const { demo } = this.#drawing;
    demo.fit(layout.radius, layout.height);
    if (!this.#visitorMoved && !demo.renderer.xr.isPresenting) this.#placeCamera();
    this.#loadingBar.setTotal(assets.size, options.watch && assets.size === 0);
    for (const { id } of layout.places) {
      if (this.#shown.has(id)) this.#place(id);
      else if (!this.#followed.has(id)) this.#follow(id);
    }
    for (const id of added) this.onAdded?.(id);
  }

  #follow(id: string): void {
    const { demo, streamxr, shadows } = this.#drawing;
    const state = this.#exhibition.assets.get(id);
    if (!state) return;
    this.#followed.add(id);
    streamxr.follow(state).then(
      (asset) => {
        this.#shown.set(id, { asset, occlusion: demo.addOcclusion() });
        this.#place(id);
        demo.scene.add(asset);
        shadows.add(asset);
        this.#loadingBar.addShown();
      },
      // The session has already told the visitor.
      () => this.#loadingBar.addFailed(),
    );
  }

  #place(id: string): void {
    const shown = this.#shown.get(id);
    const place = this.#exhibition.layout.places.find((one) => one.id === id);
    if (!shown || !place) return;
    const { asset, occlusion } = shown;
    asset.scale.setScalar(place.scale);
    asset.position.set(...place.position);
    this.#drawing.demo.placeOcclusion(occlusion, footprint(asset.state.entry.bounds, place));
    this.#drawing.demo.updateShadow();
  }

  #placeCamera(): void {
    const { options, layout, fieldOfView } = this.#exhibition;
    const { demo } = this.#drawing;
    const { eye, target } = options.camera ?? frame(layout, fieldOfView, demo.camera.aspect);
    const from = new Vector3(...eye);
    if (!options.camera) from.applyAxisAngle(UP, this.#startAngle);
    demo.lookFrom(from, new Vector3(...target));
  }
}

/** The area of a placed asset on the floor. */
function footprint({ min, max }: Box, { scale, position: [x, , z] }: Place): Footprint {
  return {
    x: x + ((min[0] + max[0]) / 2) * scale,
    z: z + ((min[2] + max[2]) / 2) * scale,
    halfX: ((max[0] - min[0]) / 2) * scale,
    halfZ: ((max[2] - min[2]) / 2) * scale,
  };
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
  #total = 0;
  #waiting = false;
  #shown = 0;
  #failed = 0;

  /** @param waiting whether the first asset is still being built */
  setTotal(total: number, waiting: boolean): void {
    this.#total = total;
    this.#waiting = waiting;
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
    bar.classList.toggle("done", finished >= total && !this.#waiting);
    const loaded = `${shown} asset${shown === 1 ? "" : "s"}`;
    const caption = finished < total ? `Loading ${total - finished} of ${total}…` : loaded;
    const text = this.#waiting ? "Waiting for the first asset to be built…" : caption;
    byId("caption").textContent = failed > 0 ? `${text}, ${failed} missing` : text;
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
