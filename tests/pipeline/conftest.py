from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gltf_maker as make
import pytest
from builds import Built, build_file
from streamxr.pipeline.settings import Settings

LAST = "test_pipeline_every_bundle.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the checks of every bundle after the tests that build them."""
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Built]:
    """A function that builds a Maker's model in this process."""

    def run(maker: make.Maker, name: str = "model", settings: Settings | None = None) -> Built:
        return build_file(make.save(maker, tmp_path, name), tmp_path / "build", settings)

    return run


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A two-material sphere of 60,000 triangles, split twice below a short chain."""
    folder = tmp_path_factory.mktemp("tree")
    maker = make.textured_sphere(150, 200)
    return build_file(make.save(maker, folder, "sphere"), folder / "build", Settings(leaf_triangles=3500))
