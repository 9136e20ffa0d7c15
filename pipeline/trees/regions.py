"""Build a tree of gaze regions: pieces of the source, merged and simplified bottom-up.

Leaves are pieces of the source. Four siblings are merged and decimated, with the vertices that they share with
other regions locked, to about the size of one leaf, so every region of every tier has about the same number of
triangles. Above the root stands a chain of coarser tiers, the last of which goes into the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ..arrays import FloatArray
from ..gltf.draco import EncodedPrimitive, Grid, choose_grid
from ..jobs.tasks import LazySequence, StartTasks
from ..mesh.geometry import bounding_box, first_side_lengths
from ..mesh.simplify import NO_POSITIONS, least_triangles_for_lines, simplify, stray_share
from ..mesh.split import BORDER_SHARE, BRANCHING, SplitPieces, split
from ..mesh.surface import Source, Surface, merge
from ..mesh.topology import rows_in
from ..settings import Settings
from .region_bounds import cone_around, sphere_around
from .region_finish import Finished, FinishTask, TreeEncoding, finish_region
from .scene import TreeSource

# A tier with more than this share of the next finer tier's triangles is not worth a request.
WORTHWHILE = 0.75
# Nor is one whose mean error is more than this share of the next coarser tier's. The largest error will not do: it
# may hang on one thin feature in all of them.
IMPROVEMENT = 0.85
# Leaves are encoded in 15 ms: from so many, a process gets a few of them at once, or handing over takes a third of it.
MANY_LEAVES, LEAVES_AT_ONCE = 64, 4
STRAY_SHARE = 0.03  # of a tier's area may show another material than the source does there
STRAY_GROWTH = 4  # times the triangles that the base should have: it may become so large for exact materials


@dataclass(frozen=True)
class Region:
    """A built region; the terms are those of docs/manifest.md.

    primitives: (kind, stream) in kind order.
    """

    tier: int
    parent: int | None
    children: tuple[int, ...]
    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    sphere: tuple[float, float, float, float]
    cone: tuple[float, float, float, float] | None
    error: float
    metres_per_uv: float | None

    @property
    def triangles(self) -> int:
        return sum(len(p.triangles) for _, p in self.primitives)

    @property
    def vertices(self) -> int:
        return sum(p.vertices for _, p in self.primitives)

    @property
    def gpu_bytes(self) -> int:
        return sum(p.gpu_bytes for _, p in self.primitives)


@dataclass(frozen=True)
class Tree:
    """A built tree: where it came from, its grid, and its regions with parents before children."""

    origin: TreeSource
    grid: Grid
    regions: tuple[Region, ...]


def build_tree(origin: TreeSource, base_triangles: int, settings: Settings, start_tasks: StartTasks) -> Tree:
    """Build the tree of one source with a root of about `base_triangles`.

    `start_tasks` may run tasks in parallel; the result does not depend on it. Leaves are finished while this process
    simplifies the chain above the root.
    """
    source = origin.source
    depth, chain_targets = plan_tiers(len(source.surface.triangles), base_triangles, settings)
    encoding = TreeEncoding(origin.kinds, tree_grid(origin, settings), settings)
    plan = _Plan.of(split(source, depth), encoding)
    below_root = start_tasks(
        "regions", build_regions, LazySequence(len(plan.dependencies), plan.task), plan.dependencies
    )
    coarsest_below = below_root.results(plan.coarsest)
    root = [_simplified(coarsest_below, source, plan.leaf_triangles, NO_POSITIONS)] if plan.dependencies else []
    above = root + chain(root[0] if root else source.surface, chain_targets)
    tasks = [FinishTask(surface, source, encoding, exact=False) for surface in above]
    if not plan.dependencies:
        tasks = [FinishTask(source.surface, source, encoding, exact=True), *tasks]
    finished = start_tasks("tiers", finish_region, tasks).results()
    tiers = [[region] for region in finished[::-1]] + plan.by_tier(below_root.results())
    coarsest, finest = (length_in(e, source.surface, origin.scale) for e in settings.errors)
    kept = _worthwhile(tiers, coarsest, finest)
    return Tree(origin, encoding.grid, _link([r for tier in kept for r in tier], [len(tier) for tier in kept]))


def plan_tiers(triangles: int, base_triangles: int, settings: Settings) -> tuple[int, list[int]]:
    """How often the asset is split in four, and the triangle counts of the chain above, fine to coarse."""
    depth = 0
    if triangles > 2 * settings.leaf_triangles:
        depth = max(1, round(np.log(triangles / settings.leaf_triangles) / np.log(BRANCHING)))
    if settings.depth is not None:
        depth = min(depth, settings.depth)
    root = triangles / BRANCHING**depth
    steps = max(0, round(np.log(max(1.0, root / base_triangles)) / np.log(settings.tier_ratio)))
    ratio = (root / base_triangles) ** (1 / steps) if steps else 1.0
    return depth, [max(4, round(root / ratio ** (k + 1))) for k in range(steps)]


def tree_grid(origin: TreeSource, settings: Settings) -> Grid:
    """The quantisation grid that all tiers of a tree share."""
    surface = origin.source.surface
    edge = float(np.median(first_side_lengths(surface)))
    finest = length_in(settings.finest_error, surface, origin.scale)
    low, high = bounding_box(surface.positions)
    return choose_grid(low, high, edge, settings.position_bits, finest)


@dataclass(frozen=True)
class _RegionTask:
    """A region between the root and the leaves, to be simplified and finished.

    source: the piece of the source that it stands for. locked: positions (k, 3) on its border.
    """

    source: Source
    target: int
    locked: FloatArray
    encoding: TreeEncoding


@dataclass(frozen=True)
class _LeavesTask:
    """Leaves to finish, one after the other in one process."""

    leaves: list[FinishTask]


@dataclass(frozen=True)
class _BuiltRegions:
    """The result of one task. surface: the input of the next coarser tier; None for leaves, which it cuts from the
    source."""

    surface: Surface | None
    finished: list[Finished]


def build_regions(task: _RegionTask | _LeavesTask, children: Sequence[_BuiltRegions]) -> _BuiltRegions:
    """Build the region or the leaves of a task. children: results for its child regions; none if those are leaves."""
    if isinstance(task, _LeavesTask):
        return _BuiltRegions(None, [finish_region(leaf) for leaf in task.leaves])
    surface = _simplified(children, task.source, task.target, task.locked)
    return _BuiltRegions(surface, [finish_region(FinishTask(surface, task.source, task.encoding, exact=False))])


def _simplified(children: Sequence[_BuiltRegions], source: Source, target: int, locked: FloatArray) -> Surface:
    """The children merged, or the source if there are none, with `target` triangles."""
    surfaces = [child.surface for child in children if child.surface is not None]
    return reduced(merge(surfaces) if surfaces else source.surface, target, locked)


@dataclass(frozen=True)
class _Plan:
    """The tasks for all regions below the root: subtree by subtree with children first, then the leaves. There are
    none if the source is not split.

    tiers: level and target of each tier between the leaves and the root, fine to coarse; regions: (tier, index) of
    each task but the leaves'; coarsest: the tasks of the coarsest tier; batch: leaves of one task; dependencies: as for
    `StartTasks`.
    """

    pieces: SplitPieces
    encoding: TreeEncoding
    tiers: list[tuple[int, int]]
    regions: list[tuple[int, int]]
    coarsest: list[int]
    batch: int
    dependencies: list[Sequence[int]]

    @classmethod
    def of(cls, pieces: SplitPieces, encoding: TreeEncoding) -> _Plan:
        tiers = _tiers_between(pieces)
        regions: list[tuple[int, int]] = []
        dependencies: list[Sequence[int]] = []

        def add(tier: int, index: int) -> int:
            fan = BRANCHING ** (tiers[tier - 1][0] - tiers[tier][0]) if tier else 0
            children = [add(tier - 1, fan * index + i) for i in range(fan)]
            regions.append((tier, index))
            dependencies.append(children)
            return len(regions) - 1

        coarsest = [add(len(tiers) - 1, index) for index in range(BRANCHING ** tiers[-1][0])] if tiers else []
        batch = LEAVES_AT_ONCE if pieces.leaves >= MANY_LEAVES else 1
        dependencies += [()] * (pieces.leaves // batch if pieces.depth else 0)
        return cls(pieces, encoding, tiers, regions, coarsest, batch, dependencies)

    @property
    def leaf_triangles(self) -> int:
        return _leaf_triangles(self.pieces)

    def task(self, number: int) -> _RegionTask | _LeavesTask:
        if number >= len(self.regions):
            first = self.batch * (number - len(self.regions))
            pieces = [self.pieces.at(self.pieces.depth, leaf) for leaf in range(first, first + self.batch)]
            return _LeavesTask([FinishTask(piece.surface, piece, self.encoding, exact=True) for piece in pieces])
        tier, index = self.regions[number]
        level, target = self.tiers[tier]
        return _RegionTask(self.pieces.at(level, index), target, self.pieces.borders[level - 1][index], self.encoding)

    def by_tier(self, results: Sequence[_BuiltRegions]) -> list[list[Finished]]:
        """The finished regions of each tier, coarse to fine, the leaves last."""
        tiers: list[list[Finished]] = [[] for _ in self.tiers]
        for (tier, _), built in zip(self.regions, results, strict=False):
            tiers[tier] += built.finished
        leaves = [leaf for built in results[len(self.regions) :] for leaf in built.finished]
        return [*tiers[::-1], leaves] if leaves else []


def _leaf_triangles(pieces: SplitPieces) -> int:
    return max(4, len(pieces.at(0, 0).surface.triangles) // pieces.leaves)


def _tiers_between(pieces: SplitPieces) -> list[tuple[int, int]]:
    """Level and target of each tier between the leaves and the root, fine to coarse. A tier is left out if its locked
    borders keep it almost as large as the next finer one."""
    tiers, count = [], len(pieces.at(0, 0).surface.triangles)
    for level in range(pieces.depth - 1, 0, -1):
        borders = max(map(len, pieces.borders[level - 1]))
        # A collapse may end a little below its target.
        target = max(_leaf_triangles(pieces), ceil(borders / (0.95 * BORDER_SHARE)))
        if target * BRANCHING**level <= WORTHWHILE * count:
            tiers.append((level, target))
            count = target * BRANCHING**level
    return tiers


def reduced(surface: Surface, target: int, locked: FloatArray) -> Surface:
    """A surface of `target` triangles with the locked positions kept.

    Should the collapse ever lose a border vertex, it stays as it is: larger, but without a crack.
    """
    result = simplify(surface, target, locked)
    return result if rows_in(locked, result.positions).all() else surface


def chain(root: Surface, targets: Sequence[int]) -> list[Surface]:
    """Coarser and coarser versions of the root; those that hardly shrink are left out.

    A tier that would show too much of its area in another material is made large enough for exact lines instead, or
    left out where that is hardly smaller than the one before, unless the base would grow past STRAY_GROWTH.
    """
    coarse: list[Surface] = []
    surface = root
    for target in targets:
        coarser = simplify(surface, target)
        room = least_triangles_for_lines(surface)
        joint = room > target  # else the lines are exact
        if joint and len(surface.triangles) <= STRAY_GROWTH * targets[-1] and stray_share(root, coarser) > STRAY_SHARE:
            coarser = simplify(surface, room)
        if len(coarser.triangles) > WORTHWHILE * len(surface.triangles):
            continue
        surface = coarser
        coarse.append(surface)
    return coarse


def _worthwhile(tiers: list[list[Finished]], coarsest: float, finest: float) -> list[list[Finished]]:
    """The tiers that earn their bytes, coarse to fine.

    coarsest, finest: the largest error of the first tier and the smallest that anybody dependencies of the last, in the
        tree's units; infinite and zero to keep both ends.
    """
    errors = np.array([max(region.error for region in tier) for tier in tiers])
    errors = np.maximum.accumulate(errors[::-1])[::-1]  # as _link will state them
    means = [float(np.mean([region.mean_error for region in tier])) for tier in tiers]
    sizes = [sum(len(p.stream) for r in tier for _, p in r.primitives) for tier in tiers]
    first = 0
    while errors[first] > coarsest and first + 1 < len(tiers) and len(tiers[first + 1]) == 1:
        first += 1
    last = max(first, next((i for i, e in enumerate(errors) if e <= finest), len(tiers) - 1))
    kept = [first]
    for tier in range(first + 1, last):
        if means[tier] <= IMPROVEMENT * means[kept[-1]] and sizes[tier] <= WORTHWHILE * sizes[tier + 1]:
            kept.append(tier)
    if last > first:
        kept.append(last)
    return [tiers[i] for i in kept]


def length_in(text: str, surface: Surface, scale: float) -> float:
    """A length of the settings in the units of a tree whose space is scaled by `scale`: written in metres, or in
    percent of the surface's diagonal."""
    if text.endswith("%"):
        low, high = bounding_box(surface.positions)
        return float(text[:-1]) / 100 * float(np.linalg.norm(high - low))
    return float(text) / scale


