/**
 * `<streamxr-viewer src="…/bundle.json" asset="duck">`: a streamed asset as an HTML element.
 *
 * This script is small and requests the asset at once, while three.js is loading. All elements of a page
 * share one copy of three.js, one plan, one bandwidth estimate and one memory budget.
 */
import type { AssetState } from "../core/asset.ts";
import type { View } from "../core/gaze.ts";
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
/** Elements with a WebGL context at the same time: browsers allow 16 contexts per page, phones 8. */
const MAX_CONTEXTS = 8;
/** An element starts to load within this distance from the viewport. */
const LOAD_MARGIN = "50%";
const PROGRESS_MS = 50;

/** The elements that have a context, the newest last. */
const active = new Set<StreamXRViewer>();

/**
 * Attributes:
 * - `src`: address of a bundle's `bundle.json`
 * - `asset`: the asset's name in the bundle; may be omitted if the bundle has one asset
 * - `alt`: text for visitors who cannot see the asset
 * - `poster`: address of a picture to show before the first frame; or use any content with `slot="poster"`
 * - `animation`: name of the animation to play; the first one by default
 * - `gaze`: `pointer` uses the mouse as a hint for the gaze; `head`, the default, uses the centre of the view
 * - `exposure`: brightness of the light, 1 by default
 * - `xr`: shows a button “Enter VR” if the device supports it
 *
 * Events: `progress` (a ProgressEvent over the bytes of the first picture), `load` (the first frame is
 * drawn), `error` (an ErrorEvent). None bubbles. The element has the attribute `loaded` while the asset is
 * shown.
 *
 * CSS sets the size, 300 × 300 pixels by default, and the background.
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

  #canvas = document.createElement("canvas");
  readonly #posterImage = document.createElement("img");
  readonly #message = document.createElement("p");
  readonly #vrButton = document.createElement("button");
  #observer: IntersectionObserver | null = null;
  #isNear = false;
  /** @internal The browser tests read it. */
  view: ElementView | null = null;
  /** Aborted when the element stops showing the current asset; null while there is none. */
  #loading: AbortController | null = null;

  constructor() {
    super();
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.#posterImage.alt = "";
    this.#posterImage.className = "poster";
    const posterSlot = document.createElement("slot");
    posterSlot.name = "poster";
    posterSlot.className = "poster";
    posterSlot.append(this.#posterImage);
    this.#message.className = "message";
    this.#message.setAttribute("part", "message");
    this.#message.setAttribute("role", "status");
    this.#vrButton.type = "button";
    this.#vrButton.textContent = "Enter VR";
    this.#vrButton.hidden = true;
    this.#vrButton.setAttribute("part", "xr-button");
    this.#vrButton.addEventListener("click", () => void this.#enterVr());
    const root = this.attachShadow({ mode: "open" });
    root.append(style, posterSlot, this.#canvas, this.#vrButton, this.#message);
  }

  /** The three.js object on show; null before `load`. */
  get model(): Asset | null {
    return this.view?.asset ?? null;
  }

  get src(): string | null {
    return this.getAttribute("src");
  }
  set src(value: string | null) {
    this.#setAttribute("src", value);
  }

  get asset(): string | null {
    return this.getAttribute("asset");
  }
  set asset(value: string | null) {
    this.#setAttribute("asset", value);
  }

  connectedCallback(): void {
    this.#applyAttributes();
    this.#observer = new IntersectionObserver(
      ([entry]) => {
        this.#isNear = entry?.isIntersecting ?? false;
        if (this.view) this.view.visible = this.#isNear;
        else if (this.#isNear && !this.#loading) this.#start();
      },
      { rootMargin: LOAD_MARGIN },
    );
    this.#observer.observe(this);
    // The observer answers only after the first layout; an element in view starts before.
    this.#startSoon();
  }

  disconnectedCallback(): void {
    // A moved element is disconnected and connected again in the same task.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#observer?.disconnect();
      this.#observer = null;
      this.#isNear = false;
      this.#stop();
    });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (name === "src" || name === "asset") {
      this.#stop();
      this.#startSoon();
    } else {
      this.#applyAttributes();
    }
  }

  /** Frees the context if the element is out of view; it loads again when it comes near. */
  sleep(): void {
    if (!this.#isNear) this.#stop();
  }

  #setAttribute(name: string, value: string | null): void {
    if (value === null) this.removeAttribute(name);
    else this.setAttribute(name, value);
  }

  /** In a microtask, since several attributes may change in one task. */
  #startSoon(): void {
    queueMicrotask(() => {
      if (this.isConnected && !this.#loading && isNearViewport(this)) this.#start();
    });
  }

  /** Applies the attributes that need no other asset. */
  #applyAttributes(): void {
    const name = this.getAttribute("alt") ?? this.ariaLabel ?? this.asset ?? "model";
    this.#canvas.setAttribute("role", "img");
    this.#canvas.ariaLabel = `3D: ${name}`;
    this.#canvas.tabIndex = 0;
    const poster = this.getAttribute("poster");
    this.#posterImage.hidden = poster === null;
    if (poster !== null && this.#posterImage.getAttribute("src") !== poster) this.#posterImage.src = poster;
    if (!this.view) return;
    const exposure = Number(this.getAttribute("exposure") ?? 1);
    this.view.exposure = exposure >= 0 && exposure < 100 ? exposure : 1;
    this.view.asset?.play(this.getAttribute("animation") ?? undefined);
    void this.#offerVr();
  }

  #start(): void {
    const { src } = this;
    if (!src) return;
    const loading = new AbortController();
    this.#loading = loading;
    this.#showMessage("");
    this.#load(src, loading.signal).catch((error: unknown) => {
      if (loading.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#showMessage(message);
      this.dispatchEvent(new ErrorEvent("error", { message, error }));
    });
  }

  async #load(src: string, signal: AbortSignal): Promise<void> {
    // Loads beside the catalogue, not after it. An error is thrown at `await code`.
    const code = import("./element-view.ts");
    code.catch(() => {});
    const session = pageSession();
    const state = await session.begin(src, this.asset ?? undefined);
    const remove = (): void => session.remove(state);
    if (signal.aborted) return remove();
    signal.addEventListener("abort", remove, { once: true });
    const progressTimer = setInterval(() => this.#reportProgress(state), PROGRESS_MS);
    try {
      const view = this.#expectedView(state);
      state.view = view;
      const animation = this.getAttribute("animation");
      if (animation) state.animationsToPlay = new Set([animation]);
      const stop = session.planAhead(view);
      const { ElementView } = await code.finally(stop);
      if (signal.aborted) return;
      const asset = await this.#openView(ElementView).show(state);
      if (signal.aborted) return;
      asset.play(this.getAttribute("animation") ?? undefined);
    } catch (error) {
      remove();
      throw error;
    } finally {
      clearInterval(progressTimer);
    }
    this.#reportProgress(state);
    this.toggleAttribute("loaded", true);
    this.dispatchEvent(new Event("load"));
  }

  /** The first view, for planning before there is a camera. */
  #expectedView({ entry }: AssetState): View {
    const { clientWidth, clientHeight } = this;
    const aspect = clientWidth / Math.max(1, clientHeight);
    const viewpoint = frameBox(entry.bounds, FIELD_OF_VIEW, aspect);
    return viewFrom(viewpoint, FIELD_OF_VIEW, aspect, clientHeight * devicePixelRatio);
  }

  #openView(ViewClass: typeof ElementView): ElementView {
    freeContexts();
    const gaze = this.getAttribute("gaze") === "pointer" ? "pointer" : "head";
    this.view = new ViewClass(this.#canvas, { fieldOfView: FIELD_OF_VIEW, gaze });
    active.add(this);
    this.#applyAttributes();
    return this.view;
  }

  /** Frees everything, and shows the poster again. */
  #stop(): void {
    this.#loading?.abort();
    this.#loading = null;
    if (this.view) {
      this.view.dispose();
      // A canvas whose context was lost on purpose never gets another one.
      const canvas = this.#canvas.cloneNode() as HTMLCanvasElement;
      this.#canvas.replaceWith(canvas);
      this.#canvas = canvas;
    }
    this.view = null;
    active.delete(this);
    this.toggleAttribute("loaded", false);
    this.#vrButton.hidden = true;
  }

  #reportProgress({ entry, base }: AssetState): void {
    const total = entry.base.bytes;
    const isComplete = base.loadState === "preparing" || base.loadState === "ready";
    const loaded = isComplete ? total : base.received;
    this.dispatchEvent(new ProgressEvent("progress", { lengthComputable: true, loaded, total }));
  }

  #showMessage(message: string): void {
    this.#message.textContent = message;
  }

  async #offerVr(): Promise<void> {
    const isWanted = this.hasAttribute("xr") && this.view !== null;
    const isSupported =
      isWanted && (await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false));
    this.#vrButton.hidden = !isSupported || !this.view;
  }

  async #enterVr(): Promise<void> {
    this.#vrButton.disabled = true;
    const onEnd = (): void => {
      this.#vrButton.disabled = false;
    };
    try {
      await this.view?.enterVr(onEnd);
    } catch (error) {
      onEnd();
      this.#showMessage(`VR does not start: ${(error as Error).message}`);
    }
  }
}

/** Makes room for one more context: elements out of view give theirs up, the oldest first. */
function freeContexts(): void {
  for (const element of active) {
    if (active.size < MAX_CONTEXTS) return;
    element.sleep();
  }
}

/** The same margin as the observer's. */
function isNearViewport(element: Element): boolean {
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
