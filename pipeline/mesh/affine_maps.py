"""Piecewise affine maps of a triangle into a surface: upper bounds of its distance to that surface.

|p − f(p)| is convex on each piece of such a map f, so it is largest at a corner of a piece. The surface's triangles
that are nearest to the corners decide the map:

- if all three are the same, the whole triangle maps into it;
- if they are around one vertex, the spokes of that vertex (its edges) from the first of these triangles to the last cut
  the triangle's sides. Each strip between two cuts maps into the surface's triangle between two spokes.

A cut depends only on the side that it cuts, so the maps of neighbours agree there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from .bvh import BVH
from .closest import ClosestPoints
from .compiled import compiled, compiled_inner
from .geometry import face_normals
from .surface import Surface
from .topology import edges_of

RING = 24  # triangles to either side around a vertex; a vertex with more gets no map
Point = FloatArray | tuple[float, float, float]


class Target(NamedTuple):
    """The surface that maps lead into; its triangles are in the order of the tree.

    triangles: (m, 3) vertices; neighbours: (m, 3) the triangle across the side from each corner to the next, −1 if that
    edge does not belong to exactly two triangles; normals: (m, 3) unit. Without neighbours only whole triangles are
    mapped, without normals no area is booked.
    """

    tree: BVH
    triangles: IntArray
    neighbours: AnyArray
    normals: FloatArray


class MapPieces(NamedTuple):
    """Triangles cut from the measured surface, and the nearest points on the target of their corners.

    corners, feet: (p, 3, 3) the corners and their nearest points; distance, nearest: (p, 3) the distances between these
    and the places of the nearest triangles in the target.
    """

    corners: FloatArray
    feet: FloatArray
    distance: FloatArray
    nearest: AnyArray


class MapScratch(NamedTuple):
    """Arrays that maps are made in. booked: (m,) signed area of all images on each triangle of the target; ring:
    (2 * RING,) triangles around a vertex; cuts: (2 * RING, 2, 3) the two ends of each cut."""

    booked: FloatArray
    ring: AnyArray
    cuts: FloatArray


def bare_target(surface: Surface, closest: ClosestPoints) -> Target:
    """A target for maps of whole triangles, without booking: enough if it is much finer than the measured surface.

    closest: the closest points of `surface`.
    """
    triangles = surface.triangles[closest.tree.order]
    return Target(closest.tree, triangles, np.empty((0, 3), np.int32), np.empty((0, 3)))


def booked_target(surface: Surface, closest: ClosestPoints) -> tuple[Target, FloatArray]:
    """A target for all maps, and the areas (m,) of its triangles in the order of the tree.

    closest: the closest points of `surface`.
    """
    triangles = surface.triangles[closest.tree.order]
    normals, areas = face_normals(surface.positions, triangles)
    return Target(closest.tree, triangles, _neighbours(*edges_of(triangles)), normals), areas


@compiled
def map_scratch(triangles: int) -> MapScratch:
    return MapScratch(np.zeros(triangles), np.empty(2 * RING, np.int32), np.empty((2 * RING, 2, 3)))


@compiled
def _neighbours(edge: IntArray, side_counts: IntArray) -> AnyArray:
    """The triangle (m, 3) across each side, or −1, from the edges of the sides (see `edges_of`)."""
    neighbours, first = np.full(edge.shape, -1, np.int32), np.full(len(side_counts), -1, np.int64)
    for t in range(len(edge)):
        for k in range(3):
            e = edge[t, k]
            if side_counts[e] != 2:
                continue
            if first[e] < 0:
                first[e] = 3 * t + k
            else:
                neighbours[t, k] = first[e] // 3
                neighbours[first[e] // 3, first[e] % 3] = t
    return neighbours


@compiled_inner
def mapped_bound(pieces: MapPieces, piece: int, target: Target, scratch: MapScratch, goal: float) -> float:
    """The bound of a piece's distance by these maps, infinite if none applies. A map within `goal` books its images."""
    near, distance = pieces.nearest[piece], pieces.distance[piece]
    furthest: float = max(distance[0], distance[1], distance[2])
    if furthest > goal:  # a map's bound is no less than a corner's distance
        return np.inf
    if near[0] == near[1] and near[1] == near[2]:
        a, b, c = pieces.feet[piece]
        _book(target, scratch.booked, near[0], a, b, c, 1.0)
        return furthest
    least = np.inf
    for k in range(3 if len(target.neighbours) else 0):
        vertex = target.triangles[near[0], k]
        if _corner_of(target, near[1], vertex) >= 0 and _corner_of(target, near[2], vertex) >= 0:
            least = min(least, max(furthest, _cut_by_spokes(pieces, piece, vertex, target, scratch, goal)))
            if least <= goal:
                break
    return least


