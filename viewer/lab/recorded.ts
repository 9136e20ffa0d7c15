/**
 * The recording of a head or a network: a file's whole content, or a part of a trace of the viewer's
 * inspector.
 */
export function partOf(json: unknown, part: "head" | "network"): object {
  const file = (json ?? {}) as {
    readonly format?: unknown;
    readonly head?: object;
    readonly network?: object;
  };
  return (file.format === "streamxr/trace" ? file[part] : file) ?? {};
}
