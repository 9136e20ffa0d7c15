/** Types for the alternative download steps of one item, and for the state of a plan that they depend on. */
import type { AssetFile, Download } from "./asset.ts";
import type { TreeDemand } from "./demand.ts";
import type { Block } from "./order.ts";
import type { Steps } from "./routes.ts";

/** A file that is worth fetching. */
export interface Candidate {
  readonly download: Download;
  /** Octaves of visible error × visual weight. */
  readonly gain: number;
  /** The order of a plan: gain per byte of the file together with the files that it makes worth fetching. */
  readonly score: number;
}

/** The state of a plan in the making. */
export interface PlanState {
  /** Whether a file is loaded, in flight or chosen by the plan, and neither aborted nor evicted. */
  willBeHeld(file: AssetFile): boolean;
  /** Whether the plan may start a request for a file. */
  canStart(file: AssetFile): boolean;
  /** Whether the render budget keeps a region closed although finer regions are available. */
  isBudgetLimited(treeDemand: TreeDemand, region: number): boolean;
}

export interface RankedCandidate extends Candidate {
  /** False if the plan has taken another choice of the same item since; absent: always true. */
  readonly isCurrent?: () => boolean;
  /** Adds the candidates that can follow this one. */
  readonly onTaken?: () => void;
  /** Memory or render budget is short: adds the choice before this one. */
  readonly onRefused?: () => void;
}

/**
 * The alternative steps of one item (a drawn region, a texture), coarse to fine; at least one. The gain of
 * each choice is over the current state, and it replaces the gains of earlier choices.
 */
export type Item = readonly Choice[];

export interface Choice {
  readonly candidate: RankedCandidate;
  /** The first block begins with the candidate. */
  readonly blocks: readonly Block[];
  /** See `Step.parts`. */
  readonly parts?: readonly Block[];
}

/** The choices of an item as steps. The last step includes the files that follow it directly. */
export function stepsOf(item: Item): Steps {
  return item.map(({ candidate, blocks, parts }, i) =>
    i === item.length - 1
      ? { ...(blocks[0] as Block), ...(parts ? { parts } : {}) }
      : { gain: candidate.gain, bytes: candidate.download.bytes, fovealGain: 0 },
  );
}
