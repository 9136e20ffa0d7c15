import type { Texture } from "three";
import { type AnimationClip, Group, type Material, Mesh, Object3D, PropertyBinding } from "three";
import { GLTFLoader, type GLTFParser } from "three/addons/loaders/GLTFLoader.js";

/** One use of a picture by a material: `material[slot]` is the texture. */
export interface TextureSlot {
  readonly material: Material;
  readonly slot: string;
}

/** A parsed base, with a map from glTF indices, which the manifest uses, to three.js objects. */
export interface Base {
  readonly root: Group;
  readonly animations: AnimationClip[];
  /** By glTF node; null if the node is in no scene. */
  readonly nodes: readonly (Object3D | null)[];
  /** All drawn meshes, in the order of the scene. */
  readonly meshes: readonly Mesh[];
  /** The texture slots of all drawn materials, by glTF image. */
  readonly slots: readonly (readonly TextureSlot[])[];
  /** The meshes of a node, by primitive. */
  primitives(node: number): Mesh[];
}

/**
 * Parses the base of an asset.
 *
 * three.js does not keep glTF's indices. Its loader makes a mesh with one primitive the node itself, clones
 * materials by attributes and textures by transform, and makes names unique. So the indices come from the
 * parser's cache and associations, and from the source that all clones of a texture share; never from names.
 * @throws Error if the file is malformed
 */
export async function parseBase(loader: GLTFLoader, bytes: ArrayBuffer): Promise<Base> {
  const gltf = await loader.parseAsync(bytes, "");
  const { parser } = gltf;
  const nodes = (await nodesOf(parser, gltf.scene)).map(separateMesh);
  const drawn = nodes.map((node, index) => primitivesOf(parser, node, index));
  shareMorphWeights(gltf.scene, gltf.animations, drawn);
  const image = await imagesBySource(parser);
  const slots: TextureSlot[][] = (parser.json.images ?? []).map(() => []);
  const meshes: Mesh[] = [];
  gltf.scene.traverse((object) => {
    if (object instanceof Mesh) meshes.push(object);
  });
  const materials = new Set(meshes.flatMap((mesh) => mesh.material as Material | Material[]));
  for (const material of materials) {
    for (const [slot, texture] of textures(material)) {
      const index = image.get(texture.source);
      if (index !== undefined) slots[index]?.push({ material, slot });
    }
  }
  for (const mesh of meshes) {
    // The bounds are those of the rest pose, and a deforming mesh may leave them.
    if ("skeleton" in mesh || mesh.morphTargetInfluences) mesh.frustumCulled = false;
  }
  return {
    root: gltf.scene as Group,
    animations: gltf.animations,
    nodes,
    meshes,
    slots,
    primitives: (node) => drawn[node] ?? [],
  };
}

/**
 * Replaces a node that is a mesh (one primitive, in three.js) by a group with the mesh as its child: regions
 * replace the mesh, while the node, its children and its animation stay.
 */
function separateMesh(object: Object3D | null): Object3D | null {
  if (!(object instanceof Mesh)) return object;
  const node = new Group();
  node.copy(object as unknown as Group, false);
  const { parent } = object;
  object.userData = {};
  object.name = `${object.name}_mesh`;
  object.position.set(0, 0, 0);
  object.quaternion.identity();
  object.scale.set(1, 1, 1);
  object.updateMatrix();
  for (const child of [...object.children]) node.add(child);
  if (parent) {
    parent.children[parent.children.indexOf(object)] = node;
    node.parent = parent;
    object.parent = null;
  }
  node.add(object);
  return node;
}

/**
 * Moves the morph weights of each node's primitives into one array of the node, and binds the animation
 * tracks to it. Tracks bound to meshes would lose them when regions are exchanged; the meshes of all tiers
 * share the node's array.
 */
