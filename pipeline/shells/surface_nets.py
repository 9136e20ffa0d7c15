"""The surface where a field on a grid is zero: one vertex in each cell that the surface crosses.

Gibson, Constrained elastic surface nets (1998), without relaxation: a vertex is the mean of the points where the
surface crosses the edges of its cell.
"""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .distance_field import Field

CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(CORNERS[a] - CORNERS[b]).sum() == 1]


def surface_net(field: Field) -> tuple[FloatArray, IntArray]:
    """Positions (n, 3) and triangles (m, 3), with normals that point to positive values.

    The field must be positive on the sides of its grid.
    """
    values = field.values
    inside = values < 0
    corner_inside = [_shifted(inside, *corner) for corner in CORNERS]
    count = np.sum(corner_inside, axis=0, dtype=np.int8)
    cells = np.argwhere((count > 0) & (count < 8))
    number = np.full(count.shape, -1, np.int64)
    number[tuple(cells.T)] = np.arange(len(cells))
    corner_values = np.stack([values[tuple((cells + corner).T)] for corner in CORNERS], axis=1)
    sums, crossings = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for a, b in EDGES:
        va, vb = corner_values[:, a], corner_values[:, b]
        crossed = (va < 0) != (vb < 0)
        share = np.where(crossed, va / np.where(crossed, va - vb, 1.0), 0.0)[:, None]
        sums += np.where(crossed[:, None], CORNERS[a] + share * (CORNERS[b] - CORNERS[a]), 0.0)
        crossings += crossed
    positions = (cells + sums / crossings[:, None]) * field.step + field.low
    triangles = np.concatenate([_quads(inside, number, axis) for axis in range(3)])
    # In the order of memory for which loops are compiled.
    return positions, np.ascontiguousarray(triangles)


def _shifted(grid: BoolArray, i: int, j: int, k: int) -> BoolArray:
    x, y, z = grid.shape
    return grid[i : x - 1 + i, j : y - 1 + j, k : z - 1 + k]


def _quads(inside: BoolArray, number: IntArray, axis: int) -> IntArray:
    """Two triangles (m, 3) for each edge along an axis that the surface crosses, between the four cells around it."""
    step = np.zeros(3, np.int64)
    step[axis] = 1
    across, up = np.roll(step, 1), np.roll(step, 2)
    ends = inside.shape - step
    start = inside[tuple(slice(0, n) for n in ends)]
    end = inside[tuple(slice(s, None) for s in step)]
    edges = np.argwhere(start != end)
    around = [number[tuple((edges - offset).T)] for offset in (across + up, up, 0 * step, across)]
    quads = np.stack(around, axis=1)
    leaving = start[tuple(edges.T)]  # from inside to outside along the axis
    quads = np.where(leaving[:, None], quads, quads[:, ::-1])
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
