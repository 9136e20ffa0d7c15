"""The Hausdorff distance between two surfaces, bounded from above to within a tolerance.

For each triangle T of one surface an upper bound of its distance to the other surface S is kept: that of a piecewise
affine map of T into S, where affine_maps knows one. Besides, distance to a set is 1-Lipschitz, so no point of T is
further from S than a corner's distance plus the way there. Triangles whose bound exceeds the
largest distance seen are halved until the bound is tight: the branch and bound of Guthe, Borodin and Klein, Fast
and accurate Hausdorff distance calculation between meshes (2005), with these bounds.

The maps agree on shared edges, so together they map the fine surface continuously onto the coarse one.
Where their images cover a coarse triangle once (by signed area, which is its topological degree), every
point of it is the image of a fine point no further away than the bound. That holds where the maps are
continuous: borders and edges of more than two triangles break it unless both surfaces have them at the same
place, as regions with locked borders do. So the way back needs a search only for triangles that are not covered,
lie at such a break or come near the bound, which is what makes a bound of both directions affordable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .affine_maps import (
    MapPieces,
    MapScratch,
    Target,
    bare_target,
    book_by_thirds,
    booked_target,
    map_scratch,
    mapped_bound,
)
from .bvh import BVH
from .closest import STACK_DEPTH, ClosestPoints, nearest, nearest_of_each
from .compiled import compiled, compiled_inner, int64
from .geometry import centroids
from .surface import Surface, part
from .topology import break_vertices

TOLERANCE = 0.05  # of the distance; a tighter bound would change no decision of the viewer
MAX_QUERIES = 8_000_000  # past this the bound is returned as it stands: true, only less tight
# Signed area of the images over a triangle's own. Edges that only one side has split leave slivers between
# their two images, and pieces settled without a map are booked by thirds, so one is not met exactly.
COVERED = (0.8, 1.2)
# A triangle that is covered but for such a sliver may reach further there than any fine point does. It is searched
# too where a corner or the centroid is further away than this share of the forward bound.
SUSPECT = 0.5
HALVINGS = 80  # of one triangle, one below the other: its sides are shorter than rounding by then


@dataclass(frozen=True)
class GeometricError:
    """Distances between two surfaces, in their unit.

    bound: an upper bound of the two-sided Hausdorff distance.
    mean: of the fine surface's vertices to the coarse surface.
    """

    bound: float
    mean: float


def geometric_error(
    fine: Surface, coarse: Surface, floor: float, on_fine: ClosestPoints | None = None
) -> GeometricError:
    """Measure how far a coarse surface is from the fine one that it stands for.

    on_fine: of the fine surface, where the caller has it.

    The bound exceeds the true distance by no more than 5 % or `floor` (the quantisation step: finer than
    that the decoded surface means nothing), unless the work would grow past bounds.
    """
    on_coarse = ClosestPoints(coarse.positions, coarse.triangles)
    on_fine = on_fine or ClosestPoints(fine.positions, fine.triangles)
    forward, mean, coverage = _forward(fine, coarse, on_coarse, floor)
    bare = (coverage < COVERED[0]) | (coverage > COVERED[1]) | _at_breaks(fine, coarse, on_coarse, floor)
    bare |= _reaching_out(coarse, on_fine, SUSPECT * forward)
    if not bare.any():
        return GeometricError(forward, mean)
    return GeometricError(max(forward, _back(part(coarse, bare), fine, on_fine, floor, forward)), mean)


def _reaching_out(coarse: Surface, on_fine: ClosestPoints, reach: float) -> BoolArray:
    """(m,) which coarse triangles have a corner or their centroid further than that from the fine surface."""
    corners = on_fine.beyond(coarse.positions, reach)[coarse.triangles]
    far: BoolArray = corners.any(axis=1) | on_fine.beyond(centroids(coarse), reach)
    return far


def _at_breaks(fine: Surface, coarse: Surface, on_coarse: ClosestPoints, floor: float) -> AnyArray:
    """Triangles of `coarse` at a border or a non-manifold edge that is not, within `floor`, one of both."""
    broken = np.zeros(len(coarse.positions), np.bool_)
    breaks = _break_vertices(coarse), _break_vertices(fine)
    for own, mine, other, theirs in ((coarse, breaks[0], fine, breaks[1]), (fine, breaks[1], coarse, breaks[0])):
        if len(mine) == 0:
            continue
        points = own.positions[mine]
        if len(theirs):
            gap = ClosestPoints(other.positions, np.stack([theirs] * 3, axis=1)).query(points).distances
            mine, points = mine[gap > floor], points[gap > floor]
        if own is coarse:
            broken[mine] = True
        else:
            broken[np.unique(coarse.triangles[on_coarse.query(points).triangles])] = True
    # One ring around, since an edge between two vertices at a break may cross other triangles.
    return np.asarray(broken[coarse.triangles].any(axis=1))


def _break_vertices(surface: Surface) -> IntArray:
    """Vertices on edges that do not belong to exactly two triangles."""
    return np.flatnonzero(break_vertices(surface.triangles, len(surface.positions)))


def _forward(fine: Surface, coarse: Surface, on_coarse: ClosestPoints, floor: float) -> tuple[float, float, FloatArray]:
    """Upper bound of the largest distance from a point of `fine` to `coarse`, the mean one of its vertices, and how
    often the images of `fine` cover each triangle of `coarse`."""
    target, areas = booked_target(coarse, on_coarse)
    bound, mean, booked = _search(fine.positions, fine.triangles, target, floor, 0.0)
    coverage = np.ones(len(booked))
    coverage[on_coarse.tree.order] = np.where(areas > 0, booked / np.where(areas > 0, areas, 1.0), 1.0)
    return bound, mean, coverage


def _back(coarse: Surface, fine: Surface, on_fine: ClosestPoints, floor: float, known: float) -> float:
    """Upper bound of the largest distance from a point of `coarse` to `fine`. `known` is a distance below which the
    answer does not matter."""
    bound, _, _ = _search(coarse.positions, coarse.triangles, bare_target(fine, on_fine), floor, known)
    return float(bound)


class _ErrorScratch(NamedTuple):
    """Room for a search. nearby, feet, far: of each vertex; pieces: those of one triangle, one below the other."""

    nearby: AnyArray
    feet: FloatArray
    far: FloatArray
    maps: MapScratch
    pieces: MapPieces
    stack: AnyArray
    distances: FloatArray


@compiled
def _search(
    positions: FloatArray, triangles: IntArray, target: Target, floor: float, known: float
) -> tuple[float, float, FloatArray]:
    count, room = len(positions), HALVINGS + 2
    work = _ErrorScratch(
        np.empty(count, np.int32),
        np.empty((count, 3)),
        np.empty(count),
        map_scratch(len(target.normals)),
        MapPieces(np.empty((room, 3, 3)), np.empty((room, 3, 3)), np.empty((room, 3)), np.empty((room, 3), np.int32)),
        np.empty(STACK_DEPTH, np.int32),
        np.empty(STACK_DEPTH),
    )
    nearest_of_each(positions, target.tree, work.nearby, work.feet, work.far, work.stack, work.distances)
    total = 0.0
    for v in range(count):
        total += work.far[v]
    return _settle_all(positions, triangles, target, floor, known, work), total / max(count, 1), work.maps.booked


@compiled_inner
def _settle_all(
    positions: FloatArray, triangles: IntArray, target: Target, floor: float, known: float, work: _ErrorScratch
) -> float:
    """The bound over all triangles."""
    pieces, far = work.pieces, work.far
    seen, settled, queries = 0.0, 0.0, len(positions)
    for v in range(len(positions)):
        seen = max(seen, far[v])
    for t in range(len(triangles)):
        for k in range(3):
            v = triangles[t, k]
            for axis in range(3):
                pieces.corners[0, k, axis], pieces.feet[0, k, axis] = positions[v, axis], work.feet[v, axis]
            pieces.distance[0, k], pieces.nearest[0, k] = far[v], work.nearby[v]
        top = 1
        while top:
            top -= 1
            goal = max(known, seen * (1.0 + TOLERANCE), seen + floor)
            bound = mapped_bound(pieces, top, target, work.maps, goal)
            if bound <= goal:
                settled = max(settled, bound)
                continue
            bound = _bound_by_corners(pieces, top)
            if bound <= goal or queries > MAX_QUERIES or top >= HALVINGS:
                settled = max(settled, bound)
                book_by_thirds(pieces, top, target, work.maps.booked)
                continue
            seen = max(seen, _halve(pieces, top, target.tree, work))
            queries += 1
            top += 2
    return max(settled, seen)


@compiled_inner
def _halve(pieces: MapPieces, piece: int, tree: BVH, work: _ErrorScratch) -> float:
    """Put the halves of a piece, cut at its longest side, into its place and the next; returns the distance of the
    middle of that side."""
    corners, k = pieces.corners, 0
    for j in (1, 2):
        if _side(corners, piece, j) > _side(corners, piece, k):
            k = j
    start, end, other = k, (k + 1) % 3, piece + 1
    for j in range(3):
        for axis in range(3):
            corners[other, j, axis], pieces.feet[other, j, axis] = corners[piece, j, axis], pieces.feet[piece, j, axis]
        pieces.distance[other, j], pieces.nearest[other, j] = pieces.distance[piece, j], pieces.nearest[piece, j]
    x, y, z = (
        (corners[piece, start, 0] + corners[piece, end, 0]) * 0.5,
        (corners[piece, start, 1] + corners[piece, end, 1]) * 0.5,
        (corners[piece, start, 2] + corners[piece, end, 2]) * 0.5,
    )
    found = nearest(x, y, z, int64(pieces.nearest[piece, start]), tree, work.stack, work.distances, 0.0)
    distance: float = np.sqrt(found[1])
    for half, corner in ((piece, end), (other, start)):
        corners[half, corner, 0], corners[half, corner, 1], corners[half, corner, 2] = x, y, z
        feet = pieces.feet[half, corner]
        feet[0], feet[1], feet[2] = found[2], found[3], found[4]
        pieces.distance[half, corner], pieces.nearest[half, corner] = distance, found[0]
    return distance


@compiled_inner
def _middle(pieces: MapPieces, piece: int) -> tuple[float, float, float]:
    """The centroid of a piece."""
    corners = pieces.corners
    x = (corners[piece, 0, 0] + corners[piece, 1, 0] + corners[piece, 2, 0]) / 3.0
    y = (corners[piece, 0, 1] + corners[piece, 1, 1] + corners[piece, 2, 1]) / 3.0
    z = (corners[piece, 0, 2] + corners[piece, 1, 2] + corners[piece, 2, 2]) / 3.0
    return x, y, z


@compiled_inner
def _bound_by_corners(pieces: MapPieces, piece: int) -> float:
    """The bound from the corners' distances alone. The medians part the piece into three quadrilaterals, one at each
    corner; no point of it is further from that corner than the centroid or the middle of a side."""
    corners = pieces.corners
    x, y, z = _middle(pieces, piece)
    bound = 0.0
    for k in range(3):
        reach = max(_side(corners, piece, k), _side(corners, piece, (k + 2) % 3)) * 0.5
        dx, dy, dz = corners[piece, k, 0] - x, corners[piece, k, 1] - y, corners[piece, k, 2] - z
        reach = max(reach, np.sqrt(dx * dx + dy * dy + dz * dz))
        bound = max(bound, pieces.distance[piece, k] + reach)
    return bound


@compiled_inner
def _side(corners: FloatArray, piece: int, k: int) -> float:
    """The length of the side from a corner of a piece to the next."""
    j = (k + 1) % 3
    dx = corners[piece, j, 0] - corners[piece, k, 0]
    dy = corners[piece, j, 1] - corners[piece, k, 1]
    dz = corners[piece, j, 2] - corners[piece, k, 2]
    length: float = np.sqrt(dx * dx + dy * dy + dz * dz)
    return length
