// Generated from pipeline/bundle.schema.json by types.mjs: change the schema, then run `npm run generate`.

/**
 * The JSON documents of a StreamXR bundle: the catalogue (bundle.json), the manifest of one asset and the list of its objects. docs/manifest.md explains them.
 */
export type Bundle = Catalogue | Manifest | Objects;
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
 * The files and bounds of one asset: a viewer can request manifest and base in parallel, and place the asset before they arrive.
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
 * All files of one asset, with the sizes, bounds and errors by which a viewer chooses the next one to fetch.
 */
export interface Manifest {
  format: "streamxr/manifest";
  version: 1;
  generator: string;
  asset: string;
  source: Source;
  /**
   * The build settings, by the names of the documentation.
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
  /**
   * The list of the source's nodes; null if none has a name or extras.
   */
  objects: ObjectsFile | null;
  base: Payload;
  trees: Tree[];
}
export interface Source {
  /**
   * Path below the source folder, with forward slashes.
   */
  name: string;
  /**
   * Hash of the model file and of all files that it references.
   */
  sha256: string;
  bytes: Bytes;
}
export interface Animation {
  name: string;
  /**
   * In seconds.
   */
  duration: number;
  /**
   * null: the animation is in the base. A base has the first animation, or none.
   */
  keyframes: Keyframes | null;
}
/**
 * A GLB with one animation; its nodes have the numbers of the base's nodes.
 */
export interface Keyframes {
  uri: Uri;
  bytes: Bytes;
  /**
   * For each tree: the largest distance that it moves a point from its position in the base, in units of the tree's space.
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
   * color is sRGB; normal and data are linear.
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
export interface ObjectsFile {
  /**
   * Relative to bundle.json; the 32 hexadecimal digits are the first 128 bits of the file's SHA-256.
   */
  uri: string;
  bytes: Bytes;
  count: Count;
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
   * static: flattened into asset space. rigid: drawn by nodes that move or repeat. skinned, morphed: one deforming mesh.
   */
  kind: "static" | "rigid" | "skinned" | "morphed";
  /**
   * The space of bounding spheres and refinement positions: that of the asset, or that of the mesh below each node.
   */
  space: "asset" | "mesh";
  /**
   * glTF nodes of the base that draw this tree. The meshes of refinements replace the mesh of each node.
   *
   * @minItems 1
   */
  nodes: [Index, ...Index[]];
  /**
   * Largest world scale of the nodes: an error or radius times this is in metres.
   */
  scale: number;
  grid: Grid;
  /**
   * Material and attributes of each primitive kind. In the base, primitive k of the nodes' mesh has kind k.
   *
   * @minItems 1
   */
  primitives: [PrimitiveKind, ...PrimitiveKind[]];
  /**
   * Region 0 is the root, which the base draws. Each parent comes before its children.
   *
   * @minItems 1
   */
  regions: [Region, ...Region[]];
}
/**
 * Explicit quantisation of Draco: position = origin + range * q / (2^bits - 1) on each axis.
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
   * Centre and radius of a sphere that contains this region and all its descendants.
   *
   * @minItems 4
   * @maxItems 4
   */
  sphere: [number, number, number, number];
  /**
   * Axis and cosine of the half angle of a cone that contains all face normals of the region and its descendants; null: no useful cone.
   */
  cone: [number, number, number, number] | null;
  /**
   * The kind of each primitive of the region, in file order.
   */
  primitives: Index[];
  triangles: Count;
  vertices: Count;
  /**
   * Largest distance from the source to the decoded region and back, in units of the tree's space. It decreases strictly from parent to child.
   */
  error: number;
  /**
   * Length of one unit of TEXCOORD_0 on the surface, in units of the tree's space. Divided by the pixels of a texture level, it is the size of a texel.
   */
  metresPerUv: number | null;
  gpuBytes: Bytes;
  /**
   * A GLB with one mesh for each child, in the order of children.
   */
  refinement: Payload | null;
}
/**
 * The nodes of the source's default scene, in the order of their indices.
 */
export interface Objects {
  format: "streamxr/objects";
  version: 1;
  objects: SourceObject[];
}
export interface SourceObject {
  node: Index;
  /**
   * The parent node; null: a root of the scene.
   */
  parent: Index | null;
  name: string;
  /**
   * The node's extras, any JSON; if they are an object or absent, those of its mesh are beneath. null without any.
   */
  extras: string | number | boolean | {} | unknown[] | null;
  /**
   * From the node's space to the asset's, at rest; column-major, as in glTF.
   *
   * @minItems 16
   * @maxItems 16
   */
  matrix: [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number
  ];
  /**
   * Around the node's own mesh at rest, in the asset's space; null without a mesh.
   */
  box: Box | null;
}
