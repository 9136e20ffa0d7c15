/** What kind of device the page runs on, and what it can spare. */
import type { StreamLimits } from "./core/scheduler.ts";

export type DeviceClass = "headset" | "phone" | "desktop";

/** What a browser says of itself. */
export interface BrowserTraits {
  readonly userAgent: string;
  readonly maxTouchPoints?: number;
  /** WebXR. */
  readonly xr?: unknown;
  /** Chromium alone, and never more than 8, GiB. */
  readonly deviceMemory?: number;
  readonly userAgentData?: { readonly mobile: boolean };
  readonly connection?: { readonly saveData?: boolean };
}

const MB = 1024 * 1024;

/**
 * GPU memory for what is streamed, bytes. A standalone headset shares 6–16 GB among its system, two eye buffers and
 * the page, and its browser ends a tab at 2–3 GB; iOS ends one at about 1 GB of everything; a desktop pages.
 */
const MEMORY: Readonly<Record<DeviceClass, number>> = {
  headset: 512 * MB,
  phone: 256 * MB,
  desktop: 1024 * MB,
};
/**
 * What a frame may draw of what is streamed: a standalone headset draws it twice, at 72 to 120 pictures a second, and
 * its vendors ask for 750,000 to 1,000,000 triangles and 200 draw calls or fewer; a phone draws it once, at 60.
 */
const RENDER: Readonly<Record<DeviceClass, { triangles: number; drawCalls: number }>> = {
  headset: { triangles: 750_000, drawCalls: 200 },
  phone: { triangles: 1_000_000, drawCalls: 300 },
  desktop: { triangles: 5_000_000, drawCalls: 2_000 },
};
/** Pictures a second that a display shows at least, by what is usual for the class; a headset's session may say more. */
const FRAMES_PER_SECOND: Readonly<Record<DeviceClass, number>> = { headset: 72, phone: 60, desktop: 60 };
/** A device with less than this in all gets half, GiB. */
const ROOMY_GIB = 4;

/**
 * The class of a device by what its browser says. Headsets with a browser like a desktop's (Vision Pro) are told by
 * WebXR in a Safari.
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
  // An iPad calls itself a Mac; no Mac has a touch screen.
  if (mac && maxTouchPoints > 1) return "phone";
  return userAgentData?.mobile || /Android|iPhone|iPad|Mobile/.test(userAgent) ? "phone" : "desktop";
}

/** The limits that depend on the device; an application may set its own. */
export function limitsFor(traits: BrowserTraits): Pick<StreamLimits, "gpuBytes" | "triangles" | "drawCalls"> {
  const small = traits.deviceMemory !== undefined && traits.deviceMemory < ROOMY_GIB;
  const device = deviceClass(traits);
  const { triangles, drawCalls } = RENDER[device];
  const share = small ? 0.5 : 1;
  return { gpuBytes: share * MEMORY[device], triangles: share * triangles, drawCalls: share * drawCalls };
}

export function framesPerSecond(traits: BrowserTraits): number {
  return FRAMES_PER_SECOND[deviceClass(traits)];
}

/**
 * Pixels of error that are let pass. Who asked the browser to save data (`navigator.connection.saveData`) gets two:
 * geometry stops about a tier earlier, and pictures at half the width, which is a quarter of the bytes.
 */
export function pixelTolerance({ connection }: BrowserTraits): number {
  return connection?.saveData ? 2 : 1;
}
