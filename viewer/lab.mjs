// Bundles lab/main.ts and runs it; see node lab.mjs --help.
import { spawn } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
// One file per process: simultaneous runs must not delete each other's.
const folder = here("../.cache/lab/");
const bundled = `${folder}main-${process.pid}.mjs`;

await mkdir(folder, { recursive: true });
try {
  await build({
    entryPoints: [here("./lab/main.ts")],
    outfile: bundled,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node18",
    sourcemap: "inline",
    logLevel: "warning",
  });
  process.exitCode = await new Promise((resolve, reject) => {
    const args = ["--enable-source-maps", bundled, ...process.argv.slice(2)];
    const child = spawn(process.execPath, args, { stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
} finally {
  await rm(bundled, { force: true });
}
