/**
 * The drawn regions of one tree, given the refinements that have arrived.
 *
 * The base draws region 0, which is always available. Any other region is available once its parent's
 * refinement has arrived. The drawn regions always form a cut: every path from the root to a leaf meets
 * exactly one of them. To open a region is to draw finer regions in its place. The cut is the finest one of
 * available regions, or the finest one within a limit if a frame cannot draw that.
 */

/** The structure of a tree; a `Region` of the manifest is one. */
export interface TreeRegion {
  readonly parent: number | null;
  readonly children: readonly number[];
}

/** Regions to hide and regions to show in their place, in one frame (or one fade). Both empty: no change. */
export interface CutChange {
  readonly hide: readonly number[];
  readonly show: readonly number[];
}

export class Cut {
  readonly #regions: readonly TreeRegion[];
  /** Regions whose refinement has arrived. */
  readonly #refined = new Set<number>();
  #drawn: ReadonlySet<number> = new Set([0]);
  #openable: ReadonlySet<number> | null = null;
  /** See `#computeCoverage`; null after a change. */
  #coverage: boolean[] | null = null;

  /** @param regions of a validated manifest: parents before children, both consistent */
  constructor(regions: readonly TreeRegion[]) {
    this.#regions = regions;
  }

  get drawn(): ReadonlySet<number> {
    return this.#drawn;
  }

  /** Regions that may be opened; null: all. */
  get openable(): ReadonlySet<number> | null {
    return this.#openable;
  }

  /**
   * The refinement of `region` has arrived: its children are available. They stay hidden while an ancestor's
   * refinement is missing, and where finer regions are drawn already.
   *
   * @throws RangeError if the region is a leaf
   */
  arrive(region: number): CutChange {
    if (!this.#regions[region]?.children.length) throw new RangeError(`region ${region} has no refinement`);
    this.#refined.add(region);
    this.#coverage = null;
    return this.#update();
  }

  /** The refinement of `region` was released: its children are no longer available. */
  release(region: number): CutChange {
    this.#refined.delete(region);
    this.#coverage = null;
    return this.#update();
  }

  /** Allows only these regions to be opened from now on, also by refinements that arrive later; null: all. */
  restrict(openable: ReadonlySet<number> | null): CutChange {
    this.#openable = openable;
    return this.#update();
  }

  /** Whether the region itself can be drawn. */
  isAvailable(region: number): boolean {
    const parent = this.#regions[region]?.parent ?? null;
    return parent === null || this.#refined.has(parent);
  }

  /** The region itself if it is available, else its nearest ancestor that is. */
  nearestAvailable(region: number): number {
    let nearest = region;
    while (!this.isAvailable(nearest)) nearest = this.#regions[nearest]?.parent ?? 0;
    return nearest;
  }

  /** Whether available descendants cover the region. */
  canOpen(region: number): boolean {
    const children = this.#regions[region]?.children ?? [];
    if (children.length === 0) return false;
    this.#coverage ??= this.#computeCoverage();
    return children.every((child) => this.#coverage?.[child]);
  }

  /** Draws the finest cut of available regions within the limit. */
  #update(): CutChange {
    const drawn = new Set<number>();
    const pending = [0];
    for (let region = pending.pop(); region !== undefined; region = pending.pop()) {
      const mayOpen = this.#openable === null || this.#openable.has(region) || !this.isAvailable(region);
      if (mayOpen && this.canOpen(region)) pending.push(...(this.#regions[region]?.children ?? []));
      else drawn.add(region);
    }
    const before = this.#drawn;
    this.#drawn = drawn;
    return {
      hide: [...before].filter((region) => !drawn.has(region)),
      show: [...drawn].filter((region) => !before.has(region)),
    };
  }

  /** By region: whether it is available, or all of its children are covered in turn. */
  #computeCoverage(): boolean[] {
    const covered: boolean[] = new Array(this.#regions.length).fill(false);
    // Children have higher indices than their parents, so this order visits them first.
    for (let region = this.#regions.length - 1; region >= 0; region--) {
      const { children } = this.#regions[region] as TreeRegion;
      covered[region] =
        this.isAvailable(region) || (children.length > 0 && children.every((child) => covered[child]));
    }
    return covered;
  }
}
