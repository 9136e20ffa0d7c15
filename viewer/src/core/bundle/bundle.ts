// Generated from pipeline/bundle.schema.json by types.mjs: change the schema, then run `npm run generate`.

/**
 * The two JSON documents of a StreamXR bundle: the catalogue (bundle.json) and the manifest of one asset. docs/manifest.md explains them.
 */
export type Bundle = Catalogue | Manifest;
export type Bytes = number;
/**
 * Relative to bundle.json; the 32 hexadecimal digits are the first 128 bits of the file's SHA-256.
 */
export type Uri = string;
/**
 * @minItems 3
 * @maxItems 3
 */
export type Vec3 = [number, number, number];
export type Count = number;
export type Index = number;
export type Pixels = number;

/**
 * bundle.json: the only mutable file of a bundle.
 */
export interface Catalogue {
  format: "streamxr/bundle";
  version: 1;
  generator: string;
  assets: {
    [k: string]: CatalogueEntry;
  };
}
/**
 * What a viewer needs to request manifest and base side by side and to place the asset before either has arrived.
 */
export interface CatalogueEntry {
  manifest: ManifestFile;
  base: File;
  bounds: Box;
  triangles: Count;
}
export interface ManifestFile {
  /**
   * Relative to bundle.json; the 32 hexadecimal digits are the first 128 bits of the file's SHA-256.
   */
  uri: string;
  bytes: Bytes;
}
export interface File {
  uri: Uri;
  bytes: Bytes;
}
export interface Box {
  min: Vec3;
  max: Vec3;
}
/**
 * Everything the viewer needs to choose what to fetch next for one asset.
 */
export interface Manifest {
  format: "streamxr/manifest";
  version: 1;
  generator: string;
  asset: string;
  source: Source;
  /**
   * The build settings, by their documented names.
   */
  settings: {
    [k: string]: string | number | boolean | null;
  };
  unit: "metre";
  up: "y";
  bounds: Box;
  animations: Animation[];
  /**
   * In the order of the base's glTF materials.
   */
  materials: Material[];
  /**
   * In the order of the base's glTF images.
   */
  textures: Texture[];
  base: Payload;
  trees: Tree[];
}
export interface Source {
  /**
   * Path below the source folder, with forward slashes.
   */
  name: string;
  /**
   * Over the model and every file it names.
   */
  sha256: string;
  bytes: Bytes;
}
export interface Animation {
  name: string;
  /**
   * Seconds.
   */
  duration: number;
  /**
   * null: in the base, which has the first animation or none.
   */
  keyframes: Keyframes | null;
}
/**
 * A GLB with one animation, whose nodes have the numbers of the base's.
 */
export interface Keyframes {
  uri: Uri;
  bytes: Bytes;
  /**
   * For each tree: how far it moves a point from where the base shows it, at most, in units of the tree's space.
   */
  reach: number[];
}
export interface Material {
  name: string;
  textures: Index[];
  doubleSided: boolean;
  alphaMode: "OPAQUE" | "MASK" | "BLEND";
}
export interface Texture {
  name: string;
  /**
   * color is sRGB, the others are linear.
   */
  role: "color" | "normal" | "data";
  /**
   * Coarse to fine; the first is embedded in the base.
   *
   * @minItems 1
   */
  levels: [TextureLevel, ...TextureLevel[]];
}
export interface TextureLevel {
  /**
   * null: embedded in the base.
   */
  uri: Uri | null;
  bytes: Bytes;
  width: Pixels;
  height: Pixels;
  gpuBytes: Bytes;
}
export interface Payload {
  uri: Uri;
  bytes: Bytes;
  gpuBytes: Bytes;
}
/**
 * A tree of gaze regions that share one space and one quantisation grid.
 */
export interface Tree {
  /**
   * static: flattened into asset space; rigid: drawn by nodes that move or repeat; skinned and morphed: one deforming mesh.
   */
  kind: "static" | "rigid" | "skinned" | "morphed";
  /**
   * The space of spheres and of refinement positions: the asset's, or that of the mesh under each of the nodes.
   */
  space: "asset" | "mesh";
  /**
   * glTF nodes of the base that draw this tree; a refinement's meshes replace the mesh of each.
   *
   * @minItems 1
   */
  nodes: [Index, ...Index[]];
  /**
   * Largest world scale over the nodes: errors and radii times this are metres.
   */
  scale: number;
  grid: Grid;
  /**
   * The material and attributes of each kind of primitive; in the base, primitive k of the nodes' mesh is of kind k.
   *
   * @minItems 1
   */
  primitives: [PrimitiveKind, ...PrimitiveKind[]];
  /**
   * Region 0 is the root and is drawn by the base; parents stand before their children.
   *
   * @minItems 1
   */
  regions: [Region, ...Region[]];
}
/**
 * Draco's explicit quantisation: position = origin + range * q / (2^bits - 1) on every axis.
 */
export interface Grid {
  origin: Vec3;
  range: number;
  bits: number;
}
export interface PrimitiveKind {
  material: Index | null;
  attributes: string[];
}
export interface Region {
  parent: Index | null;
  children: Index[];
  tier: number;
  /**
   * Centre and radius; holds this region and all its descendants.
   *
   * @minItems 4
   * @maxItems 4
   */
  sphere: [number, number, number, number];
  /**
   * Axis and cosine of the half angle that holds every face normal of the region and its descendants; null: no useful cone.
   */
  cone: [number, number, number, number] | null;
  /**
   * The kind of each of the region's primitives, in file order.
   */
  primitives: Index[];
  triangles: Count;
  vertices: Count;
  /**
   * Largest distance between the source and the decoded region, both ways, in units of the tree's space; strictly falls from parent to child.
   */
  error: number;
  /**
   * Length of one unit of TEXCOORD_0 on the surface, in units of the tree's space; divided by a level's pixels it is a texel's size.
   */
  metresPerUv: number | null;
  gpuBytes: Bytes;
  /**
   * One GLB with one mesh for each child, in the order of children.
   */
  refinement: Payload | null;
}
