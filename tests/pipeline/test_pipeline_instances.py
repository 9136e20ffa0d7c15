"""EXT_mesh_gpu_instancing: instances are nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built
from crate_maker import CUBE, CUBE_SIDES
from model_views import drawable
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.instances import INSTANCING, MAX_INSTANCES, with_instances_as_nodes

Build = Callable[..., Built]
HALF = 0.5**0.5


def instanced(**attributes: np.ndarray) -> make.Maker:
    """A cube that a turned node draws many times."""
    maker = make.Maker()
    maker.material(name="paint")
    mesh = maker.mesh(maker.primitive(CUBE.astype("<f4"), CUBE_SIDES, 0))
    accessors = {name: maker.accessor(values) for name, values in attributes.items()}
    extensions = {INSTANCING: {"attributes": accessors}}
    maker.node(mesh=mesh, name="field", rotation=[0, HALF, 0, HALF], extensions=extensions)
    maker.json |= {"extensionsUsed": [INSTANCING], "extensionsRequired": [INSTANCING]}
    return maker


def places(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    turns = rng.normal(size=(count, 4))
    turns = np.rint(turns / np.linalg.norm(turns, axis=1, keepdims=True) * 32767)
    return {
        "TRANSLATION": (rng.random((count, 3)) * 40).astype("<f4"),
        "SCALE": (0.5 + rng.random((count, 3))).astype("<f4"),
        "TURN": turns.astype("<i2"),
    }


def expected_positions(values: dict[str, np.ndarray]) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_quat(values["TURN"].astype(float))
    corners = [
        turn.apply(CUBE * scale) + place
        for turn, scale, place in zip(turns, values["SCALE"], values["TRANSLATION"], strict=True)
    ]
    placed: np.ndarray = Rotation.from_quat([0, HALF, 0, HALF]).apply(np.concatenate(corners))
    return placed


def with_turns(values: dict[str, np.ndarray]) -> make.Maker:
    maker = instanced(TRANSLATION=values["TRANSLATION"], SCALE=values["SCALE"])
    accessor = maker.accessor(values["TURN"], normalized=True)
    maker.json["nodes"][0]["extensions"][INSTANCING]["attributes"]["ROTATION"] = accessor
    return maker


def test_each_instance_is_drawn_at_its_place(build: Build) -> None:
    values = places(50)
    maker = with_turns(values)
    built = build(maker, "field")
    expected = expected_positions(values)
    found = drawable(built.root / built.manifest["base"]["uri"])
    gaps = np.linalg.norm(found.positions[:, None] - expected, axis=2)
    assert gaps.min(axis=0).max() < 0.01
    assert gaps.min(axis=1).max() < 0.01
    assert built.manifest["bounds"]["min"] == pytest.approx(expected.min(axis=0), abs=1e-3)


def test_thousands_of_instances_are_one_draw_call_in_a_small_base(build: Build) -> None:
    built = build(with_turns(places(1000)))
    document, _ = built.base
    assert built.manifest["base"]["bytes"] <= 60_000
    drawing = [node for node in document["nodes"] if "mesh" in node]
    assert [len(document["meshes"][node["mesh"]]["primitives"]) for node in drawing] == [1]
    assert INSTANCING not in [*document["extensionsUsed"], *document["extensionsRequired"]]


def nodes_of(maker: make.Maker, folder: Path) -> list[make.Json]:
    document = with_instances_as_nodes(read_model(make.save(maker, folder, "model")))
    found: list[make.Json] = document.json["nodes"]
    return found


def test_the_node_keeps_its_place_name_and_children(tmp_path: Path) -> None:
    maker = instanced(TRANSLATION=places(3)["TRANSLATION"])
    child = maker.node(root=False, name="post")
    maker.json["nodes"][0] |= {"children": [child], "extras": {"crop": "wheat"}}
    nodes = nodes_of(maker, tmp_path)
    assert nodes[0]["children"] == [child, 2, 3, 4]
    assert nodes[0]["extras"] == {"crop": "wheat"}
    assert "mesh" not in nodes[0]
    assert "extensions" not in nodes[0]


def refusal(change: Callable[[make.Json, make.Json], Any], build: Build) -> str:
    maker = instanced(TRANSLATION=places(4)["TRANSLATION"])
    change(maker.json, maker.json["nodes"][0]["extensions"][INSTANCING])
    with pytest.raises(ModelError) as refused:
        build(maker)
    return str(refused.value)


def test_hostile_instances_are_refused(build: Build) -> None:
    assert "has no attributes" in refusal(lambda _, holder: holder.clear(), build)
    assert "accessors[99]" in refusal(lambda _, holder: holder["attributes"].update(SCALE=99), build)
    assert "different counts" in refusal(lambda _, holder: holder["attributes"].update(SCALE=0), build)
    assert "must be 4 times 3" in refusal(lambda json, _: json["accessors"][-1].update(type="VEC2"), build)

    def many(json: make.Json, holder: make.Json) -> None:
        json["accessors"].append({"componentType": 5126, "count": MAX_INSTANCES + 1, "type": "VEC3"})
        holder["attributes"] = {"TRANSLATION": len(json["accessors"]) - 1}

    assert "more than 100,000 instances" in refusal(many, build)
    several = instanced(TRANSLATION=np.zeros((40_000, 3), "<f4"))
    several.json["nodes"] += [several.json["nodes"][0]] * 2
    with pytest.raises(ModelError, match="more than 100,000 instances"):
        build(several)
