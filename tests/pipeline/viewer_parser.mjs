// Reads bundles with the viewer's own strict parser. Reads folders from standard input, one on each line.
// Prints {file: error} as JSON for the catalogues, manifests and lists of objects that the parser refuses.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const viewer = new URL("../../viewer/", import.meta.url);
const { buildSync } = createRequire(new URL("package.json", viewer))("esbuild");
const { outputFiles } = buildSync({
  stdin: {
    contents: 'export * from "./manifest.ts"; export * from "./objects.ts";',
    resolveDir: fileURLToPath(new URL("src/core/bundle/", viewer)),
  },
  bundle: true,
  format: "esm",
  write: false,
});
const code = Buffer.from(outputFiles[0].contents).toString("base64");
const { parseCatalogue, parseManifest, parseObjects } = await import(`data:text/javascript;base64,${code}`);

const refused = {};
function read(file, parse) {
  try {
    return parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    refused[file] = String(error);
  }
}
for (const root of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const catalogue = read(join(root, "bundle.json"), parseCatalogue);
  for (const { manifest } of Object.values(catalogue?.assets ?? {})) {
    const objects = read(join(root, manifest.uri), parseManifest)?.objects;
    if (objects) read(join(root, objects.uri), (json) => parseObjects(json, objects.count));
  }
}
console.log(JSON.stringify(refused));
