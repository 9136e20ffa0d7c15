import { setDracoDecoderLocation, useNeedleProgressive } from "@needle-tools/gltf-progressive";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { DECODER, MODEL, measure } from "./measure.js";

setDracoDecoderLocation(DECODER);

measure({
  prepare: ({ renderer }) => {
    const loader = new GLTFLoader();
    // Full detail is timed, whatever the size on the screen.
    useNeedleProgressive(loader, renderer).overrideLodLevel = 0;
    loader.dracoLoader.preload();
    return loader;
  },
  start: async ({ scene }, loader) => scene.add((await loader.loadAsync(`${MODEL}needle/model.glb`)).scene),
});
