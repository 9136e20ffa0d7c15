/**
 * Strict readers for catalogue and manifest of a bundle, as docs/manifest.md specifies them. All properties
 * that the planner and the renderer rely on are checked here, once: types, ranges, indices, the structure of
 * trees, file names.
 *
 * The readers copy the documents field by field, so that no unchecked field remains.
 */
import type {
  Animation,
  Box,
  Catalogue,
  CatalogueEntry,
  Grid,
  Keyframes,
  Manifest,
  Material,
  ObjectsFile,
  Payload,
  PrimitiveKind,
  Region,
  Source,
  Texture,
  TextureLevel,
  Tree,
  Vec3,
} from "./bundle.ts";
import { checkAnimations, checkFileSizes, checkNodes, checkRegions } from "./consistency.ts";
import {
  anyRecord,
  boolean,
  checkDistinct,
  count,
  finite,
  indexInto,
  integer,
  list,
  ManifestError,
  matching,
  nonEmptyList,
  nonNegative,
  nullOr,
  oneOf,
  positive,
  quoted,
  record,
  string,
} from "./json.ts";

export { ManifestError };

const ASSET_ID = /^[a-z0-9][a-z0-9._-]{0,127}$/;
// These patterns allow no scheme, host or `..`, so no uri can lead out of the bundle.
const GLB_URI = /^o\/[0-9a-f]{2}\/[0-9a-f]{32}\.glb$/;
const PICTURE_URI = /^o\/[0-9a-f]{2}\/[0-9a-f]{32}\.(webp|png|jpg|ktx2)$/;
const OBJECTS_URI = /^o\/[0-9a-f]{2}\/[0-9a-f]{32}\.json$/;
const MANIFEST_URI = /^a\/[a-z0-9][a-z0-9._-]{0,127}\/manifest-[0-9a-f]{32}\.json$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** Tolerance for the length of a cone's axis, which is written with a few decimals. */
const UNIT_TOLERANCE = 0.01;

/**
 * Checks bundle.json and returns a copy, whose `assets` has no prototype. Fetches nothing.
 *
 * @throws ManifestError if the document is not a valid catalogue; no other error for any JSON
 */
export function parseCatalogue(json: unknown): Catalogue {
  const top = versionedRecord(json, "streamxr/bundle", ["format", "version", "generator", "assets"]);
  const assets: Record<string, CatalogueEntry> = Object.create(null);
  for (const [id, value] of Object.entries(anyRecord(top.assets, "$.assets"))) {
    if (!ASSET_ID.test(id)) throw new ManifestError("$.assets", `${quoted(id)} is not an asset id`);
    assets[id] = catalogueEntry(value, `$.assets[${quoted(id)}]`, id);
  }
  return { format: "streamxr/bundle", version: 1, generator: generator(top.generator), assets };
}

/**
 * Checks the manifest of one asset and returns a copy. Fetches nothing.
 *
 * Beyond the schema it checks that indices are in range, parents precede their children and both agree, a
 * region has children if and only if it has a refinement, errors strictly fall, texture levels strictly grow,
 * boxes are not inverted, no node is drawn by two trees, the base has the first animation or none, and each
 * file name has one size.
 *
 * @throws ManifestError if the document is not a valid manifest; no other error for any JSON
 */
export function parseManifest(json: unknown): Manifest {
  const top = versionedRecord(json, "streamxr/manifest", [
    "format",
    "version",
    "generator",
    "asset",
    "source",
    "settings",
    "unit",
    "up",
    "bounds",
    "animations",
    "materials",
    "textures",
    "objects",
    "base",
    "trees",
  ]);
  const textures = list(top.textures, "$.textures", texture);
  const materials = list(top.materials, "$.materials", (value, path) =>
    material(value, path, textures.length),
  );
  const trees = list(top.trees, "$.trees", (value, path) => tree(value, path, materials.length));
  const manifest: Manifest = {
    format: "streamxr/manifest",
    version: 1,
    generator: generator(top.generator),
    asset: matching(top.asset, "$.asset", ASSET_ID, "an asset id"),
    source: source(top.source, "$.source"),
    settings: settings(top.settings, "$.settings"),
    unit: oneOf(top.unit, "$.unit", ["metre"]),
    up: oneOf(top.up, "$.up", ["y"]),
    bounds: box(top.bounds, "$.bounds"),
    animations: list(top.animations, "$.animations", animation),
    materials,
    textures,
    objects: nullOr(objectsFile)(top.objects, "$.objects"),
    base: payload(top.base, "$.base"),
    trees,
  };
  checkAnimations(manifest);
  checkNodes(trees);
  checkFileSizes(manifest);
  return manifest;
}

