"""The base keeps every part of a model that the pipeline does not build itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import DracoPy
import gltf_maker as make
import numpy as np
import pytest
from builds import Built, khronos_errors
from streamxr.pipeline.bundle.validate import decode_stream, validate
from streamxr.pipeline.gltf.accessors import read_accessor
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.gltf.primitives import read_triangles
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.trees.skin_weights import quantise_weights

Build = Callable[..., Built]


def accessor(base: tuple[dict[str, Any], bytes], index: int) -> np.ndarray:
    document, chunk = base
    return read_accessor(Document("base", document, (chunk,), {}, "", 0), index, "base")


def draco_surface(base: tuple[dict[str, Any], bytes], mesh: int) -> Any:
    document, chunk = base
    extension = document["meshes"][mesh]["primitives"][0]["extensions"]["KHR_draco_mesh_compression"]
    view = document["bufferViews"][extension["bufferView"]]
    return decode_stream(chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]], 0)


def test_names_extras_cameras_lights_and_copyright_survive(build: Build) -> None:
    maker = make.textured_sphere(12, 16)
    maker.json["asset"] |= {"copyright": "Ada", "extras": "a string is valid extras"}
    maker.json["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}}]
    maker.node(camera=0, name="eye", extras=7)
    maker.json["extensionsUsed"] = ["KHR_lights_punctual"]
    maker.json["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point", "intensity": 3}]}}
    maker.node(name="lamp", extensions={"KHR_lights_punctual": {"light": 0}})
    document, _ = build(maker).base
    assert document["asset"]["copyright"] == "Ada"
    assert document["asset"]["extras"] == "a string is valid extras"
    assert [n["name"] for n in document["nodes"][:3]] == ["ball", "eye", "lamp"]
    assert document["nodes"][0]["extras"] == {"kept": [1]}
    assert (document["nodes"][1]["camera"], document["nodes"][1]["extras"]) == (0, 7)
    assert document["nodes"][2]["extensions"] == {"KHR_lights_punctual": {"light": 0}}
    assert document["extensions"] == maker.json["extensions"]


def test_material_extensions_and_texture_transforms_survive(build: Build) -> None:
    maker = make.textured_sphere(12, 16)
    transform = {"KHR_texture_transform": {"scale": [2, 3]}}
    material = maker.json["materials"][0]
    material["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] = transform
    material["extensions"] = {"KHR_materials_clearcoat": {"clearcoatFactor": 0.5, "clearcoatTexture": {"index": 0}}}
    maker.json["extensionsUsed"] = ["KHR_texture_transform", "KHR_materials_clearcoat"]
    built = build(maker)
    document, _ = built.base
    kept = document["materials"][0]
    assert kept["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] == transform
    assert kept["extensions"]["KHR_materials_clearcoat"]["clearcoatFactor"] == 0.5
    assert {"KHR_texture_transform", "KHR_materials_clearcoat"} <= set(document["extensionsUsed"])
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


def test_a_picture_used_as_colour_and_as_data_is_stored_twice(build: Build) -> None:
    maker = make.textured_sphere(12, 16)
    maker.json["materials"][0]["occlusionTexture"] = {"index": 0}
    built = build(maker)
    assert [t["role"] for t in built.manifest["textures"]] == ["color", "data"]
    document, _ = built.base
    material = document["materials"][0]
    slots = [material["pbrMetallicRoughness"]["baseColorTexture"]["index"], material["occlusionTexture"]["index"]]
    assert sorted(document["textures"][s]["extensions"]["EXT_texture_webp"]["source"] for s in slots) == [0, 1]


def test_a_skin_keeps_joints_bind_matrices_weights_and_animation(build: Build) -> None:
    maker = make.skinned_strip()
    built = build(maker)
    base = built.base
    document, _ = base
    assert document["skins"][0]["joints"] == [1, 0]
    assert accessor(base, document["skins"][0]["inverseBindMatrices"])[1].reshape(4, 4)[3, 1] == -1
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    assert {"JOINTS_0", "WEIGHTS_0"} <= set(attributes)
    sampler = document["animations"][0]["samplers"][0]
    assert accessor(base, sampler["input"]).reshape(-1).tolist() == [0, 1, 2]
    assert accessor(base, sampler["output"])[1] == pytest.approx([0, 0, 0.3826834, 0.9238795], abs=2**-15)
    assert document["animations"][0]["channels"] == maker.json["animations"][0]["channels"]
    assert built.manifest["animations"] == [{"name": "bend", "duration": 2.0, "keyframes": None}]
    (tree,) = built.manifest["trees"]
    assert (tree["kind"], tree["space"], tree["nodes"]) == ("skinned", "asset", [2])
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


def test_weights_become_bytes_that_sum_to_one() -> None:
    weights = np.random.default_rng(3).random((500, 8)) ** 3
    weights[0] = 0
    quantised = quantise_weights(weights)
    assert set(quantised.sum(axis=1).tolist()) == {255}
    share = weights[1:] / weights[1:].sum(axis=1, keepdims=True)
    assert np.abs(quantised[1:] / 255 - share).max() <= 1 / 255


def test_morph_targets_move_the_same_vertices_as_in_the_source(build: Build) -> None:
    maker = make.morphing_quad()
    built = build(maker)
    base = built.base
    document, chunk = base
    mesh = document["meshes"][0]
    assert (mesh["weights"], mesh["extras"]) == ([0.25, 0], {"targetNames": ["lift", "lean"]})
    extension = mesh["primitives"][0]["extensions"]["KHR_draco_mesh_compression"]
    view = document["bufferViews"][extension["bufferView"]]
    points = DracoPy.decode(chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]).points
    source = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0.5]])
    nearest = np.linalg.norm(points[:, None] - source[None], axis=2).argmin(axis=1)
    deltas = [np.arange(15).reshape(5, 3).astype("<f4") / 7, np.eye(5, 3).astype("<f4")]
    for target, delta in zip(mesh["primitives"][0]["targets"], deltas, strict=True):
        assert np.array_equal(accessor(base, target["POSITION"]), delta[nearest])
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


def test_the_faces_of_a_mirrored_node_point_outwards(build: Build) -> None:
    maker = make.textured_sphere(16, 24, two_materials=False)
    maker.json["nodes"][0]["scale"] = [-1, 1, 1]
    built = build(maker)
    (tree,) = built.manifest["trees"]
    document, _ = built.base
    surface = draco_surface(built.base, document["nodes"][tree["nodes"][0]]["mesh"])
    normals, _ = face_normals(surface.positions, surface.triangles)
    middles = surface.positions[surface.triangles].mean(axis=1)
    assert (np.einsum("ij,ij->i", normals, middles) > 0).all()


def test_an_animated_node_keeps_its_mesh_as_a_rigid_tree(build: Build) -> None:
    maker = make.textured_sphere(40, 60, two_materials=False)
    times = maker.accessor(np.array([0, 1], "<f4"), min=[0], max=[1])
    path = maker.accessor(np.array([[0, 0, 0], [0, 1, 0]], "<f4"))
    maker.json["animations"] = [
        {
            "samplers": [{"input": times, "output": path}],
            "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}],
        }
    ]
    maker.json["nodes"][0]["scale"] = [2, 2, 2]
    built = build(maker)
    (tree,) = built.manifest["trees"]
    assert (tree["kind"], tree["space"], tree["nodes"]) == ("rigid", "mesh", [0])
    assert tree["scale"] == pytest.approx(2, abs=1e-5)
    assert len(tree["regions"]) == 2
    assert validate(built.root).findings == ()


def test_a_mesh_that_many_nodes_share_is_stored_once(build: Build) -> None:
    maker = make.textured_sphere(50, 60, two_materials=False)
    maker.node(mesh=0, name="second", translation=[3, 0, 0])
    maker.node(mesh=0, name="third", translation=[6, 0, 0])
    built = build(maker)
    (tree,) = built.manifest["trees"]
    assert (tree["kind"], tree["nodes"]) == ("rigid", [0, 1, 2])
    assert built.manifest["bounds"]["max"][0] > 6.9


@pytest.mark.parametrize(("nodes", "kinds"), [(50, ["static"]), (250, ["static", "rigid"]), (300, ["static"])])
def test_small_meshes_of_many_nodes_are_copied_up_to_a_share_of_the_model(
    build: Build, nodes: int, kinds: list[str]
) -> None:
    maker = make.textured_sphere(100, 160, two_materials=False)  # 32,000 triangles
    maker.json["nodes"][0].pop("extras")
    positions, normals, uv, triangles = make.bumpy_sphere(8, 10)
    rivet = maker.mesh(maker.primitive(positions * 0.01, triangles, NORMAL=normals, TEXCOORD_0=uv))
    for index in range(nodes):
        maker.node(mesh=rivet, translation=[index * 0.01, 1.2, 0])
    assert nodes * len(triangles) > 4096
    built = build(maker)
    assert [tree["kind"] for tree in built.manifest["trees"]] == kinds


def test_points_and_lines_pass_through(build: Build) -> None:
    maker = make.textured_sphere(12, 16)
    points = np.random.default_rng(0).random((9, 3)).astype("<f4")
    primitive = maker.primitive(points, None, COLOR_0=np.full((9, 3), 7, "<u1"))
    maker.json["accessors"][-1]["normalized"] = True
    primitive["mode"] = 0
    maker.node(mesh=maker.mesh(primitive, name="dust"), name="dust")
    built = build(maker)
    base = built.base
    document, _ = base
    dust = document["meshes"][document["nodes"][1]["mesh"]]["primitives"][0]
    assert dust["mode"] == 0
    assert np.array_equal(accessor(base, dust["attributes"]["POSITION"]), points)
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


@pytest.mark.parametrize(
    ("mode", "expected"), [(5, [[0, 1, 2], [2, 1, 3], [2, 3, 4]]), (6, [[0, 1, 2], [0, 2, 3], [0, 3, 4]])]
)
def test_strips_and_fans_become_triangles(mode: int, expected: list[list[int]]) -> None:
    document = Document("x", {}, (), {}, "", 0)
    assert read_triangles(document, {"mode": mode}, 5, "mesh").tolist() == expected


def test_unit_normals_of_tiers_follow_the_source(tree: Built) -> None:
    region = tree.manifest["trees"][0]["regions"][1]
    document, chunk = make.unpack((tree.root / region["refinement"]["uri"]).read_bytes())
    angles = []
    for mesh in document["meshes"]:
        for primitive in mesh["primitives"]:
            view = document["bufferViews"][primitive["extensions"]["KHR_draco_mesh_compression"]["bufferView"]]
            decoded = DracoPy.decode(chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])
            # The source has the normals of a smooth sphere, without the bumps.
            direction = decoded.points / np.linalg.norm(decoded.points, axis=1, keepdims=True)
            cosine = np.einsum("ij,ij->i", direction, np.asarray(decoded.normals))
            angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    assert np.concatenate(angles).mean() < 3
    assert np.concatenate(angles).max() < 25


def test_transforms_of_nodes_keep_the_digits_of_float32(build: Build) -> None:
    maker = make.textured_sphere(8, 12)
    turn = np.array([0.1, -0.2, 0.3, 0.4]) / np.linalg.norm([0.1, -0.2, 0.3, 0.4])
    place = [1 / 3, -2.0, 1e-9 / 7]
    number = maker.node(name="empty", rotation=turn.tolist(), translation=place, scale=[1, 1, 1.5])
    document, _ = build(maker).base
    node = document["nodes"][number]
    assert np.array_equal(np.float32(node["rotation"]), np.float32(turn))
    assert np.array_equal(np.float32(node["translation"]), np.float32(place))
    assert (node["translation"][1], node["scale"]) == (-2, [1, 1, 1.5])
    assert max(len(str(x)) for x in node["rotation"]) < 13
