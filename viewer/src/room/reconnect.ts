/** Where a room is, and when to try again. */
import { isRoomName } from "./names.ts";

/** Milliseconds before the second attempt; doubled each time. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/**
 * Milliseconds to wait before attempt number `attempt` (0: the first after a loss): exponential, capped, and
 * spread by "equal jitter" (half fixed, half random), so that a room's clients do not come back all at once.
 * @param random from [0, 1)
 */
export function backOff(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10));
  return ceiling / 2 + (ceiling / 2) * random;
}

/**
 * The address of a room's socket.
 * @throws TypeError when the relay is no URL of ws, wss, http or https, or the room has no valid name
 */
export function roomUrl(relay: string | URL, room: string): string {
  if (!isRoomName(room)) {
    throw new TypeError(`room ${JSON.stringify(room)}: a name is 1 to 64 of A-Z a-z 0-9 . _ -`);
  }
  const url = new URL(relay);
  const scheme = { "ws:": "ws:", "wss:": "wss:", "http:": "ws:", "https:": "wss:" }[url.protocol];
  if (!scheme) throw new TypeError(`relay ${url.href}: expected ws, wss, http or https`);
  return `${scheme}//${url.host}${url.pathname.replace(/\/+$/, "")}/ws/${room}`;
}
