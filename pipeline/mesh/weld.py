"""Corner attributes as distinct vertices and an index."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arrays import AnyArray, IntArray
from .topology import unique_rows


def weld_corners(corners: Mapping[str, AnyArray]) -> tuple[dict[str, AnyArray], IntArray]:
    """Distinct float32 vertices (n, k) of corner attributes (m, 3, k), and triangles (m, 3).

    Files hold float32: corners that differ only beyond its precision are one vertex.
    """
    names = list(corners)
    widths = [corners[name].shape[2] for name in names]
    rows = np.concatenate([corners[n].reshape(-1, w) for n, w in zip(names, widths, strict=True)], axis=1)
    vertices, index = unique_rows(rows.astype(np.float32))
    columns = np.split(vertices, np.cumsum(widths)[:-1], axis=1)
    return {n: np.ascontiguousarray(c) for n, c in zip(names, columns, strict=True)}, index.reshape(-1, 3)
