/**
 * A program that uses the package; a test type-checks it as it would be compiled outside of this repository.
 */

import { type Asset, joinRoom, type RigidPose, type Room, StreamXR } from "streamxr-viewer";
import { PerspectiveCamera, Scene, WebGLRenderer } from "three";

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
  onProgress: (loaded: number, total: number) => console.info(loaded / total),
});
scene.add(asset);
asset.play(asset.animationNames[0]);
streamxr.update(camera, 0.016);
streamxr.unload(asset);
streamxr.dispose();

const room: Room = await joinRoom({
  relay: "wss://relay.example",
  room: "hall",
  name: "Ada",
  color: "#4477aa",
});
const pose: RigidPose = { position: [0, 1, 0], rotation: [0, 0, 0, 1] };
room.on("object", ({ id, asset, owner }) => {
  console.info(asset);
  if (owner === null) room.objects.grab(id);
  if (owner === room.pid) room.objects.move(id, pose);
});
room.on("denied", ({ reason, object }) => console.info(reason, object?.owner));
room.on("signal", ({ from, data }) => room.signal(from, data));
room.objects.spawn("duck", pose, 0.5);
room.sendPose({ head: pose, left: null, right: null });
room.leave();

// @ts-expect-error a renderer is needed
new StreamXR({});
// @ts-expect-error an address is a string
await streamxr.load(7);
// @ts-expect-error the camera comes before the seconds
streamxr.update(0.016, camera);
