"""Shells: the outside of a model as one closed surface with baked pictures."""

from __future__ import annotations

from pathlib import Path

import crate_maker
import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file
from crate_maker import COLORS, CUBE, CUBE_SIDES, TRIANGLES
from streamxr.pipeline.arrays import FloatArray, IntArray
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.mesh.bvh import build_bvh
from streamxr.pipeline.mesh.closest import ClosestPoints
from streamxr.pipeline.mesh.rays import first_hits
from streamxr.pipeline.mesh.surface import Surface
from streamxr.pipeline.mesh.topology import edges_of
from streamxr.pipeline.shells.atlas import texels_of, unwrap
from streamxr.pipeline.shells.distance_field import THICKNESS, outside_distance
from streamxr.pipeline.shells.shell import build_shell
from streamxr.pipeline.shells.surface_nets import surface_net
from streamxr.pipeline.views.drawable import Drawable
from streamxr.pipeline.views.materials import OPAQUE, FlatMaterial, flat_materials


def boxes(*places: tuple[tuple[float, float, float], tuple[float, float, float]]) -> tuple[FloatArray, IntArray]:
    """Boxes with a corner and a size each."""
    positions = [CUBE * np.array(size) + np.array(corner) for corner, size in places]
    return np.concatenate(positions), np.concatenate([CUBE_SIDES + 8 * i for i in range(len(places))])


def colored(color: tuple[float, float, float]) -> FlatMaterial:
    return FlatMaterial(np.array([*color, 1.0]), np.zeros(3), 1.0, 0.0, 1.0, {}, OPAQUE, 0.5, two_sided=False)


def drawable(
    positions: FloatArray, triangles: IntArray, material: IntArray, *colors: tuple[float, float, float]
) -> Drawable:
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
        material,
        tuple(map(colored, colors)),
    )


def volume(positions: FloatArray, triangles: IntArray) -> float:
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


