"""One visit to one loader's page in a real browser over a throttled link."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# A GPU-less machine draws with SwiftShader; root (in a container) has no sandbox.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # A peer asks other hosts for its decoders first: nothing but the machine itself is there, everywhere alike.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
MAPS = 6  # of the helmet's material, as three.js counts: occlusion, roughness and metalness share one picture
PATIENCE_MS = 60_000
SETTLE_MS = 1000  # decoders are fetched, scripts compiled
MEGABIT = 1_000_000 / 8

# The size of what a frame drew must be enough; the number of its maps says that none is still missing.
COMPLETE = f"(frame) => frame.primitives > 0 && Object.keys(frame.maps).length === {MAPS}"
FIRST = f"() => window.failure || frames.some({COMPLETE})"
FULL = f"""([triangles, pixels]) => window.failure || frames.some((frame) => ({COMPLETE})(frame) &&
    frame.triangles >= triangles && Object.values(frame.maps).every((width) => width >= pixels))"""


@dataclass(frozen=True)
class Finest:
    """What full detail is."""

    triangles: int
    pixels: int


@dataclass(frozen=True)
class Arrival:
    first_s: float
    full_s: float
    first_bytes: int
    full_bytes: int

    def __str__(self) -> str:
        first = f"first {self.first_s:.3f} s with {self.first_bytes:,} B"
        return f"{first}, full {self.full_s:.2f} s with {self.full_bytes:,} B"


def chromium() -> str:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        sys.exit("no Chromium: install one (apt install chromium) or set CHROMIUM to its path")
    return path


def visit(browser: Browser, url: str, loader: str, finest: Finest, *, mbit: float, latency_ms: float) -> Arrival:
    """Loads the page with nothing cached, throttles the link, and loads the model."""
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
        page.evaluate("go()")
        page.wait_for_function(FIRST)
        first_bytes = page.evaluate("bytes()")
        page.wait_for_function(FULL, arg=[finest.triangles, finest.pixels])
        failure = page.evaluate("window.failure")
        if failure:
            raise RuntimeError(f"{loader}: {failure}")
        frames: list[dict[str, Any]] = page.evaluate("frames")
        complete = [frame for frame in frames if frame["primitives"] > 0 and len(frame["maps"]) == MAPS]
        full = next(
            frame
            for frame in complete
            if frame["triangles"] >= finest.triangles and min(frame["maps"].values()) >= finest.pixels
        )
        return Arrival(complete[0]["at"] / 1000, full["at"] / 1000, first_bytes, page.evaluate("bytes()"))
    finally:
        context.close()
