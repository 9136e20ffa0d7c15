import { StreamXR } from 'streamxr-viewer';
import { PerspectiveCamera } from 'three';
import { DECODER, measure } from './stage.js';

const CATALOGUE = './bundle.json';
// Full detail, whatever the size on the screen, is what is timed: so the plan is made for somebody who stands in the
// middle of the model.
const close = new PerspectiveCamera(90, 1, 0.001, 100);

/** @param ahead whether the bundle's catalogue, 0.8 KB, comes with the page's code, as our own page has it */
export function show({ ahead }) {
  measure({
    prepare: ({ renderer }) => {
      const streamxr = new StreamXR({
        renderer,
        decoder: { js: `${DECODER}draco_wasm_wrapper.js`, wasm: `${DECODER}draco_decoder.wasm` },
      });
      if (ahead) streamxr.session.open(CATALOGUE);
      return streamxr;
    },
    start: async ({ scene }, streamxr) => scene.add(await streamxr.load(CATALOGUE, { scene })),
    update: (_, streamxr) => streamxr.update(close, 0.016),
  });
}
