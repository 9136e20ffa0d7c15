"""What the eyes look at is fetched first: in a headset that tracks them, at a pinch, and by the mouse."""

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
QUERY = "assets=lantern,koi&gaze=pointer&camera=0.4,0.9,2.2,0.4,0.4,0"
# Nothing finer than the bases ever arrives: what is asked for is on its way until it is aborted.
HOLD_DETAIL = """
const send = fetch;
globalThis.fetch = (request) => {
    const { url, signal } = request;
    if (!url.includes("/o/") || BASES.some((base) => url.endsWith(base))) return send(request);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
};
"""
# From the eye to the middle of an asset, in the world.
TOWARDS = """(id) => {
    const { world, entry: { bounds: { min, max } } } = streamxr.session.streamer.assets.find((each) => each.id === id);
    const centre = min.map((low, i) => (low + max[i]) / 2);
    const { eye } = streamxr.streamxr.view.latest;
    return eye.map((from, i) => world[i] * centre[0] + world[4 + i] * centre[1] + world[8 + i] * centre[2]
        + world[12 + i] - from);
}"""
# Where on the page an asset is.
PLACE = f"""(id) => {{
    const [x, y, z] = ({TOWARDS})(id);
    const {{ demo, streamxr: {{ view: {{ latest: {{ eye }} }} }} }} = streamxr;
    const point = demo.camera.position.clone().set(x + eye[0], y + eye[1], z + eye[2]).project(demo.camera);
    return [(point.x + 1) / 2 * innerWidth, (1 - point.y) / 2 * innerHeight];
}}"""
# The next request will be for one asset, because of one source of gaze.
NEXT = """({ id, source }) => {
    const { start, waiting } = streamxr.session.streamer.plan;
    const next = start[0] ?? waiting[0];
    return streamxr.streamxr.view.gaze.source === source && next?.download.asset.id === id;
}"""
# Two requests at a time, whatever the bandwidth; and pixels as fine as a headset's, though few are drawn here.
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
    """A visitor with a headset at hand, while everything finer than the bases is on its way for ever."""
    entries = json.loads((site.folder / "bundle.json").read_text())["assets"].values()
    bases = json.dumps([entry["base"]["uri"] for entry in entries])
    script = "\n".join([IWER.read_text(), (HERE / "headset.js").read_text(), f"const BASES = {bases};", HOLD_DETAIL])
    visit = Visit(browser, site, QUERY, script=script)
    visit.wait("() => window.streamxr?.streamxr.shown.size === 2")
    visit.wait(GAZE_CODE_LOADED)
    visit.page.evaluate(SHARP)
    yield visit
    visit.close()


def fetched_next(visit: Visit, asset: str, source: str, hint: Callable[[int], None]) -> None:
    """Hints fade: they are given again until the page has seen one."""
    for attempt in range(100):
        hint(attempt)
        visit.see_frames(2)
        if visit.page.evaluate(NEXT, {"id": asset, "source": source}):
            return
    pytest.fail(f"{asset} is looked at, and something else is next")


def test_what_the_mouse_points_at_is_fetched_next(visit: Visit) -> None:
    for asset in ("lantern", "koi"):
        x, y = visit.page.evaluate(PLACE, asset)
        fetched_next(visit, asset, "pointer", lambda attempt, x=x, y=y: visit.page.mouse.move(x + attempt % 2, y))


def test_in_a_headset_what_the_eyes_look_at_is_fetched_next(visit: Visit) -> None:
    visit.page.locator("#enter-vr").click()
    visit.wait("() => streamxr.demo.renderer.xr.isPresenting")
    visit.wait(SOURCE, "head")
    for asset in ("lantern", "koi", "lantern"):
        visit.page.evaluate("(way) => headset.look(way)", visit.page.evaluate(TOWARDS, asset))
        visit.wait(NEXT, {"id": asset, "source": "eye"})


def test_without_an_eye_tracker_a_pinch_tells_for_a_moment(visit: Visit) -> None:
    visit.page.evaluate("headset.blind()")
    visit.wait(SOURCE, "head")
    for asset in ("koi", "lantern"):
        way = visit.page.evaluate(TOWARDS, asset)
        fetched_next(visit, asset, "pinch", lambda _, way=way: visit.page.evaluate("(way) => headset.pinch(way)", way))
    visit.page.evaluate("headset.release()")
    visit.wait(SOURCE, "head")
    assert visit.crashes == []
