import { type Object3D, Vector3 } from "three";
import type { Box } from "../core/bundle/bundle.ts";
import type { StreamXR } from "../index.ts";
import { frame, type Place } from "../layout.ts";
import type { Asset } from "../three/asset.ts";
import type { DemoScene, Footprint } from "./demo-scene.ts";
import type { Exhibition } from "./exhibition.ts";
import { LoadingBar } from "./loading-bar.ts";
import type { Shadows } from "./shadow.ts";

const UP = new Vector3(0, 1, 0);
/** Angle about the assets over which visitors of a room start, radians. */
const START_SPREAD = 1.4;

export interface Drawing {
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
   * Puts every asset at its place in the current layout, and starts to draw new ones. The camera follows
   * until the visitor moves it.
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
    const place = this.#exhibition.layout.places.find((each) => each.id === id);
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
