"""Browser tests: Chromium, a bundle that the pipeline builds, and the real servers.

`pytest tests/e2e` needs a built page (`npm run build` in viewer/) and a Chromium, on the PATH or named by the
environment variable CHROMIUM.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from servers import Site, free_port, running, script, serve
from visit import Visit

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "viewer" / "dist" / "index.html"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Without a GPU, SwiftShader draws. Root, as in a container, has no sandbox.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
# Density of each sample, low enough for a CPU: a tree of two levels, a rigid chain, a skin.
DETAIL = {"sculpture": 0.3, "lantern": 0.4, "koi": 0.4}

MAKE_SAMPLES = """
import importlib, json, pathlib, sys
folder, details = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
for name, detail in details.items():
    (folder / f"{name}.glb").write_bytes(importlib.import_module(f"models.samples.{name}").build(name, detail))
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.fail("no Chromium: install one (apt install chromium) or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def bundle(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A bundle of small samples, built by the command line."""
    if not PAGE.is_file():
        pytest.fail(f"{PAGE} is missing: run `npm run build` in {PAGE.parents[1]}")

    def make(folder: Path) -> None:
        source = folder / "src"
        source.mkdir()
        subprocess.run([sys.executable, "-c", MAKE_SAMPLES, source, json.dumps(DETAIL)], cwd=ROOT, check=True)
        subprocess.run([script("streamxr"), "build", source, "-o", folder / "build"], check=True, timeout=240)

    return made_once("samples", make) / "build"


@pytest.fixture(scope="session")
def site(bundle: Path) -> Iterator[Site]:
    with serve(bundle) as site:
        yield site


@pytest.fixture(scope="session")
def relay() -> Iterator[str]:
    """The ws:// address of a running relay that accepts the tests' pages."""
    port = free_port()
    command = [script("streamxr-relay"), "serve", "--host", "127.0.0.1", "--port", str(port), "--metrics-port", "0"]
    with running(command, f"http://127.0.0.1:{port}/healthz"):
        yield f"ws://127.0.0.1:{port}"


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visit]]:
    """Opens the page in a new browser context with an empty cache; each call opens one more."""
    visits: list[Visit] = []

    def opened(query: str = "", *, at: Site = site, **options: object) -> Visit:
        visits.append(Visit(browser, at, query, **options))  # type: ignore[arg-type]
        return visits[-1]

    yield opened
    for each in visits:
        each.close()
