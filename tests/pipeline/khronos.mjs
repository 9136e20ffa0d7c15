// Validates GLB files with the Khronos validator. Reads file names from standard input, one on each line.
// Prints {file: [error, …]} as JSON for the files with errors.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../viewer/package.json", import.meta.url));
const { validateBytes } = require("gltf-validator");
const broken = {};
for (const file of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { issues } = await validateBytes(new Uint8Array(readFileSync(file)), { maxIssues: 20 });
  const errors = issues.messages.filter(({ severity }) => severity === 0);
  if (errors.length > 0) broken[file] = errors.map(({ code, message, pointer }) => `${code} ${pointer}: ${message}`);
}
console.log(JSON.stringify(broken));
