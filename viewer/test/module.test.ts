import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

const VIEWER = path.join(import.meta.dirname, "..");

/** The program of somebody who installed the library beside three.js. */
const CONSUMER = `
import { PerspectiveCamera, Scene, WebGLRenderer } from "three";
import { type Asset, joinRoom, type RigidPose, type Room, StreamXR } from "streamxr-viewer";

const renderer = new WebGLRenderer();
const scene = new Scene();
const camera = new PerspectiveCamera();
const streamxr = new StreamXR({
  renderer,
  limits: { gpuBytes: 1e8 },
  hook: (request) => new Request(request, { credentials: "include" }),
});
const asset: Asset = await streamxr.load("https://cdn.example/bundle.json", {
  asset: "duck",
  signal: AbortSignal.timeout(1000),
  onProgress: (loaded: number, total: number) => console.log(loaded / total),
});
scene.add(asset);
asset.play(asset.animationNames[0]);
streamxr.update(camera, 0.016);
streamxr.unload(asset);
streamxr.dispose();

const room: Room = await joinRoom({ relay: "wss://relay.example", room: "hall", name: "Ada", color: "#4477aa" });
const pose: RigidPose = { position: [0, 1, 0], rotation: [0, 0, 0, 1] };
room.on("object", ({ id, asset, owner }) => {
  console.log(asset);
  if (owner === null) room.objects.grab(id);
  if (owner === room.pid) room.objects.move(id, pose);
});
room.on("denied", ({ reason, object }) => console.log(reason, object?.owner));
room.on("signal", ({ from, data }) => room.signal(from, data));
room.objects.spawn("duck", pose, 0.5);
room.sendPose({ head: pose, left: null, right: null });
room.leave();

// @ts-expect-error a renderer is needed
new StreamXR({});
// @ts-expect-error an address is a string
await streamxr.load(7);
// @ts-expect-error a camera is no number of seconds
streamxr.update(0.016, camera);
`;

test("a consumer's program type-checks against the built package", () => {
  assert.ok(
    existsSync(path.join(VIEWER, "dist/viewer/module/types/index.d.ts")),
    "npm run build comes first",
  );
  mkdirSync(path.join(VIEWER, "../.cache"), { recursive: true });
  const folder = mkdtempSync(path.join(VIEWER, "../.cache/consumer-"));
  try {
    writeFileSync(path.join(folder, "main.ts"), CONSUMER);
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
