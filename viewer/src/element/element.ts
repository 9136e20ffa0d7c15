/**
 * `<streamxr-viewer src="…/bundle.json" asset="duck">`: a streamed asset as an HTML element.
 *
 * This script is small and begins to fetch the asset at once; three.js comes beside it, once for all elements of the
 * page, which also share one plan, one bandwidth estimate and one memory budget.
 */
import type { AssetState } from "../core/asset.ts";
import { frameBox, viewFrom } from "../layout.ts";
import { pageSession } from "../session.ts";
import type { Asset } from "../three/asset.ts";
import type { ElementView } from "./element-view.ts";

const STYLE = `
:host { display: block; position: relative; width: 300px; height: 300px; contain: content; }
:host([hidden]) { display: none; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; outline-offset: -2px; opacity: 0; }
:host([loaded]) canvas { opacity: 1; }
.poster { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
:host([loaded]) .poster, .poster[hidden] { display: none; }
.message { position: absolute; inset: auto 0 0; margin: 0; padding: 8px 12px; font: 13px/1.4 system-ui, sans-serif;
  color: #1d2733; background: rgba(255, 255, 255, 0.9); overflow-wrap: anywhere; }
.message:empty { display: none; }
button { position: absolute; right: 12px; bottom: 12px; padding: 6px 12px; border: 0; border-radius: 8px; cursor: pointer;
  font: 500 13px/1.4 system-ui, sans-serif; color: #fff; background: #0f8b8d; }
button[hidden] { display: none; }
`;
/** Degrees, vertical: of the element's camera. */
const FIELD_OF_VIEW = 35;
/** Elements that draw at the same time: browsers give a page 16 contexts at most, phones 8. */
const MOST_AWAKE = 8;
/** Elements begin to load when they are this near to being seen. */
const NEAR = "50%";
const PROGRESS_MS = 50;

/** The elements that hold a context, the one that was woken last at the end. */
const awake = new Set<StreamXRViewer>();

/**
 * Attributes:
 * - `src`: address of a bundle's `bundle.json`
 * - `asset`: its name in the bundle; may be left out when there is one
 * - `alt`: what is shown, for those who cannot see it
 * - `poster`: a picture until the first frame; or anything with `slot="poster"`
 * - `animation`: name of the animation to play; the first one when it is left out
 * - `gaze`: `pointer` takes the mouse for a hint at where its user looks; `head`, the default, takes the view's centre
 * - `exposure`: brightness of the light, 1 by default
 * - `xr`: offers “Enter VR” where the device can
 *
 * Events: `progress` (a ProgressEvent over the bytes of the first picture), `load` (the first frame is drawn),
 * `error` (an ErrorEvent). None bubbles. While it is shown, the element has the attribute `loaded`.
 *
 * Size and background are CSS's; it is 300 pixels square by default.
 */
export class StreamXRViewer extends HTMLElement {
  static readonly observedAttributes = [
    "src",
    "asset",
    "alt",
    "poster",
    "animation",
    "exposure",
    "xr",
    "aria-label",
  ];

