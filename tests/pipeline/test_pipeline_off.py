"""OFF: polygons, colours and normals; damaged files are refused with a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from builds import build_file
from reading import read_surface
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.accessors import read_accessor
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.mesh.geometry import face_normals

SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def written(folder: Path, text: str) -> Path:
    (folder / "a.off").write_text(text)
    return folder / "a.off"


def attribute(document: Document, name: str) -> np.ndarray[Any, Any]:
    (mesh,) = document.json["meshes"]
    return read_accessor(document, mesh["primitives"][0]["attributes"][name], name)


@pytest.mark.parametrize(
    "text",
    [
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n",
        f"OFF 4 1\n{SQUARE}4 0 1 2 3",
        f"OFF4 1 0\r\n{SQUARE}4 0 1 2 3\r\n",
        f"\ufeff# made by hand\nOFF # text\n\n4 2 5\n{SQUARE}# faces\n3 0 1 2\n3 0 2 3 # the last\n",
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3 255 0 0\n",
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3 7\n",
        f"OFF\n4 2 0\n{SQUARE}4 0 1 2 3\n2 0 1\n",
    ],
)
def test_an_off_square_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    shape = read_surface(written(tmp_path, text))
    normals, area = face_normals(shape.positions, shape.triangles)
    assert area.sum() == pytest.approx(1)
    assert (normals[:, 2] == 1).all()


def test_a_concave_polygon_keeps_its_area(tmp_path: Path) -> None:
    corners = [(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)]
    vertices = "".join(f"{x} {y} 0\n" for x, y in corners)
    path = written(tmp_path, f"OFF\n5 1 0\n{vertices}5 0 1 2 3 4\n")
    shape = read_surface(path)
    normals, area = face_normals(shape.positions, shape.triangles)
    assert area.sum() == pytest.approx(10)
    assert (normals[:, 2] == 1).all()
    # An independent reader cuts a fan, which leaves the polygon and comes back.
    fan = trimesh.load_mesh(path, process=False)
    assert fan.area > 10.5


def test_triangles_agree_with_an_independent_reader(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(2, radius=1.5)
    path = written(tmp_path, ball.export(file_type="off", digits=12))
    ours, theirs = read_surface(path), trimesh.load_mesh(path, process=False)
    np.testing.assert_allclose(ours.positions[ours.triangles], theirs.triangles, atol=1e-6)


@pytest.mark.parametrize("values", ["255 0 0 255", "255 0 0", "1.0 0.0 0.0 1.0", "1 0 0"])
def test_colours_of_vertices_become_linear_vertex_colours(tmp_path: Path, values: str) -> None:
    vertices = "".join(f"{line} {values}\n" for line in SQUARE.splitlines())
    document = read_model(written(tmp_path, f"COFF\n4 1 0\n{vertices}4 0 1 2 3 0 0 255\n"))
    assert attribute(document, "COLOR_0") == pytest.approx(np.tile(RED, (4, 1)))


def test_colours_of_faces_are_used_if_vertices_have_none(tmp_path: Path) -> None:
    text = f"OFF\n4 2 0\n{SQUARE}3 0 1 2 255 0 0\n3 0 2 3 0 255 0 255\n"
    document = read_model(written(tmp_path, text))
    colors = attribute(document, "COLOR_0")
    assert sorted(map(tuple, np.unique(colors, axis=0).tolist())) == sorted([RED, GREEN])


def test_translucent_colours_blend(tmp_path: Path) -> None:
    vertices = "".join(f"{line} 0 0 255 128\n" for line in SQUARE.splitlines())
    document = read_model(written(tmp_path, f"COFF\n4 1 0\n{vertices}4 0 1 2 3\n"))
    assert document.json["materials"][0]["alphaMode"] == "BLEND"
    assert attribute(document, "COLOR_0")[0] == pytest.approx([0, 0, 1, 128 / 255])


def test_normals_come_before_colours_and_texture_coordinates(tmp_path: Path) -> None:
    vertices = "".join(f"{line} 0 0 2  255 0 0  0.5 0.5\n" for line in SQUARE.splitlines())
    document = read_model(written(tmp_path, f"STCNOFF\n4 1 0\n{vertices}4 0 1 2 3\n"))
    assert attribute(document, "NORMAL") == pytest.approx(np.tile([0, 0, 1], (4, 1)))
    assert attribute(document, "COLOR_0") == pytest.approx(np.tile(RED, (4, 1)))


def test_a_file_without_faces_is_a_point_cloud(tmp_path: Path) -> None:
    document = read_model(written(tmp_path, f"OFF\n4 0 0\n{SQUARE}"))
    (primitive,) = document.json["meshes"][0]["primitives"]
    assert primitive["mode"] == 0
    assert len(attribute(document, "POSITION")) == 4


def test_numbers_that_the_header_does_not_name_are_left_out_with_a_note(tmp_path: Path) -> None:
    vertices = "".join(f"{line} 9 9 9\n" for line in SQUARE.splitlines())
    document = read_model(written(tmp_path, f"OFF\n4 1 0\n{vertices}4 0 1 2 3\n"))
    assert document.notes == ("3 more numbers of each vertex are left out: the header does not name them",)


def test_unit_and_up_axis_are_those_of_the_settings(tmp_path: Path) -> None:
    path = written(tmp_path, "OFF\n3 1 0\n0 0 0\n1000 0 0\n0 0 3000\n3 0 1 2\n")
    shape = read_surface(path, unit="mm", up="z")
    assert shape.positions.max(axis=0) == pytest.approx([1, 3, 0], abs=1e-6)


def test_an_off_file_becomes_a_bundle(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(3)
    built = build_file(written(tmp_path, ball.export(file_type="off")), tmp_path / "build")
    assert built.report.entry["triangles"] == len(ball.faces)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not an OFF file"),
        ("solid OFF\n", "this is not an OFF file"),
        ("OFF", "header: has no numbers of vertices and faces"),
        ("OFF BINARY\n4 1 0\n", "header: is binary"),
        ("4OFF\n1 0 0\n0 0 0 1\n", "header: has vertices that do not have three coordinates"),
        ("nOFF\n3\n1 0 0\n0 0 0\n", "header: has vertices that do not have three coordinates"),
        (f"OFF\n-4 1 0\n{SQUARE}", "header: has no numbers"),
        (f"OFF\n4 999999999999999999 0\n{SQUARE}", "header: has no numbers"),
        (f"OFF\n4 4000000000 0\n{SQUARE}4 0 1 2 3\n", "declares 4 vertices and 4,000,000,000 faces, but 5 lines"),
        (f"OFF\n0 1 0\n{SQUARE}", "holds no vertex"),
        (f"OFF\n4 1 0\n{SQUARE}4 0 1 2 4\n", "face 1: names vertex 4 of 4"),
        (f"OFF\n4 1 0\n{SQUARE}4 0 1 2 -1\n", "face 1: names vertex -1 of 4"),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n4 0 1 2\n", "face 2: declares 4 corners, but its line has 3 numbers"),
        (f"OFF\n4 1 0\n{SQUARE}4000000000 0 1 2\n", "face 1: declares 4,000,000,000 corners"),
        (f"OFF\n4 1 0\n{SQUARE}3 0 1 2.5\n", "face 1: has 2.5 where a whole number must be"),
        (f"OFF\n4 1 0\n{SQUARE}nan 0 1 2\n", "face 1: has nan where a whole number must be"),
        (f"OFF\n4 1 0\n{SQUARE}3 0 1 2-3\n", "faces: has text that is not a number"),
        (f"OFF\n4 1 0\n{SQUARE}3 0 1 two\n", "faces: has text that is not a number"),
        (f"OFF\n4 1 0\n{SQUARE}2 0 1\n", "holds no face of three corners"),
        ("OFF\n2 0 0\n0 0 0\n0 0\n", "vertex 2: has 2 numbers, not 3"),
        ("OFF\n2 0 0\n0 0\n0 0\n", "vertex 1: has 2 numbers, not 3"),
        ("OFF\n2 0 0\n0 0 0\n0 0 x\n", "vertices: has text that is not a number"),
        ("OFF\n2 0 0\n0 0 0\n0 0 nan\n", "vertices: vertex 2 is not a finite position"),
        ("OFF\n2 0 0\n0 0 0\n0 0 1e39\n", "vertices: vertex 2 is not a finite position"),
    ],
)
def test_a_damaged_off_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_model(written(tmp_path, text))
    assert message in str(caught.value)
