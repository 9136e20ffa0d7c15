import type { Viewpoint } from "../layout.ts";
import { isRoomName, isToken } from "../room/names.ts";

/** What the page's address asks for. */
export interface PageOptions {
  /** Address of the bundle's catalogue. */
  readonly bundle: string;
  /** Names of the assets to show; null: all. */
  readonly assets: readonly string[] | null;
  readonly room: string;
  /** ws:// or wss:// address of the relay; null: alone. */
  readonly relay: string | null;
  readonly name: string | null;
  /** A join token, where the relay asks for one. */
  readonly token: string | null;
  readonly hud: boolean;
  /** On a screen: whether the mouse hints at where its user looks. */
  readonly gaze: "head" | "pointer";
  /** GPU memory for what is streamed, bytes; null: by the class of the device. */
  readonly memory: number | null;
  /** Triangles of a frame, of what is streamed; null: by the class of the device. */
  readonly triangles: number | null;
  /** Error on the screen that nobody minds, pixels; null: one. Twice as much for who saves data. */
  readonly tolerance: number | null;
  /** Metres. */
  readonly camera: Viewpoint | null;
  /** Offers `window.streamxr`: what was drawn and requested, for tests. */
  readonly debug: boolean;
  /** What could not be understood, for the visitor. */
  readonly complaints: readonly string[];
}

/**
 * Reads `?bundle= &assets=a,b &room= &relay= &name= &token= &hud=1 &gaze=pointer &memory=MB &triangles=count
 * &tolerance=pixels &camera=x,y,z,tx,ty,tz &debug=1`. What is wrong is left at its default and named in `complaints`.
 * @param page address of the page
 */
export function readOptions(page: URL): PageOptions {
  const query = page.searchParams;
  const complaints: string[] = [];
  const flag = (name: string): boolean => query.has(name) && !["0", "false"].includes(query.get(name) ?? "");
  const assets = (query.get("assets") ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  let room = query.get("room") ?? "lobby";
  if (!isRoomName(room)) {
    complaints.push(`“${room.slice(0, 80)}” is no room's name: use up to 64 letters, digits, dots, dashes.`);
    room = "lobby";
  }
  let token = query.get("token") || null;
  if (token !== null && !isToken(token)) {
    // A secret, even a damaged one: not repeated on the screen.
    complaints.push("token= is not a join token.");
    token = null;
  }
  const name = query.get("name")?.trim().slice(0, 32);
  return {
    bundle: readBundle(query.get("bundle"), page, complaints),
    assets: assets.length > 0 ? [...new Set(assets)] : null,
    room,
    relay: readRelay(query.get("relay"), page, complaints),
    name: name ? name : null,
    token,
    hud: flag("hud"),
    gaze: query.get("gaze") === "pointer" ? "pointer" : "head",
    memory: readMemory(query.get("memory"), complaints),
    triangles: readTriangles(query.get("triangles"), complaints),
    tolerance: readTolerance(query.get("tolerance"), complaints),
    camera: readCamera(query.get("camera"), complaints),
    debug: flag("debug"),
    complaints,
  };
}

function readBundle(text: string | null, page: URL, complaints: string[]): string {
  const standard = new URL("bundle.json", page).href.split("?")[0] as string;
  if (!text) return standard;
  try {
    const url = new URL(text, page);
    if (url.protocol === "http:" || url.protocol === "https:") return url.href;
  } catch {
    // Said below.
  }
  complaints.push(`bundle=${text.slice(0, 80)} is no web address.`);
  return standard;
}

/** `:8787` means this host at that port, encrypted when the page is. */
function readRelay(text: string | null, page: URL, complaints: string[]): string | null {
  if (!text) return null;
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  const full = /^:\d{1,5}$/.test(text) ? `${scheme}//${page.hostname}${text}` : text;
  try {
    const url = new URL(full);
    if (url.protocol === "ws:" || url.protocol === "wss:") return url.href.replace(/\/+$/, "");
  } catch {
    // Said below.
  }
  complaints.push(`relay=${text.slice(0, 80)} is no ws:// or wss:// address, nor a port like :8787.`);
  return null;
}

function readMemory(text: string | null, complaints: string[]): number | null {
  if (!text) return null;
  const megabytes = Number(text);
  if (megabytes > 0 && megabytes < 1e5) return megabytes * 1024 * 1024;
  complaints.push("memory= wants megabytes of GPU memory, such as 256.");
  return null;
}

function readTriangles(text: string | null, complaints: string[]): number | null {
  if (!text) return null;
  const triangles = Number(text);
  if (triangles >= 1 && triangles <= 1e9) return triangles;
  complaints.push("triangles= wants how many a frame may draw, such as 750000.");
  return null;
}

function readTolerance(text: string | null, complaints: string[]): number | null {
  if (!text) return null;
  const pixels = Number(text);
  if (pixels >= 0.1 && pixels <= 100) return pixels;
  complaints.push("tolerance= wants pixels from 0.1 to 100, such as 2.");
  return null;
}

function readCamera(text: string | null, complaints: string[]): PageOptions["camera"] {
  if (!text) return null;
  const numbers = text.split(",").map(Number);
  if (numbers.length === 6 && numbers.every((number) => Math.abs(number) < 1e4)) {
    const [x, y, z, tx, ty, tz] = numbers as [number, number, number, number, number, number];
    if (Math.hypot(tx - x, ty - y, tz - z) > 1e-3) return { eye: [x, y, z], target: [tx, ty, tz] };
  }
  complaints.push("camera= wants six numbers in metres: eye x,y,z and target x,y,z, not the same.");
  return null;
}
