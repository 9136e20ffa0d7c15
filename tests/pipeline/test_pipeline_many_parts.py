"""Whole kinds of models with many parts: their bases are small, have few draw calls, and look like the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gltf_maker as make
import parts_maker as parts
import pytest
from builds import Built, build_file
from model_views import look
from streamxr.pipeline.settings import Settings

BASE_BYTES = Settings().base_bytes
MODELS = {
    "bricks": lambda: parts.repeated_cubes(600),
    "color": lambda: parts.painted_tiles(200),
    "shine": lambda: parts.painted_tiles(200, differ="shine"),
    "coat": lambda: parts.painted_tiles(200, differ="coat"),
    "shiny balls": lambda: parts.shiny_balls(36, rings=10, sectors=20),
    "brushed balls": lambda: parts.brushed_balls(25, rings=10, sectors=20),
    "fleet": lambda: parts.fleet(24),
    "figure": lambda: parts.patched_figure(59, triangles=6000),
}


@dataclass(frozen=True)
class Model:
    """A model of many parts, and its bundle."""

    name: str
    path: Path
    built: Built

    @property
    def primitives(self) -> int:
        """Those that the base draws: draw calls."""
        document, _ = self.built.base
        meshes = [node["mesh"] for node in document["nodes"] if "mesh" in node]
        return sum(len(document["meshes"][mesh]["primitives"]) for mesh in meshes)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("many")
    path = make.save(MODELS[request.param](), folder, "model")
    return Model(request.param, path, build_file(path, folder / "build"))


def test_the_base_is_within_its_limit(model: Model) -> None:
    assert model.built.manifest["base"]["bytes"] <= BASE_BYTES
    assert not any("over its limit" in note for note in model.built.report.notes)


MOST_PRIMITIVES = {
    "bricks": 1,
    "color": 2,
    "shine": 2,
    "coat": 34,
    "shiny balls": 2,
    "brushed balls": 25,
    "fleet": 2,
    "figure": 1,
}


def test_the_base_has_few_draw_calls(model: Model) -> None:
    assert model.primitives <= MOST_PRIMITIVES[model.name]


LEAST_OVERLAP = {
    "bricks": 0.7,
    "color": 0.95,
    "shine": 0.95,
    "coat": 0.95,
    "shiny balls": 0.95,
    "brushed balls": 0.95,
    "fleet": 0.9,
    "figure": 0.95,
}
MOST_COLOR = {
    "bricks": 13.0,
    "color": 16.0,
    "shine": 16.0,
    "coat": 24.0,
    "shiny balls": 4.0,
    "brushed balls": 2.0,
    "fleet": 6.0,
    "figure": 8.0,
}


def test_the_base_looks_like_the_model(model: Model) -> None:
    found = look(model.path, model.built)
    assert found.overlap >= LEAST_OVERLAP[model.name]
    assert found.color <= MOST_COLOR[model.name]


def test_no_two_primitives_share_an_accessor(model: Model) -> None:
    """Many readers decode a Draco stream into the accessors of its primitive, and would overwrite another's."""
    document, _ = model.built.base
    primitives = [primitive for mesh in document["meshes"] for primitive in mesh["primitives"]]
    packed = [p for p in primitives if "KHR_draco_mesh_compression" in p.get("extensions", {})]
    used = [accessor for p in packed for accessor in (p["indices"], *p["attributes"].values())]
    assert len(used) == len(set(used)) > 0


def test_roots_are_simplified_further_if_the_base_is_too_large(tmp_path: Path) -> None:
    path = make.save(parts.machine(12, largest=2000, smallest=1500), tmp_path, "model")
    usual = build_file(path, tmp_path / "usual")
    tight = Settings(base_bytes=usual.manifest["base"]["bytes"] - 3000)
    small = build_file(path, tmp_path / "small", tight)
    assert small.manifest["base"]["bytes"] <= tight.base_bytes
    for one, other in zip(usual.manifest["trees"], small.manifest["trees"], strict=True):
        coarse, finer = other["regions"][0], other["regions"][1]
        assert coarse["triangles"] < one["regions"][0]["triangles"]
        assert coarse["error"] > finer["error"]
        assert other["regions"][1:] == one["regions"][1:]
