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

/** A longer document is of many nodes and materials, whose programs nobody waits for one by one, bytes. */
const LONGEST_JSON = 256 * 1024;
/** Kinds of primitives; a base has a few. */
const MOST_KINDS = 32;
/** Needs a decoder, and there is nothing to decode. */
const DRACO = "KHR_draco_mesh_compression";
const GLB_MAGIC = 0x46546c67;
const HEADER_BYTES = 20;

/** What of a glTF document decides how it is drawn. */
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

interface WarmupTask {
  readonly scene: Scene;
  stage: "waiting" | "making" | "made" | "compiling" | "compiled" | "shown" | "over";
  standIns: Group | null;
}

/**
 * Has what will draw an asset ready before it is there. The program of a material with all its maps, and what is made
 * when something is first drawn with it, take a tenth of a second (SwiftShader); the document that says which programs
 * these are comes first in the file of a base, and the link is slower than that. So one triangle without area
 * for each kind of primitive is drawn meanwhile, by the page's own frames: with its lights, its target, in XR or not.
 */
export class ShaderWarmup {
  private readonly warmup = new Map<AssetState, WarmupTask>();

  constructor(
    private readonly renderer: WebGLRenderer,
    private readonly loader: GLTFLoader,
  ) {
    loader.register(blankPictures);
  }

  /** An asset will be shown in this scene. */
  expect(state: AssetState, scene: Scene): void {
    this.warmup.set(state, { scene, stage: "waiting", standIns: null });
  }

  /** So much of its base has come. It is not checked yet, so nothing of it is drawn and nothing that it names fetched. */
  hear(state: AssetState, head: Uint8Array): void {
    const task = this.warmup.get(state);
    if (task?.stage !== "waiting" || head.length < HEADER_BYTES) return;
    const view = new DataView(head.buffer, head.byteOffset);
    const length = view.getUint32(12, true);
    if (view.getUint32(0, true) !== GLB_MAGIC || length > LONGEST_JSON) {
      task.stage = "over";
    } else if (head.length >= HEADER_BYTES + length) {
      task.stage = "making";
      void this.make(task, head.slice(HEADER_BYTES, HEADER_BYTES + length)).catch(() => {
        // What is wrong with it is told when all of it is there.
      });
    }
  }

  /**
   * Call once per frame, before drawing. In XR no frame should wait for a program: there it is compiled beside the frames,
   * where the browser can. Elsewhere it is ready sooner without.
   */
  step(camera: Camera): void {
    const { renderer } = this;
    const aside = renderer.xr.isPresenting && renderer.extensions.has("KHR_parallel_shader_compile");
    for (const task of this.warmup.values()) {
      const { scene, standIns } = task;
      if (!standIns) continue;
      if (task.stage === "made" && aside) {
        task.stage = "compiling";
        renderer.compileAsync(standIns, camera, scene).then(
          () => {
            if (task.stage === "compiling") task.stage = "compiled";
          },
          () => leave(task),
        );
      } else if (task.stage === "made" || task.stage === "compiled") {
        task.stage = "shown";
        scene.add(standIns);
      }
    }
  }

  /** The asset itself is shown, or was given up. What stood in for it stays until it is removed: it holds the programs. */
  end(state: AssetState): void {
    const task = this.warmup.get(state);
    if (task) leave(task);
  }

  /** Frees what stood in for an asset. */
  remove(state: AssetState): void {
    this.end(state);
    const { standIns } = this.warmup.get(state) ?? {};
    this.warmup.delete(state);
    for (const standIn of (standIns?.children ?? []) as Mesh[]) {
      standIn.geometry.dispose();
      const material = standIn.material as Material;
      for (const value of Object.values(material)) if (value instanceof Texture) value.dispose();
      material.dispose();
    }
  }

  dispose(): void {
    for (const state of [...this.warmup.keys()]) this.remove(state);
  }

  private async make(task: WarmupTask, json: Uint8Array): Promise<void> {
    const document = standIns(JSON.parse(new TextDecoder().decode(json)));
    if (!document) return;
    const { scene } = await this.loader.parseAsync(document as unknown as string, "");
    const group = new Group();
    scene.traverse((object) => {
      if (object instanceof Mesh) group.children.push(object);
    });
    for (const standIn of group.children as Mesh[]) {
      standIn.parent = group;
      standIn.frustumCulled = false;
      // Removed in the next frame at the latest: in this one it may be drawn several times.
      standIn.onAfterRender = () => queueMicrotask(() => leave(task));
    }
    // All of it may have come meanwhile.
    if (task.stage !== "making") return;
    task.standIns = group;
    task.stage = "made";
  }
}

function leave(task: WarmupTask): void {
  task.stage = "over";
  task.standIns?.removeFromParent();
}

/**
 * A document with a triangle without area for each kind of primitive: accessors without a view hold zeros. Of skinned
 * meshes there are none, since they would need their bones; and none at all where lights come with the asset, which
 * change every program.
 */
function standIns(document: Document): object | null {
  const { asset, extensionsUsed = [], nodes = [], meshes = [] } = document;
  const { accessors = [], textures = [], materials = [] } = document;
  if (extensionsUsed.includes("KHR_lights_punctual")) return null;
  const skinned = new Set(nodes.flatMap(({ mesh, skin }) => (skin === undefined ? [] : [mesh])));
  const kinds = new Map<string, object>();
  meshes.forEach(({ primitives }, mesh) => {
    if (skinned.has(mesh)) return;
    for (const { attributes, targets, material, mode } of primitives) {
      if (mode !== undefined && mode !== 4) continue;
      const forms = Object.entries(attributes).map(([name, index]) => [name, formOf(accessors[index])]);
      const key = JSON.stringify([material, forms, targets?.map((target) => Object.keys(target))]);
      kinds.set(key, { attributes, material, ...(targets ? { targets } : {}) });
    }
  });
  if (kinds.size === 0 || kinds.size > MOST_KINDS) return null;
  return {
    asset,
    extensionsUsed: extensionsUsed.filter((name) => name !== DRACO),
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [...kinds.values()] }],
    accessors: accessors.map((accessor) => ({ ...formOf(accessor), count: 3 })),
    materials,
    // Each its own: three.js notes on a texture whether it holds colours.
    textures: textures.map((_, source) => ({ source })),
    images: textures.map((_, index) => ({ uri: `${index}` })),
  };
}

function formOf(accessor: Accessor | undefined): Partial<Accessor> {
  const { componentType, type, normalized = false } = accessor ?? {};
  return { componentType, type, normalized } as Partial<Accessor>;
}

/** A plugin of GLTFLoader that fetches no picture. */
function blankPictures(parser: GLTFParser): { name: string } {
  parser.loadImageSource = async () => {
    const blank = new DataTexture(new Uint8Array(4), 1, 1);
    blank.needsUpdate = true;
    return blank;
  };
  return { name: "blank-pictures" };
}
