"""Formats other than plain glTF become a glTF document, or a clear error."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file, khronos_errors
from fuzz_seeds import compressed_sphere
from reading import read_surface
from stl_maker import ascii_stl, binary_stl
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats.model import read_model, source_sha256
from streamxr.pipeline.gltf.accessors import read_accessor
from streamxr.pipeline.gltf.document import DRACO
from streamxr.pipeline.gltf.source_files import read_document
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.scene import read_scene

CUBE = """mtllib box.mtl
o box
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl side
f 1/1 4/4 3/3 2/2
f 5/1 6/2 7/3 8/4
f 1/1 2/2 6/3 5/4
f 2/1 3/2 7/3 6/4
usemtl glass
f -5/1 -1/2 -2/3 -6/4
f 4/1 1/2 5/3 8/4
"""
MTL = """newmtl side
Kd 1 1 1
map_Kd -s 1 1 1 bricks wall.png
newmtl glass
Kd 0.5 0.5 0.5
d 0.25
Ns 98
"""


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "box.mtl").write_text(MTL)
    (tmp_path / "bricks wall.png").write_bytes(make.png(make.noise(64)))
    (tmp_path / "box.obj").write_text(CUBE)
    return tmp_path / "box.obj"


def test_an_obj_keeps_its_shape_materials_and_pictures(box: Path, tmp_path: Path) -> None:
    built = build_file(box, tmp_path / "build")
    base: dict[str, Any] = built.base[0]
    assert [m["name"] for m in base["materials"]] == ["side", "glass"]
    assert base["materials"][1]["alphaMode"] == "BLEND"
    # sRGB 0.5 is 0.214 in linear light.
    assert base["materials"][1]["pbrMetallicRoughness"]["baseColorFactor"] == pytest.approx(
        [0.2158, 0.2158, 0.2158, 0.25], abs=1e-3
    )
    assert base["materials"][1]["pbrMetallicRoughness"]["roughnessFactor"] == pytest.approx(0.376, abs=1e-3)
    assert base["images"][0]["name"] == "bricks wall.png"
    assert built.report.entry["triangles"] == 12
    assert khronos_errors(sorted((tmp_path / "build" / "o").rglob("*.glb"))) == {}
    shape = read_surface(box)
    assert np.ptp(shape.positions, axis=0).tolist() == [1, 1, 1]
    # In glTF v points down.
    assert sorted(set(shape.uv[:, :, 1].reshape(-1).tolist())) == [0.0, 1.0]


def test_faces_without_normals_are_smooth_over_shallow_edges_and_hard_over_sharp_ones(box: Path) -> None:
    (tree,) = read_scene(read_model(box)).trees
    normals = tree.source.corners("NORMAL")
    assert np.allclose(np.abs(normals).max(axis=2), 1)  # a cube's faces are flat

    positions, _, _, triangles = make.bumpy_sphere(24, 32, bump=0)
    lines = [f"v {x} {y} {z}" for x, y, z in positions] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles]
    (box.parent / "ball.obj").write_text("\n".join(lines))
    (tree,) = read_scene(read_model(box.parent / "ball.obj")).trees
    corners = tree.source.surface.positions[tree.source.surface.triangles]
    cosine = (tree.source.corners("NORMAL") * corners).sum(axis=2) / np.linalg.norm(corners, axis=2)
    assert cosine.min() > 0.99


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v 0 0\n", 'line 1: "v 0 0" cannot be read'),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", 'line 4: "f 1 2 4"'),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", "line 4"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 0\n", "line 4"),
        ("v 0 0 0\nv 1 0 zero\n", "line 2"),
        ("v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", "vertex 2 is not a finite position"),
        ("v 0 0 0\nv 1e39 0 0\nv 0 1 0\nf 1 2 3\n", "vertex 2 is not a finite position"),
        ("# nothing\n", "holds no face"),
        ("mtllib ../../etc/passwd\nv 0 0 0\n", "leaves the model's folder"),
        ("mtllib /etc/passwd\nv 0 0 0\n", "leaves the model's folder"),
    ],
)
def test_a_broken_obj_names_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "bad.obj"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert expected in str(caught.value)


def test_a_missing_picture_is_an_error_and_a_missing_library_a_note(box: Path) -> None:
    (box.parent / "bricks wall.png").unlink()
    with pytest.raises(ModelError, match=r'box.mtl, line 3: "bricks%20wall.png" is missing|"bricks wall.png"'):
        read_model(box)
    (box.parent / "box.mtl").unlink()
    document = read_model(box)
    assert document.notes == ("box.mtl is missing: its materials are plain",)
    assert [m["name"] for m in document.json["materials"]] == ["side", "glass"]


def test_the_hash_covers_every_file(box: Path) -> None:
    before = source_sha256(box)
    assert before == read_model(box).sha256
    (box.parent / "bricks wall.png").write_bytes(make.png(make.noise(64, seed=1)))
    assert source_sha256(box) == read_model(box).sha256 != before


def write_ply(path: Path, *, faces: bool = True, colors: bool = True, header: Callable[[str], str] = str) -> Path:
    positions, _, _, triangles = make.bumpy_sphere(10, 14)
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(positions)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"property uchar {c}" for c in ("red", "green", "blue")] if colors else []
    lines += [f"element face {len(triangles)}", "property list uchar int vertex_indices"] if faces else []
    text = header("\n".join([*lines, "end_header", ""]))
    body = b"".join(struct.pack("<3f", *p) + (bytes([255, 128, 0]) if colors else b"") for p in positions.astype(float))
    body += b"".join(struct.pack("<B3i", 3, *t) for t in triangles.tolist()) if faces else b""
    path.write_bytes(text.encode() + body)
    return path


def test_a_ply_keeps_its_colours_in_linear_light_and_gets_smooth_normals(tmp_path: Path) -> None:
    (tree,) = read_scene(read_model(write_ply(tmp_path / "ball.ply"))).trees
    assert tree.source.corners("COLOR_0").reshape(-1, 3)[0] == pytest.approx([1, 0.2158, 0], abs=1e-3)
    corners = tree.source.surface.positions[tree.source.surface.triangles]
    assert ((tree.source.corners("NORMAL") * corners).sum(axis=2) > 0.8).all()
    built = build_file(tmp_path / "ball.ply", tmp_path / "build")
    assert "COLOR_0" in built.base[0]["meshes"][0]["primitives"][0]["attributes"]


def test_a_point_cloud_passes_through(tmp_path: Path) -> None:
    built = build_file(write_ply(tmp_path / "cloud.ply", faces=False), tmp_path / "build")
    (primitive,) = built.base[0]["meshes"][0]["primitives"]
    assert primitive["mode"] == 0
    assert built.base[0]["accessors"][primitive["attributes"]["POSITION"]]["count"] == 11 * 15


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda h: h.replace("vertex 165", "vertex 999999999999"), "declares elements of"),
        (lambda h: h.replace("face 252", "face 90000"), "declares elements of"),
        (lambda h: h.replace("ply\n", "plx\n", 1), "not a PLY file"),
        (lambda h: h.replace("end_header", "end"), "its header has no end"),
        (lambda h: h.replace("vertex 165", "vertex many"), "does not declare a number"),
        (lambda h: h.replace("float x", "quad x"), "is not a property"),
    ],
)
def test_a_broken_ply_header_is_refused(tmp_path: Path, change: Callable[[str], str], expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        read_model(write_ply(tmp_path / "bad.ply", header=change))


def test_binary_and_ascii_stl_are_the_same_model(tmp_path: Path) -> None:
    positions, _, _, triangles = make.bumpy_sphere(10, 14)
    corners = positions[triangles]
    (tmp_path / "binary.stl").write_bytes(binary_stl(corners))
    (tmp_path / "ascii.stl").write_bytes(ascii_stl(corners))
    one, other = (read_surface(tmp_path / name) for name in ("binary.stl", "ascii.stl"))
    assert np.array_equal(one.positions, other.positions)
    assert np.array_equal(one.triangles, other.triangles)
    assert len(one.triangles) == len(triangles)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (binary_stl(np.ones((2, 3, 3)), count=5_000_000), "declares 5,000,000 triangles but only 2 are there"),
        (b"solid x\nvertex 1 2 3\nvertex 1 2 3\n", "not three for each triangle"),
        (b"solid x\nvertex 1 2 x\nvertex 1 2 3\nvertex 1 2 3\n", '"1 2 x" are not three numbers'),
        (binary_stl(np.full((1, 3, 3), np.nan)), "is not a finite position"),
        (b"hello", "not an STL file"),
        (binary_stl(np.zeros((0, 3, 3))), "holds no triangle"),
    ],
)
def test_a_broken_stl_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "bad.stl").write_bytes(content)
    with pytest.raises(ModelError, match=expected):
        read_model(tmp_path / "bad.stl")


def test_unit_and_up_axis_apply_to_formats_that_state_none(tmp_path: Path) -> None:
    (tmp_path / "a.stl").write_bytes(binary_stl(np.array([[[0, 0, 0], [1000, 0, 0], [0, 2000, 3000]]], float)))
    shape = read_surface(tmp_path / "a.stl", unit="mm", up="z")
    assert shape.positions.max(axis=0) == pytest.approx([1, 3, 0], abs=1e-6)
    assert shape.positions.min(axis=0) == pytest.approx([0, 0, -2], abs=1e-6)
    built = build_file(tmp_path / "a.stl", tmp_path / "build", Settings(unit="mm"))
    assert built.manifest["settings"]["unit"] == "mm"


def compressed(change: Callable[[dict[str, Any]], object] = lambda _: None) -> make.Maker:
    """A sphere whose only geometry is a Draco stream, after a change to its primitive."""
    maker = compressed_sphere(20, 30)
    change(maker.json["meshes"][0]["primitives"][0])
    return maker


def test_draco_compressed_input_is_decoded(tmp_path: Path, build: Callable[..., Built]) -> None:
    path = make.save(compressed(), tmp_path, "packed")
    document = read_model(path)
    positions = read_accessor(document, document.json["meshes"][0]["primitives"][0]["attributes"]["POSITION"], "")
    assert np.abs(np.linalg.norm(positions, axis=1) - 1).max() < 0.06
    assert "extensionsRequired" not in document.json
    assert build(compressed(), "built").report.entry["triangles"] == 20 * 30 * 2 - 60


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p["extensions"][DRACO]["attributes"].update(POSITION=77), "has no attribute 77"),
        (lambda p: p["extensions"][DRACO].update(bufferView=9), "points at bufferViews"),
        (lambda p: p["extensions"][DRACO].update(attributes={"COLOR_0": 1}), "not among the primitive's"),
        (lambda p: p.update(mode=1), "only triangles"),
    ],
)
def test_a_broken_draco_primitive_is_refused(tmp_path: Path, change: Any, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        read_model(make.save(compressed(change), tmp_path, "bad"))


def test_a_damaged_draco_stream_is_refused(tmp_path: Path) -> None:
    maker = compressed()
    maker.chunk[:200] = bytes(200)
    with pytest.raises(ModelError, match="cannot be decoded"):
        read_model(make.save(maker, tmp_path, "bad"))
    assert read_document(make.save(compressed(), tmp_path, "good")).json["extensionsUsed"] == [DRACO]
