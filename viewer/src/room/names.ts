/**
 * The form of room names and join tokens (docs/protocol.md): a small module, since the page checks both at
 * its start.
 */

const ROOM_NAME = /^[A-Za-z0-9._-]{1,64}$/;
const TOKEN = /^[A-Za-z0-9_.-]{1,1024}$/;

export function isRoomName(name: string): boolean {
  return ROOM_NAME.test(name);
}

/** Checks the form only; the relay checks the signature. */
export function isToken(token: string): boolean {
  return TOKEN.test(token);
}
