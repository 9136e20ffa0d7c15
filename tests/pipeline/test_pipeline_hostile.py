"""Whatever is in a file, it ends as a clear error that names the place, or as a good bundle."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import build_file
from streamxr.pipeline.document import MAX_JSON_DEPTH, Json, read_document
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.scene import read_scene
from streamxr.pipeline.validate import validate

Change = Callable[[Json], object]


def document_of(folder: Path, change: Change) -> Path:
    maker = make.textured_sphere(8, 12)
    change(maker.json)
    return make.save(maker, folder, "model")


def read(path: Path) -> None:
    read_scene(read_document(path))


def put(*way: Any) -> Change:
    """A change that sets json[way[0]][way[1]]… to the last value."""

    def change(document: Json) -> None:
        holder: Any = document
        for key in way[:-2]:
            holder = holder[key]
        holder[way[-2]] = way[-1]

    return change


PRIMITIVE = ("meshes", 0, "primitives", 0)


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (put("nodes", 0, "mesh", 7), 'node 0 "ball"', "meshes[7]"),
        (put("nodes", 0, "mesh", -1), 'node 0 "ball"', "meshes[-1]"),
        (put("nodes", 0, "mesh", True), 'node 0 "ball"', "meshes[True]"),
        (put("nodes", 0, "children", [0]), 'node 0 "ball"', "reached twice"),
        (put("nodes", 0, "children", ["x"]), 'node 0 "ball"', "nodes['x']"),
        (put("nodes", 0, "scale", [1, 2]), "scale", "3 finite numbers"),
        (put(*PRIMITIVE, "indices", 99), "indices", "accessors[99]"),
        (put(*PRIMITIVE, "material", 9), 'mesh 0 "sphere"', "materials[9]"),
        (put(*PRIMITIVE, "mode", 12), "primitive 0", "mode 12"),
        (put(*PRIMITIVE, "attributes", {}), "primitive 0", "no POSITION"),
        (put("accessors", 0, "count", 10**9), "accessor 0", "more than any real model"),
        (put("accessors", 0, "count", 10**6), "accessor 0", "needs"),
        (put("accessors", 0, "count", "3"), "accessor 0", "count"),
        (put("accessors", 0, "componentType", 5124), "accessor 0", "unknown componentType"),
        (put("accessors", 0, "bufferView", 50), "accessor 0", "bufferViews[50]"),
        (put("bufferViews", 1, "byteLength", 10**8), "bufferView", "ends at byte"),
        (put("bufferViews", 1, "buffer", 4), "bufferView", "buffers[4]"),
        (
            put("materials", 0, "pbrMetallicRoughness", "baseColorTexture", "index", 5),
            'material 0 "skin"',
            "textures[5]",
        ),
        (put("extensionsRequired", ["EXT_meshopt_compression"]), "", "EXT_meshopt_compression"),
        (put("asset", {"version": "1.0"}), "", "version"),
        (put("meshes", {}), "meshes", "array"),
    ],
)
def test_a_broken_document_is_refused_by_place(tmp_path: Path, change: Change, place: str, problem: str) -> None:
    path = document_of(tmp_path, change)
    with pytest.raises(ModelError) as caught:
        build_file(path, tmp_path / "build", sound=False)
    assert place in caught.value.place
    assert problem in caught.value.problem


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_positions_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    maker = make.Maker()
    positions = np.eye(3, dtype="<f4")
    primitive = maker.primitive(positions, np.array([[0, 1, 2]]))
    maker.node(mesh=maker.mesh(primitive, name="bad"))
    view = maker.json["bufferViews"][0]
    maker.chunk[view["byteOffset"] + 12 : view["byteOffset"] + 16] = np.array(value, "<f4").tobytes()
    with pytest.raises(ModelError, match=r'mesh 0 "bad", POSITION.*element 1 '):
        read(make.save(maker, tmp_path, "model"))


def test_an_index_past_the_end_is_named(tmp_path: Path) -> None:
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(np.eye(3, dtype="<f4"), np.array([[0, 1, 70123]])), name="seat"))
    with pytest.raises(ModelError, match=r'mesh 0 "seat".*index 70,123 .* past the end of its 3 vertices'):
        read(make.save(maker, tmp_path, "model"))


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.gltf"
    path.write_text('{"asset":{"version":"2.0"},"extras":' + "[" * 5 * MAX_JSON_DEPTH + "]" * 5 * MAX_JSON_DEPTH + "}")
    with pytest.raises(ModelError, match="nested"):
        read(path)


@pytest.mark.parametrize(
    "uri", ["../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "http://example.com/a.bin", "a\u0000b", 7]
)
def test_a_uri_cannot_leave_the_folder(tmp_path: Path, uri: object) -> None:
    path = tmp_path / "model.gltf"
    path.write_text(json.dumps({"asset": {"version": "2.0"}, "buffers": [{"uri": uri, "byteLength": 1}]}))
    with pytest.raises(ModelError, match="buffer 0"):
        read(path)


def test_a_link_cannot_leave_the_folder_either(tmp_path: Path) -> None:
    outside = tmp_path / "secret.bin"
    outside.write_bytes(b"secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.bin").symlink_to(outside)
    (inside / "model.gltf").write_text(
        json.dumps({"asset": {"version": "2.0"}, "buffers": [{"uri": "a.bin", "byteLength": 6}]})
    )
    with pytest.raises(ModelError, match="leaves the model's folder"):
        read(inside / "model.gltf")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a GLB file"),
        (b"hello", "not a GLB file"),
        (b"glTF" + bytes(16), "version 0"),
        (make.textured_sphere(8, 12).glb()[:-100], "truncated"),
        (make.pack({}, b""), "asset.version"),
        (make.pack({"asset": {"version": "2.0"}}, b""), "no mesh"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "model.glb"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        build_file(path, tmp_path / "build", sound=False)
    assert problem in str(caught.value)


MAKERS: list[Callable[[], make.Maker]] = [
    lambda: make.textured_sphere(8, 12, picture=16),
    make.skinned_strip,
    make.morphing_quad,
]
ODD = [None, True, -1, 0, 1, 3.5, 2**31, 10**30, "x", [], {}, [1, 2], [None], {"index": 0}, float("1e308")]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change a few values of the JSON or a few bytes of the chunk."""
    document, chunk = make.unpack(content)
    if rng.random() < 0.25:
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        return bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.2 else damaged)
    for _ in range(rng.randint(1, 3)):
        holder: Any = document
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(holder[key], dict | list) and rng.random() < 0.8:
                holder = holder[key]
                continue
            if rng.random() < 0.2:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(rng.choice(ODD))
            break
    return make.pack(document, chunk)


@pytest.mark.parametrize("seed", range(6))
def test_mutated_models_end_as_a_clear_error_or_a_valid_bundle(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"error": 0, "built": 0}
    for number in range(100):
        path = tmp_path / f"m{number}.glb"
        path.write_bytes(mutate(rng.choice(MAKERS)().glb(), rng))
        try:
            build_file(path, tmp_path / "build", sound=False)
            outcomes["built"] += 1
        except ModelError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 0
    assert validate(tmp_path / "build").findings == ()
