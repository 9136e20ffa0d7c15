"""What holds for any model: the samples at a fraction of their density, and with `--models DIR` all below DIR."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from builds import Built, build_file
from streamxr.pipeline.build import find_models
from streamxr.pipeline.clean import clean
from streamxr.pipeline.document import items
from streamxr.pipeline.scene import read_scene
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.source import SCANS, read_model
from streamxr.pipeline.surface import Surface, merge, open_edges, without_degenerates
from streamxr.pipeline.validate import decode_refinement, validate

MODELS = Path(__file__).parents[2] / "models"
# Static, rigid and skinned; together with leaves this small, trees that split twice and more.
LEAVES = Settings(leaf_triangles=1000)
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


def test_it_builds_into_a_valid_bundle(built: Built) -> None:
    assert validate(built.root).findings == ()


def test_building_it_again_gives_the_same_files(model: Path, built: Built, tmp_path: Path) -> None:
    again = build_file(model, tmp_path / "build", LEAVES)
    assert again.report.entry == built.report.entry


def test_the_finest_cut_has_every_triangle_with_an_area(model: Path, built: Built) -> None:
    sources = read_scene(read_model(model)).trees
    trees = [t for t in built.manifest["trees"] if t["kind"] in ("static", "rigid")]
    for source, tree in zip(sources, trees, strict=True):
        leaves = sum(r["triangles"] for r in tree["regions"] if not r["children"])
        meant = clean(source.source)[0] if model.suffix in SCANS else source.source
        assert leaves == len(meant.surface.triangles)


def test_a_region_beside_the_leaves_of_its_siblings_opens_no_edge(built: Built) -> None:
    compared = 0
    for tree in built.manifest["trees"]:
        surfaces = decoded(built, tree)
        for index, region in enumerate(tree["regions"]):
            parent = tree["regions"][region["parent"]] if region["parent"] is not None else region
            siblings = [c for c in parent["children"] if c != index and c in surfaces]
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


def decoded(built: Built, tree: dict) -> dict[int, Surface]:
    surfaces = {}
    for region in tree["regions"]:
        if region["refinement"]:
            content = (built.root / region["refinement"]["uri"]).read_bytes()
            surfaces |= dict(zip(region["children"], decode_refinement(content, tree, region["children"]), strict=True))
    return surfaces


def leaves_below(tree: dict, index: int) -> list[int]:
    children = tree["regions"][index]["children"]
    return [leaf for child in children for leaf in leaves_below(tree, child)] if children else [index]


def open_at(surface: Surface) -> set[tuple[tuple[float, ...], ...]]:
    welded = without_degenerates(surface)
    return {tuple(map(tuple, ends)) for ends in welded.positions[open_edges(welded.triangles)].tolist()}


def test_names_animations_and_materials_are_all_there(model: Path, built: Built) -> None:
    source, (base, _) = read_model(model).json, built.base
    for key in ("nodes", "materials", "animations", "skins", "cameras"):
        names = [x.get("name") for x in items(source, key)]
        assert [x.get("name") for x in items(base, key)][: len(names)] == names


def test_its_bounds_hold_every_region_at_rest(built: Built) -> None:
    low, high = (np.array(built.manifest["bounds"][k]) for k in ("min", "max"))
    for tree in built.manifest["trees"]:
        if tree["kind"] != "static":
            continue
        for region, surface in decoded(built, tree).items():
            slack = tree["regions"][region]["error"] + 1e-6
            assert (surface.positions >= low - slack).all()
            assert (surface.positions <= high + slack).all()
