// A flat mesh: all triangles of a model in asset space, for simplifiers that take arrays.
//
// A file of a flat mesh is a line of JSON, {vertices, triangles, attributes: {NAME: components}}, and then little-endian
// arrays: each attribute as float32, the material of each vertex as int32 (-1 for none), and the triangles as uint32.
import { readFileSync, writeFileSync } from "node:fs";
import { MeshoptSimplifier } from "meshoptimizer";

const TYPES = { 2: "VEC2", 3: "VEC3", 4: "VEC4" };
const KEPT = { POSITION: 3, NORMAL: 3, TEXCOORD_0: 2, TEXCOORD_1: 2, COLOR_0: 4 };
const DEFAULTS = { COLOR_0: 1 };

export function writeFlat(path, { attributes, materials, triangles }) {
  const head = {
    vertices: materials.length,
    triangles: triangles.length / 3,
    attributes: Object.fromEntries(Object.keys(attributes).map((name) => [name, KEPT[name]])),
  };
  const parts = [...Object.values(attributes), materials, triangles].map(
    (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
  );
  const text = Buffer.from(JSON.stringify(head));
  // The arrays start at a multiple of four.
  writeFileSync(path, Buffer.concat([text, Buffer.alloc(3 - (text.length % 4), 0x20), Buffer.from("\n"), ...parts]));
  return head;
}

export function readFlat(path) {
  const content = readFileSync(path);
  let offset = content.indexOf("\n") + 1;
  const head = JSON.parse(content.subarray(0, offset).toString());
  const take = (Type, count) => {
    const array = new Type(content.buffer.slice(content.byteOffset + offset, content.byteOffset + offset + 4 * count));
    offset += 4 * count;
    return array;
  };
  const attributes = {};
  for (const [name, size] of Object.entries(head.attributes)) attributes[name] = take(Float32Array, size * head.vertices);
  return { attributes, materials: take(Int32Array, head.vertices), triangles: take(Uint32Array, 3 * head.triangles) };
}

/** All triangles of the default scene at rest, with the attributes that any of them has. */
export function flattened(document) {
  const root = document.getRoot();
  const materials = root.listMaterials();
  const scene = root.getDefaultScene() ?? root.listScenes()[0];
  const placed = [];
  scene.traverse((node) => {
    for (const primitive of node.getMesh()?.listPrimitives() ?? [])
      if (primitive.getMode() === 4) placed.push({ node, primitive });
  });
  const has = (name) => placed.some(({ primitive }) => primitive.getAttribute(name));
  const names = Object.keys(KEPT).filter(has);
  const count = placed.reduce((sum, { primitive }) => sum + primitive.getAttribute("POSITION").getCount(), 0);
  const attributes = Object.fromEntries(
    names.map((name) => [name, new Float32Array(KEPT[name] * count).fill(DEFAULTS[name] ?? 0)]),
  );
  const ofVertex = new Int32Array(count);
  const triangles = [];
  let first = 0;
  for (const { node, primitive } of placed) {
    const size = primitive.getAttribute("POSITION").getCount();
    const matrices = vertexMatrices(node, primitive);
    for (const name of names) copyAttribute(primitive.getAttribute(name), attributes[name], name, first, matrices);
    ofVertex.fill(primitive.getMaterial() ? materials.indexOf(primitive.getMaterial()) : -1, first, first + size);
    const index = primitive.getIndices()?.getArray() ?? Uint32Array.from({ length: size }, (_, i) => i);
    const mirrored = !node.getSkin() && determinant(node.getWorldMatrix()) < 0;
    for (let k = 0; k + 2 < index.length; k += 3) {
      const [a, b, c] = [index[k], index[k + 1], index[k + 2]];
      triangles.push(first + a, first + (mirrored ? c : b), first + (mirrored ? b : c));
    }
    first += size;
  }
  return { attributes, materials: ofVertex, triangles: Uint32Array.from(triangles) };
}

function copyAttribute(accessor, target, name, first, matrices) {
  if (!accessor) return;
  const size = KEPT[name];
  const value = [];
  for (let i = 0; i < accessor.getCount(); i++) {
    accessor.getElement(i, value);
    const moved =
      name === "POSITION" ? point(matrices(i), value) : name === "NORMAL" ? direction(matrices(i), value) : value;
    for (let k = 0; k < Math.min(size, moved.length); k++) target[(first + i) * size + k] = moved[k];
  }
}

/** By vertex: the matrix into asset space; of a skinned mesh, that of its joints at rest. */
function vertexMatrices(node, primitive) {
  const world = node.getWorldMatrix();
  const skin = node.getSkin();
  const joints = primitive.getAttribute("JOINTS_0");
  if (!skin || !joints) return () => world;
  const inverse = skin.getInverseBindMatrices();
  const bones = skin
    .listJoints()
    .map((joint, i) => (inverse ? product(joint.getWorldMatrix(), inverse.getElement(i, [])) : joint.getWorldMatrix()));
  const weights = primitive.getAttribute("WEIGHTS_0");
  return (vertex) => {
    const [bone, weight] = [joints.getElement(vertex, []), weights.getElement(vertex, [])];
    return world.map((_, k) => bone.reduce((sum, b, i) => sum + weight[i] * bones[b][k], 0));
  };
}

const product = (a, b) =>
  a.map((_, k) => [0, 1, 2, 3].reduce((sum, i) => sum + a[i * 4 + (k % 4)] * b[Math.floor(k / 4) * 4 + i], 0));
const point = (m, [x, y, z]) => [0, 1, 2].map((k) => m[k] * x + m[4 + k] * y + m[8 + k] * z + m[12 + k]);
const determinant = (m) =>
  m[0] * (m[5] * m[10] - m[9] * m[6]) - m[4] * (m[1] * m[10] - m[9] * m[2]) + m[8] * (m[1] * m[6] - m[5] * m[2]);

/** A normal by the cofactors of the matrix, which is the inverse transpose but for its length. */
function direction(m, [x, y, z]) {
  const [a, b, c] = [m.slice(0, 3), m.slice(4, 7), m.slice(8, 11)];
  const [u, v, w] = [cross(b, c), cross(c, a), cross(a, b)];
  const sign = determinant(m) < 0 ? -1 : 1;
  const normal = [0, 1, 2].map((k) => sign * (u[k] * x + v[k] * y + w[k] * z));
  const length = Math.hypot(...normal) || 1;
  return normal.map((value) => value / length);
}

const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

/**
 * meshoptimizer's simplifyWithUpdate: attribute-aware, and free to move vertices.
 *
 * weights: by attribute. Seams between materials are protected, since a triangle has one material.
 */
export function simplified({ attributes, materials, triangles }, count, { weights, flags }) {
  const { POSITION: positions, ...others } = attributes;
  const used = Object.keys(others).filter((name) => weights[name]);
  const stride = used.reduce((sum, name) => sum + KEPT[name], 0);
  const packed = new Float32Array(stride * materials.length);
  let column = 0;
  for (const name of used) {
    for (let i = 0; i < materials.length; i++)
      for (let k = 0; k < KEPT[name]; k++) packed[i * stride + column + k] = others[name][i * KEPT[name] + k];
    column += KEPT[name];
  }
  const [size] = MeshoptSimplifier.simplifyWithUpdate(
    triangles,
    positions,
    3,
    packed,
    stride,
    used.flatMap((name) => Array(KEPT[name]).fill(weights[name])),
    materialSeams(positions, materials),
    3 * count,
    1,
    flags,
  );
  column = 0;
  for (const name of used) {
    for (let i = 0; i < materials.length; i++)
      for (let k = 0; k < KEPT[name]; k++) others[name][i * KEPT[name] + k] = packed[i * stride + column + k];
    column += KEPT[name];
  }
  return { attributes: { POSITION: positions, ...others }, materials, triangles: triangles.subarray(0, size).slice() };
}

/** For each vertex 2, which protects it, if its position has vertices of several materials. */
function materialSeams(positions, materials) {
  const remap = MeshoptSimplifier.generatePositionRemap(positions, 3);
  const several = new Uint8Array(materials.length);
  materials.forEach((material, i) => {
    if (material !== materials[remap[i]]) several[remap[i]] = 2;
  });
  return Uint8Array.from(remap, (first) => several[first]);
}

/** The document with a flat mesh instead of its scene: one primitive for each material. */
export function assembled(document, { attributes, materials, triangles }) {
  const root = document.getRoot();
  const originals = root.listMaterials();
  // A sampler that outlives its animation would keep its keyframes in the file.
  for (const animation of root.listAnimations())
    for (const part of [...animation.listChannels(), ...animation.listSamplers(), animation]) part.dispose();
  for (const list of [root.listSkins(), root.listNodes(), root.listMeshes(), root.listCameras()])
    for (const property of list) property.dispose();
  for (const scene of root.listScenes()) scene.dispose();
  const buffer = root.listBuffers()[0] ?? document.createBuffer();
  const mesh = document.createMesh();
  for (const [material, list] of byMaterial(materials, triangles)) {
    const vertices = [...new Set(list)];
    const place = new Map(vertices.map((vertex, i) => [vertex, i]));
    const primitive = document.createPrimitive();
    for (const [name, values] of Object.entries(attributes)) {
      const size = KEPT[name];
      const array = new Float32Array(size * vertices.length);
      vertices.forEach((vertex, i) => {
        array.set(values.subarray(vertex * size, (vertex + 1) * size), i * size);
      });
      if (name === "NORMAL") normalize(array);
      if (name === "COLOR_0") array.forEach((value, i) => (array[i] = Math.min(Math.max(value, 0), 1)));
      primitive.setAttribute(
        name,
        document.createAccessor().setType(TYPES[size]).setArray(array).setBuffer(buffer),
      );
    }
    const index = Uint32Array.from(list, (vertex) => place.get(vertex));
    primitive.setIndices(document.createAccessor().setType("SCALAR").setArray(index).setBuffer(buffer));
    mesh.addPrimitive(primitive.setMaterial(originals[material] ?? null));
  }
  const scene = document.createScene().addChild(document.createNode().setMesh(mesh));
  root.setDefaultScene(scene);
  return document;
}

/** The corners of the triangles of each material. */
function byMaterial(materials, triangles) {
  const lists = new Map();
  for (let k = 0; k < triangles.length; k += 3) {
    const material = materials[triangles[k]];
    if (!lists.has(material)) lists.set(material, []);
    lists.get(material).push(triangles[k], triangles[k + 1], triangles[k + 2]);
  }
  return [...lists].sort(([a], [b]) => a - b);
}

function normalize(array) {
  for (let i = 0; i < array.length; i += 3) {
    const length = Math.hypot(array[i], array[i + 1], array[i + 2]) || 1;
    for (let k = 0; k < 3; k++) array[i + k] /= length;
  }
}
