"""The collapse spends triangles by cost over all parts of a model, and keeps locked vertices and edges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file
from sampled_distance import Target
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.mesh.simplify import simplify
from streamxr.pipeline.mesh.surface import Surface, merge
from streamxr.pipeline.mesh.topology import edges_of, match_rows, rows_in
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.borders import DecodedRegion, cracked_regions

Build = Callable[..., Built]


def surface(positions: np.ndarray, triangles: np.ndarray) -> Surface:
    count = len(triangles)
    return Surface(positions, triangles, np.zeros(count, np.int64), np.zeros((count, 3, 2)))


def tube(start: np.ndarray, end: np.ndarray, radius: float, sides: int, rings: int) -> Surface:
    """An open tube between two points."""
    along = end - start
    across = np.cross(along, [1.0, 0.3, 0.2])
    across /= np.linalg.norm(across)
    over = np.cross(along, across) / np.linalg.norm(along)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = radius * (np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * over)
    positions = (start + np.linspace(0, 1, rings)[:, None, None] * along + ring).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = a + sides, b + sides
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return surface(positions, triangles)


def box(center: np.ndarray, size: np.ndarray, steps: int) -> Surface:
    """A closed box whose sides are grids of `steps` squares."""
    grid = np.linspace(-0.5, 0.5, steps + 1)
    u, v = (axis.reshape(-1) for axis in np.meshgrid(grid, grid, indexing="ij"))
    i, j = np.meshgrid(np.arange(steps), np.arange(steps), indexing="ij")
    a = i * (steps + 1) + j
    squares = np.stack([a, a + steps + 1, a + 1, a + 1, a + steps + 1, a + steps + 2], -1).reshape(-1, 3)
    sides = []
    for axis in range(3):
        for end in (-0.5, 0.5):
            positions = np.zeros((len(u), 3))
            positions[:, axis] = end
            positions[:, (axis + 1) % 3], positions[:, (axis + 2) % 3] = u, v
            turned = squares if end > 0 else squares[:, [0, 2, 1]]
            sides.append(surface(positions * size + center, turned))
    return merge(sides)


def instrument(strings: int) -> tuple[Surface, Surface]:
    """A body, and beside it many thin strings with far more triangles."""
    body = box(np.zeros(3), np.array([1.0, 0.3, 1.4]), 20)
    ends = np.linspace(-0.4, 0.4, strings)
    lines = [tube(np.array([x, 0.2, -0.7]), np.array([x, 0.2, 0.7]), 0.002, 8, 30) for x in ends]
    return body, merge(lines)


def test_a_smooth_body_survives_beside_dense_strings() -> None:
    body, strings = instrument(60)
    assert len(strings.triangles) > 5 * len(body.triangles)
    small = simplify(merge([body, strings]), 1200)
    assert len(small.triangles) <= 1200
    assert Target(small).distances(body.positions).max() < 0.01
    # Strings get thinner, but stay where they are over their whole length.
    assert Target(small).distances(strings.positions[::9]).max() < 0.02


def test_parts_without_room_vanish_before_the_body_does() -> None:
    body = box(np.zeros(3), np.array([1.0, 0.3, 1.4]), 20)
    rng = np.random.default_rng(2)
    crumbs = [box(rng.random(3) * 0.5 + [0.6, 0, 0], np.full(3, 0.002), 2) for _ in range(300)]
    small = simplify(merge([body, *crumbs]), 200)
    assert len(small.triangles) <= 200
    assert Target(small).distances(body.positions).max() < 0.01


@pytest.mark.parametrize("target", [60, 12])
def test_locked_vertices_and_edges_stay_where_faces_lie_back_to_back(target: int) -> None:
    """A sheet and its mirror image with the same vertices: each edge has four faces, each triangle two."""
    count = 8
    i, j = (axis.reshape(-1) for axis in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    rng = np.random.default_rng(5)
    positions = np.stack([i, j, 0.2 * rng.random(count * count)], axis=1).astype(np.float64)
    a = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).reshape(-1)
    front = np.concatenate([np.stack([a, a + count, a + 1], 1), np.stack([a + 1, a + count, a + count + 1], 1)])
    both = surface(positions, np.concatenate([front, front[:, [0, 2, 1]]]))
    locked = positions[i == 0]
    small = simplify(both, target, locked)
    assert len(small.triangles) <= target
    assert rows_in(locked, small.positions).all()
    ends = match_rows(locked, small.positions)
    sides = {tuple(sorted(side)) for t in small.triangles for side in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    assert {tuple(sorted(pair)) for pair in pairwise(ends)} <= sides


def test_parts_that_touch_within_a_step_of_the_grid_share_a_border(tmp_path: Path) -> None:
    """Two halves of a surface whose edges differ by less than a step, as CAD exports have them: a cut shows no gap."""
    maker = make.Maker()
    side = 120
    u, v = (axis.reshape(-1) for axis in np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    a = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    triangles = np.concatenate([np.stack([a, a + 1, a + side], 1), np.stack([a + 1, a + side + 1, a + side], 1)])
    for half in range(2):
        x = u + half * (side - 1) + 1e-5 * half
        height = 3 * np.sin(x * 0.13) * np.cos(v * 0.11)
        positions = np.stack([x, height, v], axis=1).astype("<f4")
        maker.node(mesh=maker.mesh(maker.primitive(positions, triangles)))
    built = build_file(make.save(maker, tmp_path, "halves"), tmp_path / "build", Settings(leaf_triangles=500))
    regions = built.manifest["trees"][0]["regions"]
    assert max(region["tier"] for region in regions) >= 2
    validation = validate(tmp_path / "build")
    assert validation.borders >= 4
    assert validation.findings == ()


def _cracked(coarse: list[Surface], fine: list[Surface]) -> list[int]:
    """The cracked regions of a tier whose regions have one child each."""
    children = {i: [DecodedRegion(surface)] for i, surface in enumerate(fine)}
    return cracked_regions({i: DecodedRegion(surface) for i, surface in enumerate(coarse)}, children)


def test_a_border_that_differs_from_the_childrens_is_a_crack() -> None:
    left, right = box(np.zeros(3), np.ones(3), 4), box(np.array([3.0, 0, 0]), np.ones(3), 4)
    cut = [part_below(left, 0.0), part_above(left, 0.0)]
    assert _cracked([cut[0], cut[1]], [cut[0], cut[1]]) == []
    edge, sides = edges_of(cut[0].triangles)
    border = int(cut[0].triangles[np.argwhere((sides == 1)[edge])[0][0], np.argwhere((sides == 1)[edge])[0][1]])
    moved = cut[0].positions.copy()
    moved[border] += 1e-3
    shifted = Surface(moved, cut[0].triangles, cut[0].kinds, cut[0].uv)
    assert _cracked([shifted, cut[1]], [cut[0], cut[1]]) == [0]
    assert _cracked([left, right], [left, right]) == []


def part_below(whole: Surface, level: float) -> Surface:
    return chosen(whole, whole.positions[whole.triangles][:, :, 1].mean(axis=1) < level)


def part_above(whole: Surface, level: float) -> Surface:
    return chosen(whole, whole.positions[whole.triangles][:, :, 1].mean(axis=1) >= level)


def chosen(whole: Surface, mask: np.ndarray) -> Surface:
    return surface(whole.positions, whole.triangles[mask])
