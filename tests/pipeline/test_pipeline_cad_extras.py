"""Models in which every part is a node with extras, as CAD and BIM programs write them (cad_extras)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from bolts_maker import PER_ROW, bolt, bolts, guid
from builds import Built, build_file
from streamxr.pipeline.bundle.files import Bundle
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.nodes import MAX_DESCRIBED

Build = Callable[..., Built]
Json = dict[str, Any]
BASE_BYTES = Settings().base_bytes
TURN = {"rotation": [0, 0.6, 0, 0.8]}


@pytest.fixture(scope="module", params=[300, 1500])
def cad(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A model of so many bolts, each with extras of its own."""
    folder = tmp_path_factory.mktemp("cad")
    return build_file(make.save(bolts(request.param), folder, "cad"), folder / "build")


def objects(built: Built) -> list[Json]:
    file = built.manifest["objects"]
    listed: list[Json] = json.loads((built.root / file["uri"]).read_text("utf-8"))["objects"]
    assert len(listed) == file["count"]
    return listed


def by_name(built: Built) -> dict[str, Json]:
    return {each["name"]: each for each in objects(built)}


def nodes_of(built: Built) -> list[Json]:
    document, _ = built.base
    nodes: list[Json] = document["nodes"]
    return nodes


def matrix(listed: Json) -> np.ndarray:
    return np.array(listed["matrix"]).reshape(4, 4).T


def turned(maker: make.Maker, node: int) -> None:
    """Add an animation that turns a node."""
    times = maker.accessor(np.array([0, 1], "<f4"), min=[0], max=[1])
    turns = maker.accessor(np.array([[0, 0, 0, 1], [0, 0.6, 0, 0.8]], "<f4"))
    channels = [{"sampler": 0, "target": {"node": node, "path": "rotation"}}]
    maker.json["animations"] = [{"samplers": [{"input": times, "output": turns}], "channels": channels}]


def test_the_base_of_many_parts_with_extras_is_within_its_limit(cad: Built) -> None:
    assert cad.manifest["base"]["bytes"] <= BASE_BYTES
    assert [tree["kind"] for tree in cad.manifest["trees"]] == ["static"]
    assert not any("over its limit" in note for note in cad.report.notes)


def test_extras_change_nothing_of_the_geometry(cad: Built, build: Build) -> None:
    plain = build(bolts(sum("Bolt" in name for name in by_name(cad)), extras=False), "cad")
    assert plain.manifest["trees"] == cad.manifest["trees"]


