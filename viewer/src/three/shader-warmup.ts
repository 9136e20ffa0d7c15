import {
  type Camera,
  DataTexture,
  Group,
  type Material,
  Mesh,
  type Scene,
  Texture,
  type WebGLRenderer,
} from "three";
import type { GLTFLoader, GLTFParser } from "three/addons/loaders/GLTFLoader.js";
import type { AssetState } from "../core/asset.ts";

/** A longer document has many nodes and materials; their shaders would take too long, bytes. */
const MAX_JSON_BYTES = 256 * 1024;
/** Kinds of primitives; a base has a few. */
const MAX_KINDS = 32;
/** Removed from the document: it needs a decoder, and the stand-ins have no data to decode. */
const DRACO = "KHR_draco_mesh_compression";
const GLB_MAGIC = 0x46546c67;
/** GLB header and the header of its first chunk, the JSON. */
const GLB_HEADER_BYTES = 20;
const TRIANGLES_MODE = 4;

/** The parts of a glTF document that decide which shaders draw it. */
interface Document {
  readonly asset?: unknown;
  readonly extensionsUsed?: readonly string[];
  readonly nodes?: readonly { readonly mesh?: number; readonly skin?: number }[];
  readonly meshes?: readonly { readonly primitives: readonly Primitive[] }[];
  readonly accessors?: readonly Accessor[];
  readonly textures?: readonly unknown[];
  readonly materials?: readonly unknown[];
}

interface Primitive {
  readonly attributes: Readonly<Record<string, number>>;
  readonly targets?: readonly Readonly<Record<string, number>>[];
  readonly material?: number;
  readonly mode?: number;
}

interface Accessor {
  readonly componentType: number;
  readonly type: string;
  readonly normalized?: boolean;
}

/** The warm-up of one asset. */
interface Task {
  readonly scene: Scene;
  state: /** The document has not arrived completely. */
    | "waiting"
    /** The document is being parsed. */
    | "parsing"
    /** The stand-ins are not in the scene yet. */
    | "parsed"
    | "compiling"
    | "compiled"
    /** The stand-ins are in the scene. */
    | "shown"
    | "ended";
  standIns: Group | null;
}

/**
 * Compiles the shaders of an asset before its data arrives. The program of a material with all its textures,
 * and the resources for its first draw call, take a tenth of a second (SwiftShader), and the network is
 * usually slower than that. The glTF document, which decides the programs, comes first in the file of a base.
 * So for each kind of primitive, one triangle without area is drawn as a stand-in, in the page's own frames:
 * with its lights, its render target, in XR or not.
 */
export class ShaderWarmup {
  readonly #renderer: WebGLRenderer;
  readonly #loader: GLTFLoader;
  readonly #tasks = new Map<AssetState, Task>();

  constructor(renderer: WebGLRenderer, loader: GLTFLoader) {
    this.#renderer = renderer;
    this.#loader = loader;
    loader.register(blankPictures);
  }

  /** Announces an asset that this scene will show. */
  expect(state: AssetState, scene: Scene): void {
    this.#tasks.set(state, { scene, state: "waiting", standIns: null });
  }

