"""Build a tree of gaze regions: pieces of the source, merged and simplified bottom-up.

Leaves are pieces of the source. Four siblings are merged and decimated, with the vertices that they share with
other regions locked, to about the size of one leaf, so every region of every tier has about the same number of
triangles. Above the root stands a chain of coarser tiers, the last of which goes into the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from .arrays import FloatArray, IntArray
from .attributes import transfer
from .closest import ClosestPoints
from .draco import EncodedPrimitive, Grid, choose_grid, encode_primitive
from .geometric_error import GeometricError, geometric_error
from .region_bounds import Shape, cone_around, sphere_around
from .scene import TreeSource
from .settings import Settings
from .simplify import NOTHING, room_for_lines, simplify, strayed
from .split import BORDER_SHARE, BRANCHING, Pieces, split
from .surface import (
    PrimitiveKind,
    Source,
    Surface,
    box_of,
    face_normals,
    first_sides,
    merge,
    rows_in,
    unique_rows,
    without_degenerates,
)
from .tasks import Begin, Made, Run, later

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


@dataclass(frozen=True)
class _Finished:
    """What a worker returns for one region."""

    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    shape: Shape
    error: float
    mean_error: float
    metres_per_uv: float | None


def build_tree(
    origin: TreeSource, base_triangles: int, settings: Settings, run: Run, begin: Begin | None = None
) -> Tree:
    """Build the tree of one source with a root of about `base_triangles`.

    `run` maps tasks, in parallel if it likes; the result does not depend on how. The leaves are finished beside what
    is left for one process alone, where `begin` can.
    """
    source = origin.source
    depth, above = plan_tiers(len(source.surface.triangles), base_triangles, settings)
    work = _Work(split(source, depth), origin.kinds, tree_grid(origin, settings), settings)
    tiers, below = _merge_up(work, run)
    batch = LEAVES_AT_ONCE if work.pieces.leaves >= MANY_LEAVES else 1
    leaves = (begin or later(run))(
        "leaves", finish_regions, Made(work.pieces.leaves // batch, partial(work.batch, batch))
    )
    root = [merge_and_simplify(below, work.leaf_triangles, NOTHING)] if depth else []
    alone = chain(root[0] if root else source.surface, above) + root
    finished = run("regions", finish_region, Made(len(alone), lambda i: work.finishing(alone[i], 0, 0)))
    done = [[one] for one in finished] + tiers + [[leaf for several in leaves() for leaf in several]]
    coarsest, finest = (length_in(e, source.surface, origin.scale) for e in settings.errors)
    kept = _worthwhile(done, coarsest, finest)
    return Tree(origin, work.grid, _link([r for tier in kept for r in tier], [len(tier) for tier in kept]))


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
    edge = float(np.median(first_sides(surface)))
    finest = length_in(settings.finest_error, surface, origin.scale)
    low, high = box_of(surface.positions)
    return choose_grid(low, high, edge, settings.position_bits, finest)


@dataclass(frozen=True)
class _Work:
    """What the tasks of one tree are made of."""

    pieces: Pieces
    kinds: Sequence[PrimitiveKind]
    grid: Grid
    settings: Settings

    @property
    def leaf_triangles(self) -> int:
        return max(4, len(self.pieces.at(0, 0).surface.triangles) // self.pieces.leaves)

    def leaf(self, index: int) -> tuple[Any, ...]:
        """For finish_region."""
        piece = self.pieces.at(self.pieces.depth, index)
        return piece.surface, piece, self.kinds, self.grid, self.settings, True

    def batch(self, size: int, index: int) -> tuple[Any, ...]:
        """For finish_regions."""
        return ([self.leaf(leaf) for leaf in range(size * index, size * (index + 1))],)

    def finishing(self, surface: Surface, level: int, index: int) -> tuple[Any, ...]:
        """For finish_region."""
        return surface, self.pieces.at(level, index), self.kinds, self.grid, self.settings, False

    def merging(self, below: Sequence[Surface], level: int, target: int, index: int) -> tuple[Any, ...]:
        """For build_region. below: the surfaces of the next finer tier."""
        fan = len(below) // BRANCHING**level
        children = below[fan * index : fan * (index + 1)]
        locked = self.pieces.borders[level - 1][index]
        return children, target, locked, self.pieces.at(level, index), self.kinds, self.grid, self.settings


def _merge_up(work: _Work, run: Run) -> tuple[list[list[_Finished]], Sequence[Surface]]:
    """The tiers between root and leaves, finished, coarse to fine; and the surfaces that the root is made of. A tier is
    left out when its borders allow it to be hardly smaller than the next finer one."""
    pieces = work.pieces
    tiers: list[list[_Finished]] = []
    below: Sequence[Surface] = Made(pieces.leaves, partial(pieces.surface_at, pieces.depth))
    count = len(pieces.at(0, 0).surface.triangles)
    for level in range(pieces.depth - 1, 0, -1):
        regions = BRANCHING**level
        borders = max(map(len, pieces.borders[level - 1]))
        target = max(work.leaf_triangles, ceil(borders / (0.95 * BORDER_SHARE)))  # a collapse may end a little below
        if target * regions > WORTHWHILE * count:
            continue
        built = run("tiers", build_region, Made(regions, partial(work.merging, below, level, target)))
        below = [surface for surface, _ in built]
        count = sum(len(surface.triangles) for surface in below)
        tiers.insert(0, [finished for _, finished in built])
    return tiers, below


def build_region(
    children: Sequence[Surface],
    target: int,
    locked: FloatArray,
    source: Source,
    kinds: Sequence[PrimitiveKind],
    grid: Grid,
    settings: Settings,
) -> tuple[Surface, _Finished]:
    """Merge, simplify and finish a region: its surface for the next coarser tier, and itself."""
    surface = merge_and_simplify(children, target, locked)
    return surface, finish_region(surface, source, kinds, grid, settings, False)


def merge_and_simplify(children: Sequence[Surface], target: int, locked: FloatArray) -> Surface:
    """Merge sibling regions and reduce them to `target` triangles with the locked positions kept.

    Should the collapse ever lose a border vertex, the merged surface is returned as it is: larger, but
    without a crack.
    """
    merged = merge(children)
    result = simplify(merged, target, locked)
    return result if rows_in(locked, result.positions).all() else merged


def chain(root: Surface, targets: Sequence[int]) -> list[Surface]:
    """Coarser and coarser versions of the root, coarsest first; those that hardly shrink are left out.

    A tier that would show too much of its area in another material is made large enough for exact lines instead, or
    left out where that is hardly smaller than the one before, unless the base would grow past STRAY_GROWTH.
    """
    coarse: list[Surface] = []
    surface = root
    for target in targets:
        coarser = simplify(surface, target)
        room = room_for_lines(surface)
        joint = room > target  # else the lines are exact
        if joint and len(surface.triangles) <= STRAY_GROWTH * targets[-1] and strayed(root, coarser) > STRAY_SHARE:
            coarser = simplify(surface, room)
        if len(coarser.triangles) > WORTHWHILE * len(surface.triangles):
            continue
        surface = coarser
        coarse.insert(0, surface)
    return coarse


def _worthwhile(tiers: list[list[_Finished]], coarsest: float, finest: float) -> list[list[_Finished]]:
    """The tiers that earn their bytes, coarse to fine.

    coarsest, finest: the largest error of the first tier and the smallest that anybody needs of the last, in the
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
        low, high = box_of(surface.positions)
        return float(text[:-1]) / 100 * float(np.linalg.norm(high - low))
    return float(text) / scale