def test_every_name_and_all_extras_are_found_again(cad: Built) -> None:
    listed = by_name(cad)
    parts = [name for name in listed if name.startswith("Bolt")]
    assert len(parts) in (300, 1500)
    for number in range(len(parts)):
        part = listed[f"Bolt {number}"]
        assert part["extras"] == {"guid": guid(number), "torque": number / 4}
        assert part["parent"] == listed[f"Row {number // PER_ROW}"]["node"]
    assert all(listed[f"Row {row}"]["extras"] is None for row in range(len(parts) // PER_ROW))


def test_matrices_and_boxes_place_the_vertices_of_each_part(cad: Built) -> None:
    listed = by_name(cad)
    turn = np.array([[0.28, 0, 0.96], [0, 1, 0], [-0.96, 0, 0.28]])  # the rotation of a row
    for number in (0, 7, PER_ROW, 299):
        part = listed[f"Bolt {number}"]
        positions = bolt(number)[0].astype(np.float64)
        offset = np.array([3.0 * (number % PER_ROW), 0, 0])
        expected = (positions + offset) @ turn.T + np.array([0, 0, 3.0 * (number // PER_ROW)])
        placed = positions @ matrix(part)[:3, :3].T + matrix(part)[:3, 3]
        assert placed == pytest.approx(expected, abs=1e-5)
        assert part["box"]["min"] == pytest.approx(expected.min(axis=0), abs=1e-5)
        assert part["box"]["max"] == pytest.approx(expected.max(axis=0), abs=1e-5)
    assert listed["Row 0"]["box"] is None


@pytest.mark.parametrize("cad", [1500], indirect=True)
def test_nodes_that_leave_the_base_keep_their_place_in_the_array(cad: Built) -> None:
    document, _ = cad.base
    (tree,) = cad.manifest["trees"]
    assert len(document["nodes"]) == cad.manifest["objects"]["count"] + 1
    assert document["scenes"][0]["nodes"] == tree["nodes"] == [len(document["nodes"]) - 1]
    assert all(node == {} for node in document["nodes"][:-1])


def test_the_artist_learns_that_the_parts_share_one_geometry(cad: Built) -> None:
    assert any("--keep-nodes" in note and "nodes with extras" in note for note in cad.report.notes)


def test_the_bundle_is_valid(cad: Built) -> None:
    assert validate(cad.root).findings == ()


def test_two_builds_give_the_same_bytes(build: Build, tmp_path: Path) -> None:
    first = build(bolts(60), "cad")
    second = build_file(make.save(bolts(60), tmp_path, "cad"), tmp_path / "other")
    assert first.manifest == second.manifest


def test_few_parts_with_extras_are_trees_of_their_own(build: Build) -> None:
    built = build(bolts(MAX_DESCRIBED))
    drawn = {tree["nodes"][0] for tree in built.manifest["trees"]}
    assert {tree["kind"] for tree in built.manifest["trees"]} == {"rigid"}
    assert drawn == {each["node"] for each in objects(built) if each["name"].startswith("Bolt")}
    assert built.manifest["base"]["bytes"] <= BASE_BYTES


def test_nodes_stay_in_a_base_that_is_within_its_limit(build: Build) -> None:
    built = build(bolts(MAX_DESCRIBED + 8))
    assert [tree["kind"] for tree in built.manifest["trees"]] == ["static"]
    for each in objects(built):
        node = nodes_of(built)[each["node"]]
        assert (node["name"], node.get("extras")) == (each["name"], each["extras"])


def test_nodes_that_are_named_or_animated_stay_apart_among_many_with_extras(build: Build) -> None:
    maker = bolts(400)
    row = next(i for i, node in enumerate(maker.json["nodes"]) if node["name"] == "Row 3")
    turned(maker, row)
    built = build(maker, settings=Settings(keep_nodes="Bolt 7\nBolt 8"))
    rigid = [tree for tree in built.manifest["trees"] if tree["kind"] == "rigid"]
    names = {nodes_of(built)[node]["name"] for tree in rigid for node in tree["nodes"]}
    assert names == {"Bolt 7", "Bolt 8", *(f"Bolt {n}" for n in range(3 * PER_ROW, 4 * PER_ROW))}
    assert nodes_of(built)[row] == maker.json["nodes"][row]
    first = next(node for node in nodes_of(built) if node.get("name") == "Row 0")
    assert [nodes_of(built)[child]["name"] for child in first["children"]] == ["Bolt 7", "Bolt 8"]
    assert "Row 1" not in {node.get("name") for node in nodes_of(built)}
    assert built.manifest["base"]["bytes"] <= BASE_BYTES


def test_cameras_lights_locators_and_the_groups_above_them_stay(build: Build) -> None:
    maker = bolts(600)
    maker.json["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}}]
    maker.json["extensionsUsed"] = ["KHR_lights_punctual"]
    maker.json["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point"}]}}
    eye = maker.node(root=False, camera=0, name="eye")
    lamp = maker.node(root=False, name="lamp", extensions={"KHR_lights_punctual": {"light": 0}})
    label = maker.node(root=False, name="label", translation=[1, 2, 3])
    maker.node(name="rig", children=[eye, lamp, label], translation=[0, 5, 0], extras={"kind": "rig"})
    built = build(maker)
    kept = [node for node in nodes_of(built)[:-1] if node]
    assert kept == maker.json["nodes"][eye:]
    assert [each["name"] for each in objects(built)[-4:]] == ["eye", "lamp", "label", "rig"]


def test_nodes_that_an_extension_may_name_stay(build: Build) -> None:
    maker = bolts(600)
    hinges = [{"body": 5}, {"target": "/nodes/9/rotation"}, "/nodes/" + "9" * 5000]
    maker.json["extensions"] = {"EX_hinges": {"hinges": hinges}}
    maker.json["extensionsUsed"] = ["EX_hinges"]
    nodes = nodes_of(build(maker))
    assert [node["name"] for node in nodes[:20] if node] == ["Bolt 5", "Bolt 9"]
    assert nodes[20]["children"] == [5, 9]


def test_parts_that_repeat_one_mesh_give_their_names_and_extras_to_the_list(build: Build) -> None:
    maker = bolts(700, shared=True)
    built = build(maker, settings=Settings(keep_nodes="Bolt 7"))
    (tree,) = built.manifest["trees"]
    assert (tree["kind"], len(tree["nodes"])) == ("rigid", 700)
    for node, source in zip(nodes_of(built), maker.json["nodes"], strict=True):
        if source["name"] == "Bolt 7" or "mesh" not in source:
            assert node == source
        else:
            assert node == {"mesh": 0, "translation": source["translation"]}
    assert by_name(built)["Bolt 699"]["extras"] == {"guid": guid(699), "torque": 699 / 4}
    assert built.manifest["base"]["bytes"] <= BASE_BYTES


def test_joints_stay(build: Build) -> None:
    maker = make.skinned_strip()
    del maker.json["animations"]
    material = maker.material()
    for number in range(600):
        mesh = maker.mesh(maker.primitive(*bolt(number), material))
        maker.node(mesh=mesh, name=f"Bolt {number}", translation=[3.0 * number, 0, 0], extras={"guid": guid(number)})
    built = build(maker)
    assert nodes_of(built)[:3] == [
        {**node, **({"mesh": 0} if "mesh" in node else {})} for node in maker.json["nodes"][:3]
    ]
    assert by_name(built)["ribbon"]["box"]["max"] == pytest.approx([0.1, 2, 0])


def test_extras_of_a_flattened_mesh_go_to_its_node(build: Build) -> None:
    maker = bolts(MAX_DESCRIBED + 1)
    for mesh in maker.json["meshes"]:
        mesh["extras"] = {"part": "M8", "torque": -1}
    built = build(maker)
    expected = {"part": "M8", "torque": 0.25, "guid": guid(1)}
    assert by_name(built)["Bolt 1"]["extras"] == expected
    assert next(node for node in nodes_of(built) if node.get("name") == "Bolt 1")["extras"] == expected


def test_a_model_without_names_and_extras_has_no_list(build: Build) -> None:
    maker = make.textured_sphere(8, 8)
    maker.json["nodes"] = [{"mesh": 0}]
    assert build(maker).manifest["objects"] is None


def test_hostile_extras_are_listed_as_they_are(build: Build) -> None:
    deep: Any = 0
    for level in range(120):
        deep = {"d": [deep]} if level % 2 else [deep]
    strange = ["x" * 300_000, deep, {"__proto__": 1, "constructor": {"": None}}, "\u0000\u2028\U0001f529", 1e-308, True]
    maker = bolts(200)
    for node, extras in zip(maker.json["nodes"], strange, strict=False):
        node["extras"] = extras
    maker.json["nodes"][9]["name"] = "\u202eбольт\u0000" + "n" * 100_000
    built = build(maker)
    assert [each["extras"] for each in objects(built)[: len(strange)]] == strange
    assert objects(built)[9]["name"] == maker.json["nodes"][9]["name"]
    assert built.manifest["base"]["bytes"] <= BASE_BYTES


def test_a_list_of_objects_that_does_not_fit_is_found(build: Build) -> None:
    built = build(bolts(3))
    bundle = Bundle(built.root)

    def findings(change: Callable[[list[Json]], object], count: int = 4) -> str:
        listed = objects(built)
        change(listed)
        file = {"format": "streamxr/objects", "version": 1, "objects": listed}
        manifest = {**built.manifest, "objects": {**bundle.put(json.dumps(file).encode(), "json"), "count": count}}
        assets = bundle.read_catalogue()["assets"]
        assets["model"]["manifest"] = bundle.put_manifest("model", manifest)
        bundle.write_catalogue("test", assets)
        return " ".join(finding.text for finding in validate(built.root).findings)

    assert findings(list) == ""
    assert "has 4 objects, but 5 in the manifest" in findings(list, count=5)
    assert "is not a list of objects" in findings(lambda listed: listed[0].pop("matrix"))
    assert "not in the order" in findings(lambda listed: listed.reverse())
    assert "below itself" in findings(lambda listed: listed[3].update(parent=0))
    findings(list)  # the bundle is checked after the tests
