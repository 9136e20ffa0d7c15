// `node build.mjs` builds viewer/dist/. Its files stand beside bundle.json in the root of a bundle:
//
//   index.html                       the demo page
//   viewer/streamxr.js               the page's start: small, and requests the catalogue at once
//   viewer/streamxr-viewer.js        the element <streamxr-viewer>, for any page
//   viewer/module/streamxr-viewer.js the library for pages with their own three.js, and its types
//   viewer/<name>-<hash>.js          three.js and the demo scene; HUD, room and XR are loaded on demand
//   viewer/draco/*-<hash>.{js,wasm}  the Draco decoder for the workers
//   viewer/basis/*-<hash>.{js,wasm}  the KTX2 transcoder, loaded when a bundle has such pictures
//
// A hash in a name is that of the content, so these files may be cached for ever. The other names are the same
// in every build. The same input gives the same bytes: nothing depends on time, path or machine.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompressSync } from "node:zlib";
import * as esbuild from "esbuild";
import { minify } from "terser";

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, "dist");
const out = path.join(dist, "viewer");
const require = createRequire(import.meta.url);
const libraries = path.join(path.dirname(require.resolve("three")), "../examples/jsm/libs");

/** Copies one of three's decoder files to a name with its hash. Returns its path below viewer/. */
async function copyDecoder(folder, file) {
  await mkdir(path.join(out, folder), { recursive: true });
  const bytes = await readFile(path.join(libraries, file));
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const { name, ext } = path.parse(file);
  const target = `${folder}/${name}-${hash}${ext}`;
  await writeFile(path.join(out, target), bytes);
  return target;
}

/** The chunks that entry points need before they run: they themselves first, then their static imports. */
function chunksOf(metafile, ...entries) {
  const outputs = Object.entries(metafile.outputs);
  const chunks = new Set(
    entries.map((entry) => {
      const found = outputs.find(([, { entryPoint }]) => entryPoint?.endsWith(entry));
      if (!found) throw new Error(`no chunk for ${entry}: is it an entry point or a dynamic import?`);
      return found[0];
    }),
  );
  for (const file of chunks) {
    for (const { path: imported, kind } of metafile.outputs[file]?.imports ?? []) {
      if (kind === "import-statement") chunks.add(imported);
    }
  }
  return [...chunks].map((file) => `viewer/${path.basename(file)}`);
}

/** Writes index.html with links that preload the first files before a script runs. */
async function writePage(chunks, decoder) {
  const links = [
    ...chunks.map((file) => `<link rel="modulepreload" href="${file}">`),
    ...decoder.map((file) => `<link rel="preload" as="fetch" href="viewer/${file}" crossorigin>`),
  ];
  const page = await readFile(path.join(here, "index.html"), "utf8");
  if (!page.includes("<!-- preload -->")) throw new Error("index.html has no line <!-- preload -->");
  await writeFile(path.join(dist, "index.html"), page.replace("<!-- preload -->", links.join("\n")));
}

/** Returns the files that the page and the element load before the first asset byte. */
async function build() {
  await rm(dist, { recursive: true, force: true });
  const decoders = {
    DRACO_JS: await copyDecoder("draco", "draco/gltf/draco_wasm_wrapper.js"),
    DRACO_WASM: await copyDecoder("draco", "draco/gltf/draco_decoder.wasm"),
    BASIS_JS: await copyDecoder("basis", "basis/basis_transcoder.js"),
    BASIS_WASM: await copyDecoder("basis", "basis/basis_transcoder.wasm"),
  };
  const metafile = await bundlePage(decoders);
  await bundleLibrary(decoders);
  await writeTypes();
  const draco = [decoders.DRACO_JS, decoders.DRACO_WASM];
  const page = chunksOf(metafile, "src/page/page.ts", "src/page/main.ts");
  await writePage(page, draco);
  const element = chunksOf(metafile, "src/element/element.ts", "src/element/element-view.ts");
  const decoding = draco.map((file) => `viewer/${file}`);
  return { page: ["index.html", ...page, ...decoding], element: [...element, ...decoding] };
}

// esbuild computes the hashes before terser runs, so they have to change with terser's version.
const BANNER = `/* terser ${require("terser/package.json").version} */`;

const OPTIONS = {
  absWorkingDir: here,
  banner: { js: BANNER },
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  metafile: true,
  write: false,
  legalComments: "none",
  chunkNames: "[name]-[hash]",
  logLevel: "warning",
};

/** Bundles the demo page and the element, which share their chunks. Returns esbuild's metafile. */
async function bundlePage(decoders) {
  return await bundle({
    ...OPTIONS,
    entryPoints: [
      { in: "src/page/page.ts", out: "streamxr" },
      { in: "src/element/element.ts", out: "streamxr-viewer" },
    ],
    outdir: out,
    define: decoderPaths(decoders, "."),
    plugins: [trimmedThree],
  });
}

