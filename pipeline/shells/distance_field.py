"""Distances to a surface on a grid, negative in everything that cannot be reached from outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from ..mesh.closest import ClosestPoints
from ..mesh.compiled import compiled
from ..mesh.geometry import bounding_box

MARGIN = 5  # nodes around the surface's box
THICKNESS = 0.6  # distance of the shell from the surface, in steps of the grid
GAP = 1.6  # half the width of the widest gap that is closed, in steps


@dataclass(frozen=True)
class Field:
    """Values at the nodes of a grid (x, y, z), in steps: negative inside.

    low: position (3,) of node (0, 0, 0). step: the distance of neighbouring nodes.
    """

    values: FloatArray
    low: FloatArray
    step: float


def outside_distance(positions: FloatArray, triangles: IntArray, on_surface: ClosestPoints, steps: int) -> Field:
    """The distance to a surface minus THICKNESS, with gaps closed.

    A node is outside if a ball of radius GAP reaches it from infinity without touching the surface: the alpha wrapping
    of Portaneri et al. (2022), on a grid. steps: along the longest side of the surface's box.
    """
    from scipy import ndimage  # slow to load, and few models need it

    low, high = bounding_box(positions)
    step = float((high - low).max()) / steps or 1.0
    shape = tuple(int(n) for n in np.ceil((high - low) / step))
    size = tuple(n + 2 * MARGIN for n in shape)
    origin = low - MARGIN * step
    touched = _touched(positions, triangles, origin, step, np.zeros(size, np.bool_))
    near = ndimage.binary_dilation(touched, iterations=3)
    nodes = np.argwhere(near)
    distance = np.full(size, 10.0)
    distance[near] = on_surface.query(nodes * step + origin).distances / step
    outside = _reached(distance)
    values = np.where(outside, distance - THICKNESS, np.minimum(distance - THICKNESS, -0.5))
    return Field(values, origin, step)


def _reached(distance: FloatArray) -> BoolArray:
    """The nodes outside: those that a ball of radius GAP covers, as its centre moves from a corner of the grid."""
    from scipy import ndimage

    centers, _ = ndimage.label(distance > GAP)
    reached: BoolArray = centers == centers[0, 0, 0]
    apart = ndimage.distance_transform_edt(~reached)
    result: BoolArray = (apart <= GAP - THICKNESS + 0.5) & (distance > THICKNESS)
    return result


@compiled
def _touched(positions: FloatArray, triangles: IntArray, origin: FloatArray, step: float, grid: BoolArray) -> BoolArray:
    """The nodes nearest to points of the triangles, which are half a step apart at most."""
    for t in range(len(triangles)):
        a, b, c = positions[triangles[t, 0]], positions[triangles[t, 1]], positions[triangles[t, 2]]
        longest = 0.0
        for k in range(3):
            longest = max(longest, abs(b[k] - a[k]), abs(c[k] - a[k]), abs(c[k] - b[k]))
        count = max(1, int(np.ceil(longest / step * 2.0)))
        for i in range(count + 1):
            for j in range(count + 1 - i):
                u, v = i / count, j / count
                x = int(np.rint((a[0] + u * (b[0] - a[0]) + v * (c[0] - a[0]) - origin[0]) / step))
                y = int(np.rint((a[1] + u * (b[1] - a[1]) + v * (c[1] - a[1]) - origin[1]) / step))
                z = int(np.rint((a[2] + u * (b[2] - a[2]) + v * (c[2] - a[2]) - origin[2]) / step))
                grid[x, y, z] = True
    return grid
