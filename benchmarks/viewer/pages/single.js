import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { MODEL, measure, warmDraco } from './stage.js';

measure({
  prepare: () => new GLTFLoader().setDRACOLoader(warmDraco()),
  start: async ({ scene }, loader) => scene.add((await loader.loadAsync(`${MODEL}single.glb`)).scene),
});
