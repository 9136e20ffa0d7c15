"""Animations are in the base while it has room for them; beyond that they are files of their own."""

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


def keyframes(built: Built) -> list[Json | None]:
    return [animation["keyframes"] for animation in built.manifest["animations"]]


def in_the_base(built: Built) -> list[str]:
    return [animation["name"] for animation in built.base[0].get("animations", [])]


def apart(built: Built, animation: int) -> Document:
    file = keyframes(built)[animation]
    assert file
    content, chunk = make.unpack((built.root / file["uri"]).read_bytes())
    return Document("file", content, (chunk,), {}, "", 0)


def test_while_the_base_is_small_all_of_them_are_in_it(build: Build) -> None:
    built = build(make.dancing_arm(SHORT, 500))
    assert in_the_base(built) == ["dance 0", "dance 1"]
    assert keyframes(built) == [None, None]


def test_long_ones_after_the_first_go_first_and_short_ones_stay(build: Build) -> None:
    built = build(make.dancing_arm(SHORT, LONG, SHORT))
    assert in_the_base(built) == ["dance 0", "dance 2"]
    assert [file is None for file in keyframes(built)] == [True, False, True]
    assert built.manifest["base"]["bytes"] <= LIMIT


def test_where_the_first_is_too_long_the_base_has_none(build: Build) -> None:
    built = build(make.dancing_arm(LONG, SHORT))
    assert in_the_base(built) == []
    assert all(keyframes(built))
    assert built.manifest["base"]["bytes"] <= LIMIT


def test_pictures_give_half_their_width_before_the_first_animation_goes(build: Build) -> None:
    maker = make.dancing_arm(400)
    maker.json["images"][0]["bufferView"] = maker.view(make.png(make.noise(256)))

    def under(limit: int) -> tuple[int, list[str], int]:
        built = build(maker, f"under_{limit}", Settings(base_bytes=limit))
        return built.manifest["base"]["bytes"], in_the_base(built), built.manifest["textures"][0]["levels"][0]["width"]

    whole, has, width = under(LIMIT)
    assert (has, width) == (["dance 0"], 128)
    half, has, width = under(whole - 1)
    assert (has, width) == (["dance 0"], 64)
    least, has, _ = under(half - 1)
    assert has == []
    assert least < half


def test_animations_that_are_little_of_a_large_base_stay(build: Build) -> None:
    built = build(make.dancing_arm(SHORT), settings=Settings(base_bytes=1_000))
    assert in_the_base(built) == ["dance 0"]
    assert any("over 1,000" in note for note in built.report.notes)


def test_a_file_moves_the_bases_nodes_as_the_source_does(build: Build, tmp_path: Path) -> None:
    maker = make.dancing_arm(LONG, SHORT)
    built = build(maker)
    source = read_model(make.save(maker, tmp_path, "again"))
    for number, wanted in enumerate(source.json["animations"]):
        file = apart(built, number)
        (animation,) = file.json["animations"]
        assert animation["name"] == wanted["name"]
        assert animation["channels"] == wanted["channels"]
        for channel in animation["channels"]:
            node = channel["target"]["node"]
            assert file.json["nodes"][node]["name"] == built.base[0]["nodes"][node]["name"]
        for ours, theirs in zip(animation["samplers"], wanted["samplers"], strict=True):
            assert ours.get("interpolation", "LINEAR") == theirs["interpolation"]
            assert np.array_equal(read_accessor(file, ours["input"], ""), read_accessor(source, theirs["input"], ""))
            values = read_accessor(source, theirs["output"], "")
            assert np.abs(read_accessor(file, ours["output"], "") - values).max() < 2**-15


def test_what_several_samplers_hold_is_stored_once(build: Build) -> None:
    maker = make.dancing_arm(50)
    maker.json["animations"].append({**maker.json["animations"][0], "name": "encore"})
    document, _ = build(maker).base
    first, encore = (animation["samplers"] for animation in document["animations"])
    assert first[0]["input"] == first[1]["input"]
    assert first[0]["output"] != first[1]["output"]
    assert encore == first


def test_the_files_are_valid_alone_whatever_they_move(build: Build) -> None:
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
    assert np.array_equal(
        read_accessor(apart(built, 0), apart(built, 0).json["animations"][0]["samplers"][0]["output"], ""),
        read_accessor(read_model(built.root.parent / "model.glb"), sampler["output"], ""),
    )