/** Checks format and version first: the other fields depend on them. */
function versionedRecord(json: unknown, format: string, fields: readonly string[]): Record<string, unknown> {
  const top = anyRecord(json, "$");
  if (top.format !== format) throw new ManifestError("$.format", `is ${quoted(top.format)}, not "${format}"`);
  if (top.version !== 1) {
    const isNewer = Number.isInteger(top.version) && Number(top.version) > 1;
    const remedy = isNewer ? "update the viewer" : "build the bundle again";
    throw new ManifestError("$.version", `is ${quoted(top.version)}, but this viewer reads 1: ${remedy}`);
  }
  return record(json, "$", fields);
}

function generator(value: unknown): string {
  const text = string(value, "$.generator");
  // In code points, as in JSON Schema.
  if ([...text].length > 200) throw new ManifestError("$.generator", "is longer than 200 characters");
  return text;
}

function catalogueEntry(value: unknown, path: string, id: string): CatalogueEntry {
  const entry = record(value, path, ["manifest", "base", "bounds", "triangles"]);
  const manifest = record(entry.manifest, `${path}.manifest`, ["uri", "bytes"]);
  const uri = matching(manifest.uri, `${path}.manifest.uri`, MANIFEST_URI, "a/<asset>/manifest-<hash>.json");
  if (!uri.startsWith(`a/${id}/`)) {
    throw new ManifestError(`${path}.manifest.uri`, `is ${quoted(uri)}, which belongs to another asset`);
  }
  const base = record(entry.base, `${path}.base`, ["uri", "bytes"]);
  return {
    manifest: { uri, bytes: count(manifest.bytes, `${path}.manifest.bytes`) },
    base: { uri: glbUri(base.uri, `${path}.base.uri`), bytes: count(base.bytes, `${path}.base.bytes`) },
    bounds: box(entry.bounds, `${path}.bounds`),
    triangles: count(entry.triangles, `${path}.triangles`),
  };
}

function source(value: unknown, path: string): Source {
  const fields = record(value, path, ["name", "sha256", "bytes"]);
  return {
    name: string(fields.name, `${path}.name`),
    sha256: matching(fields.sha256, `${path}.sha256`, SHA256, "a SHA-256 in hexadecimal"),
    bytes: count(fields.bytes, `${path}.bytes`),
  };
}

function settings(value: unknown, path: string): Manifest["settings"] {
  const result: Manifest["settings"] = Object.create(null);
  for (const [name, setting] of Object.entries(anyRecord(value, path))) {
    const place = `${path}[${quoted(name)}]`;
    if (typeof setting === "number") result[name] = finite(setting, place);
    else if (setting === null || typeof setting === "string" || typeof setting === "boolean") {
      result[name] = setting;
    } else throw new ManifestError(place, `is ${quoted(setting)}, not a plain value`);
  }
  return result;
}

function animation(value: unknown, path: string): Animation {
  const fields = record(value, path, ["name", "duration", "keyframes"]);
  return {
    name: string(fields.name, `${path}.name`),
    duration: nonNegative(fields.duration, `${path}.duration`),
    keyframes: nullOr(keyframes)(fields.keyframes, `${path}.keyframes`),
  };
}

function keyframes(value: unknown, path: string): Keyframes {
  const fields = record(value, path, ["uri", "bytes", "reach"]);
  return {
    uri: glbUri(fields.uri, `${path}.uri`),
    bytes: count(fields.bytes, `${path}.bytes`),
    reach: list(fields.reach, `${path}.reach`, nonNegative),
  };
}

