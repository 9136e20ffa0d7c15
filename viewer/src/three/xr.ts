import type { WebGLRenderer } from "three";

/**
 * Enters and leaves an immersive session. The user starts where the desktop camera stood, feet on the floor,
 * looking the way it looked.
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
    // The gaze has no name in the standard yet: these two are in use, and what a browser does not know it ignores.
    optionalFeatures: ["hand-tracking", "bounded-floor", "eye-tracking", "gaze-tracking"],
  });
  session.addEventListener("end", onEnd, { once: true });
  renderer.xr.enabled = true;
  renderer.xr.setReferenceSpaceType("local-floor");
  await renderer.xr.setSession(session);
  const floor = renderer.xr.getReferenceSpace();
  if (!floor) return;
  // An offset space's origin is given in the space it offsets: the inverse of where the user shall stand.
  const half = start.yaw / 2;
  const turned = { x: 0, y: Math.sin(half), z: 0, w: Math.cos(half) };
  const place = new XRRigidTransform({ x: start.x, y: 0, z: start.z }, turned);
  renderer.xr.setReferenceSpace(floor.getOffsetReferenceSpace(place.inverse));
}
