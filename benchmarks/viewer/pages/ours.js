import { StreamXR } from 'streamxr-viewer';
import { PerspectiveCamera } from 'three';
import { DECODER, measure } from './stage.js';

// Full detail, whatever the size on the screen, is what is timed: so the plan is made for somebody who stands in the
// middle of the model.
const close = new PerspectiveCamera(90, 1, 0.001, 100);

measure({
  prepare: ({ renderer }) =>
    new StreamXR({
      renderer,
      decoder: { js: `${DECODER}draco_wasm_wrapper.js`, wasm: `${DECODER}draco_decoder.wasm` },
    }),
  start: async ({ scene }, streamxr) => scene.add(await streamxr.load('./bundle.json')),
  update: (_, streamxr) => streamxr.update(close, 0.016),
});
