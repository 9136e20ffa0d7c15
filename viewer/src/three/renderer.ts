import { WebGLRenderer } from "three";

/** More pixels than this per CSS pixel cost frame time without a visible effect. */
const MAX_PIXEL_RATIO = 2;

/**
 * Creates a renderer on the GPU, or else on the CPU (`fast` is false) without antialiasing.
 * @throws Error that says what to do if the browser has no WebGL 2
 */
export function createRenderer(
  canvas: HTMLCanvasElement,
  { alpha }: { readonly alpha: boolean },
): { renderer: WebGLRenderer; fast: boolean } {
  const attributes: WebGLContextAttributes = { alpha, powerPreference: "high-performance" };
  let context = canvas.getContext("webgl2", {
    ...attributes,
    antialias: true,
    failIfMajorPerformanceCaveat: true,
  });
  const fast = context !== null;
  context ??= canvas.getContext("webgl2", { ...attributes, antialias: false });
  if (!context) {
    throw new Error(
      "This browser gives the page no WebGL 2. Switch on hardware acceleration, or update the browser or the graphics driver; then load the page again.",
    );
  }
  return { renderer: new WebGLRenderer({ canvas, context, antialias: fast, alpha }), fast };
}

/** Pixels of the canvas per CSS pixel. */
export function pixelRatio(fast: boolean): number {
  return Math.min(window.devicePixelRatio, fast ? MAX_PIXEL_RATIO : 1);
}
