import type { AssetState, Download } from "../core/asset.ts";
import type { Manifest, SourceObject } from "../core/bundle/bundle.ts";
import { parseObjects } from "../core/bundle/objects.ts";
import type { Fetcher } from "../core/network/fetcher.ts";

/** The objects of an asset, whose file is fetched by the first call of `read`. */
export class ObjectList {
  readonly #state: AssetState;
  readonly #fetch: Fetcher["fetch"];
  readonly #disposed = new AbortController();
  #objects: Promise<readonly SourceObject[]> | null = null;
  /** Calls that wait for the manifest. */
  #waiting: { resolve(manifest: Manifest): void; reject(error: unknown): void }[] = [];

  constructor(state: AssetState, fetch: Fetcher["fetch"]) {
    this.#state = state;
    this.#fetch = fetch;
  }

  /** All calls share one list; after a failure, the next call tries again. */
  read(): Promise<readonly SourceObject[]> {
    if (!this.#objects) {
      const objects = this.#load();
      this.#objects = objects;
      objects.catch(() => {
        this.#objects = null;
      });
    }
    return this.#objects;
  }

  manifestReady(manifest: Manifest): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve(manifest);
  }

  /** A download has failed: rejects the calls that wait for it. */
  downloadFailed({ kind }: Download, error: Error): void {
    if (kind === "manifest") for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  dispose(): void {
    const reason = new DOMException("the asset was unloaded", "AbortError");
    this.#disposed.abort(reason);
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }

  async #load(): Promise<readonly SourceObject[]> {
    this.#disposed.signal.throwIfAborted();
    const { objects } = this.#state.manifest ?? (await this.#nextManifest());
    if (!objects) return [];
    const bytes = await this.#fetch(objects, this.#disposed.signal);
    return parseObjects(JSON.parse(new TextDecoder().decode(bytes)), objects.count);
  }

  #nextManifest(): Promise<Manifest> {
    const { loadState, retryAt } = this.#state.manifestFile;
    if (loadState === "failed" && retryAt === Number.POSITIVE_INFINITY) {
      return Promise.reject(new Error(`the manifest of ${this.#state.id} cannot be loaded`));
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}
