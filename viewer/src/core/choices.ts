/** What the ways to fetch one thing are made of: candidates, in steps, under what the plan so far makes of each file. */
import type { AssetFile, Download } from "./asset.ts";
import type { TreeSight } from "./demand.ts";
import type { Block, Steps } from "./order.ts";

/** A file that is worth fetching. */
export interface Candidate {
  readonly download: Download;
  /** Visible gain: octaves of error × visual weight. */
  readonly gain: number;
  /** Gain per byte, of the file with what it makes worth fetching: what the plan is ordered by. */
  readonly score: number;
}

/** What the plan so far makes of a file. */
export interface Outlook {
  /** It is there or on its way. */
  isComing(file: AssetFile): boolean;
  /** It may be asked for. */
  mayStart(file: AssetFile): boolean;
  /** A frame has no room for what is there in place of a region. */
  isClosed(sight: TreeSight, region: number): boolean;
}

export interface RankedCandidate extends Candidate {
  /** Still what it was when it was pushed? Wishes for one thing change with each other. */
  readonly current?: () => boolean;
  /** Wishes for what can follow it. */
  readonly taken?: () => void;
  /** There is no memory for it: wishes for the step before it. */
  readonly refused?: () => void;
}

/** One thing that can be had at once or in steps: coarse to fine, each instead of those before it. At least one. */
export type Item = readonly Choice[];
export interface Choice {
  readonly candidate: RankedCandidate;
  /** The first block begins with the candidate. */
  readonly blocks: readonly Block[];
  readonly parts?: readonly Block[];
}

/** What the options of an item bring; the last one, with what it is to be followed by at once. */
export function stepsOf(item: Item): Steps {
  return item.map(({ candidate, blocks, parts }, i) =>
    i === item.length - 1
      ? { ...(blocks[0] as Block), ...(parts ? { parts } : {}) }
      : { gain: candidate.gain, bytes: candidate.download.bytes, foveal: 0 },
  );
}
