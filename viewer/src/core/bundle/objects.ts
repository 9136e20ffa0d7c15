/** Strict reader of the list of an asset's objects, as docs/manifest.md specifies it. */
import type { Objects, SourceObject } from "./bundle.ts";
import { count, finite, list, ManifestError, nullOr, record, string } from "./json.ts";
import { box, versionedRecord } from "./manifest.ts";

/**
 * Checks a file of objects and returns a copy of its list. Extras may be any JSON, and are not copied.
 *
 * Beyond the schema it checks that nodes are in the order of their indices, and that parents form a hierarchy
 * of these nodes.
 *
 * @param expected number of objects that the manifest announces
 * @throws ManifestError if the document is not a valid list of objects; no other error for any JSON
 */
export function parseObjects(json: unknown, expected?: number): Objects["objects"] {
  const top = versionedRecord(json, "streamxr/objects", ["format", "version", "objects"]);
  const objects = list(top.objects, "$.objects", sourceObject);
  if (expected !== undefined && objects.length !== expected) {
    throw new ManifestError("$.objects", `has ${objects.length} objects, but the manifest says ${expected}`);
  }
  checkHierarchy(objects);
  return objects;
}

function sourceObject(value: unknown, path: string): SourceObject {
  const fields = record(value, path, ["node", "parent", "name", "extras", "matrix", "box"]);
  const matrix = list(fields.matrix, `${path}.matrix`, finite);
  if (matrix.length !== 16) throw new ManifestError(`${path}.matrix`, `has ${matrix.length} numbers, not 16`);
  return {
    node: count(fields.node, `${path}.node`),
    parent: nullOr(count)(fields.parent, `${path}.parent`),
    name: string(fields.name, `${path}.name`),
    extras: fields.extras as SourceObject["extras"],
    matrix: matrix as SourceObject["matrix"],
    box: nullOr(box)(fields.box, `${path}.box`),
  };
}

function checkHierarchy(objects: readonly SourceObject[]): void {
  const children = new Map<number | null, number[]>();
  objects.forEach(({ node, parent }, i) => {
    if (node <= (objects[i - 1]?.node ?? -1)) {
      throw new ManifestError(`$.objects[${i}].node`, `is ${node}, which is not after the node before it`);
    }
    const siblings = children.get(parent);
    if (siblings) siblings.push(node);
    else children.set(parent, [node]);
  });
  const stack: (number | null)[] = [null];
  for (let parent = stack.pop(); parent !== undefined; parent = stack.pop()) {
    for (const child of children.get(parent) ?? []) stack.push(child);
    children.delete(parent);
  }
  for (const parent of children.keys()) {
    throw new ManifestError("$.objects", `${parent} is a parent, but no object, or below itself`);
  }
}
