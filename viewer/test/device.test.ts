import assert from "node:assert/strict";
import { test } from "node:test";
import { type BrowserTraits, deviceClass, limitsFor, pixelTolerance } from "../src/device.ts";

const MAC_SAFARI =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15";
const WINDOWS_CHROME =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const QUEST =
  "Mozilla/5.0 (X11; Linux x86_64; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/38.2 Chrome/132.0.0.0 VR Safari/537.36";
const ANDROID =
  "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

const BROWSERS: readonly (readonly [string, BrowserTraits, string])[] = [
  ["a Quest", { userAgent: QUEST, xr: {} }, "headset"],
  ["a Vision Pro, whose Safari has WebXR", { userAgent: MAC_SAFARI, xr: {}, maxTouchPoints: 5 }, "headset"],
  ["a Mac", { userAgent: MAC_SAFARI, maxTouchPoints: 0 }, "desktop"],
  ["an iPad, which reports itself as a Mac", { userAgent: MAC_SAFARI, maxTouchPoints: 5 }, "phone"],
  ["an iPhone", { userAgent: IPHONE, maxTouchPoints: 5 }, "phone"],
  ["an Android phone, which has WebXR too", { userAgent: ANDROID, xr: {} }, "phone"],
  ["a PC with WebXR", { userAgent: WINDOWS_CHROME, xr: {}, userAgentData: { mobile: false } }, "desktop"],
];

for (const [name, traits, expected] of BROWSERS) {
  test(`${name} is a ${expected}`, () => assert.equal(deviceClass(traits), expected));
}

test("a device with little memory gets half of the limits of its class", () => {
  const { gpuBytes } = limitsFor({ userAgent: ANDROID, deviceMemory: 8 });
  assert.equal(limitsFor({ userAgent: ANDROID, deviceMemory: 2 }).gpuBytes, gpuBytes / 2);
  assert.equal(limitsFor({ userAgent: ANDROID }).gpuBytes, gpuBytes, "an unknown amount counts as enough");
});

test("the tolerated error doubles if the browser saves data", () => {
  assert.equal(pixelTolerance({ userAgent: "", connection: { saveData: true } }), 2);
  assert.equal(pixelTolerance({ userAgent: "", connection: { saveData: false } }), 1);
  assert.equal(pixelTolerance({ userAgent: "" }), 1);
});
