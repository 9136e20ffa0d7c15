import { type CompressedTexture, LoadingManager, type WebGLRenderer } from "three";
import { KTX2Loader } from "three/addons/loaders/KTX2Loader.js";
import type { DecoderFiles } from "./decoders.ts";

/** Converts KTX2 files to compressed blocks that the GPU of a renderer reads. */
export interface Transcoder {
  /** The bytes are transferred to a worker, so the caller loses them. */
  transcode(bytes: ArrayBuffer): Promise<CompressedTexture>;
  dispose(): void;
}

/**
 * Loads the transcoder. This module itself is loaded with the first KTX2 picture.
 * @throws Error if the transcoder cannot be loaded
 */
export async function openTranscoder(
  renderer: WebGLRenderer,
  files: DecoderFiles,
  workers: number,
): Promise<Transcoder> {
  const manager = new LoadingManager();
  // three.js requests two fixed names; the built files have a hash in theirs.
  manager.setURLModifier((url) => (url.endsWith(".wasm") ? files.wasm : files.js));
  const loader = new KTX2Loader(manager).setTranscoderPath("./").setWorkerLimit(workers);
  loader.detectSupport(renderer);
  try {
    await (loader as unknown as { init(): Promise<void> }).init();
  } catch {
    loader.dispose();
    throw new Error("the KTX2 transcoder cannot be loaded");
  }
  return {
    transcode: (bytes) =>
      new Promise((resolve, reject) => {
        const onError = (cause: unknown): void =>
          reject(new Error("the KTX2 picture cannot be transcoded", { cause }));
        loader.parse(bytes, (texture) => resolve(texture as CompressedTexture), onError);
      }),
    dispose: () => loader.dispose(),
  };
}
