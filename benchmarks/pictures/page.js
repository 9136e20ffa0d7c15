// Draws a model from several cameras. The Python side drives it by window.load and window.draw.
import * as THREE from "three";
import { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

const renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
renderer.setPixelRatio(1);
renderer.setClearColor(0x000000, 0);
document.body.append(renderer.domElement);
const room = new RoomEnvironment();
const environment = new THREE.PMREMGenerator(renderer).fromScene(room, 0.04).texture;

const loader = new GLTFLoader()
  .setDRACOLoader(new DRACOLoader().setDecoderPath("/draco/"))
  .setMeshoptDecoder(MeshoptDecoder);

let shown = null;
let replaced = null;

/** Loads a GLB in its rest pose. Returns its box, its triangles and its draw calls. */
window.load = async (url) => {
  const { scene } = await loader.loadAsync(url);
  scene.updateMatrixWorld(true);
  let triangles = 0;
  let calls = 0;
  scene.traverse((object) => {
    if (object.isLight) object.intensity = 0; // other tools drop lights
    if (!object.isMesh) return;
    object.frustumCulled = false;
    const { index, attributes } = object.geometry;
    triangles += ((index ?? attributes.position).count / 3) * (object.isInstancedMesh ? object.count : 1);
    calls += 1;
  });
  const box = new THREE.Box3().setFromObject(scene, true);
  // The replaced model keeps its compiled shaders alive until this one has been drawn.
  replaced = shown;
  shown = new THREE.Scene();
  shown.environment = environment;
  shown.add(scene);
  return { box: [box.min.toArray(), box.max.toArray()], triangles, calls };
};

/**
 * Draws the model from each camera. Returns the pixels as base64: rows from the bottom, RGBA with premultiplied alpha,
 * one picture after the other.
 */
window.draw = (cameras, side) => {
  renderer.setSize(side, side, false);
  const gl = renderer.getContext();
  const size = side * side * 4;
  const pixels = new Uint8Array(size * cameras.length);
  cameras.forEach(({ position, target, up, fov, near, far }, index) => {
    const camera = new THREE.PerspectiveCamera(fov, 1, near, far);
    camera.position.fromArray(position);
    camera.up.fromArray(up);
    camera.lookAt(...target);
    renderer.render(shown, camera);
    gl.readPixels(0, 0, side, side, gl.RGBA, gl.UNSIGNED_BYTE, pixels.subarray(index * size, (index + 1) * size));
  });
  if (replaced) release(replaced);
  replaced = null;
  return base64(pixels);
};

function release(scene) {
  scene.traverse((object) => {
    if (object.isSkinnedMesh) object.skeleton.dispose();
    object.geometry?.dispose();
    for (const material of [object.material ?? []].flat()) {
      for (const value of Object.values(material)) if (value?.isTexture) dispose(value);
      material.dispose();
    }
  });
}

function dispose(texture) {
  texture.source.data?.close?.();
  texture.dispose();
}

function base64(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 0x6000)
    parts.push(btoa(String.fromCharCode(...bytes.subarray(start, start + 0x6000))));
  return parts.join("");
}

window.ready = true;
