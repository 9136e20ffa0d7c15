"""`?watch=1`: a page that is opened before anything is built shows each asset once it is in the bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from servers import Site, serve
from streamxr.pipeline.bundle.files import CATALOGUE, Bundle
from visit import Visit

SHOWN = "(count) => window.streamxr?.streamxr.shown.size === count"
# The camera's momentum after a drag is almost used up.
AT_REST = """() => new Promise((resolve) => {
    const { position } = streamxr.demo.camera;
    const look = (before) => {
        if (position.distanceTo(before) < 1e-3) resolve(true);
        else requestAnimationFrame(look.bind(null, position.clone()));
    };
    requestAnimationFrame(look.bind(null, position.clone().addScalar(1)));
})"""
DISTANCE = "() => streamxr.demo.camera.position.length()"


def test_a_watching_page_shows_assets_as_they_are_built(
    bundle: Path, visit: Callable[..., Visit], tmp_path: Path
) -> None:
    entries = json.loads((bundle / CATALOGUE).read_text())["assets"]
    growing = tmp_path / "build"
    shutil.copytree(bundle, growing)
    Bundle(growing).write_catalogue("streamxr test", {})
    with serve(growing) as site:
        page = visit("watch=1", at=Site(site.url, growing))
        page.page.get_by_text("Waiting for the first asset").wait_for()
        assert page.notices() == []
        Bundle(growing).write_catalogue("streamxr test", {"lantern": entries["lantern"]})
        page.wait(SHOWN, 1)
        near = page.page.evaluate(DISTANCE)
        Bundle(growing).write_catalogue("streamxr test", entries)
        page.wait(SHOWN, len(entries))
        # The camera steps back to have all of them in view.
        assert page.page.evaluate(DISTANCE) > near
        page.page.get_by_text(f"{len(entries)} assets").wait_for()
        page.settle()
        places = page.page.evaluate("[...streamxr.streamxr.shown].map(({ position }) => position.x)")
        assert len({round(x, 2) for x in places}) == len(entries)
        assert page.crashes == []


def test_the_camera_stays_where_the_visitor_took_it(bundle: Path, visit: Callable[..., Visit], tmp_path: Path) -> None:
    entries = json.loads((bundle / CATALOGUE).read_text())["assets"]
    growing = tmp_path / "build"
    shutil.copytree(bundle, growing)
    Bundle(growing).write_catalogue("streamxr test", {"lantern": entries["lantern"]})
    with serve(growing) as site:
        page = visit("watch=1", at=Site(site.url, growing))
        page.wait(SHOWN, 1)
        page.page.mouse.move(100, 100)
        page.page.mouse.down()
        page.page.mouse.move(160, 120, steps=4)
        page.page.mouse.up()
        page.settle()
        page.wait(AT_REST)
        before = page.page.evaluate(DISTANCE)
        Bundle(growing).write_catalogue("streamxr test", entries)
        page.wait(SHOWN, len(entries))
        assert abs(page.page.evaluate(DISTANCE) - before) < 0.01 * before
