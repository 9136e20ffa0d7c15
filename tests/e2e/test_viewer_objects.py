"""`asset.objects()` lists the nodes of the source, whether the base has them or not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Site, script, serve
from visit import Visit

HERE = Path(__file__).parent
MAKE = """
import sys, pathlib, bolts_maker, gltf_maker as make
make.save(bolts_maker.bolts(600), pathlib.Path(sys.argv[1]), "many")
make.save(bolts_maker.bolts(8), pathlib.Path(sys.argv[1]), "few")
"""
ASSET = "[...streamxr.streamxr.shown][0]"
SHOWN = "() => window.streamxr?.streamxr.shown.size === 1"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two models of bolts: the base of one lacks their nodes."""
    folder = tmp_path_factory.mktemp("parts")
    subprocess.run([sys.executable, "-c", MAKE, folder], cwd=HERE.parent / "pipeline", check=True)
    bundle = folder / "build"
    subprocess.run([script("streamxr"), "build", folder, "-o", bundle], check=True)
    with serve(bundle) as site:
        yield site


def objects_uri(site: Site, asset: str) -> str:
    entry = json.loads((site.folder / "bundle.json").read_text())["assets"][asset]
    uri: str = json.loads((site.folder / entry["manifest"]["uri"]).read_text())["objects"]["uri"]
    return uri


@pytest.mark.parametrize(("asset", "count"), [("many", 600), ("few", 8)])
def test_a_page_finds_name_extras_matrix_and_box_of_each_part(
    visit: Callable[..., Visit], parts: Site, asset: str, count: int
) -> None:
    page = visit(f"assets={asset}", at=parts)
    page.wait(SHOWN)
    assert page.requested[parts.url + objects_uri(parts, asset)] == 0
    listed = page.page.evaluate(f"{ASSET}.objects()")
    bolts = [each for each in listed if each["name"].startswith("Bolt")]
    assert [each["name"] for each in bolts] == [f"Bolt {number}" for number in range(count)]
    assert [each["extras"]["torque"] for each in bolts] == [number / 4 for number in range(count)]
    assert bolts[2]["matrix"][12:] == pytest.approx([6 * 0.28, 0, -6 * 0.96, 1], abs=1e-6)
    assert bolts[2]["box"]["min"][1] == 0
    assert bolts[2]["box"]["max"][1] == pytest.approx(1.002, abs=1e-6)
    # The parts are drawn where the list says: the boxes of all of them are the box of the asset.
    bounds = page.page.evaluate("streamxr.session.streamer.assets[0].entry.bounds")
    for axis in range(3):
        assert min(each["box"]["min"][axis] for each in bolts) == pytest.approx(bounds["min"][axis], abs=1e-5)
        assert max(each["box"]["max"][axis] for each in bolts) == pytest.approx(bounds["max"][axis], abs=1e-5)
    assert page.page.evaluate(f"{ASSET}.objects().then(({{ length }}) => length)") == len(listed)
    assert page.requested[parts.url + objects_uri(parts, asset)] == 1
    hidden = page.page.evaluate(f"{ASSET}.getObjectByName('Bolt_5') === undefined")
    assert hidden == (asset == "many")
    assert page.crashes == []


def test_a_list_that_cannot_be_loaded_rejects_and_is_requested_again_by_the_next_call(
    visit: Callable[..., Visit], parts: Site
) -> None:
    page = visit("assets=few", at=parts)
    page.wait(SHOWN)
    pattern = f"**/{objects_uri(parts, 'few')}"
    page.page.route(pattern, lambda route: route.fulfill(status=404))
    assert "404" in page.page.evaluate(f"{ASSET}.objects().catch(({{ message }}) => message)")
    page.page.unroute(pattern)
    assert page.page.evaluate(f"{ASSET}.objects().then(({{ length }}) => length)") == 9


def test_objects_rejects_when_the_asset_is_unloaded(visit: Callable[..., Visit], parts: Site) -> None:
    page = visit("assets=few", at=parts, routes={f"**/{objects_uri(parts, 'few')}": lambda _: None})
    page.wait(SHOWN)
    reason = page.page.evaluate(f"""() => {{
        const asset = {ASSET};
        const objects = asset.objects().catch(({{ name }}) => name);
        streamxr.streamxr.unload(asset);
        return objects;
    }}""")
    assert reason == "AbortError"
