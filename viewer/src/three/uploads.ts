import {
  type Box2,
  type BufferGeometry,
  Camera,
  Mesh,
  MeshBasicMaterial,
  Scene,
  Texture,
  Vector2,
  type WebGLRenderer,
  WebGLRenderTarget,
} from "three";

/** Largest upload in one frame, bytes: about 2 ms on a mobile GPU at 1 GB/s, of the 11 ms of a frame. */
const SLICE_BYTES = 2 << 20;

/** A part of an upload; other frames may be drawn between two parts. */
interface Part {
  readonly bytes: number;
  readonly run: () => void;
}

/**
 * Uploads geometry and pictures to the GPU before they are drawn, one slice per frame, so that no frame waits
 * for more than one slice.
 */
export class Uploads {
  readonly #waiting: Part[] = [];
  /** WebGL textures whose pixels are uploaded: several three.js textures of one source may share one. */
  readonly #uploaded = new WeakSet<object>();
  readonly #scene = new Scene();
  readonly #camera = new Camera();
  readonly #mesh = new Mesh(undefined, new MeshBasicMaterial({ colorWrite: false, depthWrite: false }));
  readonly #target = new WebGLRenderTarget(1, 1, { depthBuffer: false });

  readonly #renderer: WebGLRenderer;

  constructor(renderer: WebGLRenderer) {
    this.#renderer = renderer;
    this.#mesh.frustumCulled = false;
    this.#scene.add(this.#mesh);
    this.#scene.matrixWorldAutoUpdate = false;
  }

  /** Queues a geometry; resolves when it is uploaded, rejects if aborted before. */
  geometry(geometry: BufferGeometry, signal?: AbortSignal): Promise<void> {
    const bytes = geometryBytes(geometry);
    return this.#add([{ bytes, run: () => this.#uploadGeometry(geometry) }], signal);
  }

  /** Queues a picture; resolves when it is uploaded with its mipmaps, rejects if aborted before. */
  texture(texture: Texture, signal?: AbortSignal): Promise<void> {
    const bytes = textureBytes(texture);
    const whole = { bytes, run: () => this.#renderer.initTexture(texture) };
    return this.#add(bytes > SLICE_BYTES && isBitmap(texture) ? this.#strips(texture) : [whole], signal);
  }

  /** Uploads one slice: at least one part, and more while they fit. Call once per frame, before drawing. */
  slice(): void {
    let bytes = 0;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (bytes > 0 && bytes + next.bytes > SLICE_BYTES) break;
      this.#waiting.shift();
      next.run();
      bytes += next.bytes;
    }
  }

  dispose(): void {
    this.#waiting.length = 0;
    this.#target.dispose();
    this.#mesh.material.dispose();
  }

  #add(parts: readonly Part[], signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      let failed = false;
      parts.forEach(({ bytes, run }, i) => {
        const attempt = (): void => {
          if (failed) return;
          try {
            signal?.throwIfAborted();
            run();
            if (i === parts.length - 1) resolve();
          } catch (error) {
            failed = true;
            reject(error);
          }
        };
        this.#waiting.push({ bytes, run: attempt });
      });
    });
  }

  /**
   * Splits a picture into strips of rows, each no larger than a slice; the GPU makes the mipmaps after the
   * last one.
   */
  #strips(texture: Texture): Part[] {
    const renderer = this.#renderer;
    const { source } = texture;
    const { width, height } = source.data as ImageBitmap;
    const rows = Math.max(1, Math.floor(SLICE_BYTES / (width * 4)));
    const pixels = new Texture(source.data as ImageBitmap);
    const { generateMipmaps } = texture;
    let skip = false;
    const reserve = (): void => {
      // Allocates the texture without pixels.
      source.dataReady = false;
      renderer.initTexture(texture);
      source.dataReady = true;
      const { __webglTexture: memory } = renderer.properties.get(texture) as { __webglTexture?: object };
      if (!memory) return;
      skip = this.#uploaded.has(memory);
      this.#uploaded.add(memory);
    };
    const strip = (top: number): void => {
      if (skip) return;
      const bottom = Math.min(height, top + rows);
      texture.generateMipmaps = generateMipmaps && bottom === height;
      // three.js reads only these two properties; a real Box2 would add code that nothing else needs.
      const region = { min: new Vector2(0, top), max: new Vector2(width, bottom) } as Box2;
      renderer.copyTextureToTexture(pixels, texture, region, region.min);
      texture.generateMipmaps = generateMipmaps;
    };
    const tops = Array.from({ length: Math.ceil(height / rows) }, (_, i) => i * rows);
    return [
      { bytes: 0, run: reserve },
      ...tops.map((top) => ({
        bytes: Math.min(rows, height - top) * width * 4,
        run: () => strip(top),
      })),
    ];
  }

  /**
   * three.js has no call that uploads a geometry, but drawing uploads it. So this draws it with a count of
   * zero into a target of one pixel, outside the XR session's framebuffer.
   */
  #uploadGeometry(geometry: BufferGeometry): void {
    const renderer = this.#renderer;
    const target = renderer.getRenderTarget();
    const xr = renderer.xr.enabled;
    const { start, count } = geometry.drawRange;
    const empty = this.#mesh.geometry;
    renderer.xr.enabled = false;
    renderer.setRenderTarget(this.#target);
    geometry.setDrawRange(0, 0);
    this.#mesh.geometry = geometry;
    this.#mesh.morphTargetInfluences = undefined;
    this.#mesh.updateMorphTargets();
    try {
      renderer.render(this.#scene, this.#camera);
    } finally {
      this.#mesh.geometry = empty;
      geometry.setDrawRange(start, count);
      renderer.setRenderTarget(target);
      renderer.xr.enabled = xr;
    }
  }
}

/** Whether a texture can be uploaded in strips without a copy of its pixels. */
function isBitmap({ source }: Texture): boolean {
  return typeof ImageBitmap !== "undefined" && source.data instanceof ImageBitmap;
}

/**
 * Bytes to upload for a texture: compressed blocks with their mipmaps, or pixels, from which the GPU makes
 * mipmaps.
 */
function textureBytes(texture: Texture): number {
  const blocks = (texture.mipmaps ?? []) as { data?: ArrayBufferView }[];
  if (blocks.length > 0) return blocks.reduce((sum, { data }) => sum + (data?.byteLength ?? 0), 0);
  const { width, height } = texture.image as { width: number; height: number };
  return width * height * 4;
}

/** Bytes of all vertex attributes, morph targets and the index. */
function geometryBytes(geometry: BufferGeometry): number {
  let bytes = geometry.index?.array.byteLength ?? 0;
  const morphs = Object.values(geometry.morphAttributes).flatMap((targets) => targets ?? []);
  for (const attribute of [...Object.values(geometry.attributes), ...morphs])
    bytes += attribute.array.byteLength;
  return bytes;
}
