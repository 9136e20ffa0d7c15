"""The asset in the gaze is fetched first, with each source of gaze: eye tracker, pinch, mouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from servers import Site
from visit import Visit

HERE = Path(__file__).parent
IWER = HERE.parents[1] / "viewer" / "node_modules" / "iwer" / "build" / "iwer.min.js"

# Both assets in view, one on either side.
QUERY = "assets=lantern,koi&gaze=pointer&camera=0.4,0.7,1.4,0.4,0.4,0"
# Only bases arrive: every other request stays in flight until it is aborted.
HOLD_DETAIL = """
const send = fetch;
globalThis.fetch = (request) => {
    const { url, signal } = request;
    if (!url.includes("/o/") || BASES.some((base) => url.endsWith(base))) return send(request);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
};
"""
# The vector from the eye to the centre of an asset, in world space.
TOWARDS = """(id) => {
    const { world, entry: { bounds: { min, max } } } = streamxr.session.streamer.assets.find((each) => each.id === id);
    const centre = min.map((low, i) => (low + max[i]) / 2);
    const { eye } = streamxr.streamxr.view.latest;
    return eye.map((from, i) => world[i] * centre[0] + world[4 + i] * centre[1] + world[8 + i] * centre[2]
        + world[12 + i] - from);
}"""
# The position of an asset on the page, pixels.
PLACE = f"""(id) => {{
    const [x, y, z] = ({TOWARDS})(id);
    const {{ demo, streamxr: {{ view: {{ latest: {{ eye }} }} }} }} = streamxr;
    const point = demo.camera.position.clone().set(x + eye[0], y + eye[1], z + eye[2]).project(demo.camera);
    return [(point.x + 1) / 2 * innerWidth, (1 - point.y) / 2 * innerHeight];
}}"""
# Whether the next request is for an asset, and the gaze comes from a source.
NEXT = """({ id, source }) => {
    const { start, waiting } = streamxr.session.streamer.plan;
    const next = start[0] ?? waiting[0];
    return streamxr.streamxr.view.gaze.source === source && next?.download.asset.id === id;
}"""
# Two requests at a time at any bandwidth, and the resolution of a headset in spite of the small canvas.
SHARP = """() => {
    const { streamer } = streamxr.session;
    streamer.limits = { ...streamer.limits, inFlightMs: 1 };
    streamxr.streamxr.view.pixelTolerance = 0.12;
}"""
GAZE_CODE_LOADED = """() => performance.getEntriesByType("resource")
    .some(({ name, responseEnd }) => name.includes("/viewer/gaze-") && responseEnd > 0)"""
SOURCE = "(source) => streamxr.streamxr.view.gaze.source === source"


@pytest.fixture(scope="module")
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """A visit with an emulated headset, in which only the bases arrive."""
    entries = json.loads((site.folder / "bundle.json").read_text())["assets"].values()
    bases = json.dumps([entry["base"]["uri"] for entry in entries])
    script = "\n".join([IWER.read_text(), (HERE / "headset.js").read_text(), f"const BASES = {bases};", HOLD_DETAIL])
    visit = Visit(browser, site, QUERY, script=script, pixel_ratio=1)
    visit.wait("() => window.streamxr?.streamxr.shown.size === 2")
    visit.wait(GAZE_CODE_LOADED)
    visit.page.evaluate(SHARP)
    yield visit
    visit.close()


def assert_next(visit: Visit, asset: str, source: str, hint: Callable[[int], None]) -> None:
    """Gives the hint again until the page has read it, since hints fade."""
    for attempt in range(100):
        hint(attempt)
        visit.see_frames(2)
        if visit.page.evaluate(NEXT, {"id": asset, "source": source}):
            return
    pytest.fail(f"the gaze is on {asset}, but the next file is of another asset")


def test_the_asset_below_the_mouse_is_fetched_next(visit: Visit) -> None:
    for asset in ("lantern", "koi"):
        x, y = visit.page.evaluate(PLACE, asset)
        assert_next(visit, asset, "pointer", lambda attempt, x=x, y=y: visit.page.mouse.move(x + attempt % 2, y))


def test_in_a_headset_with_an_eye_tracker_the_asset_in_the_gaze_is_fetched_next(visit: Visit) -> None:
    visit.page.locator("#enter-vr").click()
    visit.wait("() => streamxr.demo.renderer.xr.isPresenting")
    visit.wait(SOURCE, "head")
    for asset in ("lantern", "koi", "lantern"):
        visit.page.evaluate("(way) => headset.look(way)", visit.page.evaluate(TOWARDS, asset))
        visit.wait(NEXT, {"id": asset, "source": "eye"})


def test_without_an_eye_tracker_a_pinch_gives_the_gaze_for_a_moment(visit: Visit) -> None:
    visit.page.evaluate("headset.blind()")
    visit.wait(SOURCE, "head")
    for asset in ("koi", "lantern"):
        way = visit.page.evaluate(TOWARDS, asset)
        assert_next(visit, asset, "pinch", lambda _, way=way: visit.page.evaluate("(way) => headset.pinch(way)", way))
    visit.page.evaluate("headset.release()")
    visit.wait(SOURCE, "head")
    assert visit.crashes == []