@compiled_inner
def _corner_of(target: Target, triangle: int, vertex: int) -> int:
    """The corner of a triangle that is at a vertex, or −1."""
    for k in range(3):
        if target.triangles[triangle, k] == vertex:
            return k
    return -1


class _Ring(NamedTuple):
    """The triangles around a vertex, counter-clockwise: triangles[low … high − 1]. closed: whether the last one touches
    the first one."""

    triangles: AnyArray
    low: int
    high: int
    closed: bool


@compiled_inner
def _triangle_at(ring: _Ring, place: int) -> int:
    """The triangle at a place of a ring; places past the end of a closed ring continue from its start."""
    triangle: int = ring.triangles[ring.low + (place - ring.low) % (ring.high - ring.low)]
    return triangle


class _RingOrder(NamedTuple):
    """A piece's corners in the order of their nearest triangles along a ring: corners a, b, c, at places at_a ≤ at_b ≤
    at_c of the ring. sign: −1 if that reverses the piece's winding."""

    a: int
    b: int
    c: int
    at_a: int
    at_b: int
    at_c: int
    sign: float


@compiled_inner
def _cut_by_spokes(
    pieces: MapPieces, piece: int, vertex: int, target: Target, scratch: MapScratch, goal: float
) -> float:
    """The bound by the map that a vertex' spokes cut. Infinite, and nothing booked, if cuts cross each other or one is
    longer than `goal`."""
    ring = _walk_around(target, pieces.nearest[piece, 0], vertex, scratch.ring)
    order = _order_along(ring, pieces.nearest[piece])
    if order.at_a < 0:
        return np.inf
    furthest = _cut_sides(pieces.corners[piece], order, ring, vertex, target, scratch.cuts, goal)
    if furthest < np.inf:
        _book_strips(pieces.feet[piece], order, ring, target, scratch)
    return furthest


@compiled_inner
def _walk_around(target: Target, start: int, vertex: int, triangles: AnyArray) -> _Ring:
    """The ring of a vertex from one of its triangles on, written into `triangles`; empty if it has too many."""
    low, high, triangle = RING, RING, start
    while triangle >= 0:
        if high == 2 * RING:
            return _Ring(triangles, RING, RING, False)
        triangles[high] = triangle
        high += 1
        triangle = target.neighbours[triangle, (_corner_of(target, triangle, vertex) + 2) % 3]
        if triangle == start:
            return _Ring(triangles, low, high, True)
    triangle = target.neighbours[start, _corner_of(target, start, vertex)]
    while triangle >= 0:
        if low == 0:
            return _Ring(triangles, RING, RING, False)
        low -= 1
        triangles[low] = triangle
        triangle = target.neighbours[triangle, _corner_of(target, triangle, vertex)]
    return _Ring(triangles, low, high, False)


@compiled_inner
def _order_along(ring: _Ring, near: AnyArray) -> _RingOrder:
    """The order along a ring of three corners with nearest triangles `near` (3,); at_a is −1 if one is not in it."""
    a, b, c, at_a, at_b, at_c, sign = 0, 1, 2, -1, -1, -1, 1.0
    for place in range(ring.low, ring.high):
        at_a = place if ring.triangles[place] == near[0] else at_a
        at_b = place if ring.triangles[place] == near[1] else at_b
        at_c = place if ring.triangles[place] == near[2] else at_c
    if at_a < 0 or at_b < 0 or at_c < 0:
        return _RingOrder(a, b, c, -1, -1, -1, sign)
    if at_a > at_b:
        a, b, at_a, at_b, sign = b, a, at_b, at_a, -sign
    if at_b > at_c:
        b, c, at_b, at_c, sign = c, b, at_c, at_b, -sign
    if at_a > at_b:
        a, b, at_a, at_b, sign = b, a, at_b, at_a, -sign
    if ring.closed:  # start after the widest gap
        size = ring.high - ring.low
        gap = at_a + size - at_c
        if at_b - at_a > gap and at_b - at_a >= at_c - at_b:
            a, b, c, at_a, at_b, at_c = b, c, a, at_b, at_c, at_a + size
        elif at_c - at_b > gap:
            a, b, c, at_a, at_b, at_c = c, a, b, at_c, at_a + size, at_b + size
    return _RingOrder(a, b, c, at_a, at_b, at_c, sign)


