import { type CompressedTexture, LoadingManager, type WebGLRenderer } from "three";
import { KTX2Loader } from "three/addons/loaders/KTX2Loader.js";
import type { DecoderFiles } from "./decoders.ts";

/** Transcodes a KTX2 file into blocks that this GPU reads; the bytes go to a worker and are gone. */
export interface Transcoder {
  transcode(bytes: ArrayBuffer): Promise<CompressedTexture>;
  dispose(): void;
}

/**
 * Fetches the transcoder. This module is only imported when a KTX2 picture is met.
 * @throws Error when it cannot be had
 */
export async function openTranscoder(
  renderer: WebGLRenderer,
  files: DecoderFiles,
  workers: number,
): Promise<Transcoder> {
  const manager = new LoadingManager();
  // three.js asks for two fixed names; ours carry a hash.
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
        const refuse = (error: unknown): void =>
          reject(new Error("not a KTX2 picture that can be transcoded", { cause: error }));
        loader.parse(bytes, (texture) => resolve(texture as CompressedTexture), refuse);
      }),
    dispose: () => loader.dispose(),
  };
}