def _link(finished: Sequence[Finished], counts: Sequence[int]) -> tuple[Region, ...]:
    """Number the regions tier by tier, and give each what depends on all its descendants."""
    starts = np.cumsum([0, *counts])
    tier_of = np.repeat(np.arange(len(counts)), counts)
    regions: list[Region] = []
    for index, done in enumerate(finished):
        tier = int(tier_of[index])
        place = index - int(starts[tier])
        children: tuple[int, ...] = ()
        parent = None
        if tier + 1 < len(counts):
            fan = counts[tier + 1] // counts[tier]
            first = int(starts[tier + 1]) + place * fan
            children = tuple(range(first, first + fan))
        if tier:
            parent = int(starts[tier - 1]) + place // (counts[tier] // counts[tier - 1])
        regions.append(
            Region(tier, parent, children, done.primitives, (0, 0, 0, 0), None, done.error, done.metres_per_uv)
        )
    below: list[list[int]] = [[] for _ in regions]
    for index in reversed(range(len(regions))):
        region = regions[index]
        below[index] = [index, *(d for child in region.children for d in below[child])]
        error = region.error
        for child in region.children:
            error = max(error, regions[child].error * 1.0001)
        family = [finished[d].shape for d in below[index]]
        regions[index] = replace(region, error=error, sphere=sphere_around(family), cone=cone_around(family))
    return tuple(regions)
