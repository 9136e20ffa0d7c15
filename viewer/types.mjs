// Generates src/core/bundle/bundle.ts, the types of a bundle's JSON documents, from the pipeline's schema.
//
//   node types.mjs           write the file
//   node types.mjs --check   fail if the committed file is out of date
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const SCHEMA = new URL("../pipeline/bundle.schema.json", import.meta.url);
const TARGET = new URL("./src/core/bundle/bundle.ts", import.meta.url);
const BANNER = `// Generated from pipeline/bundle.schema.json by types.mjs: change the schema, then run \`npm run generate\`.
`;

/**
 * Converts a schema to draft 4, which the generator reads: tuples are `items: [...]` instead of
 * `prefixItems`, and a `$ref` stands alone (with a description beside it, the generator would write a second
 * type, `Box1`).
 */
function draft4(node) {
  if (Array.isArray(node)) return node.map(draft4);
  if (node === null || typeof node !== "object") return node;
  if (typeof node.$ref === "string") return { $ref: node.$ref };
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, draft4(value)]));
  if (copy.prefixItems) {
    copy.items = copy.prefixItems;
    delete copy.prefixItems;
  }
  return copy;
}

async function generate() {
  const schema = draft4(JSON.parse(await readFile(SCHEMA, "utf8")));
  return compile(schema, "Bundle", {
    bannerComment: BANNER,
    additionalProperties: false,
    style: { printWidth: 110 },
  });
}

const text = await generate();
const name = fileURLToPath(TARGET);
if (process.argv.includes("--check")) {
  const committed = await readFile(TARGET, "utf8").catch(() => "");
  if (committed !== text) {
    console.error(`${name} is out of date: the schema has changed. Run \`npm run generate\` in viewer/.`);
    process.exitCode = 1;
  }
} else {
  await writeFile(TARGET, text);
  console.log(`wrote ${name}`);
}
