// Makes the files of the other loaders, and the page scripts of all:
//   node peers.mjs single IN OUT     one file by glTF-Transform: Draco and WebP as in the pipeline
//   node peers.mjs needle IN FOLDER  a progressive glTF by Needle's build pipeline: Draco, and the same WebP
//   node peers.mjs pages FOLDER      one script per loader, and the Draco decoder that all share
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Logger, NodeIO } from "@gltf-transform/core";
import { ALL_EXTENSIONS } from "@gltf-transform/extensions";
import { dedup, draco, prune, textureCompress, weld } from "@gltf-transform/functions";
import draco3d from "draco3dgltf";
import * as esbuild from "esbuild";
import sharp from "sharp";

const benchmarkFolder = path.dirname(fileURLToPath(import.meta.url));
const [command, ...paths] = process.argv.slice(2);
await { single, needle, pages }[command](...paths);

async function single(input, output) {
  const io = new NodeIO().registerExtensions(ALL_EXTENSIONS).registerDependencies({
    "draco3d.encoder": await draco3d.createEncoderModule(),
    "draco3d.decoder": await draco3d.createDecoderModule(),
  });
  const document = await io.read(input);
  document.setLogger(new Logger(Logger.Verbosity.SILENT));
  const webp = (slots, quality) => textureCompress({ encoder: sharp, targetFormat: "webp", slots, quality });
  await document.transform(
    dedup(),
    weld(),
    webp(/^normalTexture$/, 90),
    webp(/^(?!normalTexture$)/, 80),
    prune(),
    draco({ method: "edgebreaker", quantizePosition: 14, quantizeNormal: 8, quantizeTexcoord: 12 }),
  );
  await io.write(output, document);
}

/** Writes the settings into the file: without them Needle's pipeline requires a KTX2 tool to be installed. */
function needle(input, folder) {
  mkdirSync(folder, { recursive: true });
  const glb = readFileSync(input);
  const length = glb.readUInt32LE(12);
  const json = JSON.parse(glb.subarray(20, 20 + length).toString());
  const normals = new Set(json.materials.map(({ normalTexture }) => normalTexture?.index));
  json.textures.forEach((texture, index) => {
    const quality = normals.has(index) ? 0.9 : 0.8;
    texture.extensions = { ...texture.extensions, NEEDLE_compression_texture: { mode: "webp", quality } };
  });
  json.extensions = { ...json.extensions, NEEDLE_mesh_compression: { compression: "draco" } };
  json.extensionsUsed = [
    ...(json.extensionsUsed ?? []),
    "NEEDLE_compression_texture",
    "NEEDLE_mesh_compression",
  ];
  const main = path.join(folder, "model.glb");
  writeFileSync(main, repack(json, glb.subarray(20 + length)));
  const tools = path.join(benchmarkFolder, "node_modules/@needle-tools/gltf-build-pipeline");
  run(tools, "make-progressive.mjs", main);
  run(tools, "pack-gltf.mjs", ...readdirSync(folder).map((name) => path.join(folder, name)));
}

function run(folder, script, ...files) {
  const done = spawnSync(process.execPath, [path.join(folder, script), ...files, "--no-caching"], {
    cwd: folder,
    encoding: "utf8",
  });
  if (done.status !== 0 || /^ERR/m.test(done.stdout))
    throw new Error(`${script}: ${done.stdout}\n${done.stderr}`);
}

/** A GLB of a new JSON chunk and the chunks that followed the old one. */
function repack(json, rest) {
  const text = Buffer.from(JSON.stringify(json));
  const padded = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, 0x20)]);
  const head = Buffer.alloc(20);
  head.write("glTF", 0);
  head.writeUInt32LE(2, 4);
  head.writeUInt32LE(20 + padded.length + rest.length, 8);
  head.writeUInt32LE(padded.length, 12);
  head.write("JSON", 16);
  return Buffer.concat([head, padded, rest]);
}

/** Resolves every import of three.js to the copy in this folder; the viewer's module would import its own. */
function useOneThree(build) {
  build.onResolve({ filter: /^three($|[/])/ }, ({ path: name, pluginData, kind }) =>
    pluginData === "resolved"
      ? undefined
      : build.resolve(name, { kind, resolveDir: benchmarkFolder, pluginData: "resolved" }),
  );
}

async function pages(folder) {
  mkdirSync(folder, { recursive: true });
  await esbuild.build({
    absWorkingDir: benchmarkFolder,
    entryPoints: ["raw", "single", "needle", "streamxr", "streamxr-preload"].map(
      (name) => `pages/${name}.js`,
    ),
    outdir: folder,
    bundle: true,
    format: "esm",
    minify: true,
    alias: {
      "streamxr-viewer": path.join(benchmarkFolder, "../../viewer/dist/viewer/module/streamxr-viewer.js"),
    },
    plugins: [{ name: "one-three", setup: useOneThree }],
    logLevel: "error",
  });
  const libraries = path.join(benchmarkFolder, "node_modules/three/examples/jsm/libs/draco/gltf");
  for (const name of ["draco_wasm_wrapper.js", "draco_decoder.wasm", "draco_decoder.js"])
    copyFileSync(path.join(libraries, name), path.join(folder, name));
}
