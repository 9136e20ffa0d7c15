"""Thousands of small loose parts keep their cover when most of them are left out."""

from __future__ import annotations

from pathlib import Path

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file
from model_views import PIXELS, VIEWS, drawable
from silhouette import overlap
from streamxr.pipeline.mesh.aggregates import thinned
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.mesh.simplify import simplify
from streamxr.pipeline.mesh.surface import Surface, merge
from streamxr.pipeline.mesh.topology import rows_in
from streamxr.pipeline.views.cameras import cameras_around
from streamxr.pipeline.views.shading import draw
from test_pipeline_collapse import box, surface, tube

NOWHERE = np.zeros((0, 3))


def leaf_cards(count: int) -> Surface:
    """Cards that face all directions, on a crown of one metre."""
    rng = np.random.default_rng(1)
    center = rng.normal(size=(count, 3))
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    along, across = np.linalg.qr(rng.normal(size=(count, 3, 2)))[0].transpose(2, 0, 1)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.012
    offsets = corners[:, :1] * along[:, None] + corners[:, 1:] * across[:, None]
    triangles = np.arange(count)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])
    return surface((center[:, None] + offsets).reshape(-1, 3), triangles.reshape(-1, 3))


def area(whole: Surface) -> float:
    return float(face_normals(whole.positions, whole.triangles)[1].sum())


def test_a_tree_of_leaf_cards_keeps_crown_and_trunk() -> None:
    trunk = tube(np.array([0, -2.5, 0.0]), np.array([0, -0.5, 0.0]), 0.1, 24, 40)
    tree = merge([leaf_cards(30_000), trunk])
    base = simplify(tree, 1500)
    assert len(base.triangles) <= 1500
    assert overlap(tree, base) > 0.7
    assert base.positions[:, 1].min() < -2.4


def test_loose_cubes_keep_their_cover() -> None:
    rng = np.random.default_rng(4)
    cubes = merge([box(rng.normal(size=3), np.full(3, 0.08), 1) for _ in range(4000)])
    assert overlap(cubes, simplify(cubes, 1500)) > 0.6


@pytest.mark.parametrize("target", [400, 3000])
def test_the_parts_that_stay_have_the_area_of_all(target: int) -> None:
    cards = leaf_cards(5000)
    fewer = thinned(cards, target, NOWHERE)
    assert target * 0.99 - 2 <= len(fewer.triangles) <= target
    assert area(fewer) == pytest.approx(area(cards), rel=0.01)


def test_parts_with_locked_vertices_stay_as_they_are() -> None:
    cards = leaf_cards(2000)
    locked = cards.positions[cards.triangles[::40, 0]]
    fewer = thinned(cards, 1000, locked)
    assert len(fewer.triangles) < 2000
    assert rows_in(locked, fewer.positions).all()


def test_few_or_large_parts_are_no_aggregate() -> None:
    assert thinned(leaf_cards(300), 100, NOWHERE).triangles.shape == (600, 3)
    rng = np.random.default_rng(4)
    large = merge([box(rng.normal(size=3), np.full(3, 0.08), 2) for _ in range(600)])
    assert len(thinned(large, 100, NOWHERE).triangles) == len(large.triangles)


def cut_out_tree(folder: Path, count: int) -> Path:
    """A trunk with leaf cards, whose picture shows a round leaf."""
    maker = make.Maker()
    y, x = np.mgrid[:32, :32] - 15.5
    leaf = np.zeros((32, 32, 4), np.uint8)
    leaf[..., 1], leaf[..., 3] = 160, np.where(np.hypot(x, y) < 13, 255, 0)
    texture = {"index": maker.picture(leaf)}
    leaves = maker.material(
        pbrMetallicRoughness={"baseColorTexture": texture, "metallicFactor": 0}, alphaMode="MASK", doubleSided=True
    )
    bark = maker.material(pbrMetallicRoughness={"baseColorFactor": [0.3, 0.2, 0.1, 1], "metallicFactor": 0})
    cards, trunk = leaf_cards(count), tube(np.array([0, -2.5, 0.0]), np.array([0, -0.5, 0.0]), 0.1, 24, 40)
    uv = np.tile(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32), (count, 1))
    card_primitive = maker.primitive(cards.positions.astype("<f4"), cards.triangles, leaves, TEXCOORD_0=uv)
    trunk_primitive = maker.primitive(trunk.positions.astype("<f4"), trunk.triangles, bark)
    maker.node(mesh=maker.mesh(card_primitive, trunk_primitive))
    return make.save(maker, folder, "tree")


def test_the_base_of_a_tree_of_cut_out_leaves_looks_like_it(tmp_path: Path) -> None:
    model = cut_out_tree(tmp_path, 30_000)
    built = build_file(model, tmp_path / "build")
    assert built.manifest["base"]["bytes"] <= 60_000
    cover, of_crown = zip(*(covers(model, built, camera) for camera in range(VIEWS)), strict=True)
    assert all(0.7 < each < 1.3 for each in cover), "as many pixels as the source has"
    assert min(of_crown) > 0.85, "in the places where the source has some"


def covers(model: Path, built: Built, camera: int) -> tuple[float, float]:
    """The pixels of a base relative to those of its source in one view; and the share of the 8 × 8 squares of pixels
    that the source covers by a quarter, which the base covers by an eighth at least."""
    source, base = drawable(model), drawable(built.root / built.manifest["base"]["uri"])
    view = cameras_around(*source.box, VIEWS)[camera]
    inside, seen = (draw(each, view, PIXELS).alpha > 0.5 for each in (source, base))
    squares, kept = (each.reshape(PIXELS // 8, 8, PIXELS // 8, 8).mean(axis=(1, 3)) for each in (inside, seen))
    return float(seen.sum() / inside.sum()), float((kept[squares > 0.25] > 0.125).mean())
