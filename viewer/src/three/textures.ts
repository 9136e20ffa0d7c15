import { type CompressedTexture, Texture } from "three";
import type { GLTFLoaderPlugin, GLTFParser } from "three/addons/loaders/GLTFLoader.js";
import { setTexture, type TextureSlot, textureIn } from "./base.ts";
import type { Uploads } from "./uploads.ts";

/** A decoded picture, or compressed blocks that the GPU reads. */
export type Pixels = ImageBitmap | CompressedTexture;

/**
 * Decodes a picture outside the main thread, in the same way as three's glTF loader: rows from the top, no
 * colour conversion, alpha not premultiplied.
 * @param uri its ending tells the format
 * @param size as in the manifest
 * @param transcode for KTX2
 * @throws Error if the picture cannot be decoded, or has another size
 */
export async function decodePicture(
  bytes: ArrayBuffer,
  uri: string,
  size: { readonly width: number; readonly height: number },
  transcode: (bytes: ArrayBuffer) => Promise<CompressedTexture>,
): Promise<Pixels> {
  const ending = uri.slice(uri.lastIndexOf(".") + 1);
  const pixels = ending === "ktx2" ? await transcode(bytes) : await decodeBitmap(bytes, TYPES[ending] ?? "");
  const { width, height } = isCompressed(pixels) ? pixels.image : pixels;
  if (width !== size.width || height !== size.height) {
    discard(pixels);
    throw new Error(
      `the picture has ${width}×${height} pixels, but the manifest says ${size.width}×${size.height}`,
    );
  }
  return pixels;
}

/**
 * Frees decoded pixels now: they are outside the JavaScript heap, so garbage collection would come too late.
 */
export function discard(pixels: Pixels): void {
  if (!isCompressed(pixels)) pixels.close();
}

/**
 * A plugin of GLTFLoader that decodes the pictures of a GLB from memory. three.js itself would request each
 * from a blob address, which takes 10 ms for the five pictures of a base.
 */
export function embeddedPictures(parser: GLTFParser): GLTFLoaderPlugin {
  const sources = new Map<number, Promise<Texture>>();
  const read = async (index: number): Promise<Texture> => {
    const { bufferView, mimeType } = parser.json.images[index];
    const bytes: ArrayBuffer = await parser.getDependency("bufferView", bufferView);
    const texture = new Texture(await decodeBitmap(bytes, mimeType));
    texture.userData.mimeType = mimeType;
    texture.needsUpdate = true;
    return texture;
  };
  parser.loadImageSource = (index) => {
    const known = sources.get(index);
    // Textures of the same picture share its pixels, and differ in their samplers.
    if (known) return known.then((texture) => texture.clone());
    const source = read(index);
    sources.set(index, source);
    return source;
  };
  return { name: "embedded-pictures" };
}

const TYPES: Readonly<Record<string, string>> = { webp: "image/webp", png: "image/png", jpg: "image/jpeg" };

async function decodeBitmap(bytes: ArrayBuffer, type: string): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(new Blob([bytes], { type }), {
      imageOrientation: "none",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error("this browser cannot decode the picture");
  }
}

// By its flag, not by `instanceof`: the class would add code that most pages do not need.
function isCompressed(pixels: Pixels): pixels is CompressedTexture {
  return "isCompressedTexture" in pixels;
}

/** One finer level of a picture on the GPU. */
interface Level {
  readonly pixels: Pixels;
  /** For each texture of the base, the one that replaces it. */
  readonly replacements: ReadonlyMap<Texture, Texture>;
}

/**
 * The levels of one picture of an asset. three.js cannot change the size of an uploaded texture, so each
 * level is a texture of its own, with the sampler, transform, channel and colour space of the base's texture.
 * The base's level is never freed: it remains when memory is short.
 */
export class Picture {
  readonly #slots: readonly { readonly slot: TextureSlot; readonly base: Texture }[];
  readonly #levels = new Map<number, Level>();

  constructor(slots: readonly TextureSlot[]) {
    this.#slots = slots.flatMap((slot) => {
      const base = textureIn(slot);
      return base ? [{ slot, base }] : [];
    });
  }

  /** The texture sources of the base's level, for the recorder. */
  get baseSources(): Set<Texture["source"]> {
    return new Set(this.#slots.map(({ base }) => base.source));
  }

  /** Uploads a level without showing it. All its textures share one source, and so the same GPU memory. */
  async prepare(
    level: number,
    pixels: Pixels,
    uploads: Uploads,
    signal: AbortSignal,
  ): Promise<Texture["source"]> {
    const source = isCompressed(pixels) ? pixels.source : new Texture(pixels).source;
    const replacements = new Map<Texture, Texture>();
    for (const { base } of this.#slots) {
      if (replacements.has(base)) continue;
      const next = isCompressed(pixels) ? compressedLike(pixels, base) : base.clone();
      next.source = source;
      next.needsUpdate = true;
      replacements.set(base, next);
    }
    this.#levels.set(level, { pixels, replacements });
    try {
      await Promise.all([...replacements.values()].map((texture) => uploads.texture(texture, signal)));
    } catch (error) {
      this.release(level);
      throw error;
    }
    return source;
  }

  /** Shows a level in all slots of all materials. */
  show(level: number): void {
    const replacements = this.#levels.get(level)?.replacements;
    for (const { slot, base } of this.#slots) setTexture(slot, replacements?.get(base) ?? base);
  }

  release(level: number): void {
    const prepared = this.#levels.get(level);
    if (!prepared) return;
    this.#levels.delete(level);
    for (const texture of prepared.replacements.values()) texture.dispose();
    discard(prepared.pixels);
  }

  dispose(): void {
    for (const level of [...this.#levels.keys()]) this.release(level);
    for (const { base } of this.#slots) {
      base.dispose();
      if (base.source.data instanceof ImageBitmap) base.source.data.close();
    }
  }
}

/** A texture with the blocks and mipmaps of a KTX2 file, and all other properties of the base's texture. */
function compressedLike(pixels: CompressedTexture, base: Texture): Texture {
  const next = pixels.clone();
  next.copy(base as CompressedTexture);
  next.mipmaps = pixels.mipmaps;
  next.format = pixels.format;
  next.type = pixels.type;
  next.generateMipmaps = false; // the GPU cannot compress mipmaps
  return next;
}
