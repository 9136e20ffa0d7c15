/** Blocks of downloads for the tests of their order, and the cost of an order. */
import fc from "fast-check";
import { type Block, FovealCompletion } from "../src/core/order.ts";

/** Nothing is foveal. */
export const NO_COMPLETION = new FovealCompletion([], 0);

export function block(gain: number, bytes: number, fovealGain = 0): Block {
  return { gain, bytes, fovealGain };
}

export const anyBlock: fc.Arbitrary<Block> = fc.record({
  gain: fc.integer({ min: 1, max: 50 }),
  bytes: fc.integer({ min: 1, max: 50 }),
  fovealGain: fc.constantFrom(0, 1),
});

/**
 * Σ gain × time of arrival.
 *
 * @param completionGain is gained when all foveal blocks have arrived
 */
export function costOf(blocks: readonly Block[], completionGain: number): number {
  let [now, cost, completedAt] = [0, 0, 0];
  for (const { gain, bytes, fovealGain } of blocks) {
    now += bytes;
    cost += gain * now;
    if (fovealGain > 0) completedAt = now;
  }
  return cost + completionGain * completedAt;
}
