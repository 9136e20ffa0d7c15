"""Texture coordinates without overlaps for a shell, and the surface points of the texels of its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xatlas

from ..arrays import BoolArray, FloatArray, IntArray
from ..mesh.geometry import bounding_box
from ..mesh.surface import Surface
from ..views.rasterizer import CutOuts, rasterize

PADDING = 2  # texels between charts: a picture at half its size does not mix them
NO_CUT_OUTS = CutOuts(np.zeros(1, np.uint8), np.full((1, 4), -1, np.int64))


@dataclass(frozen=True)
class Texels:
    """The texels of a picture that show a surface.

    triangle: (p,) the surface's triangle of each. weights: (p, 3) of its corners. covered: (h, w) mask of these texels,
    in row order. nearest: (h, w) the index of the covered texel nearest to each texel, which fills the space between
    charts.
    """

    triangle: IntArray
    weights: FloatArray
    covered: BoolArray
    nearest: IntArray


def unwrap(surface: Surface, pixels: int) -> FloatArray:
    """Texture coordinates (m, 3, 2) in 0…1 of a surface's corners, for a square picture of about `pixels` a side."""
    # xatlas takes small areas for none, so that it gets a model of one unit.
    low, high = bounding_box(surface.positions)
    positions = (surface.positions - low) / (float((high - low).max()) or 1.0)
    atlas = xatlas.Atlas()
    atlas.add_mesh(positions.astype(np.float32), surface.triangles.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = pixels, PADDING, True
    charts = xatlas.ChartOptions()
    charts.max_iterations = 2
    atlas.generate(charts, packing)
    _, corners, uv = atlas[0]
    result: FloatArray = uv.astype(np.float64)[corners]
    return result


def texels_of(uv: FloatArray, pixels: int) -> Texels:
    """The texels of a square picture whose centres are in a triangle of `uv` (m, 3, 2).

    v goes down, as in glTF.
    """
    points = np.concatenate([uv.reshape(-1, 2) * pixels, np.zeros((3 * len(uv), 1))], axis=1)
    triangles = np.arange(3 * len(uv)).reshape(-1, 3)
    count = len(triangles)
    from scipy import ndimage  # slow to load, and few models need it

    fragments = rasterize(
        points,
        triangles,
        np.ascontiguousarray(uv),
        np.zeros(count, np.int64),
        np.ones(count, np.bool_),
        NO_CUT_OUTS,
        np.full((pixels, pixels), -np.inf),
    )
    covered = fragments.triangle >= 0
    number = np.cumsum(covered).reshape(covered.shape) - 1
    rows, columns = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return Texels(
        fragments.triangle[covered].astype(np.int64),
        fragments.weights[covered].astype(np.float64),
        covered,
        number[rows, columns],
    )
