import { StreamXR } from "streamxr-viewer";
import { PerspectiveCamera } from "three";
import { DECODER, measure } from "./measure.js";

const CATALOGUE = "./bundle.json";
// Full detail is timed, whatever the size on the screen, so the plan is for a viewer inside the model.
const insideCamera = new PerspectiveCamera(90, 1, 0.001, 100);

/** @param preload whether the catalogue (0.8 KB) is fetched with the page's code, as on our own page */
export function loadWithStreamXR({ preload }) {
  measure({
    prepare: ({ renderer }) => {
      const streamxr = new StreamXR({
        renderer,
        decoder: { js: `${DECODER}draco_wasm_wrapper.js`, wasm: `${DECODER}draco_decoder.wasm` },
      });
      if (preload) streamxr.session.open(CATALOGUE);
      return streamxr;
    },
    start: async ({ scene }, streamxr) => scene.add(await streamxr.load(CATALOGUE, { scene })),
    update: (_, streamxr) => streamxr.update(insideCamera, 0.016),
  });
}