  /**
   * Takes the first bytes of a base. They are not verified yet, so none of their geometry is drawn, and no
   * address in them is requested.
   */
  baseProgress(state: AssetState, head: Uint8Array): void {
    const task = this.#tasks.get(state);
    if (task?.state !== "waiting" || head.length < GLB_HEADER_BYTES) return;
    const view = new DataView(head.buffer, head.byteOffset);
    const length = view.getUint32(12, true);
    if (view.getUint32(0, true) !== GLB_MAGIC || length > MAX_JSON_BYTES) {
      task.state = "ended";
    } else if (head.length >= GLB_HEADER_BYTES + length) {
      task.state = "parsing";
      const json = head.slice(GLB_HEADER_BYTES, GLB_HEADER_BYTES + length);
      void this.#parse(task, json).catch(() => {
        // A malformed base is reported when all of it has arrived.
      });
    }
  }

  /**
   * Call once per frame, before drawing. In XR a frame must not wait for shaders, so they are compiled in
   * parallel if the browser can. On a screen the asset appears sooner if they are compiled at once.
   */
  update(camera: Camera): void {
    const renderer = this.#renderer;
    const inParallel = renderer.xr.isPresenting && renderer.extensions.has("KHR_parallel_shader_compile");
    for (const task of this.#tasks.values()) {
      const { scene, standIns } = task;
      if (!standIns) continue;
      if (task.state === "parsed" && inParallel) {
        task.state = "compiling";
        renderer.compileAsync(standIns, camera, scene).then(
          () => {
            if (task.state === "compiling") task.state = "compiled";
          },
          () => end(task),
        );
      } else if (task.state === "parsed" || task.state === "compiled") {
        task.state = "shown";
        scene.add(standIns);
      }
    }
  }

  /**
   * The asset is shown, or has failed. The stand-ins are kept until `remove`, since they hold the shaders.
   */
  end(state: AssetState): void {
    const task = this.#tasks.get(state);
    if (task) end(task);
  }

  /** Frees the stand-ins of an asset. */
  remove(state: AssetState): void {
    this.end(state);
    const { standIns } = this.#tasks.get(state) ?? {};
    this.#tasks.delete(state);
    for (const standIn of (standIns?.children ?? []) as Mesh[]) {
      standIn.geometry.dispose();
      const material = standIn.material as Material;
      for (const value of Object.values(material)) if (value instanceof Texture) value.dispose();
      material.dispose();
    }
  }

  dispose(): void {
    for (const state of [...this.#tasks.keys()]) this.remove(state);
  }

  async #parse(task: Task, json: Uint8Array): Promise<void> {
    const document = standInDocument(JSON.parse(new TextDecoder().decode(json)));
    if (!document) return;
    const { scene } = await this.#loader.parseAsync(document as unknown as string, "");
    const standIns = new Group();
    scene.traverse((object) => {
      if (object instanceof Mesh) standIns.children.push(object);
    });
    for (const standIn of standIns.children as Mesh[]) {
      standIn.parent = standIns;
      standIn.frustumCulled = false;
      // Removed after the draw call, but not during it: one frame may draw it several times.
      standIn.onAfterRender = () => queueMicrotask(() => end(task));
    }
    // The asset itself may have arrived meanwhile.
    if (task.state !== "parsing") return;
    task.standIns = standIns;
    task.state = "parsed";
  }
}

function end(task: Task): void {
  task.state = "ended";
  task.standIns?.removeFromParent();
}

/**
 * Makes a document with one triangle without area for each kind of primitive; its accessors have no buffer
 * view, and so hold zeros. Skinned meshes are left out, since they would need their bones.
 * @returns null if there is nothing to draw, or if the asset brings lights, which change all shaders
 */
function standInDocument(document: Document): object | null {
  const { asset, extensionsUsed = [], accessors = [], textures = [], materials = [] } = document;
  if (extensionsUsed.includes("KHR_lights_punctual")) return null;
  const primitives = kindsOf(document);
  if (primitives.length === 0 || primitives.length > MAX_KINDS) return null;
  return {
    asset,
    extensionsUsed: extensionsUsed.filter((name) => name !== DRACO),
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives }],
    accessors: accessors.map((accessor) => ({ ...formatOf(accessor), count: 3 })),
    materials,
    // An image for each texture: three.js marks a texture's image as colour or data.
    textures: textures.map((_, source) => ({ source })),
    images: textures.map((_, index) => ({ uri: `${index}` })),
  };
}

/** One primitive for each combination of material and attribute formats, without those of skinned meshes. */
function kindsOf({ nodes = [], meshes = [], accessors = [] }: Document): object[] {
  const skinned = new Set(nodes.flatMap(({ mesh, skin }) => (skin === undefined ? [] : [mesh])));
  const kinds = new Map<string, object>();
  meshes.forEach(({ primitives }, mesh) => {
    if (skinned.has(mesh)) return;
    for (const { attributes, targets, material, mode = TRIANGLES_MODE } of primitives) {
      if (mode !== TRIANGLES_MODE) continue;
      const formats = Object.entries(attributes).map(([name, index]) => [name, formatOf(accessors[index])]);
      const key = JSON.stringify([material, formats, targets?.map((target) => Object.keys(target))]);
      kinds.set(key, { attributes, material, ...(targets ? { targets } : {}) });
    }
  });
  return [...kinds.values()];
}

function formatOf(accessor: Accessor | undefined): Partial<Accessor> {
  const { componentType, type, normalized = false } = accessor ?? {};
  return { componentType, type, normalized } as Partial<Accessor>;
}

/** A plugin of GLTFLoader that replaces each picture by one blank pixel, without a request. */
function blankPictures(parser: GLTFParser): { name: string } {
  parser.loadImageSource = async () => {
    const blank = new DataTexture(new Uint8Array(4), 1, 1);
    blank.needsUpdate = true;
    return blank;
  };
  return { name: "blank-pictures" };
}
