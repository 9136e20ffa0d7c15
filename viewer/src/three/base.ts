import type { Texture } from "three";
import { type AnimationClip, Group, type Material, Mesh, Object3D, PropertyBinding } from "three";
import { GLTFLoader, type GLTFParser } from "three/addons/loaders/GLTFLoader.js";

/** One place where a material uses a picture: `material[slot]` is the texture object. */
export interface TextureSlot {
  readonly material: Material;
  readonly slot: string;
}

/** A parsed base, with the way back from the manifest's indices to three.js objects. */
export interface Base {
  readonly root: Group;
  readonly animations: AnimationClip[];
  /** By glTF node; null where the node is in no scene. */
  readonly nodes: readonly (Object3D | null)[];
  /** All that is drawn, in the order of the scene. */
  readonly meshes: readonly Mesh[];
  /** Every slot of every material that is drawn, by glTF image. */
  readonly slots: readonly (readonly TextureSlot[])[];
  /** The meshes that one node draws: primitive k at place k. */
  primitives(node: number): Mesh[];
}

/**
 * Parses the base of an asset.
 *
 * three.js does not keep glTF's indices: its loader turns a mesh of one primitive into the node itself, clones
 * materials by the attributes present and textures by their transform, and makes names unique. The parser's
 * cache and associations still know, and clones of a texture share its source; so indices are found through
 * these, never through names.
 */
export async function parseBase(loader: GLTFLoader, bytes: ArrayBuffer): Promise<Base> {
  const gltf = await loader.parseAsync(bytes, "");
  const { parser } = gltf;
  const nodes = (await nodesOf(parser, gltf.scene)).map(lift);
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
    // Bounds are of the rest pose: a mesh that deforms may leave them.
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
 * three.js makes a mesh of one primitive the node itself. Its regions come and go while the node, its children
 * and the animation that moves it stay, so the mesh goes below a node of its own.
 */
function lift(object: Object3D | null): Object3D | null {
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
 * Gives the primitives of each node one set of morph weights, held by the node, and lets the tracks move that. The
 * tracks were bound to meshes, which come and go; every tier's meshes share the node's weights.
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
    const moved = new Set<Object3D>();
    clip.tracks = clip.tracks.filter((track) => {
      const { nodeName, propertyName } = PropertyBinding.parseTrackName(track.name);
      if (propertyName !== "morphTargetInfluences") return true;
      const object = PropertyBinding.findNode(base, nodeName) as Object3D;
      const holder = holders.get(object) ?? object;
      if (moved.has(holder)) return false;
      moved.add(holder);
      track.name = `${holder.name || holder.uuid}.${propertyName}`;
      return true;
    });
  }
}

/**
 * The animation in a file of keyframes, for a mixer of the base: its nodes have the numbers of the base's, whose names
 * three.js has changed.
 */
export async function parseAnimation(base: Base, bytes: ArrayBuffer): Promise<AnimationClip> {
  const loader = new GLTFLoader().register(() => ({
    name: "streamxr-base",
    loadNode: async (index) => {
      const node = base.nodes[index] ?? new Object3D();
      // Only what tracks are named by, or the meshes below would have a track each.
      const { name, uuid, morphTargetInfluences } = node as Partial<Mesh>;
      return Object.assign(new Object3D(), { name, uuid, morphTargetInfluences });
    },
  }));
  const { animations } = await loader.parseAsync(bytes, "");
  if (!animations[0]) throw new Error("the file has no animation");
  return animations[0];
}

/** The texture object in a slot, or null. Materials have no typed list of their maps. */
export function textureIn({ material, slot }: TextureSlot): Texture | null {
  const value = (material as unknown as Record<string, unknown>)[slot];
  return isTexture(value) ? value : null;
}

export function setTexture({ material, slot }: TextureSlot, texture: Texture): void {
  (material as unknown as Record<string, unknown>)[slot] = texture;
}

/** The meshes of node i of a parsed file, by primitive; nodes of another glTF node below it are not its own. */
export function primitivesOf(parser: GLTFParser, object: Object3D | null, node: number): Mesh[] {
  const found: Mesh[] = [];
  const visit = (candidate: Object3D): void => {
    const about = parser.associations.get(candidate) as { nodes?: number; primitives?: number } | undefined;
    if (about?.nodes !== undefined && about.nodes !== node) return;
    if (candidate instanceof Mesh && about?.primitives !== undefined) found[about.primitives] = candidate;
    candidate.children.forEach(visit);
  };
  if (object) visit(object);
  return found;
}

/** Every glTF node's object, from the parser's cache: nothing is parsed twice. */
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

async function imagesBySource(parser: GLTFParser): Promise<Map<Texture["source"], number>> {
  const found = new Map<Texture["source"], number>();
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
      if (texture && image !== undefined) found.set(texture.source, image);
    }),
  );
  return found;
}

function textures(material: Material): [string, Texture][] {
  return Object.entries(material).filter((entry): entry is [string, Texture] => isTexture(entry[1]));
}

function isTexture(value: unknown): value is Texture {
  return typeof value === "object" && value !== null && (value as { isTexture?: unknown }).isTexture === true;
}

/** The loaders want an ArrayBuffer; a view of a part of one is copied. */
export function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteLength } = bytes;
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) return buffer;
  return bytes.slice().buffer as ArrayBuffer;
}
