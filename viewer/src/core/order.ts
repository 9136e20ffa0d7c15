/**
 * The order of downloads, where some are useful only after others.
 *
 * This is scheduling on a single machine: the link is the machine, a file is a job that takes its bytes, and
 * it costs its gain for as long as it is missing. Jobs with successors in a tree are ordered best by the
 * ratios of blocks: a job together with those of its successors that raise its ratio (Horn: Single-machine
 * job sequencing with treelike precedence ordering and linear delay penalties, SIAM J. Appl. Math. 23, 1972).
 * docs/streaming.md has the rest.
 */

/** Sums over some jobs. */
export interface Totals {
  readonly gain: number;
  readonly bytes: number;
}

/** Jobs that are done one right after the other. */
export interface Block extends Totals {
  /** The part of the gain where the fovea may be. */
  readonly fovealGain: number;
}

/** A file that brings a gain for its bytes, and the jobs that can only follow it. */
export interface Job extends Block {
  readonly successors: readonly Job[];
}

/** Gains below this are rounding errors. */
export const EPSILON = 1e-9;

export function ratioOf({ gain, bytes }: Totals): number {
  return gain / Math.max(1, bytes);
}

/** The blocks of a tree of jobs, in falling order of ratio. The first block begins with the root. */
export function blocksOf(job: Job): Block[] {
  const later: Block[] = [];
  for (const successor of job.successors) {
    if (successor.successors.length === 0) later.push(successor);
    else later.push(...blocksOf(successor));
  }
  later.sort((a, b) => ratioOf(b) - ratioOf(a));
  let { gain, bytes, fovealGain } = job;
  let merged = 0;
  for (const block of later) {
    if (block.gain * bytes <= gain * block.bytes) break;
    gain += block.gain;
    bytes += block.bytes;
    fovealGain += block.fovealGain;
    merged++;
  }
  return [{ gain, bytes, fovealGain }, ...later.slice(merged)];
}

/**
 * A job of no bytes that follows all blocks with a foveal gain, since the place that the eye looks at is
 * right only when the last of its files has arrived.
 *
 * The best order with such a job (J. B. Sidney: Decomposition algorithms for single-machine sequencing with
 * precedence relations and deferral costs, Operations Research 23, 1975) puts together the blocks whose ratio
 * it raises, at the ratio of their gains and its own over their bytes. So their rank rises as fewer bytes are
 * left. Among each other they keep their order.
 */
export class FovealCompletion {
  /** Gain of the completion; 0 if nothing is missing. */
  readonly gain: number;
  /** Common ratio of the blocks that are put together. */
  readonly ratio: number;

  /** @param blocks all blocks that are to be fetched, without the steps that can be left out */
  constructor(blocks: readonly Block[], gain: number) {
    const group = gain > 0 ? blocks.filter(({ fovealGain }) => fovealGain > EPSILON) : [];
    let [groupGain, groupBytes] = [0, 0];
    // A block with a greater ratio than the group comes before it anyway; without that block the group's
    // ratio falls.
    for (let lengthBefore = -1; lengthBefore !== group.length; ) {
      lengthBefore = group.length;
      [groupGain, groupBytes] = [gain, 0];
      for (const block of group) {
        groupGain += block.gain;
        groupBytes += block.bytes;
      }
      let kept = 0;
      for (const block of group) {
        if (block.gain * groupBytes < groupGain * block.bytes) group[kept++] = block;
      }
      group.length = kept;
    }
    this.gain = groupBytes > 0 ? gain : 0;
    this.ratio = groupBytes > 0 ? groupGain / groupBytes : 0;
  }

  /** The order of all blocks: the ratio, raised to that of the group for blocks with a foveal gain. */
  rank(block: Block): number {
    const ratio = ratioOf(block);
    return block.fovealGain > EPSILON ? Math.max(ratio, this.ratio + TIE_BREAK * ratio) : ratio;
  }
}

/** Orders the group by ratio, and is so small that no other block comes between. */
const TIE_BREAK = 1e-6;
