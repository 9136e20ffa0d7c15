import { Vector3 } from "three";
import type { Box } from "../core/bundle/bundle.ts";
import { StreamXR } from "../index.ts";
import type { Hud } from "../inspector/hud.ts";
import { frame } from "../layout.ts";
import type { Asset } from "../three/asset.ts";
import { DemoScene, type Footprint } from "./demo-scene.ts";
import type { Exhibition } from "./exhibition.ts";
import { notice } from "./notices.ts";
import type { Presence } from "./presence.ts";
import { ShadowCaster } from "./shadow.ts";

/** A tab that slept must not make animations jump, seconds. */
const LONGEST_STEP = 0.1;

const UP = new Vector3(0, 1, 0);
/** Radians about the assets over which visitors of a room start. */
const START_SPREAD = 1.4;

/** Opens the demo, and draws for as long as the page lives. */
export async function start(exhibition: Exhibition): Promise<void> {
  const { options, session, assets, layout, fieldOfView } = exhibition;
  const canvas = element<HTMLCanvasElement>("view");
  const demo = new DemoScene(canvas, fieldOfView);
  const recorder = options.debug ? new (await import("../three/recorder.ts")).Recorder() : null;
  const streamxr = new StreamXR({
    renderer: demo.renderer,
    gaze: options.gaze,
    ...(options.tolerance ? { tolerance: options.tolerance } : {}),
    ...(recorder ? { recorder } : {}),
  });

  demo.resize();
  demo.fit(layout.radius, layout.height);
  const { eye, target } = options.camera ?? frame(layout, fieldOfView, demo.camera.aspect);
  const from = new Vector3(...eye);
  // In presence everybody starts somewhere else along the front, not inside one another's head.
  if (options.relay && !options.camera) from.applyAxisAngle(UP, (Math.random() - 0.5) * START_SPREAD);
  demo.look(from, new Vector3(...target));

  const casters = new Map<Asset, ShadowCaster>();
  const cast = (asset: Asset): void => {
    casters.set(asset, new ShadowCaster(asset));
    demo.updateShadow();
  };
  const uncast = (asset: Asset): void => {
    casters.delete(asset);
    demo.updateShadow();
  };
  streamxr.host.onRegions = (asset) => {
    if (casters.get(asset)?.update()) demo.updateShadow();
  };
  const progress = new LoadingBar(assets.size);
  for (const { id, scale, position } of layout.places) {
    const state = assets.get(id);
    if (!state) continue;
    streamxr.follow(state).then(
      (asset) => {
        asset.scale.setScalar(scale);
        asset.position.set(...position);
        demo.scene.add(asset);
        demo.ground(footprint(state.entry.bounds, scale, position));
        cast(asset);
        progress.shown();
      },
      // The visitor has been told by the session.
      () => progress.failed(),
    );
  }

  const hud = new LazyHud(streamxr, demo);
  if (options.hud) hud.toggle();
  offerVr(demo);
  let presence: Presence | null = null;
  const { relay, bundle } = options;
  if (relay) {
    const { enterRoom } = await import("./presence.ts");
    const { assets: catalogue } = await session.open(bundle);
    presence = enterRoom({ ...options, relay }, { demo, streamxr, bundle, catalogue, cast, uncast });
  }

  let last = performance.now();
  demo.renderer.setAnimationLoop(() => {
    const now = performance.now();
    const dt = Math.min(LONGEST_STEP, (now - last) / 1000);
    last = now;
    if (demo.lost) return;
    demo.resize();
    if (!demo.renderer.xr.isPresenting) demo.controls.update(dt);
    presence?.update(now);
    streamxr.update(demo.camera, dt);
    if ([...casters.keys()].some(({ mixer }) => mixer)) demo.updateShadow();
    demo.render();
    recorder?.frame(now);
    hud.update(now);
  });

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

/** Where a box stands, in the world: centre and half sides on the floor, metres. */
function footprint({ min, max }: Box, scale: number, [x, , z]: readonly [number, number, number]): Footprint {
  return {
    x: x + ((min[0] + max[0]) / 2) * scale,
    z: z + ((min[2] + max[2]) / 2) * scale,
    halfX: ((max[0] - min[0]) / 2) * scale,
    halfZ: ((max[2] - min[2]) / 2) * scale,
  };
}

/** The hairline at the top, and the line below the title. */
class LoadingBar {
  private done = 0;
  private broken = 0;

  constructor(private readonly total: number) {
    this.draw();
  }

  shown(): void {
    this.done++;
    this.draw();
  }

  failed(): void {
    this.broken++;
    this.draw();
  }

  private draw(): void {
    const { total, done, broken } = this;
    const settled = done + broken;
    const bar = element("progress");
    (bar.firstElementChild as HTMLElement).style.width = `${total === 0 ? 100 : (100 * settled) / total}%`;
    bar.ariaValueNow = String(settled);
    bar.ariaValueMax = String(total);
    bar.classList.toggle("done", settled >= total);
    const names = `${done} asset${done === 1 ? "" : "s"}`;
    const caption = settled < total ? `Loading ${total - settled} of ${total}…` : names;
    element("caption").textContent = broken > 0 ? `${caption}, ${broken} missing` : caption;
  }
}

/** The HUD is code that most visitors never need: it is fetched when it is first asked for. */
class LazyHud {
  private hud: Hud | null = null;
  private wanted = false;

  constructor(
    private readonly streamxr: StreamXR,
    private readonly demo: DemoScene,
  ) {
    element("toggle-hud").hidden = false;
    element("toggle-hud").addEventListener("click", () => this.toggle());
    addEventListener("keydown", (event) => {
      const typing =
        event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey;
      if (event.key.toLowerCase() === "h" && !typing && !event.repeat) this.toggle();
    });
  }

  toggle(): void {
    this.wanted = !this.wanted;
    element("toggle-hud").ariaPressed = String(this.wanted);
    if (this.hud) this.hud.visible = this.wanted;
    else if (this.wanted) void this.load();
  }

  update(now: number): void {
    this.hud?.update(now, this.demo.camera);
  }

  private async load(): Promise<void> {
    try {
      const { Hud } = await import("../inspector/hud.ts");
      this.hud ??= new Hud(this.streamxr, this.demo.renderer);
      this.hud.visible = this.wanted;
    } catch (error) {
      this.wanted = false;
      notice(`The HUD cannot be loaded: ${(error as Error).message}`);
    }
  }
}

/** Shows “Enter VR” where the device can; a page without a headset pays one question for it. */
function offerVr(demo: DemoScene): void {
  const button = element<HTMLButtonElement>("enter-vr");
  const check = async (): Promise<void> => {
    const supported = await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false);
    button.hidden = !supported;
  };
  void check();
  navigator.xr?.addEventListener("devicechange", () => void check());
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { enterVr } = await import("../three/xr.ts");
      const { camera, controls } = demo;
      const [from, target, fov] = [camera.position.clone(), controls.target.clone(), camera.fov];
      const yaw = Math.atan2(from.x - target.x, from.z - target.z);
      await enterVr(demo.renderer, { x: from.x, z: from.z, yaw }, () => {
        button.disabled = false;
        // In the headset three.js moved the page's camera, and gave it the headset's field of view.
        camera.fov = fov;
        camera.updateProjectionMatrix();
        demo.look(from, target);
      });
    } catch (error) {
      button.disabled = false;
      notice(`VR does not start: ${(error as Error).message}`);
    }
  });
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found as T;
}
