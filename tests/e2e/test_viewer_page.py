"""The demo page: choice of assets, error messages, motion, HUD."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Site, serve
from visit import Visit

Open = Callable[..., Visit]

SHOWS = """(names) => {
    const last = window.streamxr?.frames.at(-1);
    return last !== undefined && names.every((name) => last.regions.some(({ asset }) => asset === name));
}"""


def catalogue(folder: Path) -> dict[str, Any]:
    entries: dict[str, Any] = json.loads((folder / "bundle.json").read_text())["assets"]
    return entries


@pytest.fixture(scope="module")
def broken_site(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The bundle with a lantern whose base is all zeros, and koi whose manifest is cut short."""
    folder = tmp_path_factory.mktemp("broken") / "build"
    shutil.copytree(bundle, folder)
    entries = catalogue(folder)
    base = folder / entries["lantern"]["base"]["uri"]
    base.write_bytes(b"\x00" * base.stat().st_size)
    manifest = folder / entries["koi"]["manifest"]["uri"]
    manifest.write_bytes(manifest.read_bytes()[:100])
    with serve(folder) as site:
        yield site


def test_all_assets_of_the_bundle_are_shown_by_default(visit: Open, site: Site) -> None:
    page = visit()
    page.wait(SHOWS, list(catalogue(site.folder)))
    assert page.notices() == []
    assert page.crashes == []


def test_the_address_chooses_the_assets(visit: Open) -> None:
    page = visit("assets=lantern")
    page.wait(SHOWS, ["lantern"])
    assert {region["asset"] for frame in page.frames() for region in frame["regions"]} == {"lantern"}


def test_an_asset_that_does_not_exist_is_named_and_the_others_are_shown(visit: Open) -> None:
    page = visit("assets=lantern,unicorn")
    page.wait(SHOWS, ["lantern"])
    (notice,) = page.notices()
    assert "unicorn" in notice
    assert "lantern" in notice, "the notice lists the assets that exist"


def test_broken_assets_are_named_and_the_others_are_shown(visit: Open, broken_site: Site) -> None:
    page = visit("assets=lantern,koi,sculpture", at=broken_site)
    # The koi's base is valid, so it is shown, without refinements.
    page.wait(SHOWS, ["sculpture", "koi"])
    page.wait("() => document.querySelectorAll('#notices .notice').length >= 2")
    notices = " ".join(page.notices())
    assert "lantern" in notices
    assert "koi" in notices
    assert page.crashes == []
    assert "missing" in page.page.locator("#caption").inner_text()


def test_a_page_without_a_bundle_says_so(visit: Open) -> None:
    page = visit("bundle=nowhere/bundle.json")
    page.wait("() => document.querySelectorAll('#notices .notice').length > 0")
    (notice,) = page.notices()
    assert "nowhere/bundle.json" in notice
    assert "404" in notice


def test_a_browser_without_webgl_says_what_to_do(visit: Open) -> None:
    page = visit("assets=lantern", script="HTMLCanvasElement.prototype.getContext = () => null")
    page.wait("() => document.querySelectorAll('#notices .notice').length > 0")
    (notice,) = page.notices()
    assert "WebGL" in notice
    assert page.crashes == []


def test_an_animated_asset_still_moves_in_its_finest_tier(visit: Open) -> None:
    page = visit("assets=koi")
    page.settle()
    assert max(region["tier"] for region in page.frames()[-1]["regions"]) > 0
    first = page.picture()
    page.see_frames(5)
    assert page.picture() != first


def test_each_joint_of_a_skin_moves(visit: Open) -> None:
    page = visit("assets=koi")
    page.settle()
    # The bone matrices of all skins, as they are uploaded.
    bones = """() => {
        const matrices = [];
        streamxr.demo.scene.traverse((object) => {
            if (object.isSkinnedMesh) matrices.push([...object.skeleton.boneMatrices]);
        });
        return matrices;
    }"""
    before = page.page.evaluate(bones)
    page.see_frames(5)
    after = page.page.evaluate(bones)
    assert before
    assert len(before) == len(after)
    assert all(now != then for now, then in zip(after, before, strict=True))


def test_the_picture_of_a_still_asset_does_not_change(visit: Open) -> None:
    page = visit("assets=lantern")
    page.settle()
    first = page.picture()
    page.see_frames(5)
    assert page.picture() == first


def test_the_hud_opens_with_h_and_shows_what_arrived(visit: Open) -> None:
    page = visit("assets=lantern")
    page.settle()
    hud = page.page.locator("#hud")
    assert hud.count() == 0, "its code is not loaded before it is opened"
    page.page.keyboard.press("h")
    hud.get_by_text("Received").wait_for()
    text = hud.inner_text()
    assert "Mbit/s" in text or "kbit/s" in text
    assert "lantern" in text
    assert "tier" in text
    page.page.keyboard.press("h")
    hud.wait_for(state="hidden")
