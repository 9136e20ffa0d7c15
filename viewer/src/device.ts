/** The class of device that the page runs on, and its default limits. */
import type { StreamLimits } from "./core/scheduler.ts";

export type DeviceClass = "headset" | "phone" | "desktop";

/** The parts of `navigator` that tell the device. */
export interface BrowserTraits {
  readonly userAgent: string;
  readonly maxTouchPoints?: number;
  /** Present if the browser has WebXR. */
  readonly xr?: unknown;
  /** GiB, at most 8; Chromium only. */
  readonly deviceMemory?: number;
  readonly userAgentData?: { readonly mobile: boolean };
  readonly connection?: { readonly saveData?: boolean };
}

const MB = 1024 * 1024;

/**
 * GPU memory for streamed assets, bytes. A standalone headset shares 6–16 GB among its system, two eye
 * buffers and the page, and its browser ends a tab at 2–3 GB. iOS ends a tab at about 1 GB in total. A
 * desktop can page memory out.
 */
const MEMORY: Readonly<Record<DeviceClass, number>> = {
  headset: 512 * MB,
  phone: 256 * MB,
  desktop: 1024 * MB,
};
/**
 * Render budget of streamed assets per frame. A standalone headset draws each frame twice, 72 to 120 times
 * per second; its vendors advise at most 750,000 to 1,000,000 triangles and 200 draw calls. A phone draws
 * once, at 60 Hz.
 */
const RENDER: Readonly<Record<DeviceClass, { triangles: number; drawCalls: number }>> = {
  headset: { triangles: 750_000, drawCalls: 200 },
  phone: { triangles: 1_000_000, drawCalls: 300 },
  desktop: { triangles: 5_000_000, drawCalls: 2_000 },
};
/** Usual lowest frame rate of the displays of a class; an XR session may report a higher one. */
const FRAMES_PER_SECOND: Readonly<Record<DeviceClass, number>> = { headset: 72, phone: 60, desktop: 60 };
/** A device with less memory than this gets half of the limits, GiB. */
const SMALL_MEMORY_GIB = 4;

/**
 * Derives the class of a device from its browser. A headset whose browser looks like a desktop's (Vision Pro)
 * is a Safari with WebXR.
 */
export function deviceClass({
  userAgent,
  maxTouchPoints = 0,
  xr,
  userAgentData,
}: BrowserTraits): DeviceClass {
  if (/OculusBrowser|PicoBrowser|Wolvic|\bQuest\b|VisionOS/i.test(userAgent)) return "headset";
  const mac = /Macintosh/.test(userAgent) && !/Chrom(e|ium)|Firefox/.test(userAgent);
  if (mac && xr) return "headset";
  // An iPad reports itself as a Mac; no Mac has a touch screen.
  if (mac && maxTouchPoints > 1) return "phone";
  return userAgentData?.mobile || /Android|iPhone|iPad|Mobile/.test(userAgent) ? "phone" : "desktop";
}

/** Default limits of a device; an application may set its own. */
export function limitsFor(traits: BrowserTraits): Pick<StreamLimits, "gpuBytes" | "triangles" | "drawCalls"> {
  const small = traits.deviceMemory !== undefined && traits.deviceMemory < SMALL_MEMORY_GIB;
  const device = deviceClass(traits);
  const { triangles, drawCalls } = RENDER[device];
  const share = small ? 0.5 : 1;
  return { gpuBytes: share * MEMORY[device], triangles: share * triangles, drawCalls: share * drawCalls };
}

export function framesPerSecond(traits: BrowserTraits): number {
  return FRAMES_PER_SECOND[deviceClass(traits)];
}

/**
 * Tolerated error on the screen, pixels. It is doubled if the browser is set to save data
 * (`navigator.connection.saveData`): geometry then stops about one tier earlier, and pictures at half the
 * width, which is a quarter of the bytes.
 */
export function pixelTolerance({ connection }: BrowserTraits): number {
  return connection?.saveData ? 2 : 1;
}
