"""Load one loader's page in a real browser over a throttled link, and time its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser

MAPS = 6  # of the helmet's material in three.js; occlusion, roughness and metalness share one picture
PATIENCE_MS = 60_000
SETTLE_MS = 1000  # in which decoders are fetched and scripts compiled
MEGABIT = 1_000_000 / 8

# A frame is complete when it has drawn a primitive and no map is missing.
COMPLETE = f"(frame) => frame.primitives > 0 && Object.keys(frame.maps).length === {MAPS}"
FIRST = f"() => window.failure || frames.some({COMPLETE})"
FULL = f"""([triangles, pixels]) => window.failure || frames.some((frame) => ({COMPLETE})(frame) &&
    frame.triangles >= triangles && Object.values(frame.maps).every((width) => width >= pixels))"""


@dataclass(frozen=True)
class FullDetail:
    """The measures of full detail: triangles, and the width of each map."""

    triangles: int
    pixels: int


@dataclass(frozen=True)
class PageLoad:
    """Seconds until the first complete frame and until full detail, and the bytes received by then."""

    first_s: float
    full_s: float
    first_bytes: int
    full_bytes: int

    def __str__(self) -> str:
        first = f"first {self.first_s:.3f} s with {self.first_bytes:,} B"
        return f"{first}, full {self.full_s:.2f} s with {self.full_bytes:,} B"


def load_page(
    browser: Browser, url: str, loader: str, full_detail: FullDetail, *, mbit: float, latency_ms: float
) -> PageLoad:
    """Load the page with an empty cache, throttle the link, and load the model.

    Raises RuntimeError if the loader fails.
    """
    context = browser.new_context(viewport={"width": 640, "height": 360})
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{url}{loader}.html")
        page.locator("body[data-ready]").wait_for()
        page.wait_for_timeout(SETTLE_MS)
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        rate = mbit * MEGABIT
        devtools.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": latency_ms, "downloadThroughput": rate, "uploadThroughput": rate},
        )
        page.evaluate("loadModel()")
        page.wait_for_function(FIRST)
        first_bytes = page.evaluate("bytes()")
        page.wait_for_function(FULL, arg=[full_detail.triangles, full_detail.pixels])
        failure = page.evaluate("window.failure")
        if failure:
            raise RuntimeError(f"{loader}: {failure}")
        frames: list[dict[str, Any]] = page.evaluate("frames")
        complete = [frame for frame in frames if frame["primitives"] > 0 and len(frame["maps"]) == MAPS]
        full = next(
            frame
            for frame in complete
            if frame["triangles"] >= full_detail.triangles and min(frame["maps"].values()) >= full_detail.pixels
        )
        return PageLoad(complete[0]["at"] / 1000, full["at"] / 1000, first_bytes, page.evaluate("bytes()"))
    finally:
        context.close()
