import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { MODEL, measure } from "./measure.js";

measure({
  prepare: () => new GLTFLoader(),
  start: async ({ scene }, loader) => scene.add((await loader.loadAsync(`${MODEL}raw.glb`)).scene),
});
