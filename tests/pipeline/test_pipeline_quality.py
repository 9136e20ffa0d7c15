"""Simplification keeps thin spikes, the directions of normals and the places of materials."""

from __future__ import annotations

from collections.abc import Callable

import gltf_maker as make
import numpy as np
import pytest
from builds import Built
from sampled_distance import Target
from streamxr.pipeline.gltf.source_files import read_document
from streamxr.pipeline.jobs.tasks import start_locally
from streamxr.pipeline.mesh.attributes import transfer
from streamxr.pipeline.mesh.closest import ClosestPoints, weights_within
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.mesh.simplify import simplify, stray_share
from streamxr.pipeline.mesh.surface import PrimitiveKind, Source, Surface, merge
from streamxr.pipeline.mesh.topology import unique_rows
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.regions import build_tree
from streamxr.pipeline.trees.scene import read_scene
from streamxr.pipeline.trees.tiers import STRAY_SHARE
from streamxr.pipeline.trees.tree import TreeSource

Build = Callable[..., Built]


def tree_of(built: Built) -> TreeSource:
    (tree,) = read_scene(read_document(built.root.parent / "model.glb")).trees
    return tree


def spiked_ball() -> tuple[Surface, np.ndarray]:
    """A ball with three thin curved spikes, and their tips."""
    positions, _, _, triangles = make.bumpy_sphere(90, 120)
    welded, index = unique_rows(np.asarray(positions, np.float64))
    triangles = index[triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    tips = []
    for direction in np.eye(3):
        root = int(np.argmax(welded @ direction))
        tip = welded[root] * 1.6
        welded[root] = tip
        tips.append(tip)
    count = len(triangles)
    return Surface(welded, triangles, np.zeros(count, np.int64), np.zeros((count, 3, 2))), np.array(tips)


@pytest.mark.parametrize("share", [0.2, 0.03])
def test_the_tips_of_thin_spikes_survive(share: float) -> None:
    ball, tips = spiked_ball()
    small = simplify(ball, round(share * len(ball.triangles)))
    assert len(small.triangles) <= share * len(ball.triangles) + 2
    assert Target(small).distances(tips).max() < 0.02


def test_normals_are_within_ten_degrees_at_half_the_triangles(build: Build) -> None:
    source = tree_of(build(make.textured_sphere(60, 80))).source
    small = simplify(source.surface, len(source.surface.triangles) // 2)
    kinds = list(tree_of(build(make.textured_sphere(60, 80))).kinds)
    nearby = ClosestPoints(source.surface.positions, source.surface.triangles)
    ours = transfer(source, small, kinds, nearby)["NORMAL"].mean(axis=1)
    where = small.positions[small.triangles].mean(axis=1)
    found = nearby.query(where)
    weights = weights_within(found.points, source.surface.positions, source.surface.triangles, found.triangles)
    theirs = np.einsum("ij,ijk->ik", weights, source.corners("NORMAL")[found.triangles])
    cosine = np.einsum("ij,ij->i", ours, theirs) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    _, area = face_normals(small.positions, small.triangles)
    assert np.average(np.degrees(np.arccos(np.clip(cosine, -1, 1))), weights=area) < 10


@pytest.mark.parametrize("triangles", [1, 2, 5, 300, None])
def test_closest_points_match_a_search_of_every_triangle(triangles: int | None) -> None:
    ball, _ = spiked_ball()
    ball = Surface(ball.positions, ball.triangles[:triangles], ball.kinds[:triangles], ball.uv[:triangles])
    points = np.random.default_rng(3).normal(size=(500, 3)) * np.geomspace(1e-3, 1e3, 500)[:, None]
    found = ClosestPoints(ball.positions, ball.triangles).query(points)
    assert found.distances == pytest.approx(Target(ball).distances(points), rel=1e-9)
    corners = ball.positions[ball.triangles[found.triangles]]
    weights = weights_within(found.points, ball.positions, ball.triangles, found.triangles)
    assert np.einsum("ij,ijk->ik", weights, corners) == pytest.approx(found.points, abs=1e-9)
    assert np.linalg.norm(points - found.points, axis=1) == pytest.approx(found.distances, rel=1e-12)


def chequered(cells: int, side: int) -> Surface:
    """A hilly square with materials that change from cell to cell: more lines than a coarse tier can keep."""
    u, v = (g.reshape(-1) for g in np.meshgrid(np.linspace(0, 1, side + 1), np.linspace(0, 1, side + 1)))
    positions = np.stack([u, 0.05 * np.sin(9 * u) * np.cos(7 * v), v], axis=1)
    quad = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).reshape(-1)
    a, b, c, d = (quad + k for k in (0, 1, side + 1, side + 2))
    triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
    middle = positions[triangles].mean(axis=1)
    kinds = (np.floor(middle[:, 0] * cells) + np.floor(middle[:, 2] * cells)).astype(np.int64) % 2
    return merge([Surface(positions, triangles, kinds, positions[triangles][:, :, [0, 2]].copy())])


def test_a_surface_has_no_stray_share_against_itself() -> None:
    board = chequered(4, 24)
    assert stray_share(board, board) == 0
    swapped = Surface(board.positions, board.triangles, 1 - board.kinds, board.uv)
    assert stray_share(board, swapped) > 0.9


def test_the_coarsest_tier_shows_at_most_three_per_cent_in_the_wrong_material() -> None:
    board = chequered(24, 32)
    alone = simplify(board, 540)
    assert stray_share(board, alone) > STRAY_SHARE  # the collapse alone
    kinds = tuple(PrimitiveKind(k, ("POSITION", "TEXCOORD_0")) for k in (0, 1))
    origin = TreeSource("static", (), None, 1.0, kinds, Source(board, board.triangles, {}))
    root = build_tree(origin, 540, Settings(), start_locally).regions[0]
    shown = [
        Surface(p.attributes["POSITION"].values.astype(np.float64), p.triangles,
                np.full(len(p.triangles), k), np.zeros((len(p.triangles), 3, 2)))
        for k, p in root.primitives
    ]  # fmt: skip
    assert stray_share(board, merge(shown)) <= STRAY_SHARE
