/** Readings in the curve: 30 s of four a second. */
const LENGTH = 120;

/** Bytes per second: what arrived, and both averages. */
export interface Reading {
  readonly rate: number;
  readonly fast: number;
  readonly slow: number;
}

/** Draws what arrived as an area and both averages as lines, the newest at the right. Older readings are dropped. */
export function drawCurve(
  canvas: HTMLCanvasElement,
  readings: Reading[],
  colours: { readonly fast: string; readonly slow: string },
): void {
  while (readings.length > LENGTH) readings.shift();
  const ratio = Math.min(2, devicePixelRatio);
  const wide = Math.round(canvas.clientWidth * ratio);
  const high = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.clearRect(0, 0, wide, high);
  const top = Math.max(
    1,
    ...readings.map(({ rate, fast, slow }) => Math.max(rate, fast * 1.15, slow * 1.15)),
  );
  const x = (i: number): number => wide - ((readings.length - 1 - i) / (LENGTH - 1)) * wide;
  const y = (rate: number): number => high - 1 - (rate / top) * (high - 3 * ratio);
  pen.beginPath();
  pen.moveTo(x(0), high);
  readings.forEach(({ rate }, i) => {
    pen.lineTo(x(i), y(rate));
  });
  pen.lineTo(wide, high);
  pen.fillStyle = "rgba(127, 209, 199, 0.3)";
  pen.fill();
  pen.lineWidth = 1.25 * ratio;
  for (const name of ["slow", "fast"] as const) {
    pen.strokeStyle = colours[name];
    pen.beginPath();
    readings.forEach((reading, i) => {
      if (i === 0) pen.moveTo(x(i), y(reading[name]));
      else pen.lineTo(x(i), y(reading[name]));
    });
    pen.stroke();
  }
}
