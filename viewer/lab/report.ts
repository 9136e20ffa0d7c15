import type { Pair } from "./summary.ts";
export function html(_pairs: readonly Pair[]): string {
  return "";
}
