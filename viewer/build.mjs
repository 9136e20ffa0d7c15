// Builds with `node build.mjs` into viewer/dist/, which a bundle's root holds beside bundle.json:
//
//   index.html                       the demo page
//   viewer/streamxr.js               what the page starts with: small, and asks for the catalogue at once
//   viewer/streamxr-viewer.js        the element <streamxr-viewer>, for any page
//   viewer/module/streamxr-viewer.js the library for pages that have three.js themselves, with its types
//   viewer/<name>-<hash>.js          three.js and the stage; HUD, room and XR load only when they are used
//   viewer/draco/*-<hash>.{js,wasm}  the Draco decoder that the workers run
//   viewer/basis/*-<hash>.{js,wasm}  the KTX2 transcoder, loaded when a bundle has such pictures
//
// Files without a hash in their name keep it over builds; every other file is named by its content, so it may be
// cached for ever. Same input, same bytes: nothing here depends on time, path or machine.

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

/** Copies one of three's decoder files under a name that carries its hash; answers its path below viewer/. */
async function copyDecoder(folder, file) {
  await mkdir(path.join(out, folder), { recursive: true });
  const bytes = await readFile(path.join(libraries, file));
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const { name, ext } = path.parse(file);
  const target = `${folder}/${name}-${hash}${ext}`;
  await writeFile(path.join(out, target), bytes);
  return target;
}

/** The chunks that a script needs before it runs, itself first, and those of a module that it imports at once. */
function chunksOf(metafile, ...entries) {
  const outputs = Object.entries(metafile.outputs);
  const wanted = new Set(
    entries.map((entry) => {
      const found = outputs.find(([, { entryPoint }]) => entryPoint?.endsWith(entry));
      if (!found) throw new Error(`no chunk for ${entry}: is it still imported lazily?`);
      return found[0];
    }),
  );
  for (const file of wanted) {
    for (const { path: imported, kind } of metafile.outputs[file]?.imports ?? []) {
      if (kind === "import-statement") wanted.add(imported);
    }
  }
  return [...wanted].map((file) => `viewer/${path.basename(file)}`);
}

/** Fills the page's preload links: what is asked for first, before a script has run. */
async function writePage(files, decoder) {
  const links = [
    ...files.map((file) => `<link rel="modulepreload" href="${file}">`),
    ...decoder.map((file) => `<link rel="preload" as="fetch" href="viewer/${file}" crossorigin>`),
  ];
  const page = await readFile(path.join(here, "index.html"), "utf8");
  if (!page.includes("<!-- preload -->")) throw new Error("index.html has no <!-- preload --> line");
  await writeFile(path.join(dist, "index.html"), page.replace("<!-- preload -->", links.join("\n")));
}

/** Answers the files that each way to use the viewer loads before the first asset byte. */
async function build() {
  await rm(dist, { recursive: true, force: true });
  const files = {
    DRACO_JS: await copyDecoder("draco", "draco/gltf/draco_wasm_wrapper.js"),
    DRACO_WASM: await copyDecoder("draco", "draco/gltf/draco_decoder.wasm"),
    BASIS_JS: await copyDecoder("basis", "basis/basis_transcoder.js"),
    BASIS_WASM: await copyDecoder("basis", "basis/basis_transcoder.wasm"),
  };
  const beside = (folder) =>
    Object.fromEntries(
      Object.entries(files).map(([name, file]) => [name, JSON.stringify(`${folder}/${file}`)]),
    );
  const options = {
    absWorkingDir: here,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    metafile: true,
    write: false,
    legalComments: "none",
    chunkNames: "[name]-[hash]",
    // Hashes are taken before terser, so they must change when terser does.
    banner: { js: `/* terser ${require("terser/package.json").version} */` },
    logLevel: "warning",
  };
  const { metafile } = await bundle({
    ...options,
    entryPoints: [
      { in: "src/page/page.ts", out: "streamxr" },
      { in: "src/element/element.ts", out: "streamxr-viewer" },
    ],
    outdir: out,
    define: beside("."),
    plugins: [trimmedThree],
    banner: { js: `${options.banner.js}${await threeNotice()}` },
  });
  await bundle({
    ...options,
    entryPoints: [{ in: "src/index.ts", out: "streamxr-viewer" }],
    outdir: path.join(out, "module"),
    define: beside(".."),
    external: ["three"],
  });
  await writeTypes();
  const decoder = [files.DRACO_JS, files.DRACO_WASM];
  const page = chunksOf(metafile, "src/page/page.ts", "src/page/main.ts");
  await writePage(page, decoder);
  const decoding = decoder.map((file) => `viewer/${file}`);
  return {
    page: ["index.html", ...page, ...decoding],
    element: [...chunksOf(metafile, "src/element/element.ts", "src/element/element-view.ts"), ...decoding],
  };
}

/** three.js is MIT: the notice of its own build travels with it. */
async function threeNotice() {
  return /\/\*\*?[\s\S]*?\*\//.exec(
    await readFile(path.join(libraries, "../../../build/three.core.js"), "utf8"),
  )[0];
}

/**
 * three.js by its single modules, without what the page and the element never draw with: shaders of materials that
 * glTF has not, and the filter for environments, which come filtered (three/environment.ts).
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
    // three's own build does the same to its shaders.
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

/** esbuild bundles; terser then takes another 4 % off. */
async function bundle(options) {
  const { outputFiles, metafile } = await esbuild.build(options);
  for (const { path: file, text } of outputFiles) {
    const { code } = await minify(text, {
      module: true,
      ecma: 2020,
      compress: { passes: 2 },
      format: { comments: /@license/ },
    });
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, code);
  }
  return { metafile };
}

/** The library's declarations. */
async function writeTypes() {
  const compiler = path.join(here, "node_modules/.bin/tsc");
  const types = path.join(out, "module/types");
  await promisify(execFile)(compiler, ["-p", path.join(here, "tsconfig.module.json"), "--outDir", types]);
}

/** Writes a `.br` neighbour of every file, for hosts that serve those, and prints its size. */
async function compress(first) {
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
  for (const [way, needed] of Object.entries(first)) {
    const sum = needed.reduce((total, file) => total + sizes.get(file), 0);
    console.log(
      `${`${way}, before the first asset byte`.padEnd(52)} ${"".padStart(7)}     ${kb(sum)} KB brotli`,
    );
  }
}

const kb = (bytes) => (bytes / 1000).toFixed(1).padStart(7);

try {
  await compress(await build());
} catch (error) {
  // esbuild has printed its own diagnostics with file and line.
  if (!error.errors) console.error(`build.mjs: ${error.message}\n${error.stdout ?? ""}`);
  process.exit(1);
}
