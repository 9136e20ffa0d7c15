import { LoadingManager } from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";

/**
 * Workers for Draco, and as many for KTX2. More would take cores from a headset's main thread and compositor.
 */
export const DECODERS = 2;

/** Addresses of a decoder's two files. */
export interface DecoderFiles {
  readonly js: string;
  readonly wasm: string;
}

/** Set by the build: addresses relative to the built script. */
declare const DRACO_JS: string;
declare const DRACO_WASM: string;
declare const BASIS_JS: string;
declare const BASIS_WASM: string;

/** The decoders of this library. Bundlers recognise `new URL(…, import.meta.url)` and include the files. */
export const DRACO: DecoderFiles = {
  js: new URL(DRACO_JS, import.meta.url).href,
  wasm: new URL(DRACO_WASM, import.meta.url).href,
};
export const BASIS: DecoderFiles = {
  js: new URL(BASIS_JS, import.meta.url).href,
  wasm: new URL(BASIS_WASM, import.meta.url).href,
};

/** One triangle as Draco: decoding it makes a worker start and compile the decoder. */
const TRIANGLE = "RFJBQ08CAgEAAAABAwEAAQIBAQAJAwAAAgABAQACAwFAAQDIAAAAAAABAAAAAAAAAAAAAAAAAAAAAACAPwE=";

interface Pool {
  readonly loader: DRACOLoader;
  users: number;
}

const pools = new Map<string, Pool>();

/** The Draco workers, which all renderers of a page share. Each call needs a call of `releaseDraco`. */
export function acquireDraco(files: DecoderFiles): DRACOLoader {
  let pool = pools.get(files.wasm);
  if (!pool) {
    const loader = new DRACOLoader(loadingManager(files))
      .setDecoderPath({ ...files })
      .setWorkerLimit(DECODERS);
    for (let worker = 0; worker < DECODERS; worker++) startWorker(loader);
    pool = { loader, users: 0 };
    pools.set(files.wasm, pool);
  }
  pool.users++;
  return pool.loader;
}

/** Starts a worker now: three.js would start it for the first file, and the base would wait for it. */
function startWorker(loader: DRACOLoader): void {
  const bytes = Uint8Array.from(atob(TRIANGLE), (character) => character.charCodeAt(0));
  // An error is ignored here: decoding the base reports it.
  loader.parse(
    bytes.buffer,
    (geometry) => geometry.dispose(),
    () => {},
  );
}

/** Stops the workers when their last user has released them. */
export function releaseDraco(files: DecoderFiles): void {
  const pool = pools.get(files.wasm);
  if (!pool || --pool.users > 0) return;
  pools.delete(files.wasm);
  pool.loader.dispose();
}

/**
 * A manager that loads only the decoder. The files of a bundle are complete, and must not make the page
 * request another address. (The page's default manager may also change addresses, or count these files.)
 */
export function loadingManager({ js, wasm }: DecoderFiles): LoadingManager {
  const allowed = new Set([js, wasm]);
  const manager = new LoadingManager();
  return manager.setURLModifier((url) => {
    return allowed.has(url) || /^(blob|data):/.test(url) ? url : "data:,refused";
  });
}
