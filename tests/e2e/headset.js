// A headset for a page without one: `headset.look(eyeToTarget)` and `headset.pinch(eyeToTarget)` take directions in the
// world. Evaluated after npm's iwer, before the page's own scripts.
(() => {
  const device = new IWER.XRDevice(IWER.metaQuestPro);
  device.installRuntime({ forceInstall: true });
  device.position.set(0, 1.6, 0);

  // iwer keeps the transform itself where it means its matrix.
  const { getOffsetReferenceSpace } = IWER.XRReferenceSpace.prototype;
  IWER.XRReferenceSpace.prototype.getOffsetReferenceSpace = function ({ matrix }) {
    return getOffsetReferenceSpace.call(this, matrix);
  };

  /** The turn from −z to a direction; nothing here looks straight back. */
  const turnTo = ([x, y, z]) => {
    const length = Math.hypot(x, y, z);
    const w = 1 - z / length;
    const norm = Math.hypot(y / length, x / length, w);
    return [y / length / norm, -x / length / norm, 0, w / norm];
  };

  // As on a Vision Pro: an input source that is there during a pinch alone, whose ray begins where the eyes look.
  class TransientPointer extends Object.getPrototypeOf(IWER.XRGazeInput) {
    constructor(direction) {
      const { globalSpace } = device[IWER.P_DEVICE];
      const space = () => new IWER.XRSpace(globalSpace);
      const profiles = ["generic-hand-select"];
      super(new IWER.XRInputSource("right", "transient-pointer", profiles, space(), undefined, space()));
      this.connected = true;
      this.position.set(device.position.x, device.position.y, device.position.z);
      this.quaternion.set(...turnTo(direction));
    }
  }

  const { get } = Object.getOwnPropertyDescriptor(IWER.XRDevice.prototype, "activeInputs");
  let pinch = null;
  Object.defineProperty(device, "activeInputs", {
    get: () => (pinch ? [pinch, ...get.call(device)] : get.call(device)),
  });
  globalThis.headset = {
    device,
    look: (direction) => device.gaze.quaternion.set(...turnTo(direction)),
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
