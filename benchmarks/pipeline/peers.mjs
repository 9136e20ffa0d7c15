// Runs glTF-Transform for the comparison with the pipeline; prints the result as JSON:
//   node peers.mjs simplify IN OUT RATIO               one simplified GLB, uncompressed
//   node peers.mjs lods IN FOLDER '[{ratio, pixels, bits, speed}]'
//                                                      levels of detail: simplify, Draco, WebP at `pixels`
//   node peers.mjs versions                            the versions of all tools
import { createRequire } from "node:module";
import { mkdirSync, statSync } from "node:fs";
import { Logger, NodeIO, PropertyType } from "@gltf-transform/core";
import { ALL_EXTENSIONS } from "@gltf-transform/extensions";
import {
  cloneDocument,
  dedup,
  draco,
  prune,
  simplify,
  textureCompress,
  weld,
} from "@gltf-transform/functions";
import draco3d from "draco3dgltf";
import { MeshoptSimplifier } from "meshoptimizer";
import sharp from "sharp";

const [command, input, output, argument] = process.argv.slice(2);

// The quantisation and qualities of the pipeline, so that sizes are comparable.
const DRACO = { method: "edgebreaker", quantizeNormal: 8, quantizeTexcoord: 12 };
const ROLES = [
  { slots: /^normalTexture$/, quality: 90 },
  { slots: /^(?!normalTexture$)/, quality: 80 },
];

async function reader() {
  return new NodeIO().registerExtensions(ALL_EXTENSIONS).registerDependencies({
    "draco3d.encoder": await draco3d.createEncoderModule(),
    "draco3d.decoder": await draco3d.createDecoderModule(),
  });
}

// Without an error limit, so that the ratio decides, and without locked borders.
const simplified = (ratio) => simplify({ simplifier: MeshoptSimplifier, ratio, error: 1, lockBorder: false });

function triangleCount(document) {
  let count = 0;
  for (const mesh of document.getRoot().listMeshes())
    for (const primitive of mesh.listPrimitives()) count += primitive.getIndices().getCount() / 3;
  return count;
}

if (command === "simplify") {
  const io = await reader();
  const document = await io.read(input);
  document.setLogger(new Logger(Logger.Verbosity.SILENT));
  document
    .getRoot()
    .listTextures()
    .forEach((t) => t.dispose());
  await document.transform(weld(), simplified(Number(argument)), prune());
  await io.write(output, document);
  console.log(JSON.stringify({ triangles: triangleCount(document) }));
} else if (command === "lods") {
  const io = await reader();
  const source = await io.read(input);
  source.setLogger(new Logger(Logger.Verbosity.SILENT));
  // Work that all levels share is done once.
  await source.transform(dedup({ propertyTypes: [PropertyType.ACCESSOR, PropertyType.TEXTURE] }), weld());
  mkdirSync(output, { recursive: true });
  const levels = [];
  for (const [index, { ratio, pixels, bits, speed }] of JSON.parse(argument).entries()) {
    const document = cloneDocument(source);
    const steps = ratio < 1 ? [simplified(ratio)] : [];
    for (const role of ROLES)
      steps.push(
        textureCompress({ encoder: sharp, targetFormat: "webp", resize: [pixels, pixels], ...role }),
      );
    await document.transform(
      ...steps,
      prune(),
      draco({ ...DRACO, encodeSpeed: speed, decodeSpeed: speed, quantizePosition: bits }),
    );
    const file = `${output}/lod${index}.glb`;
    await io.write(file, document);
    levels.push({ triangles: triangleCount(document), pixels, bytes: statSync(file).size });
  }
  console.log(JSON.stringify(levels));
} else {
  const packages = ["@gltf-transform/functions", "meshoptimizer", "draco3dgltf", "sharp", "gltfpack"];
  const lock = createRequire(import.meta.url)("./package-lock.json");
  console.log(
    JSON.stringify(Object.fromEntries(packages.map((p) => [p, lock.packages[`node_modules/${p}`].version]))),
  );
}
