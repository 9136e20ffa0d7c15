"""Piecewise affine maps of a triangle into a surface: upper bounds of its distance to it.

|p − f(p)| is convex on each piece of such a map f, so it is largest at a corner of a piece. Which triangles of the
surface are nearest to the corners says how to map:

- all the same: the triangle maps into it as a whole;
- different ones around one vertex: its spokes, from the first of these triangles to the last, cut the triangle's sides,
  and each strip between two cuts maps into the triangle between two spokes.

A cut depends on the side that is cut alone, so the maps of neighbours agree there.
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

RING = 24  # triangles around a vertex; where there are more, no map is tried
Point = FloatArray | tuple[float, float, float]


class Target(NamedTuple):
    """The surface that is mapped into, all in the tree's order.

    triangles: (m, 3) vertices; neighbours: (m, 3) the triangle across the side from each corner to the next, −1 where
    there is not exactly one; normals: (m, 3) unit. Without neighbours triangles are mapped as a whole or not at all,
    without normals nothing is booked.
    """

    tree: BVH
    triangles: IntArray
    neighbours: AnyArray
    normals: FloatArray


class MapPieces(NamedTuple):
    """Triangles cut from the measured surface, with what is known of their corners' nearest points on the target.

    corners, feet: (p, 3, 3); distance, nearest: (p, 3).
    """

    corners: FloatArray
    feet: FloatArray
    distance: FloatArray
    nearest: AnyArray


class MapScratch(NamedTuple):
    """Room for one map. booked: (m,) signed area of images on each triangle of the target; ring: triangles around a
    vertex; cuts: the two ends of each cut."""

    booked: FloatArray
    ring: AnyArray
    cuts: FloatArray


def bare_target(surface: Surface, closest: ClosestPoints) -> Target:
    """For maps of whole triangles, unbooked: worth no more where the surface is much finer than what is measured.
    closest: of the surface."""
    triangles = surface.triangles[closest.tree.order]
    return Target(closest.tree, triangles, np.empty((0, 3), np.int32), np.empty((0, 3)))


def booked_target(surface: Surface, closest: ClosestPoints) -> tuple[Target, FloatArray]:
    """For all maps, and the areas (m,) of its triangles in the tree's order. closest: of the surface."""
    triangles = surface.triangles[closest.tree.order]
    normals, areas = face_normals(surface.positions, triangles)
    return Target(closest.tree, triangles, _across(*edges_of(triangles)), normals), areas


@compiled
def map_scratch(triangles: int) -> MapScratch:
    return MapScratch(np.zeros(triangles), np.empty(2 * RING, np.int32), np.empty((2 * RING, 2, 3)))


