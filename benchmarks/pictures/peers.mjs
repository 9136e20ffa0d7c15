// Runs Node.js tools for the comparison of pictures; every command prints its result as JSON:
//   node peers.mjs glb IN OUT                a glTF with its files as one GLB
//   node peers.mjs shrink IN OUT PIXELS      the same model with pictures of at most PIXELS, as WebP
//   node peers.mjs gltf-transform IN OUT R   weld, and simplify to the share R of the triangles
//   node peers.mjs flatten IN FLAT           all triangles in asset space, as one flat mesh (flat.mjs)
//   node peers.mjs meshopt FLAT OUT N {…}    a flat mesh simplified to N triangles
//   node peers.mjs assemble IN FLAT OUT      a GLB of a flat mesh, with the materials of IN
//   node peers.mjs draco IN OUT              geometry compressed by Draco
//   node peers.mjs cut JOB OUT               a cut through the trees of a bundle (see ours.py)
//   node peers.mjs versions                  the versions of all tools
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Logger, NodeIO } from "@gltf-transform/core";
import { ALL_EXTENSIONS } from "@gltf-transform/extensions";
import {
  convertPrimitiveToTriangles,
  copyToDocument,
  createDefaultPropertyResolver,
  draco,
  prune,
  simplify,
  textureCompress,
  unpartition,
  weld,
} from "@gltf-transform/functions";
import draco3d from "draco3dgltf";
import { MeshoptDecoder, MeshoptEncoder, MeshoptSimplifier } from "meshoptimizer";
import sharp from "sharp";
import { assembled, flattened, readFlat, simplified, writeFlat } from "./flat.mjs";

// The quantisation and qualities of the pipeline, so that sizes are comparable; Draco at its smallest.
const DRACO = { method: "edgebreaker", quantizeNormal: 8, quantizeTexcoord: 12, encodeSpeed: 0, decodeSpeed: 0 };
const ROLES = [
  { slots: /^normalTexture$/, quality: 90 },
  { slots: /^(?!normalTexture$)/, quality: 80 },
];

const io = new NodeIO().registerExtensions(ALL_EXTENSIONS).registerDependencies({
  "draco3d.encoder": await draco3d.createEncoderModule(),
  "draco3d.decoder": await draco3d.createDecoderModule(),
  "meshopt.decoder": MeshoptDecoder,
  "meshopt.encoder": MeshoptEncoder,
});
await Promise.all([MeshoptDecoder.ready, MeshoptEncoder.ready, MeshoptSimplifier.ready]);

/** Reads a file, which is written without the compression that it had. */
async function read(path) {
  const document = await io.read(path);
  document.setLogger(new Logger(Logger.Verbosity.SILENT));
  for (const extension of document.getRoot().listExtensionsUsed())
    if (/_(draco|meshopt)_/.test(extension.extensionName)) extension.dispose();
  return document;
}

async function transformed(input, output, ...steps) {
  const document = await read(input);
  await document.transform(...steps);
  await io.write(output, document);
}

const commands = {
  glb: (input, output) => transformed(input, output),

  shrink: (input, output, pixels) =>
    transformed(
      input,
      output,
      ...ROLES.map((role) =>
        textureCompress({ encoder: sharp, targetFormat: "webp", resize: [Number(pixels), Number(pixels)], ...role }),
      ),
      prune(),
    ),

  // Without an error limit, so that the ratio decides, and without locked borders.
  "gltf-transform": (input, output, ratio) =>
    transformed(
      input,
      output,
      weld(),
      simplify({ simplifier: MeshoptSimplifier, ratio: Number(ratio), error: 1, lockBorder: false }),
      prune(),
    ),

  draco: (input, output) => transformed(input, output, weld(), draco({ ...DRACO, quantizePosition: 14 })),

  flatten: async (input, output) => {
    const document = await read(input);
    for (const mesh of document.getRoot().listMeshes())
      for (const primitive of mesh.listPrimitives()) if (primitive.getMode() > 4) convertPrimitiveToTriangles(primitive);
    return writeFlat(output, flattened(document));
  },

  meshopt: (input, output, triangles, options) =>
    writeFlat(output, simplified(readFlat(input), Number(triangles), JSON.parse(options))),

  assemble: async (input, flat, output) => {
    const document = assembled(await read(input), readFlat(flat));
    await document.transform(prune());
    await io.write(output, document);
  },

  cut: async (path, output) => {
    const job = JSON.parse(readFileSync(path, "utf8"));
    const document = await read(job.base);
    for (const tree of job.trees) await replaceMesh(document, tree);
    const pictures = document.getRoot().listTextures();
    for (const { image, path: file, type } of job.pictures)
      pictures[image].setImage(readFileSync(file)).setMimeType(type);
    await document.transform(prune(), unpartition());
    await io.write(output, document);
  },

  versions: () => {
    const lock = createRequire(import.meta.url)("./package-lock.json");
    const packages = ["gltfpack", "@gltf-transform/functions", "meshoptimizer", "draco3dgltf", "sharp", "three"];
    return Object.fromEntries(packages.map((name) => [name, lock.packages[`node_modules/${name}`].version]));
  },
};

/** Replaces the triangles of a tree in the base by those of the regions of a cut. */
async function replaceMesh(document, { nodes, kinds, regions }) {
  const mesh = document.getRoot().listNodes()[nodes[0]].getMesh();
  const old = mesh.listPrimitives();
  const materials = document.getRoot().listMaterials();
  for (const primitive of old.slice(0, kinds.length)) mesh.removePrimitive(primitive);
  for (const { path, parts } of regions) {
    const file = await read(path);
    const resolve = createDefaultPropertyResolver(document, file);
    for (const { mesh: index, primitives } of parts) {
      const found = file.getRoot().listMeshes()[index].listPrimitives();
      const copies = copyToDocument(document, file, found, resolve);
      found.forEach((primitive, number) => {
        const material = kinds[primitives[number]];
        mesh.addPrimitive(copies.get(primitive).setMaterial(material === null ? null : materials[material]));
      });
    }
  }
}

const [command, ...values] = process.argv.slice(2);
console.log(JSON.stringify((await commands[command](...values)) ?? {}));
