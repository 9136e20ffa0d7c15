"""Build a tree of gaze regions: split the source into leaves, then merge and simplify bottom-up.

Leaves are pieces of the source. Four siblings are merged and simplified to about the size of one leaf, so every region
of every tier has about the same number of triangles. Vertices that they share with other regions are locked. Above the
root stands a chain of coarser tiers; the coarsest one goes into the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ..arrays import FloatArray
from ..jobs.tasks import LazySequence, StartTasks
from ..mesh.closest import ClosestPoints
from ..mesh.simplify import NO_POSITIONS
from ..mesh.split import BORDER_SHARE, BRANCHING, SplitPieces, split
from ..mesh.surface import Source, Surface, merge
from ..mesh.topology import unique_rows
from ..settings import Settings
from .borders import cracked_regions
from .region_bounds import bounding_sphere, normal_cone
from .region_finish import FinishedRegion, FinishTask, TreeEncoding, finish_region
from .tiers import (
    ERROR_GROWTH,
    MAX_SIZE_RATIO,
    TierSummary,
    chain,
    error_limits,
    plan_tiers,
    simplify_region,
    tree_grid,
    worthwhile_tiers,
)
from .tree import Region, Tree, TreeSource

# A leaf takes 15 ms to encode. From this many on, a process gets a few at once, since handing one over takes a third
# of that time.
MANY_LEAVES, LEAVES_AT_ONCE = 64, 4


def build_tree(origin: TreeSource, base_triangles: int, settings: Settings, start_tasks: StartTasks) -> Tree:
    """Build the tree of one source with a root of about `base_triangles`.

    `start_tasks` may run tasks in parallel; the result does not depend on it. Leaves are finished while this process
    simplifies the chain.
    """
    source = origin.source
    depth, chain_targets = plan_tiers(len(source.surface.triangles), base_triangles, settings)
    encoding = TreeEncoding(origin.kinds, tree_grid(origin, settings), settings)
    _, cells = unique_rows(encoding.grid.cells(source.surface.positions))
    plan = _Plan.of(split(source, depth, cells), encoding)
    region_tasks = LazySequence(len(plan.dependencies), plan.task)
    below_root = start_tasks("regions", build_regions, region_tasks, plan.dependencies)
    on_source = None
    if chain_targets or plan.dependencies:  # while others finish regions; the processes of the next stage share it
        on_source = ClosestPoints(source.surface.positions, source.surface.triangles)
    if plan.dependencies:
        root = _merged_and_simplified(below_root.results(plan.coarsest), source, plan.leaf_triangles, NO_POSITIONS)
        tasks = [FinishTask(root, source, encoding, exact=False, on_source=on_source)]
    else:
        root = source.surface
        tasks = [FinishTask(root, source, encoding, exact=True)]
    for surface in chain(root, chain_targets):
        tasks.append(FinishTask(surface, source, encoding, exact=False, on_source=on_source))
    above = start_tasks("tiers", finish_region, tasks).results()
    tiers = [[region] for region in above[::-1]] + plan.by_tier(below_root.results())
    kept = worthwhile_tiers(_summaries(tiers), *error_limits(origin, settings))
    regions = _linked(_without_cracks([tiers[i] for i in kept]))
    return Tree(origin, encoding.grid, regions, encoding.stored[0], root)


@dataclass(frozen=True)
class _RegionTask:
    """A region between the root and the leaves, to be simplified and finished.

    source: the piece of the source that it stands for. locked: the positions (k, 3) on its border.
    """

    source: Source
    target: int
    locked: FloatArray
    encoding: TreeEncoding


@dataclass(frozen=True)
class _LeavesTask:
    """Leaves to finish one after the other, in one process."""

    leaves: list[FinishTask]


@dataclass(frozen=True)
class _BuiltRegions:
    """The result of one task.

    surface: the input of the next coarser tier; None for leaves, whose parents are simplified from the source itself.
    """

    surface: Surface | None
    finished: list[FinishedRegion]


def build_regions(task: _RegionTask | _LeavesTask, children: Sequence[_BuiltRegions]) -> _BuiltRegions:
    """Build the region or the leaves of a task. children: the results for its child regions; none if those are
    leaves."""
    if isinstance(task, _LeavesTask):
        return _BuiltRegions(None, [finish_region(leaf) for leaf in task.leaves])
    surface = _merged_and_simplified(children, task.source, task.target, task.locked)
    return _BuiltRegions(surface, [finish_region(FinishTask(surface, task.source, task.encoding, exact=False))])


def _merged_and_simplified(
    children: Sequence[_BuiltRegions], source: Source, target: int, locked: FloatArray
) -> Surface:
    """The merged children, or the source if there are none, with about `target` triangles."""
    surfaces = [child.surface for child in children if child.surface is not None]
    return simplify_region(merge(surfaces) if surfaces else source.surface, target, locked)


@dataclass(frozen=True)
class _Plan:
    """The tasks for all regions below the root: subtree by subtree with children first, then the leaves. There are
    none if the source is not split.

    tiers: level and target triangles of each tier between the leaves and the root, fine to coarse.
    regions: (tier, index) for each task but the leaves'.
    coarsest: the tasks of the coarsest tier.
    batch: the leaves of one task.
    dependencies: as for `StartTasks`.
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

        def add_subtree(tier: int, index: int) -> int:
            fan = BRANCHING ** (tiers[tier - 1][0] - tiers[tier][0]) if tier else 0
            children = [add_subtree(tier - 1, fan * index + i) for i in range(fan)]
            regions.append((tier, index))
            dependencies.append(children)
            return len(regions) - 1

        coarsest = [add_subtree(len(tiers) - 1, index) for index in range(BRANCHING ** tiers[-1][0])] if tiers else []
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
        locked = self.pieces.borders[level - 1][index]
        return _RegionTask(self.pieces.at(level, index), target, locked, self.encoding)

    def by_tier(self, results: Sequence[_BuiltRegions]) -> list[list[FinishedRegion]]:
        """The finished regions of each tier, coarse to fine, with the leaves last."""
        tiers: list[list[FinishedRegion]] = [[] for _ in self.tiers]
        for (tier, _), built in zip(self.regions, results, strict=False):
            tiers[tier] += built.finished
        leaves = [leaf for built in results[len(self.regions) :] for leaf in built.finished]
        return [*tiers[::-1], leaves] if leaves else []


