// An emulated headset. `headset.look` and `headset.pinch` take the direction from eye to target in world space.
// Evaluated after npm's iwer and before the page's own scripts.
(() => {
  const device = new IWER.XRDevice(IWER.metaQuestPro);
  device.installRuntime({ forceInstall: true });
  device.position.set(0, 1.6, 0);

  // iwer stores the whole transform, but reads it as a matrix.
  const { getOffsetReferenceSpace } = IWER.XRReferenceSpace.prototype;
  IWER.XRReferenceSpace.prototype.getOffsetReferenceSpace = function ({ matrix }) {
    return getOffsetReferenceSpace.call(this, matrix);
  };

  /** The rotation from −z to a direction, which must not be +z. */
  const rotationTo = ([x, y, z]) => {
    const length = Math.hypot(x, y, z);
    const w = 1 - z / length;
    const norm = Math.hypot(y / length, x / length, w);
    return [y / length / norm, -x / length / norm, 0, w / norm];
  };

  // As on a Vision Pro: an input source that exists only during a pinch; its ray follows the eyes.
  class TransientPointer extends Object.getPrototypeOf(IWER.XRGazeInput) {
    constructor(direction) {
      const { globalSpace } = device[IWER.P_DEVICE];
      const space = () => new IWER.XRSpace(globalSpace);
      const profiles = ["generic-hand-select"];
      super(new IWER.XRInputSource("right", "transient-pointer", profiles, space(), undefined, space()));
      this.connected = true;
      this.position.set(device.position.x, device.position.y, device.position.z);
      this.quaternion.set(...rotationTo(direction));
    }
  }

  const { get } = Object.getOwnPropertyDescriptor(IWER.XRDevice.prototype, "activeInputs");
  let pinch = null;
  Object.defineProperty(device, "activeInputs", {
    get: () => (pinch ? [pinch, ...get.call(device)] : get.call(device)),
  });
  globalThis.headset = {
    device,
    look: (direction) => device.gaze.quaternion.set(...rotationTo(direction)),
    blind: () => {
      device.gaze.connected = false;
    },
    pinch: (direction) => {
      pinch = new TransientPointer(direction);
    },
    release: () => {
      pinch = null;
    },
  };
})();
