import { LoadingManager } from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";

/** Workers that decode Draco, and as many that transcode KTX2: more would take cores from the main thread and the compositor of a headset. */
export const DECODERS = 2;

/** Addresses of a decoder's two files. */
export interface DecoderFiles {
  readonly js: string;
  readonly wasm: string;
}

/** Set by the build: the files' places, relative to the script that this becomes a part of. */
declare const DRACO_JS: string;
declare const DRACO_WASM: string;
declare const BASIS_JS: string;
declare const BASIS_WASM: string;

/** The decoders that are built with this library. Bundlers know this form and take the files along. */
export const DRACO: DecoderFiles = {
  js: new URL(DRACO_JS, import.meta.url).href,
  wasm: new URL(DRACO_WASM, import.meta.url).href,
};
export const BASIS: DecoderFiles = {
  js: new URL(BASIS_JS, import.meta.url).href,
  wasm: new URL(BASIS_WASM, import.meta.url).href,
};

/** One triangle as Draco: to decode it, a worker must have started and compiled the decoder. */
const TRIANGLE = "RFJBQ08CAgEAAAABAwEAAQIBAQAJAwAAAgABAQACAwFAAQDIAAAAAAABAAAAAAAAAAAAAAAAAAAAAACAPwE=";

interface Pool {
  readonly loader: DRACOLoader;
  users: number;
}

const pools = new Map<string, Pool>();

/** Workers that decode Draco, the same for all renderers of the page. Every call needs one of `releaseDraco`. */
export function borrowDraco(files: DecoderFiles): DRACOLoader {
  let pool = pools.get(files.wasm);
  if (!pool) {
    const loader = new DRACOLoader(managerOf(files)).setDecoderPath({ ...files }).setWorkerLimit(DECODERS);
    for (let worker = 0; worker < DECODERS; worker++) warm(loader);
    pool = { loader, users: 0 };
    pools.set(files.wasm, pool);
  }
  pool.users++;
  return pool.loader;
}

/** three.js would start a worker when the first file is there: the base would wait for it. */
function warm(loader: DRACOLoader): void {
  const bytes = Uint8Array.from(atob(TRIANGLE), (character) => character.charCodeAt(0));
  // Without a decoder the base says so.
  loader.parse(
    bytes.buffer,
    (geometry) => geometry.dispose(),
    () => {},
  );
}

/** Ends the workers after their last user. */
export function releaseDraco(files: DecoderFiles): void {
  const pool = pools.get(files.wasm);
  if (!pool || --pool.users > 0) return;
  pools.delete(files.wasm);
  pool.loader.dispose();
}

/**
 * A manager of our own, since the page's default one may rewrite addresses or count our files. A bundle's GLBs are
 * complete: one that names another address must not make this page ask for it.
 */
export function managerOf({ js, wasm }: DecoderFiles): LoadingManager {
  const own = new Set([js, wasm]);
  const manager = new LoadingManager();
  return manager.setURLModifier((url) => (own.has(url) || /^(blob|data):/.test(url) ? url : "data:,refused"));
}
