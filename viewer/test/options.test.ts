/** The options in the page's address. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readOptions } from "../src/page/options.ts";

const read = (query: string, page = "https://museum.example/show/") =>
  readOptions(new URL(`${page}?${query}`));

test("an address without a query shows all assets of the bundle beside the page, without a relay", () => {
  const { warnings, ...options } = read("");
  assert.deepEqual(warnings, []);
  assert.deepEqual(options, {
    bundle: "https://museum.example/show/bundle.json",
    assets: null,
    room: "lobby",
    relay: null,
    name: null,
    token: null,
    hud: false,
    report: true,
    gaze: "head",
    memory: null,
    triangles: null,
    tolerance: null,
    camera: null,
    debug: false,
    watch: false,
  });
});

test("a port is a relay on the page's host, encrypted if the page is", () => {
  assert.equal(read("relay=:8787").relay, "wss://museum.example:8787");
  assert.equal(read("relay=:8787", "http://10.0.0.7:8080/").relay, "ws://10.0.0.7:8787");
});

test("a path is a relay behind the page's own server", () => {
  assert.equal(read("relay=/relay").relay, "wss://museum.example/relay");
  assert.equal(read("relay=/relay", "http://10.0.0.7:8080/").relay, "ws://10.0.0.7:8080/relay");
});

test("a relay may have a path, and needs the scheme ws or wss", () => {
  assert.equal(read("relay=wss://relay.example/eu/").relay, "wss://relay.example/eu");
  for (const invalid of [
    "relay.example",
    "https://relay.example",
    "javascript:alert(1)",
    ":0x1",
    ":999999",
    "//relay.example",
  ]) {
    const { relay, warnings } = read(`relay=${encodeURIComponent(invalid)}`);
    assert.equal(relay, null, invalid);
    assert.equal(warnings.length, 1, invalid);
  }
});

test("assets keep their order, without duplicates", () => {
  assert.deepEqual(read("assets=duck,%20fox,,duck").assets, ["duck", "fox"]);
});

test("a camera needs six numbers", () => {
  assert.deepEqual(read("camera=1,2,3,0,-0.5,0").camera, { eye: [1, 2, 3], target: [0, -0.5, 0] });
  for (const invalid of ["1,2,3", "1,2,3,4,5,x", "1e9,0,0,0,0,0", "NaN,0,0,0,0,0"]) {
    const { camera, warnings } = read(`camera=${invalid}`);
    assert.equal(camera, null, invalid);
    assert.equal(warnings.length, 1, invalid);
  }
});

test("for any address, the options are usable", () => {
  const names = fc.constantFrom("bundle", "assets", "room", "relay", "name", "hud", "camera", "debug");
  fc.assert(
    fc.property(fc.array(fc.tuple(names, fc.string({ unit: "binary" }))), (pairs) => {
      const { bundle, room, relay, camera } = read(new URLSearchParams(pairs).toString());
      assert.match(bundle, /^https?:\/\//);
      assert.match(room, /^[A-Za-z0-9._-]{1,64}$/);
      if (relay !== null) assert.match(relay, /^wss?:\/\//);
      if (camera !== null) assert.ok([...camera.eye, ...camera.target].every(Number.isFinite));
    }),
  );
});

test("a join token is kept unchanged, and the warning about a malformed one does not repeat it", () => {
  assert.equal(read("token=eyJ2IjoxfQ.c2ln-_A").token, "eyJ2IjoxfQ.c2ln-_A");
  const { token, warnings } = read("token=secret%20word");
  assert.equal(token, null);
  assert.equal(warnings.length, 1);
  assert.doesNotMatch(warnings[0] as string, /secret/);
});
