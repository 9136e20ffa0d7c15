import { Texture } from "three";
import { setTexture, type TextureSlot, textureIn } from "./base.ts";
import type { Uploads } from "./uploads.ts";

/**
 * Decodes a picture off the main thread, exactly as three's glTF loader does: rows from the top, no colour
 * conversion, alpha not multiplied in.
 * @throws Error for what is no picture, or has another size than the manifest says
 */
export async function decodePicture(
  bytes: BlobPart,
  type: string,
  size: { readonly width: number; readonly height: number },
): Promise<ImageBitmap> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type }), {
      imageOrientation: "none",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error("not a picture that this browser can decode");
  }
  if (bitmap.width !== size.width || bitmap.height !== size.height) {
    const found = `${bitmap.width}×${bitmap.height}`;
    bitmap.close();
    throw new Error(`a picture of ${found} pixels where the manifest says ${size.width}×${size.height}`);
  }
  return bitmap;
}

/** One finer level of a picture on the GPU: for each of the base's textures, the one that takes its place. */
interface Level {
  readonly bitmap: ImageBitmap;
  readonly successors: ReadonlyMap<Texture, Texture>;
}

/**
 * One picture of an asset in its levels. three.js cannot change the size of a texture that the GPU has, so each
 * level is a texture object of its own, with sampler, transform, channel and colour space of the base's. The
 * base's own level is never freed: it is what remains under memory pressure.
 */
export class Picture {
  private readonly slots: readonly { readonly slot: TextureSlot; readonly base: Texture }[];
  private readonly levels = new Map<number, Level>();

  constructor(slots: readonly TextureSlot[]) {
    this.slots = slots.flatMap((slot) => {
      const base = textureIn(slot);
      return base ? [{ slot, base }] : [];
    });
  }

  /** The pixels of the base's level, for the recorder. */
  get baseSources(): Set<Texture["source"]> {
    return new Set(this.slots.map(({ base }) => base.source));
  }

  /** Uploads a level without showing it. All its textures share one source and so one piece of GPU memory. */
  async prepare(
    level: number,
    bitmap: ImageBitmap,
    uploads: Uploads,
    signal: AbortSignal,
  ): Promise<Texture["source"]> {
    const { source } = new Texture(bitmap);
    const successors = new Map<Texture, Texture>();
    for (const { base } of this.slots) {
      if (successors.has(base)) continue;
      const next = base.clone();
      next.source = source;
      next.needsUpdate = true;
      successors.set(base, next);
    }
    this.levels.set(level, { bitmap, successors });
    try {
      await Promise.all([...successors.values()].map((texture) => uploads.texture(texture, signal)));
    } catch (error) {
      this.release(level);
      throw error;
    }
    return source;
  }

  /** Puts a level into every slot of every material at once. */
  show(level: number): void {
    const successors = this.levels.get(level)?.successors;
    for (const { slot, base } of this.slots) setTexture(slot, successors?.get(base) ?? base);
  }

  release(level: number): void {
    const made = this.levels.get(level);
    if (!made) return;
    this.levels.delete(level);
    for (const texture of made.successors.values()) texture.dispose();
    // Decoded pixels lie outside the JavaScript heap; its collector would let them pile up.
    made.bitmap.close();
  }

  dispose(): void {
    for (const level of [...this.levels.keys()]) this.release(level);
    for (const { base } of this.slots) {
      base.dispose();
      if (base.source.data instanceof ImageBitmap) base.source.data.close();
    }
  }
}
