"""Animations are in the base while it is within its limit; otherwise they are files of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file, khronos_errors
from posing import Posed, source_vertices
from streamxr.pipeline.build import build as build_folder
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.accessors import read_accessor
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.settings import Settings
from test_pipeline_validate import flip, rewrite

Build = Callable[..., Built]
Json = dict[str, Any]

LIMIT = Settings().base_bytes
LONG, SHORT = 5000, 20  # keys: 100 KB in the base, and less than 1 KB


def dancing_arm(*keys: int) -> make.Maker:
    """An arm with few triangles: its keyframes matter here."""
    return make.dancing_arm(*keys, rings=24, sectors=12)


def keyframes(built: Built) -> list[Json | None]:
    return [animation["keyframes"] for animation in built.manifest["animations"]]


def base_animations(built: Built) -> list[str]:
    return [animation["name"] for animation in built.base[0].get("animations", [])]


def keyframes_file(built: Built, animation: int) -> Document:
    file = keyframes(built)[animation]
    assert file
    content, chunk = make.unpack((built.root / file["uri"]).read_bytes())
    return Document("file", content, (chunk,), {}, "", 0)


def test_a_small_base_holds_all_animations(build: Build) -> None:
    built = build(dancing_arm(SHORT, 500))
    assert base_animations(built) == ["dance 0", "dance 1"]
    assert keyframes(built) == [None, None]


def test_long_animations_after_the_first_leave_the_base_and_short_ones_stay(build: Build) -> None:
    built = build(dancing_arm(SHORT, LONG, SHORT))
    assert base_animations(built) == ["dance 0", "dance 2"]
    assert [file is None for file in keyframes(built)] == [True, False, True]
    assert built.manifest["base"]["bytes"] <= LIMIT


def test_a_base_has_no_animation_if_the_first_is_too_long(build: Build) -> None:
    built = build(dancing_arm(LONG, SHORT))
    assert base_animations(built) == []
    assert all(keyframes(built))
    assert built.manifest["base"]["bytes"] <= LIMIT


def test_pictures_in_the_base_lose_half_their_width_before_the_first_animation_leaves(build: Build) -> None:
    maker = dancing_arm(400)
    maker.json["images"][0]["bufferView"] = maker.view(make.png(make.noise(256)))

    def build_within(limit: int) -> tuple[int, list[str], int]:
        built = build(maker, f"within_{limit}", Settings(base_bytes=limit))
        return (
            built.manifest["base"]["bytes"],
            base_animations(built),
            built.manifest["textures"][0]["levels"][0]["width"],
        )

    whole, animations, width = build_within(LIMIT)
    assert (animations, width) == (["dance 0"], 128)
    half, animations, width = build_within(whole - 1)
    assert (animations, width) == (["dance 0"], 64)
    least, animations, _ = build_within(half - 1)
    assert animations == []
    assert least < half


def test_animations_stay_if_they_are_a_small_part_of_a_large_base(build: Build) -> None:
    built = build(dancing_arm(SHORT), settings=Settings(base_bytes=1_000))
    assert base_animations(built) == ["dance 0"]
    assert any("over its limit of 1,000" in note for note in built.report.notes)


def test_a_keyframes_file_moves_the_nodes_of_the_base_as_the_source_does(build: Build, tmp_path: Path) -> None:
    maker = dancing_arm(LONG, SHORT)
    built = build(maker)
    source = read_model(make.save(maker, tmp_path, "again"))
    for number, original in enumerate(source.json["animations"]):
        file = keyframes_file(built, number)
        (animation,) = file.json["animations"]
        assert animation["name"] == original["name"]
        assert animation["channels"] == original["channels"]
        for channel in animation["channels"]:
            node = channel["target"]["node"]
            assert file.json["nodes"][node]["name"] == built.base[0]["nodes"][node]["name"]
        for packed, sampler in zip(animation["samplers"], original["samplers"], strict=True):
            assert packed.get("interpolation", "LINEAR") == sampler["interpolation"]
            times = read_accessor(source, sampler["input"], "")
            assert np.array_equal(read_accessor(file, packed["input"], ""), times)
            values = read_accessor(source, sampler["output"], "")
            assert np.abs(read_accessor(file, packed["output"], "") - values).max() < 2**-15


def test_samplers_with_equal_values_share_one_accessor(build: Build) -> None:
    maker = dancing_arm(50)
    maker.json["animations"].append({**maker.json["animations"][0], "name": "encore"})
    document, _ = build(maker).base
    first, encore = (animation["samplers"] for animation in document["animations"])
    assert first[0]["input"] == first[1]["input"]
    assert first[0]["output"] != first[1]["output"]
    assert encore == first


def test_a_keyframes_file_of_morph_weights_is_a_valid_glb(build: Build) -> None:
    maker = make.morphing_ball()
    rng = np.random.default_rng(1)
    count = 6000
    times = (np.arange(count) / 30).astype("<f4")
    sampler = maker.json["animations"][0]["samplers"][0]
    sampler["input"] = maker.accessor(times, min=[0.0], max=[float(times[-1])])
    sampler["output"] = maker.accessor(rng.random(3 * count).astype("<f4"))
    built = build(maker)
    (file,) = keyframes(built)
    assert file
    assert khronos_errors([built.root / file["uri"], built.root / built.manifest["base"]["uri"]]) == {}
    document = keyframes_file(built, 0)
    assert np.array_equal(
        read_accessor(document, document.json["animations"][0]["samplers"][0]["output"], ""),
        read_accessor(read_model(built.root.parent / "model.glb"), sampler["output"], ""),
    )


def test_an_animation_without_a_name_gets_the_same_name_everywhere(build: Build) -> None:
    maker = dancing_arm(SHORT, LONG)
    for animation in maker.json["animations"]:
        del animation["name"]
    built = build(maker)
    assert base_animations(built) == ["animation 0"]
    assert keyframes_file(built, 1).json["animations"][0]["name"] == "animation 1"
    assert [a["name"] for a in built.manifest["animations"]] == ["animation 0", "animation 1"]


def test_reach_is_the_largest_distance_that_an_animation_moves_each_tree(build: Build, tmp_path: Path) -> None:
    """A static ball and an arm, compared with poses that `posing.py` computes."""
    maker = dancing_arm(LONG, 60)
    positions, _, _, triangles = make.bumpy_sphere(8, 10)
    maker.node(mesh=maker.mesh(maker.primitive(positions, triangles)), name="ball")
    built = build(maker)
    ball, arm = built.manifest["trees"]
    assert (ball["kind"], arm["kind"]) == ("static", "skinned")
    source = read_model(make.save(maker, tmp_path, "again"))
    (node,) = arm["nodes"]
    vertices = source_vertices(source, source.json["nodes"][node]["mesh"])
    rest = Posed(source, None, 0).draw(node, vertices)
    for number, file in enumerate(keyframes(built)):
        assert file
        times = np.linspace(0, built.manifest["animations"][number]["duration"], 100)
        poses = [Posed(source, number, t).draw(node, vertices) for t in times]
        distance = max(float(np.linalg.norm(pose - rest, axis=1).max()) for pose in poses)
        assert file["reach"] == [0, pytest.approx(distance, rel=0.15)]


def test_animations_whose_extensions_refer_to_the_base_stay_in_it(build: Build) -> None:
    maker = dancing_arm(LONG)
    maker.json["extensionsUsed"] = ["KHR_animation_pointer"]
    target = {"path": "pointer", "extensions": {"KHR_animation_pointer": {"pointer": "/nodes/0/rotation"}}}
    maker.json["animations"][0]["channels"][0]["target"] = target
    built = build(maker)
    assert base_animations(built) == ["dance 0"]
    assert any("over its limit of 60,000" in note for note in built.report.notes)


def test_the_same_model_has_the_same_keyframes_files(build: Build) -> None:
    maker = dancing_arm(LONG, LONG)
    assert keyframes(build(maker, "one")) == keyframes(build(maker, "two"))


def test_the_report_counts_keyframes_files(build: Build) -> None:
    built = build(dancing_arm(LONG, LONG))
    (row,) = [row for row in built.report.rows if row.name == "animations"]
    assert (row.regions, row.bytes) == (2, sum(file["bytes"] for file in keyframes(built) if file))


@pytest.fixture(scope="module")
def dancer(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dancer")
    return build_file(make.save(dancing_arm(LONG), folder, "dancer"), folder / "build")


@pytest.fixture
def copy(dancer: Built, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dancer.root, tmp_path / "copy"))


def test_the_checker_finds_a_damaged_keyframes_file(dancer: Built, copy: Path) -> None:
    assert validate(copy).findings == ()
    (file,) = keyframes(dancer)
    assert file
    flip(copy / file["uri"])
    (finding,) = validate(copy).findings
    assert file["uri"] in finding.text
    (copy / file["uri"]).unlink()
    (finding,) = validate(copy).findings
    assert "is missing" in finding.text


def test_the_checker_finds_a_reach_with_another_number_of_trees(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["animations"][0]["keyframes"]["reach"].append(1))
    (finding,) = validate(copy).findings
    assert "reach" in finding.text


def test_the_checker_finds_a_base_with_animations_but_without_the_first(copy: Path) -> None:
    more = {"name": "more", "duration": 1, "keyframes": None}
    rewrite(copy, lambda manifest: manifest["animations"].append(more))
    (finding,) = validate(copy).findings
    assert "not the first" in finding.text


def test_a_model_whose_keyframes_file_is_missing_is_built_again(tmp_path: Path) -> None:
    source, bundle = tmp_path / "src", tmp_path / "build"
    source.mkdir()
    make.save(dancing_arm(LONG), source, "dancer")
    built = build_folder(source, bundle, Settings(), jobs=1).built
    (row,) = [row for row in built[0].rows if row.name == "animations"]
    (file,) = [f for f in (bundle / "o").rglob("*.glb") if f.stat().st_size == row.bytes]
    assert len(build_folder(source, bundle, Settings(), jobs=1).built) == 0
    file.unlink()
    assert len(build_folder(source, bundle, Settings(), jobs=1).built) == 1
    assert file.is_file()