def test_a_ray_hits_the_first_triangle_in_its_way() -> None:
    rng = np.random.default_rng(5)
    positions = rng.random((300, 3))
    triangles = np.arange(300).reshape(-1, 3)
    origins = rng.random((200, 3)) * 3 - 1
    directions = rng.random((200, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    hits, ways = first_hits(origins, directions, np.inf, build_bvh(positions, triangles))
    assert 100 < (hits >= 0).sum() < 200
    for origin, direction, hit, way in zip(origins, directions, hits, ways, strict=True):
        a, b, c = (positions[triangles[:, k]] for k in range(3))
        matrix = np.stack([b - a, c - a, np.broadcast_to(-direction, a.shape)], axis=2)
        u, v, t = np.linalg.solve(matrix, (origin - a)[:, :, None])[:, :, 0].T
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0)
        if hit < 0:
            assert not inside.any()
        else:
            assert hit == np.flatnonzero(inside)[np.argmin(t[inside])]
            assert way == pytest.approx(t[inside].min())


def test_a_surface_net_is_closed_and_its_normals_point_outwards() -> None:
    positions, triangles = boxes(((0, 0, 0), (1, 1, 1)))
    field = outside_distance(positions, triangles, ClosestPoints(positions, triangles), 20)
    net, faces = surface_net(field)
    _, sides = edges_of(faces)
    assert (sides == 2).all()
    side = 1 + 2 * THICKNESS / 20
    assert volume(net, faces) == pytest.approx(side**3, rel=0.03)


def test_a_narrow_gap_is_closed_and_a_wide_one_stays_open() -> None:
    """A hollow box of thin walls, with a slit in one of them."""

    def hollow(slit: float) -> float:
        wall = ((0, 0, 0), (1, 1, 0.05)), ((0, 0, 0), (1, 0.05, 1)), ((0, 0, 0), (0.05, 1, 1))
        far = ((0, 0, 0.95), (1, 1, 0.05)), ((0, 0.95, 0), (1, 0.05, 1))
        halves = ((0.95, 0, 0), (0.05, 0.5 - slit / 2, 1)), ((0.95, 0.5 + slit / 2, 0), (0.05, 0.5 - slit / 2, 1))
        positions, triangles = boxes(*wall, *far, *halves)
        net, faces = surface_net(outside_distance(positions, triangles, ClosestPoints(positions, triangles), 40))
        return volume(net, faces)

    assert hollow(0.02) > 1.0
    assert hollow(0.3) < 0.6


def test_texels_of_an_atlas_belong_to_one_triangle_each() -> None:
    positions, triangles = boxes(((0, 0, 0), (1, 1, 1)))
    surface = Surface(positions, triangles, np.zeros(12, np.int64), np.zeros((12, 3, 2)))
    uv = unwrap(surface, 64)
    assert uv.min() >= 0
    assert uv.max() <= 1
    texels = texels_of(uv, 64)
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2 * 64 * 64
    counts = np.bincount(texels.triangle, minlength=12)
    # Triangles that overlapped would have fewer texels than their area.
    assert np.abs(counts - area).max() < 0.15 * area.max()
    assert texels.covered.mean() > 0.4


def test_a_shell_has_the_colour_of_what_is_seen_from_outside() -> None:
    """A red box with a green one inside, and a blue one beside it."""
    positions, triangles = boxes(((0, 0, 0), (1, 1, 1)), ((0.2, 0.2, 0.2), (0.6, 0.6, 0.6)), ((1.5, 0, 0), (1, 1, 1)))
    source = drawable(positions, triangles, np.repeat([0, 1, 2], 12), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    shell = build_shell(source, 300, 64)
    assert shell is not None
    assert 100 < len(shell.surface.triangles) <= 300 or len(shell.surface.triangles) >= 24
    codes = shell.pictures.color.reshape(-1, 3)
    seen = {tuple(map(int, code)) for code in codes}
    assert seen == {(255, 0, 0), (0, 0, 255)}
    assert volume(shell.surface.positions, shell.surface.triangles) == pytest.approx(2.0, rel=0.05)
    assert shell.pictures.emission is None
    assert shell.pictures.surface is None
    assert (shell.pictures.roughness, shell.pictures.metalness) == (1.0, 0.0)


@pytest.mark.parametrize("scale", [2.0**-12, 2.0**14])
def test_the_size_of_a_model_does_not_matter(scale: float) -> None:
    positions, triangles = boxes(((0, 0, 0), (1, 1, 1)), ((0.7, 0.7, 0.7), (0.6, 0.6, 0.6)))
    usual, other = (
        build_shell(drawable(positions * s, triangles, np.repeat([0, 1], 12), (1, 0.5, 0), (0, 1, 0)), 200, 64)
        for s in (1.0, scale)
    )
    assert usual is not None
    assert other is not None
    assert (other.surface.uv == usual.surface.uv).all()
    assert other.surface.positions == pytest.approx(usual.surface.positions * scale)


def test_the_same_source_gives_the_same_shell() -> None:
    positions, triangles = boxes(((0, 0, 0), (1, 1, 1)), ((0.7, 0.7, 0.7), (0.6, 0.6, 0.6)))
    source = drawable(positions, triangles, np.repeat([0, 1], 12), (1, 0.5, 0), (0, 1, 0))
    first, second = (build_shell(source, 200, 64) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.surface.uv == second.surface.uv).all()
    assert (first.pictures.color == second.pictures.color).all()
    assert (first.pictures.normal == second.pictures.normal).all()


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("crate")
    return build_file(make.save(crate_maker.crate(), folder, "crate"), folder / "build")


def test_the_base_of_a_crate_of_many_parts_is_a_shell(crate: Built) -> None:
    (tree,) = crate.manifest["trees"]
    shell = len(tree["primitives"]) - 1
    assert tree["regions"][0]["primitives"] == [shell]
    assert tree["primitives"][shell] == {"material": COLORS, "attributes": ["NORMAL", "POSITION", "TEXCOORD_0"]}
    assert all(shell not in region["primitives"] for region in tree["regions"][1:])
    assert crate.manifest["base"]["bytes"] <= 60_000
    assert any("shell" in note for note in crate.report.notes)


def test_a_base_with_a_shell_has_the_materials_of_all_kinds(crate: Built) -> None:
    document, _ = crate.base
    (mesh,) = document["meshes"]
    assert [p["material"] for p in mesh["primitives"]] == [
        p["material"] for p in crate.manifest["trees"][0]["primitives"]
    ]
    for primitive in mesh["primitives"][:-1]:  # triangles without an area, and without data
        accessor = document["accessors"][primitive["attributes"]["POSITION"]]
        assert "bufferView" not in accessor
        assert accessor["max"] == [0, 0, 0]
    assert document["materials"][-1]["name"] == "StreamXR shell"


def test_pictures_of_a_shell_are_in_the_base_alone(crate: Built) -> None:
    material = crate.manifest["materials"][-1]
    assert len(material["textures"]) >= 2
    for index in material["textures"]:
        (level,) = crate.manifest["textures"][index]["levels"]
        assert level["uri"] is None


def test_a_shell_costs_the_finer_tiers_nothing(crate: Built) -> None:
    """The finest tier is the source, with its own materials."""
    (tree,) = crate.manifest["trees"]
    finest = [region for region in tree["regions"] if not region["children"]]
    assert sum(region["triangles"] for region in finest) == TRIANGLES
    assert {k for region in finest for k in region["primitives"]} == set(range(COLORS))


@pytest.mark.parametrize(
    "material",
    [
        {"pbrMetallicRoughness": []},
        {"pbrMetallicRoughness": {"baseColorFactor": "red", "metallicFactor": None, "roughnessFactor": -4}},
        {"pbrMetallicRoughness": {"baseColorFactor": [1, 2], "metallicFactor": 1e300, "roughnessFactor": True}},
        {"emissiveFactor": {"r": 1}, "extensions": {"KHR_materials_emissive_strength": 5}},
        {"alphaMode": 7, "alphaCutoff": "half", "doubleSided": "yes"},
        {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [], "glossinessFactor": []}}},
    ],
)
def test_malformed_factors_count_as_their_defaults(material: dict[str, object]) -> None:
    document = Document("test", {"asset": {"version": "2.0"}, "materials": [material]}, (), {}, "", 0)
    (flat,) = flat_materials(document, [0])
    assert flat.mode == OPAQUE
    assert flat.at(np.zeros((1, 2))).color.tolist() == [[1, 1, 1, 1]]
    assert (flat.roughness, flat.metalness) in {(1.0, 1.0), (0.0, 0.0)}
    assert not flat.emission.any()


def test_a_base_that_a_shell_cannot_show_has_more_triangles(tmp_path: Path) -> None:
    """Six hundred needles: a shell of 1,500 triangles shows no more of them than 1,500 of their own."""
    rng = np.random.default_rng(2)
    needles = [((x, 0.0, z), (0.002, 1.0, 0.002)) for x, z in rng.random((600, 2)).tolist()]
    positions, triangles = boxes(*needles)
    maker = make.Maker()
    material = maker.material(pbrMetallicRoughness={"baseColorFactor": [0.8, 0.1, 0.1, 1]})
    maker.node(mesh=maker.mesh(maker.primitive(positions, triangles, material)))
    built = build_file(make.save(maker, tmp_path, "needles"), tmp_path / "build")
    root = built.manifest["trees"][0]["regions"][0]
    assert 3000 < root["triangles"] <= 6000
    children = [built.manifest["trees"][0]["regions"][child] for child in root["children"]]
    assert root["triangles"] <= 0.75 * sum(child["triangles"] for child in children)
    assert any("triangles" in note for note in built.report.notes)
    assert built.manifest["base"]["bytes"] <= 60_000
