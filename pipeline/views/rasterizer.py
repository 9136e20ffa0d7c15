"""A depth-buffered triangle rasteriser, one sample in the centre of each pixel. The same input gives the same bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from ..mesh.compiled import compiled, compiled_inner


class CutOuts(NamedTuple):
    """Alpha pictures of cut-out materials, one after the other.

    alpha: (k,) codes 0…255. tables: (materials, 4) start in `alpha`, width, height and least visible code; start is −1
    for a material that is not cut out.
    """

    alpha: AnyArray
    tables: IntArray


class Fragments(NamedTuple):
    """The nearest triangle at each pixel of a picture.

    triangle: (h, w) index, or −1 where there is none. weights: (h, w, 3) of its corners. nearness: (h, w), −inf where
    there is none; larger is nearer to the viewer.
    """

    triangle: AnyArray
    weights: AnyArray
    nearness: FloatArray


@compiled
def rasterize(
    points: FloatArray,
    triangles: IntArray,
    uv: FloatArray,
    materials: IntArray,
    two_sided: BoolArray,
    cut_outs: CutOuts,
    behind: FloatArray,
) -> Fragments:
    """Draw triangles (m, 3) of projected points (n, 3) into a picture of the size of `behind` (h, w).

    uv: (m, 3, 2), read for triangles with an alpha picture only. materials: (m,) rows of cut_outs.tables.
    two_sided: (m,) triangles whose back is visible.
    behind: nearness at and below which nothing is drawn.
    """
    height, width = behind.shape
    triangle = np.full((height, width), -1, np.int32)
    weights, nearness = np.zeros((height, width, 3), np.float32), behind.copy()
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)  # positive for a front, since rows go down
        if area == 0.0 or (area < 0.0 and not two_sided[t]):
            continue
        first_row = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        last_row = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        first_column = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        last_column = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        for row in range(first_row, last_row + 1):
            y = row + 0.5
            for column in range(first_column, last_column + 1):
                x = column + 0.5
                wa = ((cx - bx) * (by - y) - (bx - x) * (cy - by)) / area
                wb = ((ax - cx) * (cy - y) - (cx - x) * (ay - cy)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                near = wa * points[a, 2] + wb * points[b, 2] + wc * points[c, 2]
                if near <= nearness[row, column] or _is_cut_out(uv, cut_outs, materials[t], t, wa, wb, wc):
                    continue
                nearness[row, column], triangle[row, column] = near, t
                weights[row, column, 0], weights[row, column, 1], weights[row, column, 2] = wa, wb, wc
    return Fragments(triangle, weights, nearness)


@compiled_inner
def _is_cut_out(uv: FloatArray, cut_outs: CutOuts, material: int, t: int, wa: float, wb: float, wc: float) -> bool:
    start, width, height, least = cut_outs.tables[material]
    if start < 0:
        return False
    u = wa * uv[t, 0, 0] + wb * uv[t, 1, 0] + wc * uv[t, 2, 0]
    v = wa * uv[t, 0, 1] + wb * uv[t, 1, 1] + wc * uv[t, 2, 1]
    column = min(width - 1, int((u - np.floor(u)) * width))
    row = min(height - 1, int((v - np.floor(v)) * height))
    return bool(cut_outs.alpha[start + row * width + column] < least)