/** Bundles the library for pages with their own three.js. */
async function bundleLibrary(decoders) {
  await bundle({
    ...OPTIONS,
    entryPoints: [{ in: "src/index.ts", out: "streamxr-viewer" }],
    outdir: path.join(out, "module"),
    define: decoderPaths(decoders, ".."),
    external: ["three"],
  });
}

/** Constants of the scripts: the decoders' paths relative to them. */
function decoderPaths(decoders, folder) {
  return Object.fromEntries(
    Object.entries(decoders).map(([name, file]) => [name, JSON.stringify(`${folder}/${file}`)]),
  );
}

/** The licence notice of three.js (MIT), which every copy must contain. */
async function threeNotice() {
  return /\/\*\*?[\s\S]*?\*\//.exec(
    await readFile(path.join(libraries, "../../../build/three.core.js"), "utf8"),
  )[0];
}

/**
 * Bundles three.js from its single modules, without code that the page and the element never use: the shaders
 * of materials that glTF does not have, and the environment filter, since environments are filtered
 * beforehand (three/environment.ts).
 */
const trimmedThree = {
  name: "trimmed-three",
  setup({ onResolve, onLoad }) {
    const source = path.join(path.dirname(require.resolve("three")), "../src");
    onResolve({ filter: /^three$/ }, () => ({ path: path.join(source, "Three.js"), sideEffects: false }));
    const shaders =
      /(mesh(lambert|phong|toon|matcap)|linedashed|equirect|background(Cube)?|cube|lights_(lambert|phong|toon)_\w+)\.glsl\.js$/;
    onLoad({ filter: shaders }, async ({ path: file }) => ({
      contents: (await readFile(file, "utf8")).replace(/`[^`]*`/g, '""'),
    }));
    onLoad({ filter: /PMREMGenerator\.js$/ }, () => ({ contents: "export class PMREMGenerator {}" }));
    // As in three's own build.
    onLoad({ filter: /\.glsl\.js$/ }, async ({ path: file }) => ({
      contents: (await readFile(file, "utf8")).replace(/`[^`]*`/g, (shader) =>
        shader
          .replace(/[ \t]*\/\/.*/g, "")
          .replace(/[ \t]*\/\*[\s\S]*?\*\//g, "")
          .replace(/\s*\n\s*/g, "\n"),
      ),
    }));
  },
};

/** Bundles with esbuild, then minifies with terser, which saves another 4 %. Returns esbuild's metafile. */
async function bundle(options) {
  const { outputFiles, metafile } = await esbuild.build(options);
  const notice = await threeNotice();
  for (const { path: file, text } of outputFiles) {
    const { code } = await minify(text, {
      module: true,
      ecma: 2020,
      compress: { passes: 2 },
      format: { comments: false },
    });
    const { inputs } = metafile.outputs[path.relative(here, file)];
    const hasThree = Object.keys(inputs).some((input) => input.includes("node_modules/three/"));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, hasThree ? `${notice}\n${code}` : code);
  }
  return metafile;
}

/** Writes the library's type declarations. */
async function writeTypes() {
  const compiler = path.join(here, "node_modules/.bin/tsc");
  const types = path.join(out, "module/types");
  await promisify(execFile)(compiler, ["-p", path.join(here, "tsconfig.module.json"), "--outDir", types]);
}

/**
 * Compresses every file to a `.br` file beside it, for hosts that serve those, and prints the sizes.
 *
 * @param firstFiles by use: the files that are loaded before the first asset byte
 */
async function compress(firstFiles) {
  const sizes = new Map();
  const files = (await readdir(dist, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".d.ts"))
    .map((entry) => path.relative(dist, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
  for (const file of files) {
    const bytes = await readFile(path.join(dist, file));
    const compressed = brotliCompressSync(bytes);
    await writeFile(path.join(dist, `${file}.br`), compressed);
    sizes.set(file, compressed.length);
    console.log(`${file.padEnd(52)} ${kb(bytes.length)} KB  ${kb(compressed.length)} KB brotli`);
  }
  for (const [use, needed] of Object.entries(firstFiles)) {
    const sum = needed.reduce((total, file) => total + sizes.get(file), 0);
    console.log(
      `${`${use}, before the first asset byte`.padEnd(52)} ${"".padStart(7)}     ${kb(sum)} KB brotli`,
    );
  }
}

const kb = (bytes) => (bytes / 1000).toFixed(1).padStart(7);

try {
  await compress(await build());
} catch (error) {
  // esbuild has printed its errors already.
  if (!error.errors) console.error(`build.mjs: ${error.message}\n${error.stdout ?? ""}`);
  process.exit(1);
}
