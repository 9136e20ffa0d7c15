"""Facts that hold for any model: tested on coarse samples, and with `--models DIR` on all models below DIR."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import Built, build_file, decoded_regions
from sampled_distance import Target, points_of
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.formats.model import SCANS, read_model
from streamxr.pipeline.gltf.document import items
from streamxr.pipeline.mesh.clean import clean
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.mesh.surface import Surface, merge, without_degenerates
from streamxr.pipeline.mesh.topology import open_edges
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.source_folder import find_models
from streamxr.pipeline.trees.scene import read_scene

MODELS = Path(__file__).parents[2] / "models"
# The samples are static, rigid and skinned. Leaves this small split some trees twice and more.
LEAVES = Settings(leaf_triangles=1000)
POINTS, VERTICES = 500, 500  # random samples of each region
Edge = tuple[tuple[float, ...], ...]
Regions = list[tuple[dict[str, Any], dict[int, Surface]]]
SAMPLES = {"sculpture": 0.2, "lantern": 0.125, "koi": 0.1, "bicycle": 0.2}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "model" in metafunc.fixturenames:
        folder: Path | None = metafunc.config.getoption("models")
        jobs = find_models(folder.resolve())[0] if folder else []
        if folder and not jobs:
            raise pytest.UsageError(f"--models {folder}: no model found below this folder")
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
    """The source surface of each tree in `regions`; scans are cleaned, as the build does."""
    trees = [tree.source for tree in read_scene(read_model(model)).trees]
    return [(clean(source)[0] if model.suffix in SCANS else source).surface for source in trees]


def test_a_built_bundle_is_valid(built: Built) -> None:
    assert validate(built.root).findings == ()


def test_building_again_gives_the_same_files(model: Path, built: Built, tmp_path: Path) -> None:
    again = build_file(model, tmp_path / "build", LEAVES)
    assert again.report.entry == built.report.entry


def test_leaves_hold_every_triangle_with_an_area(regions: Regions, sources: list[Surface]) -> None:
    for (tree, _), source in zip(regions, sources, strict=True):
        assert sum(r["triangles"] for r in tree["regions"] if not r["children"]) == len(source.triangles)


def test_neighbouring_regions_of_all_tiers_share_their_border_bit_for_bit(regions: Regions) -> None:
    """Each region has all edges that leaves below it share with other leaves.

    So where the leaves of two regions meet, both regions have the same edges, whatever their tiers.
    """
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
        pytest.skip("no tree is split")


def test_no_crack_opens_between_a_region_and_the_leaves_of_its_siblings(regions: Regions) -> None:
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
            border = open_edges_of(merge([surfaces[i] for i in beside])) & open_edges_of(own)
            assert border
            assert border <= open_edges_of(surfaces[index])
    if not compared:
        pytest.skip("no tree is split twice")


def leaves_below(tree: dict, index: int) -> list[int]:
    children = tree["regions"][index]["children"]
    return [leaf for child in children for leaf in leaves_below(tree, child)] if children else [index]


def edges_of(surface: Surface) -> set[Edge]:
    """All edges as sorted pairs of positions."""
    welded = without_degenerates(surface)
    ends = np.sort(welded.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return {tuple(sorted(map(tuple, pair))) for pair in welded.positions[np.unique(ends, axis=0)].tolist()}


def open_edges_of(surface: Surface) -> set[Edge]:
    """The edges of one triangle only, as sorted pairs of positions."""
    welded = without_degenerates(surface)
    return {tuple(sorted(map(tuple, ends))) for ends in welded.positions[open_edges(welded.triangles)].tolist()}


def test_sampled_distances_to_the_source_are_within_the_stated_error(regions: Regions, sources: list[Surface]) -> None:
    for (tree, surfaces), source in zip(regions, sources, strict=True):
        finest = max(r["error"] for r in tree["regions"] if not r["children"])
        source_target = Target(source)
        leaves = {
            i: points_of(surfaces[i], POINTS, VERTICES) for i, r in enumerate(tree["regions"]) if not r["children"]
        }
        for index, region in enumerate(tree["regions"]):
            own = points_of(surfaces[index], POINTS, VERTICES)
            assert source_target.distances(own).max() <= region["error"]
            # The leaves approximate this region's piece of the source within their own error.
            below = np.concatenate([leaves[leaf] for leaf in leaves_below(tree, index)])
            if region["children"]:
                assert Target(surfaces[index]).distances(below).max() <= region["error"] + finest


def test_spheres_and_cones_hold_regions_and_their_descendants(regions: Regions) -> None:
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
    """A region and its descendants."""
    return [index, *(d for child in tree["regions"][index]["children"] for d in family(tree, child))]


def test_the_base_keeps_all_names_animations_and_materials(model: Path, built: Built) -> None:
    source, (base, _) = read_model(model).json, built.base
    for key in ("nodes", "materials", "skins", "cameras"):
        names = [x.get("name") for x in items(source, key)]
        kept = [x.get("name") for x in items(base, key)][: len(names)]
        if key == "nodes" and built.manifest["objects"]:  # nodes that left the base are in the list of objects
            listed = json.loads((built.root / built.manifest["objects"]["uri"]).read_text())["objects"]
            for each in listed:
                kept[each["node"]] = kept[each["node"]] or each["name"]
        assert kept == names
    names = [x.get("name", f"animation {i}") for i, x in enumerate(items(source, "animations"))]
    assert [x["name"] for x in built.manifest["animations"]] == names
    assert [x["name"] for x in items(base, "animations")] == [
        x["name"] for x in built.manifest["animations"] if x["keyframes"] is None
    ]


def test_bounds_hold_every_region_at_rest(built: Built, regions: Regions) -> None:
    low, high = (np.array(built.manifest["bounds"][k]) for k in ("min", "max"))
    for tree, surfaces in regions:
        if tree["kind"] != "static":
            continue
        for region, surface in surfaces.items():
            slack = tree["regions"][region]["error"] + 1e-6
            assert (surface.positions >= low - slack).all()
            assert (surface.positions <= high + slack).all()
