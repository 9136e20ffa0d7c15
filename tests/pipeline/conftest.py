from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gltf_maker as make
import pytest
from builds import Built, build_file, bundle_faults
from streamxr.pipeline.settings import Settings


@pytest.fixture(scope="module", autouse=True)
def every_bundle_is_sound() -> Iterator[None]:
    """Checks every bundle of a test file after its tests; a fault is an error of the last one."""
    yield
    assert bundle_faults() == []


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
