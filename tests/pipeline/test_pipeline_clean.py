"""`--clean` repairs scans and leaves sound geometry alone."""

from __future__ import annotations

from collections.abc import Callable

import gltf_maker as make
import numpy as np
from builds import Built
from streamxr.pipeline.arrays import FloatArray, IntArray
from streamxr.pipeline.mesh.clean import clean
from streamxr.pipeline.mesh.surface import Source, Surface, merge, part
from streamxr.pipeline.mesh.topology import open_edges
from streamxr.pipeline.settings import Settings

Build = Callable[..., Built]


def sphere(rings: int = 20, sectors: int = 30) -> Surface:
    positions, _, uv, triangles = make.bumpy_sphere(rings, sectors)
    kinds = np.zeros(len(triangles), np.int64)
    return merge([Surface(positions.astype(np.float64), triangles.astype(np.int64), kinds, uv[triangles] * 1.0)])


def triangle(corners: FloatArray) -> Surface:
    return Surface(corners, np.array([[0, 1, 2]]), np.zeros(1, np.int64), np.zeros((1, 3, 2)))


def with_faces(surface: Surface, faces: IntArray) -> Source:
    triangles = np.concatenate([surface.triangles, faces])
    uv = np.concatenate([surface.uv, np.zeros((len(faces), 3, 2))])
    grown = Surface(surface.positions, triangles, np.zeros(len(triangles), np.int64), uv)
    return Source(grown, triangles, {"COLOR_0": np.full((len(grown.positions), 3), 0.5)})


def test_sound_geometry_is_left_alone() -> None:
    source = with_faces(sphere(), np.zeros((0, 3), np.int64))
    cleaned, notes = clean(source)
    assert cleaned is source
    assert notes == []


def test_vertices_that_differ_by_rounding_are_joined() -> None:
    """STL writers round the corners of neighbouring facets independently."""
    ball = sphere()
    corners = ball.positions[ball.triangles]
    corners += np.random.default_rng(2).uniform(-1e-8, 1e-8, corners.shape)
    torn = merge([Surface(c, np.array([[0, 1, 2]]), np.zeros(1, np.int64), np.zeros((1, 3, 2))) for c in corners])
    cleaned, notes = clean(with_faces(torn, np.zeros((0, 3), np.int64)))
    assert notes == [f"{3 * len(corners) - len(ball.positions):,} duplicate vertices joined"]
    assert len(cleaned.surface.triangles) == len(ball.triangles)
    assert len(open_edges(cleaned.surface.triangles)) == 0


def test_duplicate_faces_of_either_winding_are_removed() -> None:
    ball = sphere()
    cleaned, notes = clean(with_faces(ball, ball.triangles[[5, 9, 9]][:, [1, 0, 2]]))
    assert notes == ["3 duplicate faces removed"]
    assert np.array_equal(cleaned.surface.triangles, ball.triangles)


def test_a_third_face_at_an_edge_is_removed() -> None:
    ball = sphere()
    a, b, _ = ball.triangles[100]
    fin = triangle(np.concatenate([ball.positions[[a, b]], ball.positions[[a]] * 1.001]))
    small = merge([ball, fin])
    cleaned, notes = clean(with_faces(small, np.zeros((0, 3), np.int64)))
    assert notes == ["1 face at non-manifold edges removed"]
    assert len(cleaned.surface.triangles) == len(ball.triangles)


def test_dust_is_removed_and_small_parts_with_detail_stay() -> None:
    ball = sphere(60, 80)
    dust = triangle(ball.positions[ball.triangles[0]] * 1e-2 + 3)
    bead = Surface(ball.positions * 0.05 - 2, ball.triangles, ball.kinds, ball.uv)
    cleaned, notes = clean(with_faces(merge([ball, dust, bead]), np.zeros((0, 3), np.int64)))
    assert notes == ["1 face of tiny loose pieces removed"]
    assert len(cleaned.surface.triangles) == 2 * len(ball.triangles)


def test_small_holes_are_closed_and_large_openings_kept() -> None:
    ball = sphere(60, 80)
    keep = np.ones(len(ball.triangles), np.bool_)
    keep[[3000, 3001, 5000]] = False
    keep &= ~(ball.positions[ball.triangles][:, :, 1] > 0.8).all(axis=1)
    torn = part(ball, keep)
    cleaned, notes = clean(with_faces(torn, np.zeros((0, 3), np.int64)))
    assert len(notes) == 1
    assert notes[0].endswith("added to close holes")
    assert 70 <= len(open_edges(cleaned.surface.triangles)) <= 90  # only the large opening
    assert len(cleaned.corners("COLOR_0")) == len(cleaned.surface.triangles) == len(cleaned.surface.uv)


def test_a_glb_is_cleaned_only_if_the_setting_is_on(build: Build) -> None:
    def doubled() -> make.Maker:
        maker = make.Maker()
        positions, _, _, triangles = make.bumpy_sphere(12, 16)
        maker.node(mesh=maker.mesh(maker.primitive(positions, np.concatenate([triangles, triangles[:7]]))))
        return maker

    plain, cleaned = build(doubled(), "plain"), build(doubled(), "cleaned", Settings(clean=True))
    assert plain.report.entry["triangles"] - cleaned.report.entry["triangles"] == 7
    assert plain.report.notes == ()
    assert cleaned.report.notes == ("cleaned: 7 duplicate faces removed",)
