import {
  type BufferGeometry,
  Camera,
  Mesh,
  MeshBasicMaterial,
  Scene,
  type Texture,
  type WebGLRenderer,
  WebGLRenderTarget,
} from "three";

/** Bytes that one frame may send to the GPU: about 2 ms on a mobile GPU at 1 GB/s, of the 11 ms of a frame. */
const SLICE_BYTES = 2 << 20;

interface Upload {
  readonly bytes: number;
  readonly run: () => void;
}

/**
 * Sends geometry and pictures to the GPU a slice per frame, before anything of them is drawn, so that no frame
 * waits for more than one slice and a swap finds everything in place.
 */
export class Uploads {
  private readonly waiting: Upload[] = [];
  private readonly scene = new Scene();
  private readonly camera = new Camera();
  private readonly mesh = new Mesh(
    undefined,
    new MeshBasicMaterial({ colorWrite: false, depthWrite: false }),
  );
  private readonly target = new WebGLRenderTarget(1, 1, { depthBuffer: false });

  constructor(private readonly renderer: WebGLRenderer) {
    this.mesh.frustumCulled = false;
    this.scene.add(this.mesh);
    this.scene.matrixWorldAutoUpdate = false;
  }

  /** Bytes not yet sent. */
  get pending(): number {
    return this.waiting.reduce((sum, upload) => sum + upload.bytes, 0);
  }

  /** Queues a geometry; resolves when the GPU has all of it, rejects when aborted before. */
  geometry(geometry: BufferGeometry, signal?: AbortSignal): Promise<void> {
    return this.add(geometryBytes(geometry), () => this.drawNothing(geometry), signal);
  }

  /** Queues a picture; resolves when the GPU has it, mipmaps included. */
  texture(texture: Texture, signal?: AbortSignal): Promise<void> {
    return this.add(textureBytes(texture), () => this.renderer.initTexture(texture), signal);
  }

  /** Sends one slice: at least one upload, then more while they fit. Call once per frame, before drawing. */
  slice(): void {
    let left = SLICE_BYTES;
    for (let next = this.waiting[0]; next; next = this.waiting[0]) {
      if (left < SLICE_BYTES && next.bytes > left) return;
      this.waiting.shift();
      next.run();
      left -= next.bytes;
    }
  }

  dispose(): void {
    this.waiting.length = 0;
    this.target.dispose();
    this.mesh.material.dispose();
  }

  private add(bytes: number, send: () => void, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const run = (): void => {
        try {
          signal?.throwIfAborted();
          send();
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      this.waiting.push({ bytes, run });
    });
  }

  /**
   * three.js has no call that uploads a geometry; drawing it uploads it. So it is drawn with a count of zero
   * into a target of one pixel, outside the XR session's framebuffer.
   */
  private drawNothing(geometry: BufferGeometry): void {
    const { renderer } = this;
    const target = renderer.getRenderTarget();
    const xr = renderer.xr.enabled;
    const { start, count } = geometry.drawRange;
    const empty = this.mesh.geometry;
    renderer.xr.enabled = false;
    renderer.setRenderTarget(this.target);
    geometry.setDrawRange(0, 0);
    this.mesh.geometry = geometry;
    this.mesh.morphTargetInfluences = undefined;
    this.mesh.updateMorphTargets();
    try {
      renderer.render(this.scene, this.camera);
    } finally {
      this.mesh.geometry = empty;
      geometry.setDrawRange(start, count);
      renderer.setRenderTarget(target);
      renderer.xr.enabled = xr;
    }
  }
}

/** Bytes that are sent for a texture: its blocks with their mipmaps, or pixels of which the GPU makes them. */
function textureBytes(texture: Texture): number {
  const blocks = (texture.mipmaps ?? []) as { data?: ArrayBufferView }[];
  if (blocks.length > 0) return blocks.reduce((sum, { data }) => sum + (data?.byteLength ?? 0), 0);
  const { width, height } = texture.image as { width: number; height: number };
  return width * height * 4;
}

/** Bytes of all vertex attributes, morph targets and the index. */
export function geometryBytes(geometry: BufferGeometry): number {
  let bytes = geometry.index?.array.byteLength ?? 0;
  const morphs = Object.values(geometry.morphAttributes).flatMap((targets) => targets ?? []);
  for (const attribute of [...Object.values(geometry.attributes), ...morphs])
    bytes += attribute.array.byteLength;
  return bytes;
}
