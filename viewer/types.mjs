// Writes src/core/bundle/bundle.ts, the types of the bundle's two documents, from the schema that both houses share.
//
//   node types.mjs           write the file
//   node types.mjs --check   fail if the committed file is stale
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const SCHEMA = new URL("../pipeline/bundle.schema.json", import.meta.url);
const TARGET = new URL("./src/core/bundle/bundle.ts", import.meta.url);
const BANNER = `// Generated from pipeline/bundle.schema.json by types.mjs: change the schema, then run \`npm run generate\`.
`;

/**
 * The same schema in the generator's dialect, draft 4: tuples are `items: [...]`, not `prefixItems`, and nothing
 * stands beside a `$ref` (a description there would become a second type, `Box1`).
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
    console.error(`${name} is stale: the schema has changed. Run \`npm run generate\` in viewer/.`);
    process.exitCode = 1;
  }
} else {
  await writeFile(TARGET, text);
  console.log(`wrote ${name}`);
}
