"""What `pip install streamxr` brings: the built viewer is in it, so that nobody needs Node."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITE_SITE = """
import pathlib, sys
import streamxr.pipeline.bundle as bundle
assert pathlib.Path(bundle.__file__).is_relative_to(sys.argv[1]), bundle.__file__
bundle.Bundle(pathlib.Path(sys.argv[2])).write_site()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel's content, as an installation would lay it out."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run([*command, "--disable-pip-version-check"], cwd=ROOT, check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_the_wheel_has_every_way_to_use_the_viewer(installed: Path) -> None:
    site = installed / "streamxr" / "site"
    for name in ("index.html", "viewer/streamxr-viewer.js", "viewer/module/streamxr-viewer.js"):
        assert (site / name).is_file(), name
        assert (site / f"{name}.br").is_file(), "precompressed"
    assert (site / "viewer/module/types/index.d.ts").is_file()
    assert list(site.glob("viewer/draco/*.wasm"))


def test_every_file_that_the_viewer_names_is_in_the_wheel(installed: Path) -> None:
    site = installed / "streamxr" / "site"
    for script in [*site.glob("viewer/*.js"), *site.glob("viewer/module/*.js")]:
        named = re.findall(r"""["'](\.{1,2}/[\w./-]+\.(?:js|wasm))["']""", script.read_text("utf-8"))
        # Where three.js would look for its own copy, had it not been told of ours.
        ours = [name for name in named if not name.startswith("../libs/")]
        assert [name for name in ours if not (script.parent / name).is_file()] == [], script.name


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
