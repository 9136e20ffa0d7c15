"""Many small parts that animations move are one skinned mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gltf_maker as make
import numpy as np
import parts_maker as parts
import pytest
from builds import Built, build_file
from posing import Posed, base_document, posed_base, source_vertices, tiers
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.moving_parts import MANY_MOVING, NAME

Build = Callable[..., Built]
TIMES = (0.0, 0.5, 1.5)  # of sampled poses


@pytest.fixture(scope="module", params=["fleet", "machine"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built]:
    folder = tmp_path_factory.mktemp("moving")
    maker = parts.fleet(12) if request.param == "fleet" else parts.machine(60, largest=300, smallest=60)
    path = make.save(maker, folder, "model")
    return path, build_file(path, folder / "build")


def skinned_tree(built: Built) -> make.Json:
    (tree,) = (tree for tree in built.manifest["trees"] if tree["kind"] == "skinned")
    found: make.Json = tree
    return found


def drawing(document: make.Json) -> list[int]:
    return [index for index, node in enumerate(document["nodes"]) if "mesh" in node]


def test_one_node_draws_all_moving_parts(model: tuple[Path, Built]) -> None:
    document, _ = model[1].base
    (tree,) = model[1].manifest["trees"]
    assert drawing(document) == tree["nodes"] == [len(document["nodes"]) - 1]
    assert document["nodes"][-1]["name"] == NAME
    assert any("moving parts" in note for note in model[1].report.notes)


@pytest.mark.parametrize("time", TIMES)
def test_each_part_of_each_tier_moves_as_in_the_source(model: tuple[Path, Built], time: float) -> None:
    path, built = model
    source, tree = read_model(path), skinned_tree(built)
    moved, base = Posed(source, 0, time), posed_base(built, 0, time)
    joint_of = {node: number for number, node in enumerate(base_document(built).json["skins"][0]["joints"])}
    boxes: dict[int, list[np.ndarray]] = {}
    for node in drawing(source.json):
        positions = moved.draw(node, source_vertices(source, source.json["nodes"][node]["mesh"]))
        anchor = node
        while anchor not in joint_of:
            anchor = moved.parents[anchor]
        boxes.setdefault(joint_of[anchor], []).append(positions)
    assert set(boxes) == set(joint_of.values())
    for vertices, region in zip(tiers(built, tree), tree["regions"], strict=True):
        drawn = base.draw(tree["nodes"][0], vertices)
        joint = vertices.joints[np.arange(len(drawn)), vertices.weights.argmax(axis=1)]
        for number in np.unique(joint):
            expected = np.concatenate(boxes[int(number)])
            own = drawn[joint == number]
            margin = region["error"] + 1e-3
            assert (own.min(axis=0) >= expected.min(axis=0) - margin).all()
            assert (own.max(axis=0) <= expected.max(axis=0) + margin).all()
            if region is tree["regions"][-1]:
                assert own.min(axis=0) == pytest.approx(expected.min(axis=0), abs=margin)
                assert own.max(axis=0) == pytest.approx(expected.max(axis=0), abs=margin)


def test_the_bounds_contain_all_parts_in_all_poses(model: tuple[Path, Built]) -> None:
    path, built = model
    source = read_model(path)
    low, high = (np.array(built.manifest["bounds"][key]) for key in ("min", "max"))
    for time in TIMES:
        moved = Posed(source, 0, time)
        for node in drawing(source.json):
            positions = moved.draw(node, source_vertices(source, source.json["nodes"][node]["mesh"]))
            assert (positions > low - 1e-4).all()
            assert (positions < high + 1e-4).all()


def test_few_moving_parts_keep_their_nodes(build: Build) -> None:
    built = build(parts.machine(MANY_MOVING, largest=100, smallest=60))
    assert {tree["kind"] for tree in built.manifest["trees"]} == {"rigid"}
    assert len(drawing(built.base[0])) == MANY_MOVING


def test_parts_that_an_application_may_look_for_stay_apart(build: Build) -> None:
    maker = parts.machine(MANY_MOVING + 4, largest=100, smallest=60)
    maker.json["nodes"][7]["extras"] = {"part": 7}
    built = build(maker, settings=Settings(keep_nodes="Part 3"))
    rigid = [tree["nodes"] for tree in built.manifest["trees"] if tree["kind"] == "rigid"]
    assert rigid == [[3], [7]]
    assert drawing(built.base[0])[:2] == [3, 7]


def test_parts_without_a_size_at_rest_stay_apart(build: Build) -> None:
    """A joint whose rest matrix has no inverse cannot be bound."""
    maker = parts.machine(MANY_MOVING + 4, largest=100, smallest=60)
    maker.json["nodes"][5]["scale"] = [1, 0, 1]
    built = build(maker)
    assert [tree["nodes"] for tree in built.manifest["trees"] if tree["kind"] == "rigid"] == [[5]]


def test_the_list_of_objects_has_the_nodes_of_the_source_alone(model: tuple[Path, Built]) -> None:
    path, built = model
    assert built.manifest["objects"]["count"] == len(read_model(path).json["nodes"])