def finish_region(
    surface: Surface, source: Source, kinds: Sequence[PrimitiveKind], grid: Grid, settings: Settings, exact: bool
) -> _Finished:
    """Attributes, compression, and the error of what a decoder will see.

    source: the piece of the source that this region stands for; `exact` when `surface` is that piece.
    """
    on_source = None if exact else ClosestPoints(source.surface.positions, source.surface.triangles)
    if on_source:
        corners = transfer(source, surface, list(kinds), on_source)
    else:
        corners = {name: source.corners(name) for name in source.attributes}
    # The collapse may place a vertex a little outside of the source's box; Draco refuses one off its grid.
    low = np.array(grid.origin)
    on_grid = np.clip(surface.positions, low, low + grid.range)
    primitives = []
    for index, kind in enumerate(kinds):
        mine = surface.kinds == index
        if not mine.any():
            continue
        named: dict[str, FloatArray] = {"POSITION": on_grid[surface.triangles[mine]]}
        for name in kind.attributes:
            if name != "POSITION":
                named[name] = surface.uv[mine] if name == "TEXCOORD_0" else corners[name][mine]
        primitive = encode_primitive(*indexed(named), grid, settings, texels=kind.texels, deep_colors=kind.deep_colors)
        primitives.append((index, primitive))
    if on_source is None:
        # Same triangles, each corner moved by rounding alone: half a step on every axis.
        bound = grid.step * 0.5 * 3**0.5 + float(np.abs(surface.positions).max(initial=0.0)) * 2.0**-22
        error = GeometricError(bound, grid.step * 0.25)
    else:
        seen = merge([_decoded_surface(primitive, index) for index, primitive in primitives])
        error = geometric_error(source.surface, without_degenerates(seen), grid.step, on_source)
    finished = tuple(primitives)
    return _Finished(finished, Shape.of(finished), error.bound, error.mean, metres_per_uv(surface, kinds))


def finish_regions(tasks: Sequence[tuple[Any, ...]]) -> list[_Finished]:
    """Several regions, one after the other."""
    return [finish_region(*task) for task in tasks]


def indexed(corners: dict[str, FloatArray]) -> tuple[dict[str, FloatArray], IntArray]:
    """Corner attributes (m, 3, k) as distinct vertices and triangles."""
    names = list(corners)
    widths = [corners[name].shape[2] for name in names]
    rows = np.concatenate([corners[n].reshape(-1, w) for n, w in zip(names, widths, strict=True)], axis=1)
    # float32 is what files hold: corners that only differ beyond it are one vertex.
    vertices, index = unique_rows(rows.astype(np.float32).astype(np.float64))
    columns = np.split(vertices, np.cumsum(widths)[:-1], axis=1)
    return dict(zip(names, columns, strict=True)), index.reshape(-1, 3)


def _decoded_surface(primitive: EncodedPrimitive, kind: int) -> Surface:
    positions, inverse = unique_rows(primitive.attributes["POSITION"].values.astype(np.float64))
    triangles = inverse[primitive.triangles]
    return Surface(positions, triangles, np.full(len(triangles), kind, np.int64), np.zeros((len(triangles), 3, 2)))


def metres_per_uv(surface: Surface, kinds: Sequence[PrimitiveKind]) -> float | None:
    """Square root of surface area over texture area, of all textured triangles, as the pictures see it."""
    textured = np.isin(surface.kinds, [i for i, k in enumerate(kinds) if k.textured])
    _, area = face_normals(surface.positions, surface.triangles[textured])
    uv = surface.uv[textured]
    u, v = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    scale = np.array([k.uv_scale for k in kinds])[surface.kinds[textured]]
    texture_area = float((np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * scale**2).sum()) * 0.5
    total = float(area.sum())
    return float(np.sqrt(total / texture_area)) if texture_area > 1e-12 and total > 0 else None


def _link(finished: Sequence[_Finished], counts: Sequence[int]) -> tuple[Region, ...]:
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
