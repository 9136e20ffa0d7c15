// The scene and the measurement that all loaders share: renderer, lights, camera, frames.
import { DirectionalLight, HemisphereLight, PerspectiveCamera, Scene, WebGLRenderer } from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";

const SLOTS = ["map", "normalMap", "emissiveMap", "aoMap", "metalnessMap", "roughnessMap"];
export const MODEL = "./model/";
export const DECODER = new URL("./", import.meta.url).href;

/** three.js's Draco loader, with its decoder fetched before the clock starts. */
export function preloadedDraco() {
  const loader = new DRACOLoader().setDecoderPath(DECODER).setWorkerLimit(2);
  loader.preload();
  return loader;
}

/**
 * Draws a scene, and records in `window.frames` the content of each frame that differs from the one before.
 *
 * `stage` is `{ renderer, scene, camera }`. The harness calls `window.loadModel()`.
 * @param options.prepare `(stage) => loader`, called once, before the clock starts
 * @param options.start `(stage, loader) => Promise`, loads the model into the scene
 * @param options.update `(stage, loader)`, called before each frame
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
  const stage = { renderer, scene, camera };
  const loader = prepare(stage);
  const frames = [];
  let began = 0;
  let last = "";
  let drawing = false;
  renderer.setAnimationLoop(() => {
    update(stage, loader);
    // One frame at a time, as a compositor does; otherwise frames would queue on a machine without a GPU.
    if (drawing) return;
    renderer.render(scene, camera);
    const content = drawnContent(scene);
    drawing = true;
    whenDrawn(renderer.getContext(), () => {
      drawing = false;
      const key = JSON.stringify(content);
      if (key !== last) frames.push({ at: performance.now() - began, ...content });
      last = key;
    });
  });
  Object.assign(window, {
    frames,
    loadModel() {
      performance.clearResourceTimings();
      began = performance.now();
      frames.length = 0;
      start(stage, loader).catch((error) => {
        window.failure = String(error);
      });
    },
    bytes: () =>
      performance.getEntriesByType("resource").reduce((sum, { transferSize }) => sum + transferSize, 0),
  });
  requestAnimationFrame(() => requestAnimationFrame(() => document.body.setAttribute("data-ready", "")));
}

/** Calls `done` when the GPU has drawn the frame. Unlike reading a pixel, this does not block the page. */
function whenDrawn(gl, done) {
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  gl.flush();
  const poll = () => {
    if (gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.SIGNALED) done();
    else setTimeout(poll, 1);
  };
  poll();
}

/** Whether a mesh has no extent, and so is invisible: ours draws such meshes for its shader warm-up. */
function isPoint(geometry) {
  if (!geometry.boundingSphere) geometry.computeBoundingSphere();
  return geometry.boundingSphere.radius === 0;
}

/** The triangles and primitives that are visible, and the least width of each kind of map. */
function drawnContent(scene) {
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
