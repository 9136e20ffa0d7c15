import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { test } from "node:test";

const VIEWER = path.join(import.meta.dirname, "..");

test("the module's example type-checks against the built package", () => {
  assert.ok(
    existsSync(path.join(VIEWER, "dist/viewer/module/types/index.d.ts")),
    "run `npm run build` first",
  );
  mkdirSync(path.join(VIEWER, "../.cache"), { recursive: true });
  const folder = mkdtempSync(path.join(VIEWER, "../.cache/consumer-"));
  try {
    copyFileSync(path.join(VIEWER, "examples/module.ts"), path.join(folder, "main.ts"));
    writeFileSync(path.join(folder, "package.json"), '{"type": "module"}');
    mkdirSync(path.join(folder, "node_modules"));
    symlinkSync(VIEWER, path.join(folder, "node_modules/streamxr-viewer"));
    for (const name of ["three", "@types"]) {
      symlinkSync(path.join(VIEWER, "node_modules", name), path.join(folder, "node_modules", name));
    }
    const options = {
      module: "nodenext",
      target: "es2022",
      lib: ["es2022", "dom"],
      types: [],
      strict: true,
      noEmit: true,
    };
    writeFileSync(
      path.join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: ["main.ts"] }),
    );
    const compiler = path.join(VIEWER, "node_modules/.bin/tsc");
    try {
      execFileSync(compiler, ["-p", folder], { encoding: "utf8" });
    } catch (error) {
      assert.fail((error as { stdout: string }).stdout);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
