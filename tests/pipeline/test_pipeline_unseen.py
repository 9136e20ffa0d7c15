"""Tiers above the first split leave out what nobody sees from outside, unless people can stand inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gltf_maker as make
import numpy as np
from builds import Built, build_file
from crate_maker import CUBE, CUBE_SIDES
from streamxr.pipeline.arrays import FloatArray, IntArray
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.shells.inside import can_be_entered
from streamxr.pipeline.views.drawable import Drawable
from streamxr.pipeline.views.materials import BLEND, OPAQUE, PLAIN
from streamxr.pipeline.views.visibility import seen_from_outside

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def boxes(*places: Box, inward: int = 0) -> tuple[FloatArray, IntArray]:
    """Boxes with a corner and a size each; the faces of the first `inward` ones point inwards."""
    positions = [CUBE * np.array(size) + np.array(corner) for corner, size in places]
    triangles = [(CUBE_SIDES[:, ::-1] if i < inward else CUBE_SIDES) + 8 * i for i in range(len(places))]
    return np.concatenate(positions), np.concatenate(triangles)


def drawable(positions: FloatArray, triangles: IntArray, mode: str = OPAQUE, *, two_sided: bool = False) -> Drawable:
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    count = len(triangles)
    return Drawable(
        positions,
        triangles,
        np.repeat(normals[:, None], 3, axis=1),
        np.zeros((count, 3, 2)),
        np.ones((count, 3, 4)),
        np.zeros(count, np.int64),
        (replace(PLAIN, mode=mode, two_sided=two_sided),),
    )


def seen_boxes(model: Drawable) -> list[bool]:
    """Whether each box has a triangle that is seen."""
    return [bool(each.any()) for each in seen_from_outside(model).reshape(-1, 12)]


def test_a_box_within_a_box_is_unseen() -> None:
    inner: Box = ((0.3, 0.3, 0.3), (0.4, 0.4, 0.4))
    beside: Box = ((1.5, 0.0, 0.0), (0.4, 0.4, 0.4))
    assert seen_boxes(drawable(*boxes(((0, 0, 0), (1, 1, 1)), inner, beside))) == [True, False, True]


def test_nothing_is_hidden_by_glass() -> None:
    inner: Box = ((0.3, 0.3, 0.3), (0.4, 0.4, 0.4))
    assert seen_boxes(drawable(*boxes(((0, 0, 0), (1, 1, 1)), inner), BLEND)) == [True, True]


def test_inner_walls_are_unseen_until_a_side_is_open() -> None:
    positions, triangles = boxes(((0.1, 0.1, 0.1), (0.8, 0.8, 0.8)), ((0, 0, 0), (1, 1, 1)), inward=1)
    assert seen_boxes(drawable(positions, triangles)) == [False, True]
    top = (positions[triangles][:, :, 1] > 0.5).all(axis=1)
    assert seen_from_outside(drawable(positions, triangles[~top])).all()


def test_the_far_sides_of_a_box_show_where_the_near_ones_have_no_back() -> None:
    assert seen_from_outside(drawable(*boxes(((0, 0, 0), (1, 1, 1)), inward=1))).all()


def test_triangles_smaller_than_a_pixel_are_seen() -> None:
    """A square of 800 by 800 quads, of which most cover no pixel's centre in any view."""
    side = np.arange(801)
    x, z = np.meshgrid(side, side, indexing="ij")
    positions = np.stack([x.ravel(), np.zeros(x.size), z.ravel()], axis=1).astype(np.float64)
    corner = (side[:-1, None] * 801 + side[:-1]).ravel()
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + 801], 1), np.stack([corner + 1, corner + 802, corner + 801], 1)]
    )
    assert seen_from_outside(drawable(positions, triangles)).all()


def room(scale: float = 1.0, *, inner: bool = True) -> Drawable:
    """A house of 6 by 3 by 5 metres, with walls of 20 cm and a table; without `inner`, a solid of that size."""
    places: list[Box] = [((0.2, 0.2, 0.2), (5.6, 2.6, 4.6)), ((0, 0, 0), (6, 3, 5)), ((4, 0.2, 3), (1, 0.8, 1))]
    positions, triangles = boxes(*(places if inner else places[1:]), inward=int(inner))
    return drawable(positions * scale, triangles)