  private canvas = document.createElement("canvas");
  private readonly picture = document.createElement("img");
  private readonly message = document.createElement("p");
  private readonly button = document.createElement("button");
  private readonly posterSlot = document.createElement("slot");
  private sight: IntersectionObserver | null = null;
  private seen = false;
  private view: ElementView | null = null;
  /** Ends what the current `src` and `asset` have begun. */
  private visit: AbortController | null = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.picture.alt = "";
    this.picture.className = "poster";
    this.posterSlot.name = "poster";
    this.posterSlot.className = "poster";
    this.posterSlot.append(this.picture);
    this.message.className = "message";
    this.message.setAttribute("part", "message");
    this.message.setAttribute("role", "status");
    this.button.type = "button";
    this.button.textContent = "Enter VR";
    this.button.hidden = true;
    this.button.setAttribute("part", "xr-button");
    this.button.addEventListener("click", () => void this.enterVr());
    root.append(style, this.posterSlot, this.canvas, this.button, this.message);
  }

  /** The three.js object that is shown; null before `load`. */
  get model(): Asset | null {
    return this.view?.asset ?? null;
  }

  get src(): string | null {
    return this.getAttribute("src");
  }
  set src(value: string | null) {
    this.reflect("src", value);
  }

  get asset(): string | null {
    return this.getAttribute("asset");
  }
  set asset(value: string | null) {
    this.reflect("asset", value);
  }

  connectedCallback(): void {
    this.describe();
    this.sight = new IntersectionObserver(
      ([entry]) => {
        this.seen = entry?.isIntersecting ?? false;
        if (this.view) this.view.visible = this.seen;
        else if (this.seen && !this.visit) this.start();
      },
      { rootMargin: NEAR },
    );
    this.sight.observe(this);
    // An element that is in view does not wait for the observer, which answers after the first layout.
    this.startSoon();
  }

  disconnectedCallback(): void {
    // An element that is moved is taken out and put back in the same task.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.sight?.disconnect();
      this.sight = null;
      this.seen = false;
      this.stop();
    });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (name === "src" || name === "asset") this.restart();
    else this.describe();
  }

  private reflect(name: string, value: string | null): void {
    if (value === null) this.removeAttribute(name);
    else this.setAttribute(name, value);
  }

  private restart(): void {
    this.stop();
    this.startSoon();
  }

  /** Several attributes may change in one task. */
  private startSoon(): void {
    queueMicrotask(() => {
      if (this.isConnected && !this.visit && isNear(this)) this.start();
    });
  }

  /** Applies what needs no new asset. */
  private describe(): void {
    const name = this.getAttribute("alt") ?? this.ariaLabel ?? this.asset ?? "model";
    this.canvas.setAttribute("role", "img");
    this.canvas.ariaLabel = `3D: ${name}`;
    this.canvas.tabIndex = 0;
    const poster = this.getAttribute("poster");
    this.picture.hidden = poster === null;
    if (poster !== null && this.picture.getAttribute("src") !== poster) this.picture.src = poster;
    if (!this.view) return;
    const exposure = Number(this.getAttribute("exposure") ?? 1);
    this.view.exposure = exposure >= 0 && exposure < 100 ? exposure : 1;
    this.view.asset?.play(this.getAttribute("animation") ?? undefined);
    void this.offerVr();
  }

  private start(): void {
    const { src } = this;
    if (!src) return;
    const visit = new AbortController();
    this.visit = visit;
    this.say("");
    this.load(src, visit.signal).catch((error: unknown) => {
      if (visit.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.say(message);
      this.dispatchEvent(new ErrorEvent("error", { message, error }));
    });
  }

  private async load(src: string, signal: AbortSignal): Promise<void> {
    // Together with the catalogue, not after it. A failure is met where it is awaited.
    const module = import("./element-view.ts");
    module.catch(() => {});
    const session = pageSession();
    const state = await session.begin(src, this.asset ?? undefined);
    const drop = (): void => session.remove(state);
    if (signal.aborted) return drop();
    signal.addEventListener("abort", drop, { once: true });
    const progress = setInterval(() => this.report(state), PROGRESS_MS);
    try {
      const { clientWidth, clientHeight } = this;
      const aspect = clientWidth / Math.max(1, clientHeight);
      const viewpoint = frameBox(state.entry.bounds, FIELD_OF_VIEW, aspect);
      state.view = viewFrom(viewpoint, FIELD_OF_VIEW, aspect, clientHeight * devicePixelRatio);
      const animation = this.getAttribute("animation");
      if (animation) state.animationsToPlay = new Set([animation]);
      const stop = session.foresee(state.view);
      const { ElementView } = await module.finally(stop);
      if (signal.aborted) return;
      const view = this.open(ElementView);
      const asset = await view.show(state);
      if (signal.aborted) return;
      asset.play(this.getAttribute("animation") ?? undefined);
    } catch (error) {
      drop();
      throw error;
    } finally {
      clearInterval(progress);
    }
    this.report(state);
    this.toggleAttribute("loaded", true);
    this.dispatchEvent(new Event("load"));
  }

  private open(View: typeof ElementView): ElementView {
    makeRoom(this);
    this.view = new View(this.canvas, {
      fieldOfView: FIELD_OF_VIEW,
      gaze: this.getAttribute("gaze") === "pointer" ? "pointer" : "head",
    });
    awake.add(this);
    this.describe();
    return this.view;
  }

  /** Frees everything; the poster is back. */
  private stop(): void {
    this.visit?.abort();
    this.visit = null;
    if (this.view) {
      this.view.dispose();
      // A canvas whose context was given up never gets another.
      const fresh = this.canvas.cloneNode() as HTMLCanvasElement;
      this.canvas.replaceWith(fresh);
      this.canvas = fresh;
    }
    this.view = null;
    awake.delete(this);
    this.toggleAttribute("loaded", false);
    this.button.hidden = true;
  }

  /** Gives up the context of an element that nobody sees; it loads again when it is seen. */
  sleep(): boolean {
    if (this.seen) return false;
    this.stop();
    return true;
  }

  private report(state: AssetState): void {
    const total = state.entry.base.bytes;
    const there = state.base.loadState === "preparing" || state.base.loadState === "ready";
    const loaded = there ? total : state.base.received;
    this.dispatchEvent(new ProgressEvent("progress", { lengthComputable: true, loaded, total }));
  }

  private say(message: string): void {
    this.message.textContent = message;
  }

  private async offerVr(): Promise<void> {
    const wanted = this.hasAttribute("xr") && this.view !== null;
    const can = wanted && (await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false));
    this.button.hidden = !can || !this.view;
  }

  private async enterVr(): Promise<void> {
    this.button.disabled = true;
    const end = (): void => {
      this.button.disabled = false;
    };
    try {
      await this.view?.enterVr(end);
    } catch (error) {
      end();
      this.say(`VR does not start: ${(error as Error).message}`);
    }
  }
}

/** Puts elements to sleep that nobody sees, those first that were woken first. */
function makeRoom(next: StreamXRViewer): void {
  for (const each of awake) {
    if (awake.size < MOST_AWAKE) return;
    if (each !== next) each.sleep();
  }
}

function isNear(element: Element): boolean {
  const { top, bottom, left, right } = element.getBoundingClientRect();
  return (
    bottom > -innerHeight / 2 && top < innerHeight * 1.5 && right > -innerWidth / 2 && left < innerWidth * 1.5
  );
}

if (!customElements.get("streamxr-viewer")) customElements.define("streamxr-viewer", StreamXRViewer);

declare global {
  interface HTMLElementTagNameMap {
    "streamxr-viewer": StreamXRViewer;
  }
}
