import { type CompressedTexture, Texture } from "three";
import type { GLTFLoaderPlugin, GLTFParser } from "three/addons/loaders/GLTFLoader.js";
import { setTexture, type TextureSlot, textureIn } from "./base.ts";
import type { Uploads } from "./uploads.ts";

/** A picture before the GPU has it: decoded, or as blocks that the GPU reads. */
export type Pixels = ImageBitmap | CompressedTexture;

/**
 * Decodes a picture off the main thread, exactly as three's glTF loader does: rows from the top, no colour
 * conversion, alpha not multiplied in.
 * @param transcode for KTX2
 * @throws Error for what is no picture, or has another size than the manifest says
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
      `a picture of ${width}×${height} pixels where the manifest says ${size.width}×${size.height}`,
    );
  }
  return pixels;
}

/** Frees what JavaScript's collector does not see: decoded pixels lie outside its heap and would pile up. */
export function discard(pixels: Pixels): void {
  if (!isCompressed(pixels)) pixels.close();
}

/**
 * A plugin of GLTFLoader that decodes the pictures of a GLB from memory. three.js makes an address for each and fetches
 * that, which takes the browser 10 ms for the five of a base.
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
    // Textures of one picture share its pixels, and differ in how they are sampled.
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
    throw new Error("not a picture that this browser can decode");
  }
}

// Asked by its flag: the class itself would be code that most pages never need.
function isCompressed(pixels: Pixels): pixels is CompressedTexture {
  return "isCompressedTexture" in pixels;
}

/** One finer level of a picture on the GPU: for each of the base's textures, the one that takes its place. */
interface Level {
  readonly pixels: Pixels;
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
    pixels: Pixels,
    uploads: Uploads,
    signal: AbortSignal,
  ): Promise<Texture["source"]> {
    const source = isCompressed(pixels) ? pixels.source : new Texture(pixels).source;
    const successors = new Map<Texture, Texture>();
    for (const { base } of this.slots) {
      if (successors.has(base)) continue;
      const next = isCompressed(pixels) ? blocksLike(pixels, base) : base.clone();
      next.source = source;
      next.needsUpdate = true;
      successors.set(base, next);
    }
    this.levels.set(level, { pixels, successors });
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
    discard(made.pixels);
  }

  dispose(): void {
    for (const level of [...this.levels.keys()]) this.release(level);
    for (const { base } of this.slots) {
      base.dispose();
      if (base.source.data instanceof ImageBitmap) base.source.data.close();
    }
  }
}

/** A texture of a KTX2 file's blocks and mipmaps that is sampled, placed and coloured like another one. */
function blocksLike(pixels: CompressedTexture, base: Texture): Texture {
  const next = pixels.clone();
  next.copy(base as CompressedTexture);
  next.mipmaps = pixels.mipmaps;
  next.format = pixels.format;
  next.type = pixels.type;
  next.generateMipmaps = false; // the GPU cannot make blocks
  return next;
}
