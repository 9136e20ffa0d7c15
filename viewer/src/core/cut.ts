/**
 * Which regions of one tree are drawn, given which refinements have arrived.
 *
 * Region 0 is drawn by the base and can always be shown; the others can be shown once the refinement of their parent
 * has arrived. What is drawn is always a cut: every path from the root to a leaf meets exactly one drawn region. It is
 * the finest one, or, where that is more than a frame can draw, the finest one within a limit.
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
  #limit: ReadonlySet<number> | null = null;
  #coverage: boolean[] | null = null;

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
    this.#coverage = null;
    return this.#redraw();
  }

  /** The refinement of `region` was released: its children cannot be shown any more. */
  release(region: number): CutChange {
    this.#refined.delete(region);
    this.#coverage = null;
    return this.#redraw();
  }

  /** The regions in whose place finer ones may be drawn; null: all. */
  get limit(): ReadonlySet<number> | null {
    return this.#limit;
  }

  /** From now on only these regions are replaced by finer ones, those that come later included. */
  restrict(limit: ReadonlySet<number> | null): CutChange {
    this.#limit = limit;
    return this.#redraw();
  }

  /** Whether the region itself can be drawn. */
  isShowable(region: number): boolean {
    const parent = this.#regions[region]?.parent ?? null;
    return parent === null || this.#refined.has(parent);
  }

  /** What is drawn in a region's place while nothing finer is: itself, or the nearest ancestor that can be. */
  shownFor(region: number): number {
    let shown = region;
    while (!this.isShowable(shown)) shown = this.#regions[shown]?.parent ?? 0;
    return shown;
  }

  /** Whether finer regions can be drawn in its place. */
  canOpen(region: number): boolean {
    const children = this.#regions[region]?.children ?? [];
    if (children.length === 0) return false;
    this.#coverage ??= this.#covered();
    return children.every((child) => this.#coverage?.[child]);
  }

  /** The finest cut of what can be shown, within the limit. */
  #redraw(): CutChange {
    const drawn = new Set<number>();
    const open = [0];
    for (let region = open.pop(); region !== undefined; region = open.pop()) {
      const mayOpen = this.#limit === null || this.#limit.has(region) || !this.isShowable(region);
      if (mayOpen && this.canOpen(region)) open.push(...(this.#regions[region]?.children ?? []));
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
      const { children } = this.#regions[region] as TreeRegion;
      covered[region] =
        this.isShowable(region) || (children.length > 0 && children.every((child) => covered[child]));
    }
    return covered;
  }
}
