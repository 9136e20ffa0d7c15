/** Readings in the curve: four per second for 30 s. */
const LENGTH = 120;

/** Bytes per second. */
export interface Reading {
  /** Bytes that really arrived. */
  readonly rate: number;
  /** Both averages of the bandwidth estimate. */
  readonly fast: number;
  readonly slow: number;
}

/**
 * Draws the rate as an area and both averages as lines, the newest at the right. Drops old readings from the
 * array.
 */
export function drawCurve(
  canvas: HTMLCanvasElement,
  readings: Reading[],
  colors: { readonly fast: string; readonly slow: string },
): void {
  while (readings.length > LENGTH) readings.shift();
  const ratio = Math.min(2, devicePixelRatio);
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.clearRect(0, 0, width, height);
  const top = Math.max(
    1,
    ...readings.map(({ rate, fast, slow }) => Math.max(rate, fast * 1.15, slow * 1.15)),
  );
  const x = (i: number): number => width - ((readings.length - 1 - i) / (LENGTH - 1)) * width;
  const y = (rate: number): number => height - 1 - (rate / top) * (height - 3 * ratio);
  context.beginPath();
  context.moveTo(x(0), height);
  readings.forEach(({ rate }, i) => {
    context.lineTo(x(i), y(rate));
  });
  context.lineTo(width, height);
  context.fillStyle = "rgba(127, 209, 199, 0.3)";
  context.fill();
  context.lineWidth = 1.25 * ratio;
  for (const name of ["slow", "fast"] as const) {
    context.strokeStyle = colors[name];
    context.beginPath();
    readings.forEach((reading, i) => {
      if (i === 0) context.moveTo(x(i), y(reading[name]));
      else context.lineTo(x(i), y(reading[name]));
    });
    context.stroke();
  }
}
