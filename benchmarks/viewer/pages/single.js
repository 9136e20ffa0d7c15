import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { MODEL, measure, preloadedDraco } from "./measure.js";

measure({
  prepare: () => new GLTFLoader().setDRACOLoader(preloadedDraco()),
  start: async ({ scene }, loader) => scene.add((await loader.loadAsync(`${MODEL}single.glb`)).scene),
});
