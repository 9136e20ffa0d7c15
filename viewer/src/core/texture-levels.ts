/** The levels of textures that are worth fetching. */
import type { AssetFile, AssetState, TextureDownload } from "./asset.ts";
import type { Choice, Item, Outlook, RankedCandidate } from "./choices.ts";
import type { Benefit, TreeSight } from "./demand.ts";
import { type Block, EPSILON, ratioOf } from "./order.ts";

export class TextureLevels {
  readonly #outlook: Outlook;
  readonly #offer: (item: Item) => void;

  /** @param offer hears what can follow something that is taken */
  constructor(outlook: Outlook, offer: (item: Item) => void) {
    this.#outlook = outlook;
    this.#offer = offer;
  }

  *items(assets: readonly AssetState[], all: readonly (readonly TreeSight[])[]): Generator<Item> {
    for (const [a, asset] of assets.entries()) {
      if (!asset.textures.some((levels) => this.#finer(levels).length > 0)) continue;
      const benefits = textureBenefits(asset, all[a] ?? []);
      for (const texture of asset.textures.keys()) {
        const options = this.#levelOptions(asset.textures[texture] ?? [], benefits[texture] ?? []);
        if (options.length > 0) yield options;
      }
    }
  }

  #levelOptions(
    levels: readonly (AssetFile<TextureDownload> | null)[],
    benefits: readonly Benefit[],
  ): Choice[] {
    const coming = this.#finestComing(levels);
    const now = benefits[coming] ?? NOTHING;
    const options: Choice[] = [];
    for (const { download } of this.#finer(levels)) {
      const level = benefits[download.level] ?? NOTHING;
      const gain = level.gain - now.gain;
      if (gain <= (options.at(-1)?.candidate.gain ?? 0) + EPSILON) continue;
      const block: Block = { gain, bytes: download.bytes, foveal: level.foveal - now.foveal };
      const candidate: RankedCandidate = {
        download,
        gain,
        score: ratioOf(block),
        current: () => this.#finestComing(levels) === coming,
        taken: () => this.#offer(this.#levelOptions(levels, benefits)),
      };
      options.push({ candidate, blocks: [block] });
    }
    return options;
  }

  /** Levels that may be asked for and are finer than the finest that is coming. */
  #finer(levels: readonly (AssetFile<TextureDownload> | null)[]): AssetFile<TextureDownload>[] {
    const coming = this.#finestComing(levels);
    return levels.flatMap((file) =>
      file && file.download.level > coming && this.#outlook.mayStart(file) ? [file] : [],
    );
  }

  #finestComing(levels: readonly (AssetFile<TextureDownload> | null)[]): number {
    let finest = 0;
    for (const file of levels) if (file && this.#outlook.isComing(file)) finest = file.download.level;
    return finest;
  }
}

const NOTHING: Benefit = { gain: 0, foveal: 0 };

/** By texture and level: what all that is seen of an asset gains over the base's level. */
function textureBenefits(asset: AssetState, sights: readonly TreeSight[]): readonly (readonly Benefit[])[] {
  const benefits = asset.textures.map((levels) => levels.map(() => ({ gain: 0, foveal: 0 })));
  for (const sight of sights) {
    for (const region of sight.patches()) {
      for (const texture of sight.state.textures[region] ?? []) {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const width = levels[0]?.width ?? 1;
        benefits[texture]?.forEach((sum, level) => {
          if (level === 0) return;
          const { gain, foveal } = sight.textureBenefit(region, width, levels[level]?.width ?? 1);
          sum.gain += gain;
          sum.foveal += foveal;
        });
      }
    }
  }
  return benefits;
}
