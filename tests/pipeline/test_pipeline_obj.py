"""OBJ and MTL files as exporters write them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import build_file
from PIL import Image
from reading import read_surface
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.trees.scene import read_scene

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3\n"


def material_of(folder: Path, statements: str, pictures: dict[str, np.ndarray[Any, Any]]) -> Document:
    """The document of an OBJ of one triangle, with one material and these pictures."""
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(make.png(pixels))
    (folder / "m.mtl").write_text(f"newmtl m\n{statements}")
    (folder / "m.obj").write_text("mtllib m.mtl\n" + TRIANGLE)
    return read_model(folder / "m.obj")


def pixels_of(document: Document, info: dict[str, Any]) -> np.ndarray[Any, Any]:
    image = document.json["textures"][info["index"]]["source"]
    return np.asarray(Image.open(io.BytesIO(document.image_files[image])))


GREY = np.full((4, 4, 3), 100, np.uint8)


@pytest.mark.parametrize(
    "written",
    [
        "tex/wall.png",
        "tex\\wall.png",
        "./tex/wall.png",
        "TEX/Wall.PNG",
        "C:\\Users\\ada\\tex\\wall.png",
        "/home/ada/wall.png",
        '"tex/wall.png"',
    ],
)
def test_a_picture_is_found_by_every_form_of_its_path(tmp_path: Path, written: str) -> None:
    place = "wall.png" if "ada" in written else "tex/wall.png"
    document = material_of(tmp_path, f"map_Kd {written}\n", {place: GREY})
    info = document.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    assert np.array_equal(pixels_of(document, info), GREY)
    assert document.json["images"][0]["name"].lower() == "wall.png"


def test_a_picture_may_be_beside_its_library_or_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "near.png").write_bytes(make.png(GREY))
    (tmp_path / "far.png").write_bytes(make.png(GREY + 1))
    (tmp_path / "lib" / "m.mtl").write_text("newmtl m\nmap_Kd near.png\nmap_Ke far.png\n")
    (tmp_path / "m.obj").write_text("mtllib lib/m.mtl\n" + TRIANGLE)
    assert len(read_model(tmp_path / "m.obj").json["images"]) == 2


def test_map_options_become_a_texture_transform(tmp_path: Path) -> None:
    document = material_of(tmp_path, "map_Kd -s 2 3 1 -o 0.5 0.25 -bm 0.3 my wall.png\n", {"my wall.png": GREY})
    info = document.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    # The OBJ samples at (2 u + 0.5, 3 v + 0.25). In glTF v points down, before and after the transform.
    transform = {"scale": [2.0, 3.0], "offset": [0.5, 1 - 3 - 0.25]}
    assert info["extensions"] == {"KHR_texture_transform": transform}
    assert document.json["extensionsUsed"] == ["KHR_texture_transform"]


def test_opacity_roughness_and_metalness_pictures_become_channels(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(0, 240, 15, dtype=np.uint8), 16).reshape(16, 16)
    pictures = {"c.png": make.noise(16), "d.png": rows, "r.png": rows.T, "m.png": 255 - rows}
    document = material_of(tmp_path, "map_Kd c.png\nmap_d d.png\nmap_Pr r.png\nmap_Pm m.png\n", pictures)
    material = document.json["materials"][0]
    pbr = material["pbrMetallicRoughness"]
    color = pixels_of(document, pbr["baseColorTexture"])
    assert np.array_equal(color[:, :, :3], pictures["c.png"])
    assert np.array_equal(color[:, :, 3], rows)
    assert material["alphaMode"] == "BLEND"
    packed = pixels_of(document, pbr["metallicRoughnessTexture"])
    assert np.array_equal(packed[:, :, 1], rows.T)
    assert np.array_equal(packed[:, :, 2], 255 - rows)
    assert (pbr["metallicFactor"], pbr["roughnessFactor"]) == (1, 1)


def test_a_black_and_white_opacity_picture_becomes_a_mask(tmp_path: Path) -> None:
    leaf = np.where(make.noise(16, channels=1)[:, :, 0] > 128, 255, 0)
    document = material_of(tmp_path, "map_d leaf.png\n", {"leaf.png": leaf})
    assert document.json["materials"][0]["alphaMode"] == "MASK"


def test_a_bump_picture_is_a_normal_map_only_if_it_is_blue(tmp_path: Path) -> None:
    blue = np.full((4, 4, 3), [128, 128, 255], np.uint8)
    document = material_of(tmp_path, "map_Bump -bm 0.5 n.png\n", {"n.png": blue})
    assert document.json["materials"][0]["normalTexture"] == {"index": 0, "scale": 0.5}
    document = material_of(tmp_path, "bump h.png\n", {"h.png": GREY})
    assert "normalTexture" not in document.json["materials"][0]
    assert document.notes == ("h.png is left out: it is a height map, which glTF does not have",)


def test_a_picture_of_another_format_becomes_png(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "wall.tga")
    document = material_of(tmp_path, "map_Kd wall.tga\nmap_Ks shiny.png\n", {})
    info = document.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
    assert np.array_equal(pixels_of(document, info), GREY)
    assert document.notes == ("m.mtl: left out, since glTF has no counterpart: map_Ks",)


@pytest.mark.parametrize(
    ("statements", "alpha"), [("d 0.25\n", 0.25), ("Tr 0.25\n", 0.75), ("d 1\nTr 1\n", 1.0), ("d -halo 0.5\n", 0.5)]
)
def test_opacity_overrides_transparency(tmp_path: Path, statements: str, alpha: float) -> None:
    material = material_of(tmp_path, statements, {}).json["materials"][0]
    assert material["pbrMetallicRoughness"]["baseColorFactor"][3] == alpha
    assert material.get("alphaMode", "OPAQUE") == ("OPAQUE" if alpha == 1 else "BLEND")


def test_every_line_end_is_read(tmp_path: Path) -> None:
    plain = TRIANGLE.replace("vt 1 0", "vt 1 \\\n0")
    for name, content in {
        "unix": plain,
        "dos": plain.replace("\n", "\r\n"),
        "mac": plain.replace("\n", "\r"),
        "mark": "\ufeff" + plain,
        "comments": plain.replace("3/3\n", "3/3 # last\n"),
    }.items():
        (tmp_path / f"{name}.obj").write_bytes(content.encode())
        assert read_surface(tmp_path / f"{name}.obj").uv.tolist() == [[[0, 1], [1, 1], [0, 0]]]


def test_concave_faces_keep_their_area(tmp_path: Path) -> None:
    arrow = "v 0 0 0\nv 4 0 0\nv 4 4 0\nv 2 1 0\nv 0 4 0\n"
    for face in ("f 1 2 3 4 5\n", "f 5 1 2 3 4\n", "f -5 -4 -3 -2 -1\n"):
        (tmp_path / "a.obj").write_text(arrow + face)
        shape = read_surface(tmp_path / "a.obj")
        normals, area = face_normals(shape.positions, shape.triangles)
        assert area.sum() == pytest.approx(10)
        assert (normals[:, 2] == 1).all()


def test_lines_and_points_of_an_obj_pass_through(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(TRIANGLE.replace("f 1", "l 1 2 3\np 1 3\nf 1"))
    built = build_file(tmp_path / "a.obj", tmp_path / "build")
    primitives = built.base[0]["meshes"][0]["primitives"]
    assert [p.get("mode", 4) for p in primitives] == [1, 0]
    counts = [built.base[0]["accessors"][p["attributes"]["POSITION"]]["count"] for p in primitives]
    assert counts == [4, 2]


def test_groups_become_nodes_if_a_file_has_no_objects(tmp_path: Path) -> None:
    corners, face = TRIANGLE.split("usemtl m\n")
    (tmp_path / "a.obj").write_text(f"{corners}g left\n{face}g right\n{face}g left\n{face}")
    assert [n["name"] for n in read_model(tmp_path / "a.obj").json["nodes"]] == ["a.obj", "left", "right"]
    (tmp_path / "a.obj").write_text(f"{corners}o whole\ng left\n{face}g right\n{face}")
    assert [n["name"] for n in read_model(tmp_path / "a.obj").json["nodes"]] == ["a.obj", "whole"]


def test_vertex_colours_of_an_obj_become_linear(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 0.5 0 0\nf 1 2 3\n")
    (tree,) = read_scene(read_model(tmp_path / "a.obj")).trees
    assert sorted(tree.source.corners("COLOR_0")[0, :, 0].round(3).tolist()) == [0.216, 1, 1]
