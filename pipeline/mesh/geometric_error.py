"""The Hausdorff distance between two surfaces, bounded from above to within a tolerance.

Each triangle T of one surface has an upper bound of its distance to the other surface S: that of a piecewise affine map
of T into S, if affine_maps finds one. Distance to a set is also 1-Lipschitz, so no point of T is further from S than
the distance of a corner plus the way to that corner. Triangles whose bound exceeds the largest known distance are
halved until the bound is tight: the branch and bound of Guthe, Borodin and Klein, Fast and accurate Hausdorff distance
calculation between meshes (2005), with these bounds.

The maps agree on shared edges, so together they map the fine surface continuously onto the coarse one. If their images
cover a coarse triangle once (by signed area, which is the map's topological degree), every point of it is the image of
a fine point no further away than the bound. This argument holds where the maps are continuous. Breaks (borders, and
edges of more than two triangles) violate it unless both surfaces have them at the same place, as regions with locked
borders do. So the distance from coarse to fine needs a search only for triangles that are not covered, are at such a
break or come near the bound; that makes a two-sided bound affordable.
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
from .closest import ClosestPoints, SearchStack, nearest, nearest_of_each, search_stack
from .compiled import compiled, compiled_inner, int64
from .geometry import centroids
from .surface import Surface, part
from .topology import break_vertices

TOLERANCE = 0.05  # of the distance; a tighter bound would change no decision of the viewer
MAX_QUERIES = 8_000_000  # after so many, the bound is returned as it stands: still an upper bound, but less tight
# A coarse triangle is covered if the signed area of the images is within these shares of its own. The share is not
# exactly 1: edges that only one side has split leave slivers between their two images, and pieces without a map are
# booked by thirds.
COVERED = (0.8, 1.2)
# A covered triangle may reach further at such a sliver than any fine point does. It is searched too if a corner or the
# centroid is further away than this share of the forward bound.
SUSPECT = 0.5
HALVINGS = 80  # nested halvings of one triangle, after which its sides are shorter than rounding


@dataclass(frozen=True)
class GeometricError:
    """Distances between two surfaces, in their unit.

    bound: an upper bound of the two-sided Hausdorff distance.
    mean: the mean distance of the fine surface's vertices to the coarse surface.
    """

    bound: float
    mean: float


def geometric_error(
    fine: Surface, coarse: Surface, floor: float, on_fine: ClosestPoints | None = None
) -> GeometricError:
    """Measure the distance between a coarse surface and the fine one that it replaces.

    The bound exceeds the true distance by no more than 5 % or `floor`, except after MAX_QUERIES. `floor` is the
    quantisation step: smaller distances have no meaning for the decoded surface.
    on_fine: the closest points of the fine surface, if the caller has them.
    """
    on_coarse = ClosestPoints(coarse.positions, coarse.triangles)
    on_fine = on_fine or ClosestPoints(fine.positions, fine.triangles)
    forward, mean, coverage = _forward_bound(fine, coarse, on_coarse, floor)
    unproven = (coverage < COVERED[0]) | (coverage > COVERED[1]) | _near_breaks(fine, coarse, on_coarse, floor)
    unproven |= _reaching_out(coarse, on_fine, SUSPECT * forward)
    if not unproven.any():
        return GeometricError(forward, mean)
    return GeometricError(max(forward, _backward_bound(part(coarse, unproven), fine, on_fine, floor, forward)), mean)


def _reaching_out(coarse: Surface, on_fine: ClosestPoints, reach: float) -> BoolArray:
    """A mask (m,) of the coarse triangles with a corner or centroid further than `reach` from the fine surface."""
    corners = on_fine.beyond(coarse.positions, reach)[coarse.triangles]
    far: BoolArray = corners.any(axis=1) | on_fine.beyond(centroids(coarse), reach)
    return far


def _near_breaks(fine: Surface, coarse: Surface, on_coarse: ClosestPoints, floor: float) -> AnyArray:
    """A mask (m,) of the coarse triangles near a break of one surface that is further than `floor` from the breaks of
    the other."""
    near = np.zeros(len(coarse.positions), np.bool_)
    coarse_breaks, fine_breaks = _break_indices(coarse), _break_indices(fine)
    alone = _unmatched(coarse, coarse_breaks, fine, fine_breaks, floor)
    near[alone] = True
    alone = _unmatched(fine, fine_breaks, coarse, coarse_breaks, floor)
    if len(alone):
        near[np.unique(coarse.triangles[on_coarse.query(fine.positions[alone]).triangles])] = True
    # One ring around, since an edge between two vertices at a break may cross other triangles.
    return np.asarray(near[coarse.triangles].any(axis=1))


def _unmatched(surface: Surface, breaks: IntArray, other: Surface, other_breaks: IntArray, floor: float) -> IntArray:
    """The break vertices of a surface that are further than `floor` from all break vertices of another."""
    if len(breaks) == 0 or len(other_breaks) == 0:
        return breaks
    points = ClosestPoints(other.positions, np.stack([other_breaks] * 3, axis=1))  # of triangles that are points
    return breaks[points.query(surface.positions[breaks]).distances > floor]


def _break_indices(surface: Surface) -> IntArray:
    return np.flatnonzero(break_vertices(surface.triangles, len(surface.positions)))


def _forward_bound(
    fine: Surface, coarse: Surface, on_coarse: ClosestPoints, floor: float
) -> tuple[float, float, FloatArray]:
    """An upper bound of the largest distance from a point of `fine` to `coarse`, the mean distance of its vertices, and
    how often (m,) the images of `fine` cover each triangle of `coarse`."""
    target, areas = booked_target(coarse, on_coarse)
    bound, mean, booked = _search(fine.positions, fine.triangles, target, floor, 0.0)
    coverage = np.ones(len(booked))
    coverage[on_coarse.tree.order] = np.where(areas > 0, booked / np.where(areas > 0, areas, 1.0), 1.0)
    return bound, mean, coverage


def _backward_bound(coarse: Surface, fine: Surface, on_fine: ClosestPoints, floor: float, known: float) -> float:
    """An upper bound of the largest distance from a point of `coarse` to `fine`, no tighter than `known`."""
    bound, _, _ = _search(coarse.positions, coarse.triangles, bare_target(fine, on_fine), floor, known)
    return float(bound)


class _ErrorScratch(NamedTuple):
    """Arrays of one search.

    nearby, feet, distances: for each vertex (n,) its nearest triangle's place, its nearest point (n, 3), and the
    distance (n,); pieces: a stack of the pieces of one triangle.
    """

    nearby: AnyArray
    feet: FloatArray
    distances: FloatArray
    maps: MapScratch
    pieces: MapPieces
    stack: SearchStack


@compiled
def _search(
    positions: FloatArray, triangles: IntArray, target: Target, floor: float, known: float
) -> tuple[float, float, FloatArray]:
    """The bound over all triangles, the mean distance of the vertices, and the booked areas of the target."""
    count, capacity = len(positions), HALVINGS + 2
    scratch = _ErrorScratch(
        np.empty(count, np.int32),
        np.empty((count, 3)),
        np.empty(count),
        map_scratch(len(target.normals)),
        MapPieces(
            np.empty((capacity, 3, 3)),
            np.empty((capacity, 3, 3)),
            np.empty((capacity, 3)),
            np.empty((capacity, 3), np.int32),
        ),
        search_stack(),
    )
    nearest_of_each(positions, target.tree, scratch.nearby, scratch.feet, scratch.distances, scratch.stack)
    total = 0.0
    for v in range(count):
        total += scratch.distances[v]
    bound = _bound_all(positions, triangles, target, floor, known, scratch)
    return bound, total / max(count, 1), scratch.maps.booked


@compiled_inner
def _bound_all(
    positions: FloatArray, triangles: IntArray, target: Target, floor: float, known: float, scratch: _ErrorScratch
) -> float:
    """The bound over all triangles: branch and bound, one triangle after the other."""
    pieces = scratch.pieces
    seen, settled, queries = 0.0, 0.0, len(positions)
    for v in range(len(positions)):
        seen = max(seen, scratch.distances[v])
    for t in range(len(triangles)):
        _put_triangle(positions, triangles, t, scratch)
        top = 1
        while top:
            top -= 1
            goal = max(known, seen * (1.0 + TOLERANCE), seen + floor)
            bound = mapped_bound(pieces, top, target, scratch.maps, goal)
            if bound <= goal:
                settled = max(settled, bound)
                continue
            bound = _bound_by_corners(pieces, top)
            if bound <= goal or queries > MAX_QUERIES or top >= HALVINGS:
                settled = max(settled, bound)
                book_by_thirds(pieces, top, target, scratch.maps.booked)
                continue
            seen = max(seen, _halve(pieces, top, target.tree, scratch.stack))
            queries += 1
            top += 2
    return max(settled, seen)


@compiled_inner
def _put_triangle(positions: FloatArray, triangles: IntArray, t: int, scratch: _ErrorScratch) -> None:
    """Write a whole triangle as the first piece."""
    pieces = scratch.pieces
    for k in range(3):
        v = triangles[t, k]
        for axis in range(3):
            pieces.corners[0, k, axis], pieces.feet[0, k, axis] = positions[v, axis], scratch.feet[v, axis]
        pieces.distance[0, k], pieces.nearest[0, k] = scratch.distances[v], scratch.nearby[v]


@compiled_inner
def _halve(pieces: MapPieces, piece: int, tree: BVH, stack: SearchStack) -> float:
    """Cut a piece at the middle of its longest side; the halves take its index and the next one. Returns the distance
    of that middle."""
    corners, k = pieces.corners, 0
    for j in (1, 2):
        if _side_length(corners, piece, j) > _side_length(corners, piece, k):
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
    found = nearest(x, y, z, int64(pieces.nearest[piece, start]), tree, stack, 0.0)
    distance: float = np.sqrt(found[1])
    for half, corner in ((piece, end), (other, start)):
        corners[half, corner, 0], corners[half, corner, 1], corners[half, corner, 2] = x, y, z
        feet = pieces.feet[half, corner]
        feet[0], feet[1], feet[2] = found[2], found[3], found[4]
        pieces.distance[half, corner], pieces.nearest[half, corner] = distance, found[0]
    return distance


@compiled_inner
def _centroid(pieces: MapPieces, piece: int) -> tuple[float, float, float]:
    corners = pieces.corners
    x = (corners[piece, 0, 0] + corners[piece, 1, 0] + corners[piece, 2, 0]) / 3.0
    y = (corners[piece, 0, 1] + corners[piece, 1, 1] + corners[piece, 2, 1]) / 3.0
    z = (corners[piece, 0, 2] + corners[piece, 1, 2] + corners[piece, 2, 2]) / 3.0
    return x, y, z


@compiled_inner
def _bound_by_corners(pieces: MapPieces, piece: int) -> float:
    """The bound from the distances of the corners alone.

    The medians cut the piece into three quadrilaterals, one at each corner. No point of a quadrilateral is further from
    its corner than the centroid or the middles of the two sides there.
    """
    corners = pieces.corners
    x, y, z = _centroid(pieces, piece)
    bound = 0.0
    for k in range(3):
        reach = max(_side_length(corners, piece, k), _side_length(corners, piece, (k + 2) % 3)) * 0.5
        dx, dy, dz = corners[piece, k, 0] - x, corners[piece, k, 1] - y, corners[piece, k, 2] - z
        reach = max(reach, np.sqrt(dx * dx + dy * dy + dz * dz))
        bound = max(bound, pieces.distance[piece, k] + reach)
    return bound


@compiled_inner
def _side_length(corners: FloatArray, piece: int, k: int) -> float:
    """The length of the side from corner k of a piece to the next corner."""
    j = (k + 1) % 3
    dx = corners[piece, j, 0] - corners[piece, k, 0]
    dy = corners[piece, j, 1] - corners[piece, k, 1]
    dz = corners[piece, j, 2] - corners[piece, k, 2]
    length: float = np.sqrt(dx * dx + dy * dy + dz * dz)
    return length
