"""Unusual but real content: tiny, huge, distant, flat, mirrored, or numerous."""

from __future__ import annotations

from collections.abc import Callable

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, decoded_regions, khronos_errors
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.settings import Settings

Build = Callable[..., Built]
SIDE = 60


def hills(scale: float) -> tuple[np.ndarray, np.ndarray]:
    x, z = np.meshgrid(np.linspace(0, 1, SIDE + 1), np.linspace(0, 1, SIDE + 1))
    y = 0.05 * np.sin(20 * x) * np.cos(17 * z)
    a = (np.arange(SIDE)[:, None] * (SIDE + 1) + np.arange(SIDE)).reshape(-1)
    b, c, d = a + 1, a + SIDE + 1, a + SIDE + 2
    return np.stack([x, y, z], -1).reshape(-1, 3) * scale, np.concatenate(
        [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    )


def drawn(positions: np.ndarray, triangles: np.ndarray, **node: object) -> make.Maker:
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(positions.astype("<f4"), triangles)), **node)
    return maker


def assert_sound(built: Built) -> None:
    assert validate(built.root).findings == ()
    assert khronos_errors(sorted((built.root / "o").rglob("*.glb"))) == {}


def test_errors_scale_with_the_size_of_a_model(build: Build) -> None:
    errors = []
    for name, scale in (("metre", 1.0), ("terrain", 2.0**13), ("screw", 2.0**-10)):
        built = build(drawn(*hills(scale)), name)
        assert_sound(built)
        errors.append([r["error"] / scale for r in built.manifest["trees"][0]["regions"]])
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
    assert errors[2] == pytest.approx(errors[0], rel=0.05)


def test_one_triangle_is_a_model(build: Build) -> None:
    built = build(drawn(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])))
    assert built.report.entry["triangles"] == 1
    assert_sound(built)


def test_a_flat_plane_is_exact_with_few_triangles(build: Build) -> None:
    positions, triangles = hills(1)
    built = build(drawn(positions * [1, 0, 1], triangles))
    regions = built.manifest["trees"][0]["regions"]
    assert regions[0]["triangles"] < len(triangles) / 4
    assert regions[0]["error"] < 0.001
    assert_sound(built)


def test_a_mesh_that_its_node_moves_far_away_keeps_its_shape(build: Build) -> None:
    positions, _, _, triangles = make.bumpy_sphere(20, 30)
    built = build(drawn(positions, triangles, translation=[1e6, 0, 1e6]))
    (tree,) = built.manifest["trees"]
    assert (tree["kind"], tree["space"], tree["nodes"]) == ("rigid", "mesh", [0])
    assert min(r["error"] for r in tree["regions"]) < 0.001
    assert_sound(built)


def test_the_error_of_positions_stored_far_away_includes_the_step_of_float32(build: Build) -> None:
    positions, _, _, triangles = make.bumpy_sphere(20, 30)
    built = build(drawn(positions + np.array([1e6, 0, 1e6]), triangles))
    assert min(r["error"] for r in built.manifest["trees"][0]["regions"]) > 0.03  # the step of float32 is 1/16 m there
    assert_sound(built)


def test_a_node_of_scale_zero_removes_no_other_geometry(build: Build) -> None:
    positions, _, _, triangles = make.bumpy_sphere(8, 10)
    maker = drawn(positions, triangles)
    maker.node(mesh=0, scale=[0, 0, 0], name="gone")
    maker.node(mesh=0, scale=[1, 0, 1], translation=[5, 0, 0], name="flat")
    built = build(maker)
    (tree,) = built.manifest["trees"]
    surface = decoded_regions(built, tree)[0]
    _, area = face_normals(surface.positions, surface.triangles)
    assert surface.positions[:, 0].max() == pytest.approx(6, abs=0.1)
    assert len(area) < 3 * len(triangles)
    assert_sound(built)


def test_sixty_materials_and_hundreds_of_nodes_are_kept(build: Build) -> None:
    maker = make.Maker()
    positions, normals, _, triangles = make.bumpy_sphere(12, 16)
    for number, part in enumerate(np.array_split(triangles, 60)):
        material = maker.material(name=f"m{number}")
        mesh = maker.mesh(maker.primitive(positions, part, material, NORMAL=normals))
        maker.node(mesh=mesh, name=f"n{number}", translation=[number, 0, 0])
    for number in range(400):
        maker.node(name=f"empty{number}")
    built = build(maker, settings=Settings(keep_materials=True))
    document, _ = built.base
    (tree,) = built.manifest["trees"]
    assert [k["material"] for k in tree["primitives"]] == list(range(60))
    assert tree["regions"][0]["triangles"] == len(triangles)
    assert len(document["nodes"]) == 461
    assert_sound(built)


def test_a_mirrored_skin_is_sound(build: Build) -> None:
    maker = make.skinned_strip()
    maker.json["nodes"][1]["scale"] = [-1, 1, 1]
    built = build(maker)
    assert built.base[0]["nodes"][1]["scale"] == [-1, 1, 1]
    assert_sound(built)
