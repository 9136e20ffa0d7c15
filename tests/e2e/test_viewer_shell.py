"""A base that is a shell: shown alone first, then replaced by the model with its own materials."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route
from servers import Site, script, serve
from visit import Visit

HERE = Path(__file__).parent
MAKE = """
import sys, pathlib, crate_maker, gltf_maker as make
make.save(crate_maker.crate(), pathlib.Path(sys.argv[1]), "crate")
"""
# [material, region, triangles] of each drawn mesh.
DRAWN = """() => [...[...streamxr.streamxr.shown][0].drawn()].map(({ mesh, region }) =>
    [mesh.material.name, region, mesh.geometry.index.count / 3])"""


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("crate")
    subprocess.run([sys.executable, "-c", MAKE, folder], cwd=HERE.parent / "pipeline", check=True)
    bundle = folder / "build"
    subprocess.run([script("streamxr"), "build", folder / "crate.glb", "-o", bundle], check=True)
    with serve(bundle) as site:
        yield site


def test_a_shell_is_drawn_alone_and_then_replaced_by_the_model(visit: Callable[..., Visit], crate: Site) -> None:
    entry = json.loads((crate.folder / "bundle.json").read_text())["assets"]["crate"]
    manifest = json.loads((crate.folder / entry["manifest"]["uri"]).read_text())
    held: list[Route] = []
    page = visit(
        "camera=1.5,1.5,2.5,0,0.5,0",
        at=crate,
        routes={
            "**/o/**": lambda route: held.append(route),
            f"**/{entry['base']['uri']}": lambda route: route.continue_(),
        },
    )
    page.wait("() => window.streamxr?.streamxr.shown.size === 1")
    page.wait("() => streamxr.session.streamer.assets[0].manifest")
    page.see_frames(3)
    assert page.page.evaluate(DRAWN) == [["StreamXR shell", 0, manifest["trees"][0]["regions"][0]["triangles"]]]
    page.page.unroute("**/o/**")
    for route in held:
        route.continue_()
    page.settle()
    drawn = page.page.evaluate(DRAWN)
    assert all(region > 0 and name != "StreamXR shell" for name, region, _ in drawn)
    assert len({name for name, _, _ in drawn}) == 12
    assert page.crashes == []
