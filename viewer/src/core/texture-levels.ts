/** The texture levels that are worth fetching. */
import type { AssetFile, AssetState, TextureDownload } from "./asset.ts";
import type { Choice, Item, PlanState, RankedCandidate } from "./choices.ts";
import type { Benefit, TreeDemand } from "./demand.ts";
import { type Block, EPSILON, ratioOf } from "./order.ts";

/** The levels of one texture; null for the base's. */
type Levels = readonly (AssetFile<TextureDownload> | null)[];

export class TextureLevels {
  readonly #plan: PlanState;
  readonly #addItem: (item: Item) => void;

  /** @param addItem receives the item that can follow a chosen level */
  constructor(plan: PlanState, addItem: (item: Item) => void) {
    this.#plan = plan;
    this.#addItem = addItem;
  }

  /** @param treeDemands by asset and tree */
  *items(assets: readonly AssetState[], treeDemands: readonly (readonly TreeDemand[])[]): Generator<Item> {
    for (const [a, asset] of assets.entries()) {
      if (!asset.textures.some((levels) => this.#finerLevels(levels).length > 0)) continue;
      const benefits = benefitsByLevel(asset, treeDemands[a] ?? []);
      for (const texture of asset.textures.keys()) {
        const choices = this.#choices(asset.textures[texture] ?? [], benefits[texture] ?? []);
        if (choices.length > 0) yield choices;
      }
    }
  }

  /** @param benefits by level, over the base's level */
  #choices(levels: Levels, benefits: readonly Benefit[]): Choice[] {
    const current = this.#finestHeld(levels);
    const currentBenefit = benefits[current] ?? NO_BENEFIT;
    const choices: Choice[] = [];
    for (const { download } of this.#finerLevels(levels)) {
      const benefit = benefits[download.level] ?? NO_BENEFIT;
      const gain = benefit.gain - currentBenefit.gain;
      if (gain <= (choices.at(-1)?.candidate.gain ?? 0) + EPSILON) continue;
      const fovealGain = benefit.fovealGain - currentBenefit.fovealGain;
      const block: Block = { gain, bytes: download.bytes, fovealGain };
      const candidate: RankedCandidate = {
        download,
        gain,
        score: ratioOf(block),
        isCurrent: () => this.#finestHeld(levels) === current,
        onTaken: () => this.#addItem(this.#choices(levels, benefits)),
      };
      choices.push({ candidate, blocks: [block] });
    }
    return choices;
  }

  /** Levels that may be requested and are finer than the finest one that will be held. */
  #finerLevels(levels: Levels): AssetFile<TextureDownload>[] {
    const current = this.#finestHeld(levels);
    return levels.flatMap((file) =>
      file && file.download.level > current && this.#plan.canStart(file) ? [file] : [],
    );
  }

  #finestHeld(levels: Levels): number {
    let finest = 0;
    for (const file of levels) if (file && this.#plan.willBeHeld(file)) finest = file.download.level;
    return finest;
  }
}

const NO_BENEFIT: Benefit = { gain: 0, fovealGain: 0 };

/** By texture and level: the benefit over the base's level, on all visible patches of an asset. */
function benefitsByLevel(
  asset: AssetState,
  treeDemands: readonly TreeDemand[],
): readonly (readonly Benefit[])[] {
  const benefits = asset.textures.map((levels) => levels.map(() => ({ gain: 0, fovealGain: 0 })));
  for (const treeDemand of treeDemands) {
    for (const patch of treeDemand.patches()) {
      for (const texture of treeDemand.state.textures[patch] ?? []) {
        const levels = asset.manifest?.textures[texture]?.levels ?? [];
        const baseWidth = levels[0]?.width ?? 1;
        benefits[texture]?.forEach((sum, level) => {
          if (level === 0) return;
          const width = levels[level]?.width ?? 1;
          const { gain, fovealGain } = treeDemand.textureLevelBenefit(patch, baseWidth, width);
          sum.gain += gain;
          sum.fovealGain += fovealGain;
        });
      }
    }
  }
  return benefits;
}
