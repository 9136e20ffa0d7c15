// Builds the page with `node build.mjs` into viewer/dist/:
//
//   index.html                       the demo page; a bundle root holds it beside bundle.json
//   viewer/streamxr.js               what the page starts with: small, and asks for the catalogue at once
//   viewer/<name>-<hash>.js          three.js and the stage; HUD, room and XR load only when they are used
//   viewer/draco/*-<hash>.{js,wasm}  the Draco decoder that the workers run
//   viewer/basis/*-<hash>.{js,wasm}  the KTX2 transcoder, loaded when a bundle has such pictures
//
// Only index.html and streamxr.js keep their names over builds; every other file is named by its content,
// so it may be cached for ever. Same input, same bytes: nothing here depends on time, path or machine.

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, "dist");
const out = path.join(dist, "viewer");
const libraries = path.join(
  path.dirname(createRequire(import.meta.url).resolve("three")),
  "../examples/jsm/libs",
);

/** Copies a decoder's two files under names that carry their hashes; answers their paths below viewer/. */
async function copyDecoder(folder, from, js, wasm) {
  await mkdir(path.join(out, folder), { recursive: true });
  const copy = async (name) => {
    const bytes = await readFile(path.join(libraries, from, name));
    const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
    const { name: stem, ext } = path.parse(name);
    const target = `${folder}/${stem}-${hash}${ext}`;
    await writeFile(path.join(out, target), bytes);
    return target;
  };
  return { js: await copy(js), wasm: await copy(wasm) };
}

/** Fills the page's preload links: what is asked for first, before a script has run. */
async function writePage(metafile, decoder) {
  const chunks = Object.entries(metafile.outputs)
    .map(([file, meta]) => ({ file: `viewer/${path.basename(file)}`, meta }))
    .filter(({ file }) => file.endsWith(".js"));
  const byFile = new Map(chunks.map((chunk) => [chunk.file, chunk.meta]));
  const show = chunks.find(({ meta }) => meta.entryPoint?.endsWith("src/show.ts"));
  if (!show) throw new Error("no chunk for src/show.ts: is it still imported lazily by src/page.ts?");
  const wanted = new Set(["viewer/streamxr.js", show.file]);
  for (const file of wanted) {
    for (const { path: imported, kind } of byFile.get(file)?.imports ?? []) {
      if (kind === "import-statement") wanted.add(`viewer/${path.basename(imported)}`);
    }
  }
  const links = [
    ...[...wanted].map((file) => `<link rel="modulepreload" href="${file}">`),
    ...Object.values(decoder).map(
      (file) => `<link rel="preload" as="fetch" href="viewer/${file}" crossorigin>`,
    ),
  ];
  const page = await readFile(path.join(here, "index.html"), "utf8");
  if (!page.includes("<!-- preload -->")) throw new Error("index.html has no <!-- preload --> line");
  await writeFile(path.join(dist, "index.html"), page.replace("<!-- preload -->", links.join("\n")));
  return [...wanted, ...Object.values(decoder).map((file) => `viewer/${file}`)];
}

async function build() {
  await rm(dist, { recursive: true, force: true });
  const decoder = await copyDecoder("draco", "draco/gltf", "draco_wasm_wrapper.js", "draco_decoder.wasm");
  const transcoder = await copyDecoder("basis", "basis", "basis_transcoder.js", "basis_transcoder.wasm");
  const options = {
    absWorkingDir: here,
    entryPoints: [{ in: "src/page.ts", out: "streamxr" }],
    outdir: out,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    metafile: true,
    legalComments: "eof", // three.js is MIT: its notice travels with it
    chunkNames: "[name]-[hash]",
    define: { DRACO_DECODER: JSON.stringify(decoder), KTX2_TRANSCODER: JSON.stringify(transcoder) },
    logLevel: "warning",
  };
  const { metafile } = await esbuild.build(options);
  return writePage(metafile, decoder);
}

/** Writes a `.br` neighbour of every file, for hosts that serve those, and prints its size. */
async function compress(first) {
  let needed = 0;
  const files = (await readdir(dist, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dist, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
  for (const file of files) {
    const bytes = await readFile(path.join(dist, file));
    const compressed = brotliCompressSync(bytes);
    const brotli = compressed.length;
    await writeFile(path.join(dist, `${file}.br`), compressed);
    const lazy = file !== "index.html" && !first.includes(file);
    if (!lazy) needed += brotli;
    console.log(
      `${file.padEnd(48)} ${kb(bytes.length)} KB  ${kb(brotli)} KB brotli${lazy ? "  (lazy)" : ""}`,
    );
  }
  console.log(`${"before the first asset byte".padEnd(48)} ${"".padStart(7)}     ${kb(needed)} KB brotli`);
}

const kb = (bytes) => (bytes / 1000).toFixed(1).padStart(7);

try {
  await compress(await build());
} catch (error) {
  // esbuild has printed its own diagnostics with file and line.
  if (!error.errors) console.error(`build.mjs: ${error.message}`);
  process.exit(1);
}
