"""Thin out aggregates: thousands of small loose parts, such as leaves, of which each is too small to be simplified.

Cook, Halstead, Planck, Ryu, Stochastic simplification of aggregate detail, 2007: most parts are left out, and the
others grow, so that the area that they cover together stays. The parts to keep are evenly spread, along a space-filling
curve, instead of random. Whole parts look better than the same triangles spread over all parts, reduced to shards.
"""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from .geometry import bounding_box, face_normals
from .surface import Surface, part
from .topology import connected_parts, rows_in

MAX_PART_TRIANGLES = 12  # of a part of an aggregate: a cube has as many
MIN_PARTS = 500  # fewer are no aggregate
MORTON_BITS = 10  # for each axis, of the curve


def thinned(surface: Surface, target: int, locked: FloatArray) -> Surface:
    """The surface with so few parts of its aggregate that these have their share of `target` triangles, by area.

    locked: (k, 3) positions of vertices that stay where they are; their parts stay too.
    """
    part_of, sizes = connected_parts(surface.triangles, len(surface.positions))
    held = np.zeros(len(sizes), np.bool_)
    if len(locked):
        held[part_of[surface.triangles[:, 0]][rows_in(surface.positions, locked)[surface.triangles].any(axis=1)]] = True
    small = (sizes <= MAX_PART_TRIANGLES) & ~held
    count = int(small.sum())
    if count < MIN_PARTS:
        return surface
    of_triangle = part_of[surface.triangles[:, 0]]
    loose = small[of_triangle]
    _, area = face_normals(surface.positions, surface.triangles)
    share = float(area[loose].sum() / area.sum()) if area.any() else 1.0
    keep = int(target * share * count / float(loose.sum()))
    if keep >= count or keep < 1:
        return surface
    centers = _part_centers(surface, of_triangle, len(sizes))
    order = np.flatnonzero(small)[np.argsort(_morton(centers[small]), kind="stable")]
    kept = ~small
    kept[order[(np.arange(keep) * count + count // 2) // keep]] = True
    growth = (count / keep) ** 0.5
    positions = surface.positions.copy()
    grown = np.unique(surface.triangles[loose & kept[of_triangle]])
    center = centers[part_of[grown]]
    positions[grown] = center + growth * (positions[grown] - center)
    return part(Surface(positions, surface.triangles, surface.kinds, surface.uv), kept[of_triangle])


def _part_centers(surface: Surface, of_triangle: IntArray, parts: int) -> FloatArray:
    """The mean (parts, 3) of the corners of each part's triangles."""
    middle = surface.positions[surface.triangles].mean(axis=1)
    sizes = np.bincount(of_triangle, minlength=parts)[:, None]
    sums = np.stack([np.bincount(of_triangle, middle[:, k], minlength=parts) for k in range(3)], axis=1)
    centers: FloatArray = sums / np.maximum(sizes, 1)
    return centers


def _morton(points: FloatArray) -> IntArray:
    """The place (n,) of points (n, 3) on a Z-order curve through their bounding box."""
    low, high = bounding_box(points)
    cells = ((points - low) / max(float((high - low).max()), 1e-300) * ((1 << MORTON_BITS) - 1)).astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for bit in range(MORTON_BITS):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return code
