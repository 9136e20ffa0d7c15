"""A tree of gaze regions: any cut is without cracks, and errors and bounds hold."""

from __future__ import annotations

from collections.abc import Callable

import gltf_maker as make
import numpy as np
import pymeshlab
import pytest
from builds import Built, decoded_regions, decoders_differ, khronos_errors
from gltf_maker import unpack
from hypothesis import given, settings
from hypothesis import strategies as st
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.gltf.source_files import read_document
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.mesh.surface import Surface, merge, without_degenerates
from streamxr.pipeline.mesh.topology import open_edges
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.scene import read_scene


@pytest.fixture(scope="session")
def surfaces(tree: Built) -> dict[int, Surface]:
    """The decoded surface of every region."""
    return decoded_regions(tree, tree.manifest["trees"][0])


def source_surface(tree: Built) -> Surface:
    scene = read_scene(read_document(tree.root.parent / "sphere.glb"))
    return scene.trees[0].source.surface


def test_the_sample_splits_twice_below_a_chain(tree: Built) -> None:
    counts = np.bincount([r["tier"] for r in tree.manifest["trees"][0]["regions"]])
    assert counts.tolist() == [1, 1, 4, 16]


def test_regions_of_all_tiers_have_about_the_same_size(tree: Built) -> None:
    split = [r["triangles"] for r in tree.manifest["trees"][0]["regions"] if r["tier"] >= 1]
    assert max(split) < 1.6 * min(split)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_no_cut_has_a_crack(tree: Built, surfaces: dict[int, Surface], data: st.DataObject) -> None:
    regions = tree.manifest["trees"][0]["regions"]
    cut, stack = [], [0]
    while stack:
        index = stack.pop()
        if regions[index]["children"] and data.draw(st.booleans()):
            stack += regions[index]["children"]
        else:
            cut.append(index)
    drawn = without_degenerates(merge([surfaces[i] for i in cut]))
    assert len(open_edges(drawn.triangles)) == 0


def test_validation_compares_all_borders_without_findings(tree: Built) -> None:
    result = validate(tree.root)
    assert result.findings == ()
    assert result.borders == 4


def gapped() -> make.Maker:
    """Two halves of a wavy sheet that meet at the first split. Along the middle, one half has an additional vertex
    between any two of the other, a little beside the line: a row of gaps."""
    grids, triangles, start = [], [], 0
    for columns, rows, left in ((80, 40, -1.0), (40, 80, 0.0)):
        u, v = np.meshgrid(np.arange(columns + 1), np.arange(rows + 1))
        quad = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)[None, :]).reshape(-1)
        a, b, c, d = (start + quad + k for k in (0, 1, columns + 1, columns + 2))
        triangles += [np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)]
        x, y = left + u / columns, v / rows
        x[(u == 0) & (v % 2 == 1) & (left == 0.0)] += 0.0002
        grids.append(np.stack([x, y, 0.1 * np.sin(9 * x) * np.cos(7 * y)], axis=2).reshape(-1, 3))
        start += len(grids[-1])
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(np.concatenate(grids), np.concatenate(triangles))))
    return maker


def test_gaps_of_the_source_along_a_border_are_the_same_in_all_tiers(build: Callable[..., Built]) -> None:
    built = build(gapped(), settings=Settings(leaf_triangles=800))
    result = validate(built.root)
    assert result.findings == ()
    assert result.borders == 4


def test_children_have_smaller_errors_than_their_region(tree: Built) -> None:
    regions = tree.manifest["trees"][0]["regions"]
    for region in regions:
        assert all(regions[child]["error"] < region["error"] for child in region["children"])


def test_the_error_is_a_tight_bound_of_independent_samples(tree: Built, surfaces: dict[int, Surface]) -> None:
    regions = tree.manifest["trees"][0]["regions"]
    source = source_surface(tree)
    for tier in (0, 1, 2):
        whole = merge([surfaces[i] for i, r in enumerate(regions) if r["tier"] == tier])
        stated = max(r["error"] for r in regions if r["tier"] == tier)
        sampled = max(furthest(source, whole), furthest(whole, source))
        assert sampled <= stated
        assert stated <= 1.35 * sampled


def furthest(a: Surface, b: Surface, samples: int = 100_000) -> float:
    """The largest distance from random points and vertices of `a` to `b`, by MeshLab's exact distance to a mesh."""
    rng = np.random.default_rng(5)
    _, area = face_normals(a.positions, a.triangles)
    chosen = rng.choice(len(area), samples, p=area / area.sum())
    r1, r2 = np.sqrt(rng.random(samples)), rng.random(samples)
    weights = np.stack([1 - r1, r1 * (1 - r2), r1 * r2], axis=1)
    points = np.concatenate([np.einsum("ij,ijk->ik", weights, a.positions[a.triangles[chosen]]), a.positions])
    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(b.positions, b.triangles.astype(np.int32)))
    meshes.add_mesh(pymeshlab.Mesh(points))
    meshes.compute_scalar_by_distance_from_another_mesh_per_vertex(
        measuremesh=1, refmesh=0, signeddist=False, maxdist=pymeshlab.PercentageValue(100)
    )
    return float(np.abs(meshes.mesh(1).vertex_scalar_array()).max())


def test_spheres_enclose_regions_and_their_descendants(tree: Built, surfaces: dict[int, Surface]) -> None:
    for index, family in families(tree):
        x, y, z, radius = tree.manifest["trees"][0]["regions"][index]["sphere"]
        for member in family:
            assert np.linalg.norm(surfaces[member].positions - [x, y, z], axis=1).max() <= radius


def test_cones_enclose_the_normals_of_regions_and_their_descendants(tree: Built, surfaces: dict[int, Surface]) -> None:
    cones = 0
    for index, family in families(tree):
        cone = tree.manifest["trees"][0]["regions"][index]["cone"]
        if cone is None:
            continue
        cones += 1
        assert np.linalg.norm(cone[:3]) == pytest.approx(1, abs=1e-5)
        for member in family:
            normals, area = face_normals(surfaces[member].positions, surfaces[member].triangles)
            assert (normals[area > 0] @ cone[:3]).min() >= cone[3]
    assert cones > 0


def families(tree: Built) -> list[tuple[int, list[int]]]:
    regions = tree.manifest["trees"][0]["regions"]
    below: dict[int, list[int]] = {}
    for index in reversed(range(len(regions))):
        below[index] = [index, *(d for child in regions[index]["children"] for d in below[child])]
    return sorted(below.items())


def test_every_file_passes_the_khronos_validator(tree: Built) -> None:
    files = sorted((tree.root / "o").rglob("*.glb"))
    assert len(files) == 7  # the base; one refinement for each of the 1 + 1 + 4 regions with children
    assert khronos_errors(files) == {}


def test_dracos_own_decoder_gives_the_same_bits(tree: Built) -> None:
    streams, different = decoders_differ(sorted((tree.root / "o").rglob("*.glb")))
    assert streams > 20
    assert different == []


def test_every_refinement_names_its_materials_and_has_no_picture(tree: Built) -> None:
    base = tree.manifest["base"]["uri"]
    for path in sorted((tree.root / "o").rglob("*.glb")):
        document, _ = unpack(path.read_bytes())
        if not base.endswith(path.name):
            assert "images" not in document
            assert {m["name"] for m in document["materials"]} <= {"skin", "metal"}