function material(value: unknown, path: string, textures: number): Material {
  const fields = record(value, path, ["name", "textures", "doubleSided", "alphaMode"]);
  const used = list(fields.textures, `${path}.textures`, indexInto(textures, "textures"));
  checkDistinct(used, `${path}.textures`);
  return {
    name: string(fields.name, `${path}.name`),
    textures: used,
    doubleSided: boolean(fields.doubleSided, `${path}.doubleSided`),
    alphaMode: oneOf(fields.alphaMode, `${path}.alphaMode`, ["OPAQUE", "MASK", "BLEND"]),
  };
}

function texture(value: unknown, path: string): Texture {
  const fields = record(value, path, ["name", "role", "levels"]);
  const levels = nonEmptyList(fields.levels, `${path}.levels`, textureLevel);
  levels.forEach((level, i) => {
    const place = `${path}.levels[${i}]`;
    if ((level.uri === null) !== (i === 0)) {
      throw new ManifestError(
        `${place}.uri`,
        i === 0 ? "is a file, but level 0 is in the base" : "is null, but only level 0 is in the base",
      );
    }
    const coarser = levels[i - 1];
    if (coarser && level.width * level.height <= coarser.width * coarser.height) {
      throw new ManifestError(place, "has no more pixels than the level before it");
    }
  });
  return {
    name: string(fields.name, `${path}.name`),
    role: oneOf(fields.role, `${path}.role`, ["color", "normal", "data"]),
    levels,
  };
}

function textureLevel(value: unknown, path: string): TextureLevel {
  const fields = record(value, path, ["uri", "bytes", "width", "height", "gpuBytes"]);
  return {
    uri: nullOr(pictureUri)(fields.uri, `${path}.uri`),
    bytes: count(fields.bytes, `${path}.bytes`),
    width: integer(fields.width, `${path}.width`, 1, 65536),
    height: integer(fields.height, `${path}.height`, 1, 65536),
    gpuBytes: count(fields.gpuBytes, `${path}.gpuBytes`),
  };
}

function objectsFile(value: unknown, path: string): ObjectsFile {
  const fields = record(value, path, ["uri", "bytes", "count"]);
  return {
    uri: hashedUri(fields.uri, `${path}.uri`, OBJECTS_URI, "o/<hh>/<hash>.json"),
    bytes: count(fields.bytes, `${path}.bytes`),
    count: count(fields.count, `${path}.count`),
  };
}

function tree(value: unknown, path: string, materials: number): Tree {
  const fields = record(value, path, ["kind", "space", "nodes", "scale", "grid", "primitives", "regions"]);
  const kind = oneOf(fields.kind, `${path}.kind`, ["static", "rigid", "skinned", "morphed"]);
  const space = oneOf(fields.space, `${path}.space`, ["asset", "mesh"]);
  const expectedSpace = kind === "static" || kind === "skinned" ? "asset" : "mesh";
  if (space !== expectedSpace) {
    const problem = `is "${space}", but the space of a ${kind} tree is "${expectedSpace}"`;
    throw new ManifestError(`${path}.space`, problem);
  }
  const nodes = nonEmptyList(fields.nodes, `${path}.nodes`, count);
  checkDistinct(nodes, `${path}.nodes`);
  if (kind === "static" && nodes.length > 1) {
    throw new ManifestError(`${path}.nodes`, `has ${nodes.length} nodes, but one draws a static tree`);
  }
  const primitives = nonEmptyList(fields.primitives, `${path}.primitives`, (item, place) =>
    primitiveKind(item, place, materials),
  );
  const regions = nonEmptyList(fields.regions, `${path}.regions`, (item, place) =>
    region(item, place, primitives.length),
  );
  checkRegions(regions, `${path}.regions`);
  return {
    kind,
    space,
    nodes,
    scale: positive(fields.scale, `${path}.scale`),
    grid: grid(fields.grid, `${path}.grid`),
    primitives,
    regions,
  };
}

function primitiveKind(value: unknown, path: string, materials: number): PrimitiveKind {
  const fields = record(value, path, ["material", "attributes"]);
  return {
    material: nullOr(indexInto(materials, "materials"))(fields.material, `${path}.material`),
    attributes: list(fields.attributes, `${path}.attributes`, string),
  };
}

