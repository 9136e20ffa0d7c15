"""Polygons are cut into triangles that cover exactly the polygon."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from streamxr.pipeline.mesh.polygons import triangulate


def signed_area(points: np.ndarray) -> float:
    around = points - points[0]
    return float(np.cross(around[1:-1], around[2:])[:, 2].sum() / 2)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(4, 24), axis=st.integers(0, 2))
def test_a_star_shaped_polygon_is_covered_once(seed: int, count: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = rng.uniform(0.2, 1, count)
    flat = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(count)], axis=1)
    triangles = triangulate(np.roll(flat, axis, axis=1).tolist())
    assert len(triangles) == count - 2
    areas = [signed_area(flat[list(t)]) for t in triangles]
    assert min(areas) >= -1e-12  # all with the winding of the polygon
    assert np.isclose(sum(areas), signed_area(flat))


def test_a_polygon_without_area_still_becomes_triangles() -> None:
    line = [[float(x), 0.0, 0.0] for x in range(6)]
    assert len(triangulate(line)) == 4
    assert len(triangulate([[0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]])) == 2  # crosses itself