def enter(model: Drawable) -> bool:
    return can_be_entered(model, seen_from_outside(model))


def test_a_room_can_be_entered() -> None:
    assert enter(room())


def test_a_solid_a_small_box_and_a_filled_one_cannot_be_entered() -> None:
    assert not enter(room(inner=False))
    assert not enter(room(scale=0.1))
    grid: list[Box] = [
        ((x, y, z), (0.3, 0.3, 0.3))
        for x in np.arange(0.4, 5.4, 0.6).tolist()
        for y in np.arange(0.4, 2.6, 0.6).tolist()
        for z in np.arange(0.4, 4.4, 0.6).tolist()
    ]
    assert not enter(drawable(*boxes(((0, 0, 0), (6, 3, 5)), *grid)))


def bumpy_sphere(radius: float, rings: int, bump: float) -> tuple[FloatArray, IntArray]:
    u, v = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij")
    r = radius * (1 + bump * np.sin(6 * u) * np.cos(9 * v))
    x, y, z = r * np.sin(u) * np.cos(v), r * np.cos(u), r * np.sin(u) * np.sin(v)
    positions = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    index = np.arange(positions.shape[0]).reshape(rings, 2 * rings)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    return positions, np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])


def filled(folder: Path, *, scale: float, settings: Settings | None = None) -> Built:
    """A bumpy sphere around nine others."""
    maker = make.Maker()
    rng = np.random.default_rng(4)
    for number in range(10):
        color = maker.material(pbrMetallicRoughness={"baseColorFactor": [*rng.random(3).tolist(), 1]})
        positions, triangles = bumpy_sphere(1.0 if number == 0 else 0.2, 90 if number == 0 else 40, 0.15)
        if number:
            positions = positions + (rng.random(3) - 0.5) * 0.9
        maker.node(mesh=maker.mesh(maker.primitive((positions * scale).astype("<f4"), triangles, color)))
    return build_file(make.save(maker, folder, "filled"), folder / "build", settings or Settings(base_triangles=300))


def materials_of(built: Built, tier: int) -> set[int]:
    (tree,) = built.manifest["trees"]
    return {tree["primitives"][k]["material"] for r in tree["regions"] if r["tier"] == tier for k in r["primitives"]}


def test_coarse_tiers_of_a_filled_model_show_its_outside_alone(tmp_path: Path) -> None:
    built = filled(tmp_path, scale=1.0)
    (tree,) = built.manifest["trees"]
    finest = max(region["tier"] for region in tree["regions"])
    assert len(materials_of(built, finest)) == 10
    assert materials_of(built, 0) in ({0}, {10})  # its own material, or that of a shell
    assert materials_of(built, 1) == {0}
    assert validate(tmp_path / "build").findings == ()


def test_with_walk_in_the_base_keeps_what_is_inside(tmp_path: Path) -> None:
    built = filled(tmp_path, scale=1.0, settings=Settings(base_triangles=300, walk_in=True))
    assert len(materials_of(built, 0)) > 1


def test_errors_and_spheres_hold_for_all_descendants_of_changed_tiers(tmp_path: Path) -> None:
    (tree,) = filled(tmp_path, scale=3.0).manifest["trees"]
    for region in tree["regions"]:
        for child in (tree["regions"][index] for index in region["children"]):
            assert region["error"] > child["error"]
            assert child["parent"] == tree["regions"].index(region)
            assert child["tier"] == region["tier"] + 1


def test_one_connected_surface_gets_no_shell(tmp_path: Path) -> None:
    maker = make.Maker()
    positions, triangles = bumpy_sphere(1.0, 120, 0.3)
    color = maker.material(pbrMetallicRoughness={"baseColorFactor": [0.8, 0.2, 0.1, 1]})
    maker.node(mesh=maker.mesh(maker.primitive(positions.astype("<f4"), triangles, color)))
    (tree,) = build_file(make.save(maker, tmp_path, "burr"), tmp_path / "build", Settings(base_triangles=64)).manifest[
        "trees"
    ]
    assert [kind["material"] for kind in tree["primitives"]] == [0]