function grid(value: unknown, path: string): Grid {
  const fields = record(value, path, ["origin", "range", "bits"]);
  return {
    origin: vec3(fields.origin, `${path}.origin`),
    range: positive(fields.range, `${path}.range`),
    bits: integer(fields.bits, `${path}.bits`, 1, 30),
  };
}

function region(value: unknown, path: string, kinds: number): Region {
  const fields = record(value, path, [
    "parent",
    "children",
    "tier",
    "sphere",
    "cone",
    "primitives",
    "triangles",
    "vertices",
    "error",
    "metresPerUv",
    "gpuBytes",
    "refinement",
  ]);
  return {
    parent: nullOr(count)(fields.parent, `${path}.parent`),
    children: list(fields.children, `${path}.children`, count),
    tier: integer(fields.tier, `${path}.tier`, 0, 31),
    sphere: sphere(fields.sphere, `${path}.sphere`),
    cone: nullOr(cone)(fields.cone, `${path}.cone`),
    primitives: list(fields.primitives, `${path}.primitives`, indexInto(kinds, "kinds of primitive")),
    triangles: count(fields.triangles, `${path}.triangles`),
    vertices: count(fields.vertices, `${path}.vertices`),
    error: nonNegative(fields.error, `${path}.error`),
    metresPerUv: nullOr(positive)(fields.metresPerUv, `${path}.metresPerUv`),
    gpuBytes: count(fields.gpuBytes, `${path}.gpuBytes`),
    refinement: nullOr(payload)(fields.refinement, `${path}.refinement`),
  };
}

function payload(value: unknown, path: string): Payload {
  const fields = record(value, path, ["uri", "bytes", "gpuBytes"]);
  return {
    uri: glbUri(fields.uri, `${path}.uri`),
    bytes: count(fields.bytes, `${path}.bytes`),
    gpuBytes: count(fields.gpuBytes, `${path}.gpuBytes`),
  };
}

function glbUri(value: unknown, path: string): string {
  return hashedUri(value, path, GLB_URI, "o/<hh>/<hash>.glb");
}

function pictureUri(value: unknown, path: string): string {
  return hashedUri(value, path, PICTURE_URI, "o/<hh>/<hash>.webp, png, jpg or ktx2");
}

function hashedUri(value: unknown, path: string, pattern: RegExp, expected: string): string {
  const uri = matching(value, path, pattern, expected);
  if (uri.slice(2, 4) !== uri.slice(5, 7)) {
    throw new ManifestError(path, `is ${quoted(uri)}, whose folder is not the first two digits of its hash`);
  }
  return uri;
}

function box(value: unknown, path: string): Box {
  const fields = record(value, path, ["min", "max"]);
  const min = vec3(fields.min, `${path}.min`);
  const max = vec3(fields.max, `${path}.max`);
  if (min[0] > max[0] || min[1] > max[1] || min[2] > max[2]) {
    throw new ManifestError(path, "has a min above its max");
  }
  return { min, max };
}

function vec3(value: unknown, path: string): Vec3 {
  const items = list(value, path, finite);
  if (items.length !== 3) throw new ManifestError(path, `has ${items.length} numbers, not 3`);
  return items as Vec3;
}

function vec4(value: unknown, path: string): [number, number, number, number] {
  const items = list(value, path, finite);
  if (items.length !== 4) throw new ManifestError(path, `has ${items.length} numbers, not 4`);
  return items as [number, number, number, number];
}

function sphere(value: unknown, path: string): Region["sphere"] {
  const items = vec4(value, path);
  nonNegative(items[3], `${path}[3]`);
  return items;
}

function cone(value: unknown, path: string): NonNullable<Region["cone"]> {
  const items = vec4(value, path);
  const length = Math.hypot(items[0], items[1], items[2]);
  if (Math.abs(length - 1) > UNIT_TOLERANCE) {
    throw new ManifestError(path, `has an axis of length ${length}, not 1`);
  }
  if (Math.abs(items[3]) > 1) throw new ManifestError(`${path}[3]`, `is ${items[3]}, which is not a cosine`);
  return items;
}
