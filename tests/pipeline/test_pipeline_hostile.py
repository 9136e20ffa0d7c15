"""Every file ends as a valid bundle, or as a clear error that names the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.gltf.document import Json
from streamxr.pipeline.gltf.links import check_links
from streamxr.pipeline.gltf.sizes import check_sizes
from streamxr.pipeline.gltf.source_files import read_document
from streamxr.pipeline.trees.scene import read_scene

Change = Callable[[Json], object]


def document_of(folder: Path, change: Change) -> Path:
    maker = make.textured_sphere(8, 12)
    change(maker.json)
    return make.save(maker, folder, "model")


def read(path: Path) -> None:
    document = read_document(path)
    check_links(document.json)
    check_sizes(document)
    read_scene(document)


def put(*path: Any) -> Change:
    """A change that sets json[path[0]][path[1]]… to the last argument."""

    def change(document: Json) -> None:
        holder: Any = document
        for key in path[:-2]:
            holder = holder[key]
        holder[path[-2]] = path[-1]

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
def test_positions_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    maker = make.Maker()
    positions = np.eye(3, dtype="<f4")
    primitive = maker.primitive(positions, np.array([[0, 1, 2]]))
    maker.node(mesh=maker.mesh(primitive, name="bad"))
    view = maker.json["bufferViews"][0]
    maker.chunk[view["byteOffset"] + 12 : view["byteOffset"] + 16] = np.array(value, "<f4").tobytes()
    with pytest.raises(ModelError, match=r'mesh 0 "bad", POSITION.*element 1 '):
        read(make.save(maker, tmp_path, "model"))


def test_texture_coordinates_that_repeat_a_picture_too_often_are_named(tmp_path: Path) -> None:
    maker = make.Maker()
    uv = np.array([[0, 0], [1, 3e38], [0, 1]], "<f4")
    primitive = maker.primitive(np.eye(3, dtype="<f4"), np.array([[0, 1, 2]]), TEXCOORD_0=uv)
    maker.node(mesh=maker.mesh(primitive, name="wall"))
    with pytest.raises(ModelError, match=r'mesh 0 "wall".*TEXCOORD_0 reaches 3e\+38.*unwrap'):
        read(make.save(maker, tmp_path, "model"))


def test_an_index_past_the_end_is_named(tmp_path: Path) -> None:
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(np.eye(3, dtype="<f4"), np.array([[0, 1, 70123]])), name="seat"))
    with pytest.raises(ModelError, match=r'mesh 0 "seat".*index 70,123 .* past the end of its 3 vertices'):
        read(make.save(maker, tmp_path, "model"))


@pytest.mark.parametrize(
    "uri", ["../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "http://example.com/a.bin", "a\u0000b", 7]
)
def test_a_uri_cannot_leave_the_folder(tmp_path: Path, uri: object) -> None:
    path = tmp_path / "model.gltf"
    path.write_text(json.dumps({"asset": {"version": "2.0"}, "buffers": [{"uri": uri, "byteLength": 1}]}))
    with pytest.raises(ModelError, match="buffer 0"):
        read(path)


def test_a_symbolic_link_cannot_leave_the_folder(tmp_path: Path) -> None:
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
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "model.glb"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        build_file(path, tmp_path / "build", sound=False)
    assert problem in str(caught.value)


ASSET = '"asset":{"version":"2.0"}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"asset":{"version":"2.0","x":"\xff"}}', "not UTF-8 at byte 31"),
        (f"{{{ASSET}}}".encode("utf-16"), "not UTF-8 at byte 0"),
        (f"\ufeff{{{ASSET}}}".encode(), "no mesh"),  # glTF forbids the byte order mark, but every reader skips it
        (f"{{{ASSET},{ASSET}}}".encode(), "'asset' twice in one object"),
        (f'{{{ASSET},"extras":1e999}}'.encode(), "not a finite number"),
        (f'{{{ASSET},"extras":-Infinity}}'.encode(), "not a finite number"),
        (f'{{{ASSET},"extras":{"9" * 5000}}}'.encode(), "a number of 5,000 digits"),
        (f'{{{ASSET},"scene":-0,"scenes":[{{}}]}}'.encode(), "no mesh"),
        (f'{{{ASSET},"extras":"\\ud800"}}'.encode(), "half a surrogate pair"),
        (b"[" * 100_000 + b"]" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (f'{{{ASSET},"extras":[{"[]," * (1 << 23)}0]}}'.encode(), "values"),
    ],
)
def test_json_that_readers_interpret_differently_is_refused(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "model.gltf"
    path.write_bytes(text)
    with pytest.raises(ModelError, match=problem):
        read(path)


@pytest.mark.parametrize(
    "uri", ["..\\..\\etc\\passwd", "file:///etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "", ".", "a" * 5000]
)
def test_a_uri_names_a_file_beside_the_model(tmp_path: Path, uri: str) -> None:
    path = tmp_path / "model.gltf"
    path.write_text(json.dumps({"asset": {"version": "2.0"}, "buffers": [{"uri": uri, "byteLength": 1}]}))
    with pytest.raises(ModelError, match=r"buffer 0: .*(put the file beside the model|not a file name|cannot be read)"):
        read(path)


@pytest.mark.parametrize("name", ["\x1b[31mred\nnew line\u202e", "x" * 1_000_000])
def test_messages_are_one_short_line_for_any_name_in_the_file(tmp_path: Path, name: str) -> None:
    path = document_of(tmp_path, lambda document: document["meshes"][0].update(name=name, primitives=7))
    with pytest.raises(ModelError) as caught:
        read(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def repeat_meshes(document: Json) -> None:
    """Ten thousand meshes with the same accessors, each drawn once."""
    document["meshes"] *= 10_000
    document["nodes"] = [{"mesh": index} for index in range(10_000)]
    document["scenes"][0]["nodes"] = list(range(10_000))


def overlap_accessors(document: Json) -> None:
    document["accessors"] += [dict(document["accessors"][0]) for _ in range(20_000)]
    document["meshes"][0]["primitives"] += [{"mode": 0, "attributes": {"POSITION": 8 + i}} for i in range(20_000)]


def repeat_targets(document: Json) -> None:
    primitive = document["meshes"][0]["primitives"][0]
    primitive["targets"] = [{"POSITION": primitive["attributes"]["POSITION"]}] * 20_000


def repeat_primitives(document: Json) -> None:
    document["meshes"][0]["primitives"] *= 20_000


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (repeat_meshes, "meshes: declare .* triangles"),
        (repeat_primitives, "meshes: declare .* triangles"),
        (overlap_accessors, "accessors: describe .* bytes of buffers of"),
        (repeat_targets, "meshes: declare .* moved vertices"),
        (put("accessors", 0, "sparse", {"count": 2**31, "indices": {"bufferView": 0, "componentType": 5121},
                                        "values": {"bufferView": 0}}), "2,147,483,648 sparse values"),
    ],
)  # fmt: skip
def test_a_small_file_cannot_declare_an_immense_model(tmp_path: Path, change: Change, problem: str) -> None:
    maker = make.textured_sphere(60, 90, picture=16)
    change(maker.json)
    with pytest.raises(ModelError, match=problem):
        read(make.save(maker, tmp_path, "model"))


def test_nodes_may_be_numerous_but_not_cyclic_or_too_deep(tmp_path: Path) -> None:
    def add_nodes(count: int, *, chain: bool) -> Change:
        def change(document: Json) -> None:
            first = len(document["nodes"])
            added = [{"children": [first + i + 1]} if chain else {"translation": [i, 0, 0]} for i in range(count - 1)]
            document["nodes"] += [*added, {"mesh": 0}]
            document["scenes"][0]["nodes"] = [first] if chain else list(range(first, first + count))

        return change

    read(document_of(tmp_path, add_nodes(50_000, chain=False)))
    with pytest.raises(ModelError, match="node 1001: is more than 1,000 levels deep"):
        read(document_of(tmp_path, add_nodes(100_000, chain=True)))
    with pytest.raises(ModelError, match="node 1: is reached twice"):  # even if no scene contains them
        read(document_of(tmp_path, lambda document: document["nodes"].extend([{"children": [2]}, {"children": [1]}])))


def test_thousands_of_coincident_faces_and_corners_are_built(build: Callable[..., Built]) -> None:
    maker = make.Maker()
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], "<f4")
    triangles = np.tile([[0, 1, 2], [0, 2, 3]], (4000, 1))
    uv = np.zeros((4, 2), "<f4")
    maker.node(mesh=maker.mesh(maker.primitive(corners, triangles, NORMAL=corners, TEXCOORD_0=uv, TEXCOORD_1=uv)))
    assert build(maker).report.entry["triangles"] == 8000
