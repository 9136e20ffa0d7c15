"""The content of the wheel: every module, and the built viewer, so that an installation needs no Node.js.

`make release` runs these tests on the wheel of the release and then installs it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITE_SITE = """
import pathlib, sys
from streamxr.pipeline.bundle import files
assert pathlib.Path(files.__file__).is_relative_to(sys.argv[1]), files.__file__
files.Bundle(pathlib.Path(sys.argv[2])).write_site()
"""


@pytest.fixture(scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel, as pip installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel: Path = request.config.getoption("--wheel") or build_wheel(folder)
    site = folder / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def build_wheel(folder: Path) -> Path:
    # setuptools would add the modules of earlier builds that it finds there.
    shutil.rmtree(ROOT / ".cache" / "wheel", ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run([*command, "--disable-pip-version-check"], cwd=ROOT, check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.parametrize("program", ["pipeline", "relay"])
def test_the_wheel_has_every_module_and_no_other(installed: Path, program: str) -> None:
    def files(folder: Path) -> list[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return sorted(path.relative_to(folder).as_posix() for path in found)

    assert files(installed / "streamxr" / program) == files(ROOT / program)


def test_the_wheel_contains_page_element_module_types_and_decoder(installed: Path) -> None:
    site = installed / "streamxr" / "site"
    for name in ("index.html", "viewer/streamxr-viewer.js", "viewer/module/streamxr-viewer.js"):
        assert (site / name).is_file(), name
        assert (site / f"{name}.br").is_file(), "precompressed"
    assert (site / "viewer/module/types/index.d.ts").is_file()
    assert list(site.glob("viewer/draco/*.wasm"))


def test_every_file_that_the_viewer_imports_is_in_the_wheel(installed: Path) -> None:
    site = installed / "streamxr" / "site"
    for script in [*site.glob("viewer/*.js"), *site.glob("viewer/module/*.js")]:
        named = re.findall(r"""["'](\.{1,2}/[\w./-]+\.(?:js|wasm))["']""", script.read_text("utf-8"))
        # "../libs/" is the default path of three.js to its own decoders, which the viewer replaces.
        own = [name for name in named if not name.startswith("../libs/")]
        assert [name for name in own if not (script.parent / name).is_file()] == [], script.name


def test_the_installed_pipeline_puts_the_page_into_a_bundle(installed: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", WRITE_SITE, installed, tmp_path],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        check=True,
        timeout=60,
    )
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "viewer" / "streamxr-viewer.js").is_file()
