// What every loader is measured on: the same renderer, lights, camera and observer.
import { DirectionalLight, HemisphereLight, PerspectiveCamera, Scene, WebGLRenderer } from 'three';
import { DRACOLoader } from 'three/addons/loaders/DRACOLoader.js';

const SLOTS = ['map', 'normalMap', 'emissiveMap', 'aoMap', 'metalnessMap', 'roughnessMap'];
export const MODEL = './model/';
export const DECODER = new URL('./', import.meta.url).href;

/** three's decoder, fetched before the clock runs. */
export function warmDraco() {
  const loader = new DRACOLoader().setDecoderPath(DECODER).setWorkerLimit(2);
  loader.preload();
  return loader;
}

/**
 * Calls `start({scene, renderer, camera})` when the harness asks, draws, and notes what the frames drew.
 * @param options.start resolves to an object; `before` and `update` of `options` are called around it
 */
export function measure({ prepare, start, update = () => {} }) {
  const renderer = new WebGLRenderer({ antialias: false });
  renderer.setPixelRatio(1);
  renderer.setSize(innerWidth, innerHeight);
  document.body.append(renderer.domElement);
  const scene = new Scene();
  const sun = new DirectionalLight(0xffffff, 3);
  sun.position.set(1, 2, 3);
  scene.add(new HemisphereLight(0xffffff, 0x8899aa, 2), sun);
  const camera = new PerspectiveCamera(45, innerWidth / innerHeight, 0.01, 100);
  camera.position.set(0.6, 0.5, 3);
  camera.lookAt(0, 0, 0);
  const around = { renderer, scene, camera };
  const tools = prepare?.(around);
  const frames = [];
  let began = 0;
  let last = '';
  let drawing = false;
  renderer.setAnimationLoop(() => {
    update(around, tools);
    // One frame at a time, as a compositor has it: a CPU that draws would pile them up.
    if (drawing) return;
    renderer.render(scene, camera);
    const drawn = drawnIn(scene);
    drawing = true;
    whenDrawn(renderer.getContext(), () => {
      drawing = false;
      const key = JSON.stringify(drawn);
      if (key !== last) frames.push({ at: performance.now() - began, ...drawn });
      last = key;
    });
  });
  Object.assign(window, {
    frames,
    go() {
      performance.clearResourceTimings();
      began = performance.now();
      frames.length = 0;
      start(around, tools).catch((error) => {
        window.failure = String(error);
      });
    },
    bytes: () => performance.getEntriesByType('resource').reduce((sum, { transferSize }) => sum + transferSize, 0),
  });
  requestAnimationFrame(() => requestAnimationFrame(() => document.body.setAttribute('data-ready', '')));
}

/** A frame counts when its pixels are there. To read one would tell that too, but stop the page until then. */
function whenDrawn(gl, done) {
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  gl.flush();
  const look = () => {
    if (gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.SIGNALED) done();
    else setTimeout(look, 1);
  };
  look();
}

/** Nothing is seen of a mesh without any extent: ours draws such ones while the first file is on its way. */
function isPoint(geometry) {
  if (!geometry.boundingSphere) geometry.computeBoundingSphere();
  return geometry.boundingSphere.radius === 0;
}

/** Triangles, primitives, and the sizes of the maps of what is shown. */
function drawnIn(scene) {
  let triangles = 0;
  let primitives = 0;
  const maps = {};
  scene.traverseVisible((object) => {
    if (!object.isMesh || isPoint(object.geometry)) return;
    primitives++;
    triangles += (object.geometry.index ?? object.geometry.attributes.position).count / 3;
    for (const slot of SLOTS) {
      const image = object.material[slot]?.image;
      if (image) maps[slot] = Math.min(maps[slot] ?? Infinity, image.width);
    }
  });
  return { triangles, primitives, maps };
}
