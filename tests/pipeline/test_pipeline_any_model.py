"""What holds for any model: the samples at a fraction of their density, and with `--models DIR` all below DIR."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import Built, build_file, decoded_regions
from sampled_distance import Target, points_of
from streamxr.pipeline.build import find_models
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.formats.model import SCANS, read_model
from streamxr.pipeline.gltf.document import items
from streamxr.pipeline.mesh.clean import clean
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.mesh.surface import Surface, merge, without_degenerates
from streamxr.pipeline.mesh.topology import open_edges
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.scene import read_scene

MODELS = Path(__file__).parents[2] / "models"
# Static, rigid and skinned; together with leaves this small, trees that split twice and more.
LEAVES = Settings(leaf_triangles=1000)
POINTS, VERTICES = 500, 500  # of each region that are looked at, chosen at random
Edge = tuple[tuple[float, ...], ...]
Regions = list[tuple[dict[str, Any], dict[int, Surface]]]
SAMPLES = {"sculpture": 0.2, "lantern": 0.125, "koi": 0.125}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "model" in metafunc.fixturenames:
        folder: Path | None = metafunc.config.getoption("models")
        jobs = find_models(folder.resolve())[0] if folder else []
        if folder and not jobs:
            raise pytest.UsageError(f"--models {folder}: there is no model below it")
        cases = [pytest.param(name, id=name) for name in SAMPLES]
        cases += [pytest.param(job.path, id=job.name) for job in jobs]
        metafunc.parametrize("model", cases, indirect=True, scope="module")


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if isinstance(request.param, Path):
        return request.param
    if str(MODELS) not in sys.path:
        sys.path.append(str(MODELS))
    path: Path = tmp_path_factory.mktemp("sample") / f"{request.param}.glb"
    path.write_bytes(importlib.import_module(f"samples.{request.param}").build("test", SAMPLES[request.param]))
    return path


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_file(model, tmp_path_factory.mktemp("any") / "build", LEAVES)


@pytest.fixture(scope="module")
def regions(built: Built) -> Regions:
    return [(t, decoded_regions(built, t)) for t in built.manifest["trees"] if t["kind"] in ("static", "rigid")]


@pytest.fixture(scope="module")
def sources(model: Path) -> list[Surface]:
    """The source surface of each of `regions`, repaired where it is a scan."""
    trees = [tree.source for tree in read_scene(read_model(model)).trees]
    return [(clean(source)[0] if model.suffix in SCANS else source).surface for source in trees]


def test_it_builds_into_a_valid_bundle(built: Built) -> None:
    assert validate(built.root).findings == ()


def test_building_it_again_gives_the_same_files(model: Path, built: Built, tmp_path: Path) -> None:
    again = build_file(model, tmp_path / "build", LEAVES)
    assert again.report.entry == built.report.entry


def test_the_finest_cut_has_every_triangle_with_an_area(regions: Regions, sources: list[Surface]) -> None:
    for (tree, _), source in zip(regions, sources, strict=True):
        assert sum(r["triangles"] for r in tree["regions"] if not r["children"]) == len(source.triangles)


def test_every_pair_of_regions_has_its_common_border_bit_for_bit(regions: Regions) -> None:
    """Where the leaves below two regions meet, both regions have the same edges between the same positions,
    whatever the tier of either: each region has all edges at which anything below it meets anything else."""
    compared = 0
    for tree, surfaces in regions:
        leaves = [i for i, r in enumerate(tree["regions"]) if not r["children"]]
        if len(leaves) < 2:
            continue
        edges = {leaf: edges_of(surfaces[leaf]) for leaf in leaves}
        users = Counter(edge for leaf in leaves for edge in edges[leaf])
        for index, surface in surfaces.items():
            below = Counter(edge for leaf in leaves_below(tree, index) for edge in edges[leaf])
            border = {edge for edge, count in below.items() if users[edge] > count}
            assert border <= edges_of(surface)
            compared += len(border)
    if not compared:
        pytest.skip("too small to be split")


def test_a_region_beside_the_leaves_of_its_siblings_opens_no_edge(regions: Regions) -> None:
    compared = 0
    for tree, surfaces in regions:
        for index, region in enumerate(tree["regions"]):
            parent = tree["regions"][region["parent"]] if region["parent"] is not None else region
            siblings = [c for c in parent["children"] if c != index]
            if not region["children"] or not siblings or region["parent"] is None:
                continue
            compared += 1
            beside = [leaf for sibling in siblings for leaf in leaves_below(tree, sibling)]
            own = merge([surfaces[i] for i in leaves_below(tree, index)])
            met = open_at(merge([surfaces[i] for i in beside])) & open_at(own)
            assert met  # a region is cut from its siblings along something
            assert met <= open_at(surfaces[index])
    if not compared:
        pytest.skip("too small to be split twice")


def leaves_below(tree: dict, index: int) -> list[int]:
    children = tree["regions"][index]["children"]
    return [leaf for child in children for leaf in leaves_below(tree, child)] if children else [index]


def edges_of(surface: Surface) -> set[Edge]:
    """All edges as pairs of positions, the smaller first."""
    welded = without_degenerates(surface)
    ends = np.sort(welded.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return {tuple(sorted(map(tuple, pair))) for pair in welded.positions[np.unique(ends, axis=0)].tolist()}


def open_at(surface: Surface) -> set[Edge]:
    welded = without_degenerates(surface)
    return {tuple(sorted(map(tuple, ends))) for ends in welded.positions[open_edges(welded.triangles)].tolist()}


def test_no_sample_is_further_away_than_the_stated_error(regions: Regions, sources: list[Surface]) -> None:
    for (tree, surfaces), source in zip(regions, sources, strict=True):
        finest = max(r["error"] for r in tree["regions"] if not r["children"])
        whole = Target(source)
        leaves = {
            i: points_of(surfaces[i], POINTS, VERTICES) for i, r in enumerate(tree["regions"]) if not r["children"]
        }
        for index, region in enumerate(tree["regions"]):
            own = points_of(surfaces[index], POINTS, VERTICES)
            assert whole.distances(own).max() <= region["error"]
            # The leaves stand for the part of the source, which they are within their own error of.
            below = np.concatenate([leaves[leaf] for leaf in leaves_below(tree, index)])
            if region["children"]:
                assert Target(surfaces[index]).distances(below).max() <= region["error"] + finest


def test_spheres_and_cones_hold_regions_and_all_below_them(regions: Regions) -> None:
    for tree, surfaces in regions:
        for index, region in enumerate(tree["regions"]):
            x, y, z, radius = region["sphere"]
            for member in family(tree, index):
                surface = surfaces[member]
                assert np.linalg.norm(surface.positions - [x, y, z], axis=1).max() <= radius
                if region["cone"]:
                    normals, area = face_normals(surface.positions, surface.triangles)
                    assert (normals[area > 0] @ region["cone"][:3]).min(initial=1.0) >= region["cone"][3]


def family(tree: dict, index: int) -> list[int]:
    return [index, *(d for child in tree["regions"][index]["children"] for d in family(tree, child))]


def test_names_animations_and_materials_are_all_there(model: Path, built: Built) -> None:
    source, (base, _) = read_model(model).json, built.base
    for key in ("nodes", "materials", "skins", "cameras"):
        names = [x.get("name") for x in items(source, key)]
        assert [x.get("name") for x in items(base, key)][: len(names)] == names
    names = [x.get("name", f"animation {i}") for i, x in enumerate(items(source, "animations"))]
    assert [x["name"] for x in built.manifest["animations"]] == names
    assert [x["name"] for x in items(base, "animations")] == [
        x["name"] for x in built.manifest["animations"] if x["keyframes"] is None
    ]


def test_its_bounds_hold_every_region_at_rest(built: Built, regions: Regions) -> None:
    low, high = (np.array(built.manifest["bounds"][k]) for k in ("min", "max"))
    for tree, surfaces in regions:
        if tree["kind"] != "static":
            continue
        for region, surface in surfaces.items():
            slack = tree["regions"][region]["error"] + 1e-6
            assert (surface.positions >= low - slack).all()
            assert (surface.positions <= high + slack).all()
