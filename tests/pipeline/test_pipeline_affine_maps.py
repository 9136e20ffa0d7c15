"""The map of a triangle into the fan around a vertex bounds its distance from above, and covers its image once."""

from __future__ import annotations

import numpy as np
import pytest
from sampled_distance import Target
from streamxr.pipeline.mesh.affine_maps import MapPieces, booked_target, map_scratch, mapped_bound
from streamxr.pipeline.mesh.closest import ClosestPoints
from streamxr.pipeline.mesh.surface import Surface


def fan(spokes: int, lift: np.ndarray, *, closed: bool) -> Surface:
    """Triangles around a vertex at the origin, with each rim vertex raised by its `lift`."""
    turn = np.linspace(0, 2 * np.pi, spokes, endpoint=not closed)
    rim = np.stack([np.cos(turn), np.sin(turn), lift], axis=1)
    triangles = [(0, 1 + k, 1 + (k + 1) % spokes) for k in range(spokes if closed else spokes - 1)]
    positions = np.concatenate([[[0.0, 0.0, 0.0]], rim])
    count = len(triangles)
    return Surface(positions, np.array(triangles), np.zeros(count, np.int64), np.zeros((count, 3, 2)))


def mapped(corners: np.ndarray, surface: Surface) -> tuple[float, float]:
    """The bound of a triangle's distance to a surface, and the area of its images."""
    closest = ClosestPoints(surface.positions, surface.triangles)
    places = np.argsort(closest.tree.order)
    found = closest.query(corners)
    near = places[found.triangles].astype(np.int32)
    pieces = MapPieces(corners[None].copy(), found.points[None].copy(), found.distances[None].copy(), near[None].copy())
    target, _ = booked_target(surface, closest)
    scratch = map_scratch(len(surface.triangles))
    return float(mapped_bound(pieces, 0, target, scratch, 10.0)), float(scratch.booked.sum())


def area(corners: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0])) / 2)


def triangle(random: np.random.Generator, middle: np.ndarray, size: float) -> np.ndarray:
    turn = random.uniform(0, 2 * np.pi) + np.sort(random.uniform(0, 2 * np.pi, 3))
    corners = middle + size * np.stack([np.cos(turn), np.sin(turn), np.zeros(3)], axis=1)
    return corners if random.random() < 0.5 else corners[::-1].copy()


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("spokes", [5, 6, 7, 10])
def test_over_a_flat_fan_the_bound_is_the_height_and_the_image_has_the_triangles_area(
    spokes: int, closed: bool
) -> None:
    random = np.random.default_rng(spokes)
    flat = fan(spokes, np.zeros(spokes), closed=closed)
    covered = 0
    for _ in range(200):
        middle = np.array([*random.uniform(-0.4, 0.4, 2), 0.1])
        corners = triangle(random, middle, 0.2)
        # A triangle over the hub or over the cut of an open fan has no such map.
        cut = not closed and corners[:, 0].max() > 0 and corners[:, 1].min() < 0 < corners[:, 1].max()
        if cut or not 0.2 < np.hypot(*middle[:2]) < 0.45:
            continue
        covered += 1
        bound, booked = mapped(corners, flat)
        turned = np.sign(np.cross(corners[1] - corners[0], corners[2] - corners[0])[2])
        assert bound == pytest.approx(0.1)
        assert booked == pytest.approx(area(corners) * turned)
    assert covered > 50


@pytest.mark.parametrize("closed", [True, False])
def test_over_any_fan_the_bound_is_never_below_the_distance(closed: bool) -> None:
    random = np.random.default_rng(7)
    weights = random.dirichlet([1, 1, 1], 200)
    finite = 0
    for _ in range(300):
        spokes = int(random.integers(3, 12))
        surface = fan(spokes, random.uniform(-0.5, 0.5, spokes), closed=closed)
        corners = triangle(random, random.uniform(-0.3, 0.3, 3), 0.4)
        bound, _ = mapped(corners, surface)
        finite += np.isfinite(bound)
        inside = np.einsum("pk,kc->pc", weights, corners)
        assert bound >= Target(surface).distances(inside).max() - 1e-9
    assert finite > 200