@compiled
def _across(edge: IntArray, users: IntArray) -> AnyArray:
    other, first = np.full(edge.shape, -1, np.int32), np.full(len(users), -1, np.int64)
    for t in range(len(edge)):
        for k in range(3):
            e = edge[t, k]
            if users[e] != 2:
                continue
            if first[e] < 0:
                first[e] = 3 * t + k
            else:
                other[t, k] = first[e] // 3
                other[first[e] // 3, first[e] % 3] = t
    return other


@compiled_inner
def mapped_bound(pieces: MapPieces, piece: int, target: Target, room: MapScratch, goal: float) -> float:
    """The bound by the maps above, infinite where none of them applies; images within `goal` are booked."""
    near, far = pieces.nearest[piece], pieces.distance[piece]
    furthest: float = max(far[0], far[1], far[2])
    if furthest > goal:  # no map brings a corner nearer than it is
        return np.inf
    if near[0] == near[1] and near[1] == near[2]:
        a, b, c = pieces.feet[piece]
        _book(target, room.booked, near[0], a, b, c, 1.0)
        return furthest
    least = np.inf
    for k in range(3 if len(target.neighbours) else 0):
        vertex = target.triangles[near[0], k]
        if _corner_of(target, near[1], vertex) >= 0 and _corner_of(target, near[2], vertex) >= 0:
            least = min(least, max(furthest, _cut_by_spokes(pieces, piece, vertex, target, room, goal)))
            if least <= goal:
                break
    return least


@compiled_inner
def _corner_of(target: Target, triangle: int, vertex: int) -> int:
    for k in range(3):
        if target.triangles[triangle, k] == vertex:
            return k
    return -1


@compiled_inner
def _walk_around(target: Target, start: int, vertex: int, ring: AnyArray) -> tuple[int, int, bool]:
    """Write the triangles around a vertex into ring[low … high − 1], counter-clockwise: low, high, and whether the last
    touches the first. None if they are too many."""
    low, high, here = RING, RING, start
    while here >= 0:
        if high == 2 * RING:
            return RING, RING, False
        ring[high] = here
        high += 1
        here = target.neighbours[here, (_corner_of(target, here, vertex) + 2) % 3]
        if here == start:
            return low, high, True
    here = target.neighbours[start, _corner_of(target, start, vertex)]
    while here >= 0:
        if low == 0:
            return RING, RING, False
        low -= 1
        ring[low] = here
        here = target.neighbours[here, _corner_of(target, here, vertex)]
    return low, high, False


@compiled_inner
def _cut_by_spokes(pieces: MapPieces, piece: int, vertex: int, target: Target, room: MapScratch, goal: float) -> float:
    """The largest distance along the cuts by the spokes of a vertex; infinite where they cross each other."""
    near, corners, ring, cuts = pieces.nearest[piece], pieces.corners[piece], room.ring, room.cuts
    low, high, closed = _walk_around(target, near[0], vertex, ring)
    a, b, c, at_a, at_b, at_c = 0, 1, 2, -1, -1, -1
    for place in range(low, high):
        at_a = place if ring[place] == near[0] else at_a
        at_b = place if ring[place] == near[1] else at_b
        at_c = place if ring[place] == near[2] else at_c
    if at_a < 0 or at_b < 0 or at_c < 0:
        return np.inf
    sign = 1.0
    if at_a > at_b:
        a, b, at_a, at_b, sign = b, a, at_b, at_a, -sign
    if at_b > at_c:
        b, c, at_b, at_c, sign = c, b, at_c, at_b, -sign
    if at_a > at_b:
        a, b, at_a, at_b, sign = b, a, at_b, at_a, -sign
    if closed:  # a ring begins after its widest gap
        size = high - low
        gap = at_a + size - at_c
        if at_b - at_a > gap and at_b - at_a >= at_c - at_b:
            a, b, c, at_a, at_b, at_c = b, c, a, at_b, at_c, at_a + size
        elif at_c - at_b > gap:
            a, b, c, at_a, at_b, at_c = c, a, b, at_c, at_a + size, at_b + size
    furthest, left, right = 0.0, 0.0, 0.0
    for place in range(at_a, at_c):
        if place == at_b:
            left = 0.0
        here = ring[low + (place - low) % (high - low)]
        spoke = (_corner_of(target, here, vertex) + 2) % 3
        start, end = (a, b) if place < at_b else (b, c)
        triangle, cut = target.tree.corners[here], cuts[place - at_a]
        gap_left, on_left = _gap_to_side(corners[start], corners[end], triangle, spoke, cut[0])
        gap_right, on_right = _gap_to_side(corners[a], corners[c], triangle, spoke, cut[1])
        furthest = max(furthest, gap_left, gap_right)
        if furthest > goal or on_left < left or on_right < right:
            return np.inf
        left, right = on_left, on_right
    feet = pieces.feet[piece]
    for place in range(at_a, at_c + 1):
        here, k = ring[low + (place - low) % (high - low)], place - at_a
        # The strip's outline: down one side, up the other.
        first = feet[a] if place == at_a else cuts[k - 1, 0]
        last = feet[c] if place == at_c else cuts[k, 0]
        if place == at_b:
            _book(target, room.booked, here, first, feet[b], last, sign)
        if place < at_c:
            _book(target, room.booked, here, first, last, cuts[k, 1], sign)
            last = cuts[k, 1]
        if place > at_a:
            _book(target, room.booked, here, first, last, cuts[k - 1, 1], sign)
    return furthest


@compiled_inner
def book_by_thirds(pieces: MapPieces, piece: int, target: Target, booked: FloatArray) -> None:
    """Book a piece that has no map: a third of its image's area where each corner's foot is."""
    a, b, c = pieces.feet[piece]
    for k in range(3):
        _book(target, booked, pieces.nearest[piece, k], a, b, c, 1.0 / 3.0)


@compiled_inner
def _book(target: Target, booked: FloatArray, triangle: int, a: Point, b: Point, c: Point, share: float) -> None:
    """Book that share of the signed area of an image (a, b, c), as seen along a triangle's unit normal."""
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
    """Distance between the segment [start, end] and a side of a triangle (9,), where on the first it is (0…1).
    `point` becomes the nearest one on the side.

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