@compiled_inner
def _cut_sides(
    corners: FloatArray, order: _RingOrder, ring: _Ring, vertex: int, target: Target, cuts: FloatArray, goal: float
) -> float:
    """Cut a piece (3, 3) by each spoke between its corners' triangles, and write the ends of the cuts on the spokes.

    Each spoke cuts the sides a–b–c on its left and the side a–c on its right. Returns the largest distance between a
    side and a spoke; infinite if it exceeds `goal`, or if a cut crosses the one before it.
    """
    furthest, left, right = 0.0, 0.0, 0.0
    for place in range(order.at_a, order.at_c):
        if place == order.at_b:
            left = 0.0
        near = _triangle_at(ring, place)
        spoke = (_corner_of(target, near, vertex) + 2) % 3
        start, end = (order.a, order.b) if place < order.at_b else (order.b, order.c)
        triangle, cut = target.tree.corners[near], cuts[place - order.at_a]
        gap_left, on_left = _gap_to_side(corners[start], corners[end], triangle, spoke, cut[0])
        gap_right, on_right = _gap_to_side(corners[order.a], corners[order.c], triangle, spoke, cut[1])
        furthest = max(furthest, gap_left, gap_right)
        if furthest > goal or on_left < left or on_right < right:
            return np.inf
        left, right = on_left, on_right
    return furthest


@compiled_inner
def _book_strips(feet: FloatArray, order: _RingOrder, ring: _Ring, target: Target, scratch: MapScratch) -> None:
    """Book the image of each strip between two cuts: a polygon, as triangles from its first corner."""
    booked, cuts, sign = scratch.booked, scratch.cuts, order.sign
    for place in range(order.at_a, order.at_c + 1):
        triangle, k = _triangle_at(ring, place), place - order.at_a
        first = feet[order.a] if place == order.at_a else cuts[k - 1, 0]
        last = feet[order.c] if place == order.at_c else cuts[k, 0]
        if place == order.at_b:
            _book(target, booked, triangle, first, feet[order.b], last, sign)
        if place < order.at_c:
            _book(target, booked, triangle, first, last, cuts[k, 1], sign)
            last = cuts[k, 1]
        if place > order.at_a:
            _book(target, booked, triangle, first, last, cuts[k - 1, 1], sign)


@compiled_inner
def book_by_thirds(pieces: MapPieces, piece: int, target: Target, booked: FloatArray) -> None:
    """Book a piece without a map: a third of the area between its feet on the nearest triangle of each corner."""
    a, b, c = pieces.feet[piece]
    for k in range(3):
        _book(target, booked, pieces.nearest[piece, k], a, b, c, 1.0 / 3.0)


@compiled_inner
def _book(target: Target, booked: FloatArray, triangle: int, a: Point, b: Point, c: Point, share: float) -> None:
    """Add a share of an image's signed area, projected along the triangle's normal, to the booked area."""
    if len(target.normals) == 0:
        return
    normal = target.normals[triangle]
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    twice = (uy * vz - uz * vy) * normal[0] + (uz * vx - ux * vz) * normal[1] + (ux * vy - uy * vx) * normal[2]
    booked[triangle] += 0.5 * twice * share


@compiled_inner
def _gap_to_side(
    start: FloatArray, end: FloatArray, triangle: FloatArray, side: int, point: FloatArray
) -> tuple[float, float]:
    """The distance between a segment [start, end] and a side of a triangle (9,), and the parameter (0 … 1) of the
    segment's nearest point. Writes the side's nearest point to `point`.

    Ericson, Real-Time Collision Detection (2005), section 5.1.9.
    """
    left, right = 3 * side, 3 * ((side + 1) % 3)
    lx, ly, lz = triangle[left], triangle[left + 1], triangle[left + 2]
    ux, uy, uz = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    vx, vy, vz = triangle[right] - lx, triangle[right + 1] - ly, triangle[right + 2] - lz
    wx, wy, wz = start[0] - lx, start[1] - ly, start[2] - lz
    uv, uw, vw = ux * vx + uy * vy + uz * vz, ux * wx + uy * wy + uz * wz, vx * wx + vy * wy + vz * wz
    uu, vv = max(ux * ux + uy * uy + uz * uz, 1e-300), max(vx * vx + vy * vy + vz * vz, 1e-300)
    determinant = uu * vv - uv * uv
    s = (uv * vw - vv * uw) / determinant if determinant > 1e-12 * uu * vv else 0.5
    t = min(max((uv * min(max(s, 0.0), 1.0) + vw) / vv, 0.0), 1.0)
    s = min(max((uv * t - uw) / uu, 0.0), 1.0)
    point[0], point[1], point[2] = lx + t * vx, ly + t * vy, lz + t * vz
    dx, dy, dz = start[0] + s * ux - point[0], start[1] + s * uy - point[1], start[2] + s * uz - point[2]
    return np.sqrt(dx * dx + dy * dy + dz * dz), s