function shareMorphWeights(
  base: Object3D,
  animations: readonly AnimationClip[],
  drawn: readonly Mesh[][],
): void {
  const holders = new Map<Object3D, Object3D>();
  for (const meshes of drawn) {
    const [first] = meshes;
    const node = first?.parent;
    if (!first?.morphTargetInfluences || !node) continue;
    const { morphTargetInfluences, morphTargetDictionary } = first;
    Object.assign(node, { morphTargetInfluences, morphTargetDictionary });
    for (const mesh of meshes) {
      mesh.morphTargetInfluences = morphTargetInfluences;
      holders.set(mesh, node);
    }
  }
  for (const clip of animations) {
    const bound = new Set<Object3D>();
    clip.tracks = clip.tracks.filter((track) => {
      const { nodeName, propertyName } = PropertyBinding.parseTrackName(track.name);
      if (propertyName !== "morphTargetInfluences") return true;
      const object = PropertyBinding.findNode(base, nodeName) as Object3D;
      const holder = holders.get(object) ?? object;
      if (bound.has(holder)) return false;
      bound.add(holder);
      track.name = `${holder.name || holder.uuid}.${propertyName}`;
      return true;
    });
  }
}

/**
 * Parses a keyframe file into an animation for a mixer of the base. The file's node indices are those of the
 * base, and its tracks get the names that three.js gave the base's nodes.
 * @throws Error if the file is malformed or has no animation
 */
export async function parseAnimation(base: Base, bytes: ArrayBuffer): Promise<AnimationClip> {
  const loader = new GLTFLoader().register(() => ({
    name: "streamxr-base",
    loadNode: async (index) => {
      const node = base.nodes[index] ?? new Object3D();
      // Without the children: else each mesh below the node would get a track.
      const { name, uuid, morphTargetInfluences } = node as Partial<Mesh>;
      return Object.assign(new Object3D(), { name, uuid, morphTargetInfluences });
    },
  }));
  const { animations } = await loader.parseAsync(bytes, "");
  if (!animations[0]) throw new Error("the file has no animation");
  return animations[0];
}

/** The texture in a slot; null if there is none. three.js has no typed list of a material's textures. */
export function textureIn({ material, slot }: TextureSlot): Texture | null {
  const value = (material as unknown as Record<string, unknown>)[slot];
  return isTexture(value) ? value : null;
}

export function setTexture({ material, slot }: TextureSlot, texture: Texture): void {
  (material as unknown as Record<string, unknown>)[slot] = texture;
}

/** The meshes of a glTF node in a parsed file, by primitive; without those of its child nodes. */
export function primitivesOf(parser: GLTFParser, object: Object3D | null, node: number): Mesh[] {
  const meshes: Mesh[] = [];
  const visit = (candidate: Object3D): void => {
    const indices = parser.associations.get(candidate) as { nodes?: number; primitives?: number } | undefined;
    if (indices?.nodes !== undefined && indices.nodes !== node) return;
    if (candidate instanceof Mesh && indices?.primitives !== undefined)
      meshes[indices.primitives] = candidate;
    candidate.children.forEach(visit);
  };
  if (object) visit(object);
  return meshes;
}

/** The objects of all glTF nodes, from the parser's cache; null for a node outside the scene. */
export async function nodesOf(parser: GLTFParser, scene: Object3D): Promise<(Object3D | null)[]> {
  const inScene = new Set<Object3D>();
  scene.traverse((object) => inScene.add(object));
  const count = (parser.json.nodes ?? []).length as number;
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const object = (await parser.getDependency("node", index)) as Object3D;
      return inScene.has(object) ? object : null;
    }),
  );
}

/** The glTF image of each texture source. */
async function imagesBySource(parser: GLTFParser): Promise<Map<Texture["source"], number>> {
  const images = new Map<Texture["source"], number>();
  interface TextureDef {
    source?: number;
    extensions?: Record<string, { source?: number }>;
  }
  const defs = (parser.json.textures ?? []) as TextureDef[];
  await Promise.all(
    defs.map(async (def, index) => {
      const texture = (await parser.getDependency("texture", index)) as Texture | null;
      const image =
        def.extensions?.EXT_texture_webp?.source ?? def.extensions?.KHR_texture_basisu?.source ?? def.source;
      if (texture && image !== undefined) images.set(texture.source, image);
    }),
  );
  return images;
}

function textures(material: Material): [string, Texture][] {
  return Object.entries(material).filter((entry): entry is [string, Texture] => isTexture(entry[1]));
}

function isTexture(value: unknown): value is Texture {
  return typeof value === "object" && value !== null && (value as { isTexture?: unknown }).isTexture === true;
}

/** The bytes as an ArrayBuffer, as loaders need it; copied if they are only a part of one. */
export function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteLength } = bytes;
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) return buffer;
  return bytes.slice().buffer as ArrayBuffer;
}
