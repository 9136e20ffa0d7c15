/** A recorded head or network, alone in its file or in the trace that the viewer's inspector saves. */
export function partOf(json: unknown, part: "head" | "network"): object {
  const whole = (json ?? {}) as {
    readonly format?: unknown;
    readonly head?: object;
    readonly network?: object;
  };
  return (whole.format === "streamxr/trace" ? whole[part] : whole) ?? {};
}
