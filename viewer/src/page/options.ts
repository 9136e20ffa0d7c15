import type { Viewpoint } from "../layout.ts";
import { isRoomName, isToken } from "../room/names.ts";

/** The options in the page's address. */
export interface PageOptions {
  /** Address of the bundle's catalogue. */
  readonly bundle: string;
  /** Names of the assets to show; null for all. */
  readonly assets: readonly string[] | null;
  readonly room: string;
  /** ws:// or wss:// address of the relay; null without one. */
  readonly relay: string | null;
  readonly name: string | null;
  /** A join token, if the relay requires one. */
  readonly token: string | null;
  readonly hud: boolean;
  /** `pointer`: on a screen, the mouse serves as a hint for the gaze. */
  readonly gaze: "head" | "pointer";
  /** GPU memory for streamed assets, bytes; null for the default of the device class. */
  readonly memory: number | null;
  /** Triangles of streamed assets per frame; null for the default of the device class. */
  readonly triangles: number | null;
  /** Tolerated error on the screen, pixels; null for 1. Doubled if the browser saves data. */
  readonly tolerance: number | null;
  /** Metres; null for a view of all assets. */
  readonly camera: Viewpoint | null;
  /** Sets `window.streamxr` for tests: records of frames and requests, and the objects of the page. */
  readonly debug: boolean;
  /** Adds the assets that the bundle gains while the page is open. */
  readonly watch: boolean;
  /** Tell the relay, anonymously, how streaming went. */
  readonly report: boolean;
  /** One message to the visitor for each option that is not valid. */
  readonly warnings: readonly string[];
}

/**
 * Reads `?bundle= &assets=a,b &room= &relay= &name= &token= &hud=1 &gaze=pointer &memory=MB &triangles=count
 * &tolerance=pixels &camera=x,y,z,tx,ty,tz &debug=1 &watch=1`. An option that is not valid gets its
 * default and a warning.
 * @param page address of the page
 */
export function readOptions(page: URL): PageOptions {
  const query = page.searchParams;
  const warnings: string[] = [];
  const flag = (name: string): boolean => query.has(name) && !["0", "false"].includes(query.get(name) ?? "");
  const assets = (query.get("assets") ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  let room = query.get("room") ?? "lobby";
  if (!isRoomName(room)) {
    warnings.push(
      `room=${room.slice(0, 80)} is not a valid room name: use 1 to 64 letters, digits, dots or dashes.`,
    );
    room = "lobby";
  }
  let token = query.get("token") || null;
  if (token !== null && !isToken(token)) {
    // The message does not repeat the token: it is a secret, even if damaged.
    warnings.push("token= is not a join token. Ask for a new link to this room.");
    token = null;
  }
  const name = query.get("name")?.trim().slice(0, 32);
  return {
    bundle: readBundle(query.get("bundle"), page, warnings),
    assets: assets.length > 0 ? [...new Set(assets)] : null,
    room,
    relay: readRelay(query.get("relay"), page, warnings),
    name: name ? name : null,
    token,
    hud: flag("hud"),
    gaze: query.get("gaze") === "pointer" ? "pointer" : "head",
    memory: readMemory(query.get("memory"), warnings),
    triangles: readTriangles(query.get("triangles"), warnings),
    tolerance: readTolerance(query.get("tolerance"), warnings),
    camera: readCamera(query.get("camera"), warnings),
    debug: flag("debug"),
    watch: flag("watch"),
    report: query.get("report") !== "0",
    warnings,
  };
}

function readBundle(text: string | null, page: URL, warnings: string[]): string {
  const standard = new URL("bundle.json", page).href.split("?")[0] as string;
  if (!text) return standard;
  try {
    const url = new URL(text, page);
    if (url.protocol === "http:" || url.protocol === "https:") return url.href;
  } catch {
    // The warning below covers it.
  }
  warnings.push(`bundle=${text.slice(0, 80)} is not an http or https address.`);
  return standard;
}

/** `:8787` is that port on the page's host, and `/relay` that path of the page's server, encrypted if the page is. */
function readRelay(text: string | null, page: URL, warnings: string[]): string | null {
  if (!text) return null;
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  let full = text;
  if (/^:\d{1,5}$/.test(text)) full = `${scheme}//${page.hostname}${text}`;
  else if (/^\/(?!\/)/.test(text)) full = `${scheme}//${page.host}${text}`;
  try {
    const url = new URL(full);
    if (url.protocol === "ws:" || url.protocol === "wss:") return url.href.replace(/\/+$/, "");
  } catch {
    // The warning below covers it.
  }
  warnings.push(
    `relay=${text.slice(0, 80)} is no ws:// or wss:// address, no port such as :8787, and no path such as /relay.`,
  );
  return null;
}

function readMemory(text: string | null, warnings: string[]): number | null {
  if (!text) return null;
  const megabytes = Number(text);
  if (megabytes > 0 && megabytes < 1e5) return megabytes * 1024 * 1024;
  warnings.push("memory= needs megabytes of GPU memory, such as 256.");
  return null;
}

function readTriangles(text: string | null, warnings: string[]): number | null {
  if (!text) return null;
  const triangles = Number(text);
  if (triangles >= 1 && triangles <= 1e9) return triangles;
  warnings.push("triangles= needs the largest number in one frame, such as 750000.");
  return null;
}

function readTolerance(text: string | null, warnings: string[]): number | null {
  if (!text) return null;
  const pixels = Number(text);
  if (pixels >= 0.1 && pixels <= 100) return pixels;
  warnings.push("tolerance= needs pixels from 0.1 to 100, such as 2.");
  return null;
}

function readCamera(text: string | null, warnings: string[]): PageOptions["camera"] {
  if (!text) return null;
  const numbers = text.split(",").map(Number);
  if (numbers.length === 6 && numbers.every((number) => Math.abs(number) < 1e4)) {
    const [x, y, z, tx, ty, tz] = numbers as [number, number, number, number, number, number];
    if (Math.hypot(tx - x, ty - y, tz - z) > 1e-3) return { eye: [x, y, z], target: [tx, ty, tz] };
  }
  warnings.push("camera= needs six numbers in metres: eye x,y,z and target x,y,z at different places.");
  return null;
}
