// Bundles test/*.test.ts and runs them on node:test.
//
//   node test.mjs                 every file
//   node test.mjs gaze bandwidth  files whose names contain one of the words
import { spawn } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const TESTS = fileURLToPath(new URL("./test/", import.meta.url));
// One folder per process: simultaneous runs must not delete each other's bundles.
const SCRATCH = fileURLToPath(new URL(`../.cache/viewer-test/${process.pid}/`, import.meta.url));

const words = process.argv.slice(2);
const isSelected = (name) => words.length === 0 || words.some((word) => name.includes(word));
const names = (await readdir(TESTS)).filter((name) => name.endsWith(".test.ts") && isSelected(name)).sort();
if (names.length === 0) {
  console.error(`no test/*.test.ts matches ${words.join(" ")}`);
  process.exit(1);
}

process.exitCode = await run();

async function run() {
  try {
    await build({
      entryPoints: names.map((name) => TESTS + name),
      outdir: SCRATCH,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node18",
      sourcemap: "inline",
      logLevel: "warning",
      define: { "import.meta.dirname": JSON.stringify(TESTS.replace(/[\\/]$/, "")) },
      // CommonJS packages in the bundle, an ES module, call require.
      banner: {
        js: `import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);`,
      },
    });
    const files = names.map((name) => SCRATCH + name.replace(/\.ts$/, ".mjs"));
    return await node(["--enable-source-maps", "--test", "--test-reporter=spec", ...files]);
  } catch (error) {
    // esbuild has printed its errors already.
    if (!Array.isArray(error?.errors)) console.error(error);
    return 1;
  } finally {
    await rm(SCRATCH, { recursive: true, force: true });
  }
}

/** Runs node with the standard streams of this process. Resolves with its exit code, or 1 after a signal. */
function node(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: "inherit" });
    const interrupt = () => child.kill("SIGINT");
    process.once("SIGINT", interrupt);
    child.on("error", reject);
    child.on("exit", (code) => {
      process.off("SIGINT", interrupt);
      resolve(code ?? 1);
    });
  });
}