def test_an_animation_without_a_name_has_one_name_everywhere(build: Build) -> None:
    maker = make.dancing_arm(SHORT, LONG)
    for animation in maker.json["animations"]:
        del animation["name"]
    built = build(maker)
    assert in_the_base(built) == ["animation 0"]
    assert apart(built, 1).json["animations"][0]["name"] == "animation 1"
    assert [a["name"] for a in built.manifest["animations"]] == ["animation 0", "animation 1"]


def test_its_reach_is_how_far_it_moves_each_tree(build: Build, tmp_path: Path) -> None:
    """A still ball, and an arm: compared with the same poses taken by other code."""
    maker = make.dancing_arm(LONG, 60)
    positions, _, _, triangles = make.bumpy_sphere(8, 10)
    maker.node(mesh=maker.mesh(maker.primitive(positions, triangles)), name="ball")
    built = build(maker)
    still, arm = built.manifest["trees"]
    assert (still["kind"], arm["kind"]) == ("static", "skinned")
    source = read_model(make.save(maker, tmp_path, "again"))
    (node,) = arm["nodes"]
    vertices = source_vertices(source, source.json["nodes"][node]["mesh"])
    rest = Posed(source, None, 0).draw(node, vertices)
    for number, file in enumerate(keyframes(built)):
        assert file
        times = np.linspace(0, built.manifest["animations"][number]["duration"], 100)
        poses = [Posed(source, number, t).draw(node, vertices) for t in times]
        far = max(float(np.linalg.norm(pose - rest, axis=1).max()) for pose in poses)
        assert file["reach"] == [0, pytest.approx(far, rel=0.15)]


def test_what_an_extension_ties_to_the_base_stays_there(build: Build) -> None:
    maker = make.dancing_arm(LONG)
    maker.json["extensionsUsed"] = ["KHR_animation_pointer"]
    target = {"path": "pointer", "extensions": {"KHR_animation_pointer": {"pointer": "/nodes/0/rotation"}}}
    maker.json["animations"][0]["channels"][0]["target"] = target
    built = build(maker)
    assert in_the_base(built) == ["dance 0"]
    assert any("over 60,000" in note for note in built.report.notes)


def test_the_same_model_has_the_same_files(build: Build) -> None:
    maker = make.dancing_arm(LONG, LONG)
    assert keyframes(build(maker, "one")) == keyframes(build(maker, "two"))


def test_the_report_counts_them(build: Build) -> None:
    built = build(make.dancing_arm(LONG, LONG))
    (row,) = [row for row in built.report.rows if row.name == "animations"]
    assert (row.regions, row.bytes) == (2, sum(file["bytes"] for file in keyframes(built) if file))


@pytest.fixture(scope="module")
def dancer(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dancer")
    return build_file(make.save(make.dancing_arm(LONG), folder, "dancer"), folder / "build")


@pytest.fixture
def copy(dancer: Built, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dancer.root, tmp_path / "copy"))


def test_a_damaged_file_of_keyframes_is_found(dancer: Built, copy: Path) -> None:
    assert validate(copy).findings == ()
    (file,) = keyframes(dancer)
    assert file
    flip(copy / file["uri"])
    (finding,) = validate(copy).findings
    assert file["uri"] in finding.text
    (copy / file["uri"]).unlink()
    (finding,) = validate(copy).findings
    assert "is missing" in finding.text


def test_a_reach_that_is_not_one_for_each_tree_is_found(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["animations"][0]["keyframes"]["reach"].append(1))
    (finding,) = validate(copy).findings
    assert "reach" in finding.text


def test_a_base_with_animations_but_not_the_first_is_found(copy: Path) -> None:
    more = {"name": "more", "duration": 1, "keyframes": None}
    rewrite(copy, lambda manifest: manifest["animations"].append(more))
    (finding,) = validate(copy).findings
    assert "not the first" in finding.text


def test_a_model_whose_keyframes_are_gone_is_built_again(tmp_path: Path) -> None:
    source, bundle = tmp_path / "src", tmp_path / "build"
    source.mkdir()
    make.save(make.dancing_arm(LONG), source, "dancer")
    built = build_folder(source, bundle, Settings(), jobs=1).built
    (row,) = [row for row in built[0].rows if row.name == "animations"]
    (file,) = [f for f in (bundle / "o").rglob("*.glb") if f.stat().st_size == row.bytes]
    assert len(build_folder(source, bundle, Settings(), jobs=1).built) == 0
    file.unlink()
    assert len(build_folder(source, bundle, Settings(), jobs=1).built) == 1
    assert file.is_file()
