"""Normals of corners, for files that have none."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from ..mesh.topology import unique_rows

HARD_EDGE = float(np.cos(np.radians(35.0)))  # edges with a larger angle stay hard
SMOOTH = -1.0  # no edge is hard
MAX_CORNERS = 64  # around one vertex that are compared with each other


def corner_normals(positions: FloatArray, triangles: IntArray, hard_edge: float) -> FloatArray:
    """Unit normals (m, 3, 3) of the corners of triangles.

    A corner's normal is the area-weighted mean of the faces around its vertex whose normals are within an angle of the
    corner's own face. hard_edge: the cosine of this angle; −1 takes all faces.
    """
    welded, index = unique_rows(positions)
    corner = index[triangles].reshape(-1)
    p = welded[index[triangles]]
    area = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    length = np.linalg.norm(area, axis=1, keepdims=True)
    unit = area / np.where(length > 0, length, 1.0)
    if hard_edge <= SMOOTH:
        total = _sums(corner, np.repeat(area, 3, axis=0), len(welded))[corner]
    else:
        total = _sums_within(corner, area, unit, hard_edge, len(welded))
    size = np.linalg.norm(total, axis=1, keepdims=True)
    fallback = np.repeat(np.where(length > 0, unit, [0.0, 0.0, 1.0]), 3, axis=0)
    result: FloatArray = np.where(size > 0, total / np.where(size > 0, size, 1.0), fallback)
    return result.reshape(-1, 3, 3)


def _sums(index: IntArray, values: FloatArray, count: int) -> FloatArray:
    """Sums (count, k) of the values (n, k) with each index."""
    return np.stack([np.bincount(index, values[:, k], minlength=count) for k in range(values.shape[1])], axis=1)


def _sums_within(corner: IntArray, area: FloatArray, unit: FloatArray, hard_edge: float, vertices: int) -> FloatArray:
    """For each corner the sum (3 m, 3) of the area vectors of the near faces around its vertex.

    corner: the vertex of each corner (3 m,). area, unit: (m, 3) of each face.
    """
    order = np.argsort(corner, kind="stable")  # corners of one vertex follow each other
    valence = np.bincount(corner, minlength=vertices)
    start = (np.cumsum(valence) - valence)[corner[order]]
    around = valence[corner[order]]
    face = order // 3
    sums = area[face].copy()
    # Each step compares every corner with the corner that many places after it, around its vertex.
    for step in range(1, min(MAX_CORNERS, int(valence.max(initial=1)))):
        chosen = np.flatnonzero(around > step)
        place = start[chosen] + (chosen - start[chosen] + step) % around[chosen]
        other = face[place]
        near: BoolArray = np.einsum("ij,ij->i", unit[face[chosen]], unit[other]) >= hard_edge
        sums[chosen[near]] += area[other[near]]
    total = np.empty_like(sums)
    total[order] = sums
    return total
