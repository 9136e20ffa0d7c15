/** The address of a room, and the wait between two attempts to connect. */
import { isRoomName } from "./names.ts";

/** After this long in the room, the next loss starts with the shortest wait again. */
export const SETTLED_MS = 10_000;
/** Close code of the relay for a token that is missing, forged or expired. */
export const TOKEN_REFUSED = 4401;

/** Milliseconds before the second attempt; doubled for each further one. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/**
 * Milliseconds to wait before an attempt: exponential and capped, with "equal jitter" (half fixed, half
 * random), so that the clients of a room do not return all at once.
 * @param attempt 0 for the first attempt after a loss
 * @param random from [0, 1)
 */
export function backOff(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10));
  return ceiling / 2 + (ceiling / 2) * random;
}

/**
 * The address of a room's WebSocket.
 * @throws TypeError if the relay is no ws, wss, http or https URL, or the room's name is not valid
 */
export function roomUrl(relay: string | URL, room: string): string {
  if (!isRoomName(room)) {
    throw new TypeError(`room ${JSON.stringify(room)}: expected 1 to 64 characters of A-Z a-z 0-9 . _ -`);
  }
  const url = new URL(relay);
  const scheme = { "ws:": "ws:", "wss:": "wss:", "http:": "ws:", "https:": "wss:" }[url.protocol];
  if (!scheme) throw new TypeError(`relay ${url.href}: expected ws, wss, http or https`);
  return `${scheme}//${url.host}${url.pathname.replace(/\/+$/, "")}/ws/${room}`;
}
