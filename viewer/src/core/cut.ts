/**
 * Which regions of one tree are drawn, given which refinements have arrived.
 *
 * Region 0 is drawn by the base and can always be shown; the others can be shown once the refinement of their parent
 * has arrived. What is drawn is always a cut: every path from the root to a leaf meets exactly one drawn region.
 */

/** The shape of a tree; `Region` of the manifest is one. */
export interface TreeRegion {
  readonly parent: number | null;
  readonly children: readonly number[];
}

/** What to stop drawing and what to draw instead, in one frame (or one fade). Both empty: nothing changes. */
export interface CutChange {
  readonly hide: readonly number[];
  readonly show: readonly number[];
}

export class Cut {
  readonly #regions: readonly TreeRegion[];
  readonly #refined = new Set<number>();
  #drawn: ReadonlySet<number> = new Set([0]);

  /** @param regions of a validated manifest: parents before children, both consistent */
  constructor(regions: readonly TreeRegion[]) {
    this.#regions = regions;
  }

  /** The regions that are drawn. */
  get drawn(): ReadonlySet<number> {
    return this.#drawn;
  }

  /** The regions whose refinement has arrived: their children can be shown. */
  get refined(): ReadonlySet<number> {
    return this.#refined;
  }

  /**
   * The refinement of `region` has arrived: all its children can be shown from now on. They are not shown at once when
   * an ancestor's refinement is still missing, nor when finer ones already are in their place.
   */
  arrive(region: number): CutChange {
    if (!this.#regions[region]?.children.length) throw new RangeError(`region ${region} has no refinement`);
    this.#refined.add(region);
    return this.#redraw();
  }

  /** The refinement of `region` was released: its children cannot be shown any more. */
  release(region: number): CutChange {
    this.#refined.delete(region);
    return this.#redraw();
  }

  /** The finest cut of what can be shown. */
  #redraw(): CutChange {
    const drawn = new Set<number>();
    const covered = this.#covered();
    const open = [0];
    for (let region = open.pop(); region !== undefined; region = open.pop()) {
      const children = this.#regions[region]?.children ?? [];
      if (children.length > 0 && children.every((child) => covered[child])) open.push(...children);
      else drawn.add(region);
    }
    const before = this.#drawn;
    this.#drawn = drawn;
    return {
      hide: [...before].filter((region) => !drawn.has(region)),
      show: [...drawn].filter((region) => !before.has(region)),
    };
  }

  /** For each region, whether what can be shown covers it: itself, or all of its children in turn. */
  #covered(): boolean[] {
    const covered: boolean[] = new Array(this.#regions.length).fill(false);
    // Children stand after their parents, so backwards they come first.
    for (let region = this.#regions.length - 1; region >= 0; region--) {
      const { parent, children } = this.#regions[region] as TreeRegion;
      const showable = parent === null || this.#refined.has(parent);
      covered[region] = showable || (children.length > 0 && children.every((child) => covered[child]));
    }
    return covered;
  }
}
