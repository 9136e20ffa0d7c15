import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ManifestError, parseCatalogue, parseManifest } from "../src/core/bundle/manifest.ts";
import { parseObjects } from "../src/core/bundle/objects.ts";

const VECTORS = join(import.meta.dirname, "../../tests/vectors/v1/manifest");

function vectors(folder: string): { name: string; json: unknown }[] {
  return readdirSync(join(VECTORS, folder))
    .filter((name) => name.endsWith(".json"))
    .map((name) => ({ name, json: JSON.parse(readFileSync(join(VECTORS, folder, name), "utf8")) }));
}

function valid(name: string): unknown {
  return JSON.parse(readFileSync(join(VECTORS, "valid", `${name}.json`), "utf8"));
}

/** Parses a document by its format. Documents of other formats are parsed as manifests. */
function parse(json: unknown): unknown {
  const format = (json as { format?: unknown } | null)?.format;
  if (format === "streamxr/objects") return { ...(json as object), objects: objectsOf(json) };
  return format === "streamxr/bundle" ? parseCatalogue(json) : parseManifest(json);
}

/** Like `parseObjects`; its error becomes a ManifestError, as the other parsers throw. */
function objectsOf(json: unknown): unknown {
  try {
    return parseObjects(json);
  } catch (error) {
    assert.ok(error instanceof TypeError && error.message.startsWith("the list of objects is not valid"));
    throw new ManifestError("$", error.message);
  }
}

describe("every valid vector is accepted", () => {
  for (const { name, json } of vectors("valid")) {
    test(name, () => {
      // Objects of the copy have no prototype, so both are compared as JSON.
      assert.deepEqual(JSON.parse(JSON.stringify(parse(json))), json);
    });
  }
});

describe("every invalid vector is refused", () => {
  for (const { name, json } of vectors("invalid")) {
    const { why, document } = json as { why: string; document: unknown };
    test(`${name}: ${why}`, () => {
      assert.throws(() => parse(document), ManifestError);
    });
  }
});

test("an error names the place, the actual value and the expected one", () => {
  const json = valid("nested-regions") as { trees: { regions: { error: unknown }[] }[] };
  const region = json.trees[0]?.regions[3];
  assert.ok(region);
  region.error = "small";
  assert.throws(() => parseManifest(json), {
    name: "ManifestError",
    path: "$.trees[0].regions[3].error",
    message: '$.trees[0].regions[3].error: is "small", not a finite number',
  });
});

test("an unknown version is the first error", () => {
  assert.throws(() => parseManifest({ format: "streamxr/manifest", version: 7, news: true }), {
    path: "$.version",
  });
});

test("a document of a newer version asks for a newer viewer, any other for another build", () => {
  const messageOf = (version: unknown) => {
    try {
      parseCatalogue({ format: "streamxr/bundle", version });
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  assert.equal(messageOf(2), "$.version: is 2, but this viewer reads 1: update the viewer");
  for (const version of [0, "1", 1.5, null]) assert.match(messageOf(version), /: build the bundle again$/);
  const objects = { format: "streamxr/objects", version: 2, objects: [] };
  assert.throws(() => parseObjects(objects), /it has version 2, but this viewer reads 1/);
});

test("a long hostile string does not fill the error message", () => {
  const json = { ...(valid("one-region") as object), asset: "x".repeat(1e6) };
  assert.throws(
    () => parseManifest(json),
    (error: Error) => error.message.length < 200,
  );
});

test("a newline after a valid uri is refused", () => {
  const json = valid("one-region") as { base: { uri: string } };
  json.base.uri += "\n";
  assert.throws(() => parseManifest(json), { path: "$.base.uri" });
});

test("the assets of a catalogue inherit no properties", () => {
  const { assets } = parseCatalogue(valid("catalogue-empty"));
  assert.equal(assets.constructor, undefined);
});

test("another number of objects than the manifest announces is refused", () => {
  assert.equal(parseObjects(valid("objects"), 4).length, 4);
  assert.throws(() => parseObjects(valid("objects"), 5), TypeError);
});

test("no JSON causes another error than ManifestError", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (json) => {
      for (const read of [parseCatalogue, parseManifest, objectsOf]) {
        try {
          read(json);
        } catch (error) {
          assert.ok(error instanceof ManifestError);
        }
      }
    }),
  );
});

test("a valid document with any one value replaced is accepted, or refused with ManifestError", () => {
  const documents = vectors("valid").map(({ json }) => json);
  fc.assert(
    fc.property(fc.constantFrom(...documents), fc.nat(), fc.jsonValue(), (document, pick, value) => {
      const copy = structuredClone(document);
      replaceOne(copy, pick, value);
      try {
        parse(copy);
      } catch (error) {
        assert.ok(error instanceof ManifestError);
      }
    }),
    { numRuns: 2000 },
  );
});

test("the committed types match the schema", () => {
  const { status, stderr } = spawnSync(process.execPath, ["types.mjs", "--check"], {
    cwd: join(import.meta.dirname, ".."),
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});

/** Replaces the value at one place of a document, which a number selects. */
function replaceOne(json: unknown, pick: number, value: unknown): void {
  const places: [Record<string, unknown>, string][] = [];
  const walk = (node: unknown) => {
    if (typeof node !== "object" || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key]);
      walk((node as Record<string, unknown>)[key]);
    }
  };
  walk(json);
  const [node, key] = places[pick % places.length] as [Record<string, unknown>, string];
  node[key] = value;
}