def _leaf_triangles(pieces: SplitPieces) -> int:
    return max(4, len(pieces.at(0, 0).surface.triangles) // pieces.leaves)


def _tiers_between(pieces: SplitPieces) -> list[tuple[int, int]]:
    """Level and target triangles of each tier between the leaves and the root, fine to coarse.

    A tier is left out if its locked borders keep it almost as large as the next finer one.
    """
    tiers, count = [], len(pieces.at(0, 0).surface.triangles)
    for level in range(pieces.depth - 1, 0, -1):
        border = max(map(len, pieces.borders[level - 1]))
        # A collapse may end a little below its target.
        target = max(_leaf_triangles(pieces), ceil(border / (0.95 * BORDER_SHARE)))
        if target * BRANCHING**level <= MAX_SIZE_RATIO * count:
            tiers.append((level, target))
            count = target * BRANCHING**level
    return tiers


def _summaries(tiers: Sequence[Sequence[FinishedRegion]]) -> list[TierSummary]:
    """Coarse to fine. The error of a tier is at least that of each finer one, as in the manifest."""
    errors = np.array([max(region.error for region in tier) for tier in tiers])
    errors = np.maximum.accumulate(errors[::-1])[::-1]
    return [
        TierSummary(
            len(tier),
            float(error),
            float(np.mean([region.mean_error for region in tier])),
            sum(primitive.bytes for region in tier for _, primitive in region.primitives),
        )
        for tier, error in zip(tiers, errors, strict=True)
    ]


def _without_cracks(tiers: Sequence[list[FinishedRegion]]) -> list[list[FinishedRegion]]:
    """Tiers, coarse to fine, without those whose borders differ from the next finer tier's.

    None is known to: borders are locked. But a bundle never has a crack, whatever a model brings.
    """
    kept = [tiers[-1]]
    for tier in tiers[-2::-1]:
        fan = len(kept[0]) // len(tier)
        families = {i: kept[0][i * fan : (i + 1) * fan] for i in range(len(tier))}
        if len(tier) == 1 or not cracked_regions(dict(enumerate(tier)), families):
            kept.insert(0, tier)
    return kept


def _linked(tiers: Sequence[Sequence[FinishedRegion]]) -> tuple[Region, ...]:
    """Number the regions tier by tier, and let errors, spheres and cones hold for all descendants."""
    finished = [region for tier in tiers for region in tier]
    regions = _numbered(tiers)
    families: list[list[int]] = [[] for _ in regions]  # each region with its descendants
    for index in reversed(range(len(regions))):
        region = regions[index]
        families[index] = [index, *(d for child in region.children for d in families[child])]
        error = max([region.error, *(regions[child].error * ERROR_GROWTH for child in region.children)])
        family = [finished[d].bound_geometry for d in families[index]]
        regions[index] = replace(region, error=error, sphere=bounding_sphere(family), cone=normal_cone(family))
    return tuple(regions)


def _numbered(tiers: Sequence[Sequence[FinishedRegion]]) -> list[Region]:
    """Regions with parents and children but without bounds. Siblings follow each other in the order of their
    parents."""
    regions: list[Region] = []
    starts = np.cumsum([0, *map(len, tiers)]).tolist()
    for tier, members in enumerate(tiers):
        for place, finished in enumerate(members):
            children: tuple[int, ...] = ()
            parent = None
            if tier + 1 < len(tiers):
                fan = len(tiers[tier + 1]) // len(members)
                first = starts[tier + 1] + place * fan
                children = tuple(range(first, first + fan))
            if tier:
                parent = starts[tier - 1] + place // (len(members) // len(tiers[tier - 1]))
            regions.append(
                Region(
                    tier,
                    parent,
                    children,
                    finished.primitives,
                    (0, 0, 0, 0),
                    None,
                    finished.error,
                    finished.metres_per_uv,
                )
            )
    return regions
