from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gltf_maker as make
import pytest
from streamxr.pipeline.asset import AssetReport, build_asset
from streamxr.pipeline.bundle import Bundle
from streamxr.pipeline.settings import Settings

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Built:
    """A built asset: its folder, report and manifest."""

    root: Path
    report: AssetReport
    manifest: dict[str, Any]

    @property
    def base(self) -> tuple[dict[str, Any], bytes]:
        return make.unpack((self.root / self.manifest["base"]["uri"]).read_bytes())


def in_this_process(_: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [function(*task) for task in tasks]


def build_file(path: Path, root: Path, settings: Settings | None = None) -> Built:
    bundle = Bundle(root)
    asset = path.stem.lower()
    report = build_asset(path, path.name, asset, bundle, settings or Settings(), in_this_process)
    bundle.write_catalogue("test", {**bundle.read_catalogue()["assets"], asset: report.entry})
    return Built(root, report, json.loads((root / report.entry["manifest"]["uri"]).read_text()))


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Built]:
    """Builds a Maker's model in this process."""

    def run(maker: make.Maker, name: str = "model", settings: Settings | None = None) -> Built:
        return build_file(make.save(maker, tmp_path, name), tmp_path / "build", settings)

    return run


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A two-material sphere of 60,000 triangles, split twice below a short chain."""
    folder = tmp_path_factory.mktemp("tree")
    maker = make.textured_sphere(150, 200)
    return build_file(make.save(maker, folder, "sphere"), folder / "build", Settings(leaf_triangles=3500))


def khronos_errors(files: Sequence[Path]) -> dict[str, list[str]]:
    """Errors that the Khronos validator finds, by file."""
    command = ["node", str(HERE / "khronos.mjs")]
    done = subprocess.run(command, input="\n".join(map(str, files)), capture_output=True, text=True, check=True)
    errors: dict[str, list[str]] = json.loads(done.stdout)
    return errors
