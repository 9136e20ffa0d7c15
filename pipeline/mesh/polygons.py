"""Polygons as triangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import BoolArray, FloatArray

Triple = tuple[int, int, int]


def triangulate(corners: Sequence[Sequence[float]]) -> list[Triple]:
    """Triangles (indices into `corners`, n × 3) of a simple polygon, convex or not, in its own winding.

    Ears are cut off in the plane of the polygon's area vector (Meisters, Polygons have ears, 1975). A polygon that
    crosses itself or has no area has no ears; what is left of it becomes a fan.
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
    left = list(range(count))
    triangles: list[Triple] = []
    start = 0
    while len(left) > 3:
        for step in range(len(left)):
            at = (start + step) % len(left)
            ear = (left[at - 1], left[at], left[(at + 1) % len(left)])
            if _is_ear(flat, ear, left):
                break
        else:
            break
        triangles.append(ear)
        left.pop(at)
        start = at  # the next corner: so that convex polygons become strips and not fans of slivers
    return triangles + [(left[0], left[k], left[k + 1]) for k in range(1, len(left) - 1)]


def _is_ear(flat: FloatArray, ear: Triple, left: list[int]) -> bool:
    a, b, c = flat[list(ear)]
    if _turn(a, b, c[None])[0] <= 0:
        return False
    others = flat[left]
    inside: BoolArray = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    # Corners of the ear itself, also where another corner lies on one of them.
    own = (others[:, None] == flat[list(ear)][None]).all(axis=2).any(axis=1)
    return not bool((inside & ~own).any())


def _turn(a: FloatArray, b: FloatArray, points: FloatArray) -> FloatArray:
    """Twice the signed area of (a, b, p) for each point (n, 2)."""
    area: FloatArray = (b[0] - a[0]) * (points[:, 1] - a[1]) - (b[1] - a[1]) * (points[:, 0] - a[0])
    return area
