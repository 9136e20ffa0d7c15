"""PLY and STL files as scanners and CAD programs write them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import build_file
from reading import read_surface
from stl_maker import binary_stl
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.trees.scene import read_scene

AXES = "property float x\nproperty float y\nproperty float z\n"
SQUARE = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n"
FACE = "element face 1\nproperty list uchar int vertex_indices\n"
TWO = FACE.replace("1", "2", 1)


def ply_of(folder: Path, vertex: str, elements: str, body: str | bytes, form: str = "ascii", count: int = 4) -> Path:
    header = f"ply\nformat {form} 1.0\ncomment made by hand\nelement vertex {count}\n{vertex}{elements}end_header\n"
    (folder / "a.ply").write_bytes(header.encode() + (body.encode() if isinstance(body, str) else body))
    return folder / "a.ply"


def packed(order: str, counts: str = "B") -> bytes:
    corners = b"".join(struct.pack(order + "3f", *p) for p in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)])
    return corners + struct.pack(f"{order}{counts}4i", 4, 0, 1, 3, 2)


@pytest.mark.parametrize(
    ("form", "elements", "body"),
    [
        ("ascii", FACE, SQUARE + "4 0 1 3 2\n"),
        ("ascii", FACE.replace("indices", "index"), SQUARE + "4 0 1 3 2\n"),
        ("ascii", TWO, SQUARE + "3 0 1 3\n3 0 3 2\n"),
        ("ascii", FACE.replace("face", "tristrips"), SQUARE + "4 0 1 2 3\n"),
        ("ascii", FACE.replace("face", "tristrips"), SQUARE + "9 0 1 2 -1 1 3 2 -1 -1\n"),
        ("ascii", f"{FACE}property list uchar float texcoord\n", SQUARE + "4 0 1 3 2 2 0.5 0.5\n"),
        ("ascii", f"element camera 1\nproperty list char float view\n{FACE}", SQUARE + "2 7 7\n4 0 1 3 2\n"),
        ("binary_little_endian", FACE, packed("<")),
        ("binary_big_endian", FACE, packed(">")),
        ("binary_big_endian", FACE.replace("uchar", "uint"), packed(">", "I")),
        ("binary_little_endian", TWO, packed("<")[:48] + struct.pack("<B3iB3i", 3, 0, 1, 3, 3, 0, 3, 2)),
        ("binary_little_endian", TWO, packed("<") + struct.pack("<B2i", 2, 0, 1)),
    ],
)  # fmt: skip
def test_every_form_of_ply_gives_the_same_square(tmp_path: Path, form: str, elements: str, body: Any) -> None:
    shape = read_surface(ply_of(tmp_path, AXES, elements, body, form))
    normals, area = face_normals(shape.positions, shape.triangles)
    assert len(area) == 2
    assert area.sum() == pytest.approx(1)
    assert (normals[:, 2] == 1).all()


@pytest.mark.parametrize(
    ("kind", "names", "value"),
    [
        ("uchar", "red green blue", "255 128 0"),
        ("uchar", "r g b", "255 128 0"),
        ("uchar", "diffuse_red diffuse_green diffuse_blue", "255 128 0"),
        ("ushort", "red green blue", "65535 32896 0"),
        ("float", "red green blue", "1 0.50196 0"),
        ("float", "red green blue", "255 128 0"),
    ],
)
def test_ply_colours_of_every_type_are_read(tmp_path: Path, kind: str, names: str, value: str) -> None:
    vertex = AXES + "".join(f"property {kind} {name}\n" for name in names.split())
    body = "".join(f"{line} {value}\n" for line in SQUARE.splitlines()) + "4 0 1 3 2\n"
    (tree,) = read_scene(read_model(ply_of(tmp_path, vertex, FACE, body))).trees
    assert tree.source.corners("COLOR_0").reshape(-1, 3) == pytest.approx(np.tile([1, 0.2158, 0], (6, 1)), abs=1e-3)


def test_colours_of_ply_faces_are_kept(tmp_path: Path) -> None:
    colors = "".join(f"property uchar {c}\n" for c in ("red", "green", "blue"))
    path = ply_of(tmp_path, AXES, FACE + colors, SQUARE + "4 0 1 3 2 255 0 0\n")
    (tree,) = read_scene(read_model(path)).trees
    assert tree.source.corners("COLOR_0").reshape(-1, 3).tolist() == [[1, 0, 0]] * 6


def test_edges_of_a_ply_without_faces_become_lines(tmp_path: Path) -> None:
    edges = "element edge 2\nproperty int vertex1\nproperty int vertex2\n"
    built = build_file(ply_of(tmp_path, AXES, edges, SQUARE + "0 1\n2 3\n"), tmp_path / "build")
    (primitive,) = built.base[0]["meshes"][0]["primitives"]
    assert primitive["mode"] == 1
    assert built.base[0]["accessors"][primitive["attributes"]["POSITION"]]["count"] == 4


def test_unused_vertices_of_a_ply_are_reported(tmp_path: Path) -> None:
    path = ply_of(tmp_path, AXES, FACE, "9 9 9\n" + SQUARE + "4 1 2 4 3\n", count=5)
    document = read_model(path)
    assert document.notes == ("1 vertex that no face uses is left out",)
    assert read_surface(path).positions.max() == 1


@pytest.mark.parametrize(
    ("elements", "body", "expected"),
    [
        (FACE, SQUARE + "4 0 1 3 9\n", "face 1: names vertex 9 of 4"),
        (FACE, SQUARE + "4 0 1 3 -2\n", "face 1: names vertex -2 of 4"),
        (FACE, SQUARE + "9 0 1 3\n", "element face: ends before its last value"),
        (FACE, SQUARE + "4 0 1 3 x\n", "has text that is not a number"),
        (FACE, SQUARE.replace("1 1 0", "1 nan 0") + "4 0 1 3 2\n", "not a finite position"),
        (FACE.replace("uchar", "float"), SQUARE, "has a length that is not an integer"),
        ("element face 1\n", SQUARE + "4\n", "element face has no property"),
    ],
)
def test_a_broken_ply_body_is_refused(tmp_path: Path, elements: str, body: str, expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_model(ply_of(tmp_path, AXES, elements, body))
    assert expected in str(caught.value)


@pytest.mark.parametrize("cut", [30, 55, 61])
def test_a_truncated_binary_ply_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(ModelError, match="truncated"):
        read_model(ply_of(tmp_path, AXES, FACE, packed("<")[:cut], "binary_little_endian"))


def test_a_binary_stl_may_begin_with_solid(tmp_path: Path) -> None:
    content = binary_stl(np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]]], float))
    for tail in (b"", b"trailing"):
        (tmp_path / "a.stl").write_bytes(b"solid thing, exported" + content[21:] + tail)
        assert len(read_surface(tmp_path / "a.stl").triangles) == 1


@pytest.mark.parametrize(
    ("header", "attributes", "expected"),
    [
        (b"", [0, 0], None),
        (b"", [0x8000 | 31 << 10, 0x8000 | 31], [[1, 0, 0], [0, 0, 1]]),
        (b"", [0x8000 | 31 << 10, 0], [[1, 0, 0], [1, 1, 1]]),
        (b"x COLOR=\x00\xff\x00\xff", [31, 0x8000], [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_stl_colours_of_both_conventions_are_read(
    tmp_path: Path, header: bytes, attributes: list[int], expected: list[list[float]] | None
) -> None:
    corners = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 0, 1], [0, 1, 1]]], float)
    content = bytearray(header.ljust(80, b"\0") + binary_stl(corners)[80:])
    for number, attribute in enumerate(attributes):
        struct.pack_into("<H", content, 84 + 50 * number + 48, attribute)
    (tmp_path / "a.stl").write_bytes(content)
    (tree,) = read_scene(read_model(tmp_path / "a.stl")).trees
    source = tree.source
    assert (source.corners("COLOR_0")[:, 0].tolist() if "COLOR_0" in source.attributes else None) == expected
