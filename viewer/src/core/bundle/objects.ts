/**
 * Strict reader of the list of an asset's objects, as docs/manifest.md specifies it. It imports no code: it is
 * loaded on demand, and modules that it shared with the page would become files of their own.
 */
import type { Box, Objects, SourceObject } from "./bundle.ts";

const FIELDS = "box,extras,matrix,name,node,parent";

/**
 * Checks a file of objects and returns its list. Extras may be any JSON.
 *
 * Beyond the schema it checks that nodes are in the order of their indices, and that parents form a hierarchy
 * of these nodes.
 *
 * @param expected number of objects that the manifest announces
 * @throws TypeError if the document is not a valid list of objects; no other error for any JSON
 */
export function parseObjects(json: unknown, expected?: number): Objects["objects"] {
  const { format, version, objects } = (json ?? {}) as Partial<Objects>;
  check(format === "streamxr/objects" && Array.isArray(objects), "it has another format");
  check(version === 1, `it has version ${version}, but this viewer reads 1`);
  check(keysOf(json) === "format,objects,version", "it has unknown fields");
  check(expected === undefined || objects.length === expected, `it does not have ${expected} objects`);
  objects.forEach((object, i) => {
    check(isSourceObject(object), `object ${i} is not valid`);
    check(object.node > (objects[i - 1]?.node ?? -1), `object ${i} is not in the order of nodes`);
  });
  checkHierarchy(objects);
  return objects;
}

function isSourceObject(value: unknown): value is SourceObject {
  if (keysOf(value) !== FIELDS) return false;
  const { node, parent, name, matrix, box } = value as SourceObject;
  const isPlaced = isNumbers(matrix, 16) && (box === null || isBox(box));
  return isIndex(node) && (parent === null || isIndex(parent)) && typeof name === "string" && isPlaced;
}

function isBox(value: unknown): value is Box {
  if (keysOf(value) !== "max,min") return false;
  const { min, max } = value as Box;
  return isNumbers(min, 3) && isNumbers(max, 3) && min.every((low, axis) => low <= (max[axis] as number));
}

function isIndex(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isNumbers(value: unknown, length: number): value is number[] {
  return Array.isArray(value) && value.length === length && value.every(Number.isFinite);
}

/** The fields of an object in alphabetical order; empty for any other value. */
function keysOf(value: unknown): string {
  return typeof value === "object" && value !== null ? Object.keys(value).sort().join() : "";
}

function checkHierarchy(objects: readonly SourceObject[]): void {
  const children = new Map<number | null, number[]>();
  for (const { node, parent } of objects) {
    const siblings = children.get(parent);
    if (siblings) siblings.push(node);
    else children.set(parent, [node]);
  }
  const stack: (number | null)[] = [null];
  for (let parent = stack.pop(); parent !== undefined; parent = stack.pop()) {
    for (const child of children.get(parent) ?? []) stack.push(child);
    children.delete(parent);
  }
  check(children.size === 0, "a parent is no object, or below itself");
}

function check(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new TypeError(`the list of objects is not valid: ${problem}`);
}
