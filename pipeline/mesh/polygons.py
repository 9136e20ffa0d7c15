"""Triangulation of polygons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import BoolArray, FloatArray

Triple = tuple[int, int, int]


def triangulate(corners: Sequence[Sequence[float]]) -> list[Triple]:
    """The triangles of a simple polygon, convex or not, as indices into its `corners` (n × 3), in the same winding.

    Ear clipping in the plane of the polygon's area vector (Meisters, Polygons have ears, 1975). If a polygon that
    crosses itself or has no area runs out of ears, the rest becomes a fan.
    """
    count = len(corners)
    if count == 3:
        return [(0, 1, 2)]
    points = np.asarray(corners, np.float64)
    around = points - points[0]
    area = np.cross(around[1:-1], around[2:]).sum(axis=0)
    if (np.cross(around[1:-1], around[2:]) @ area > 0).all() and count == 4:
        return [(0, 1, 2), (0, 2, 3)]
    axis = int(np.argmax(np.abs(area)))
    flat = np.delete(around, axis, axis=1)
    if axis == 1:
        flat = flat[:, ::-1]
    if area[axis] < 0:
        flat = flat * [1, -1]
    remaining = list(range(count))
    triangles: list[Triple] = []
    start = 0
    while len(remaining) > 3:
        for step in range(len(remaining)):
            at = (start + step) % len(remaining)
            ear = (remaining[at - 1], remaining[at], remaining[(at + 1) % len(remaining)])
            if _is_ear(flat, ear, remaining):
                break
        else:
            break
        triangles.append(ear)
        remaining.pop(at)
        start = at  # the next corner, so that convex polygons become strips instead of fans of slivers
    return triangles + [(remaining[0], remaining[k], remaining[k + 1]) for k in range(1, len(remaining) - 1)]


def _is_ear(flat: FloatArray, ear: Triple, remaining: list[int]) -> bool:
    """Whether three corners of a polygon (n, 2) turn left and enclose no other remaining corner."""
    a, b, c = flat[list(ear)]
    if _turn(a, b, c[None])[0] <= 0:
        return False
    others = flat[remaining]
    inside: BoolArray = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    # Corners of the ear itself, and corners at the same position as one of them.
    own = (others[:, None] == flat[list(ear)][None]).all(axis=2).any(axis=1)
    return not bool((inside & ~own).any())


def _turn(a: FloatArray, b: FloatArray, points: FloatArray) -> FloatArray:
    """Twice the signed area of (a, b, p) for each point (n, 2)."""
    area: FloatArray = (b[0] - a[0]) * (points[:, 1] - a[1]) - (b[1] - a[1]) * (points[:, 0] - a[0])
    return area
