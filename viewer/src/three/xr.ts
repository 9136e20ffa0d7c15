import type { WebGLRenderer } from "three";

/**
 * Starts an immersive session. The user stands on the floor where the camera was, and faces the same way.
 * @param start position on the floor in metres, and yaw in radians
 * @param onEnd called when the session has ended
 * @throws Error if the browser has no WebXR or refuses the session
 */
export async function enterVr(
  renderer: WebGLRenderer,
  start: { readonly x: number; readonly z: number; readonly yaw: number },
  onEnd: () => void,
): Promise<void> {
  const { xr } = navigator;
  if (!xr) throw new Error("This browser has no WebXR.");
  const session = await xr.requestSession("immersive-vr", {
    requiredFeatures: ["local-floor"],
    // The standard has no name for gaze tracking yet: these two are in use, and browsers ignore unknown
    // features.
    optionalFeatures: ["hand-tracking", "bounded-floor", "eye-tracking", "gaze-tracking"],
  });
  session.addEventListener("end", onEnd, { once: true });
  renderer.xr.enabled = true;
  renderer.xr.setReferenceSpaceType("local-floor");
  await renderer.xr.setSession(session);
  const floor = renderer.xr.getReferenceSpace();
  if (!floor) return;
  // The offset is the pose of the new origin in the old space: the inverse of the user's place.
  const half = start.yaw / 2;
  const turned = { x: 0, y: Math.sin(half), z: 0, w: Math.cos(half) };
  const place = new XRRigidTransform({ x: start.x, y: 0, z: start.z }, turned);
  renderer.xr.setReferenceSpace(floor.getOffsetReferenceSpace(place.inverse));
}
