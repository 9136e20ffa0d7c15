"""One visit to the page, with the records of its frames and requests (`?debug=1`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Request, Route
from servers import Site

# Chromium calls SwiftShader a GPU if a flag asked for it. This context option then returns nothing, as it does for a
# visitor without a GPU, and the page draws without antialiasing and with smaller shadows: in a third of the time.
WITHOUT_GPU = """{
    const { getContext } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.getContext = function (kind, options) {
        return options?.failIfMajorPerformanceCaveat ? null : getContext.call(this, kind, options);
    };
}"""
# Pixels of the canvas per CSS pixel, for pages of the usual size: with a quarter of the pixels a frame takes 0.4 of the
# time. Chromium draws canvases below 160 × 90 pixels once a second, so that small pages keep theirs.
PIXEL_RATIO = 0.5
PATIENCE_MS = 150_000  # longer than a slow, shared CPU needs to draw, so only a hang takes this long
MEGABIT = 1_000_000 / 8


@dataclass(frozen=True)
class Link:
    """The limits of the network for all requests, of the page and of its workers."""

    mbit_per_s: float
    latency_ms: float


# No file is in flight or planned, and no fade is in progress.
SETTLED = """() => {
    const { streamer } = window.streamxr?.session ?? {};
    if ([...(window.streamxr?.streamxr.shown ?? [])].some(({ fading }) => fading)) return false;
    if (!streamer || streamer.assets.length === 0 || streamer.loading.length > 0 || !streamer.plan) return false;
    const files = streamer.assets.flatMap((asset) => [...asset.files]);
    const { start, waiting } = streamer.plan;
    return start.length + waiting.length === 0 && !files.some(({ loadState }) => loadState === "preparing");
}"""


def new_context(
    browser: Browser, size: tuple[int, int], pixel_ratio: float = PIXEL_RATIO, **options: Any
) -> BrowserContext:
    """A browser context with an empty cache, whose pages know that they have no GPU."""
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, device_scale_factor=pixel_ratio, **options)  # type: ignore[arg-type]
    context.add_init_script(WITHOUT_GPU)
    return context


class Visit:
    def __init__(
        self,
        browser: Browser,
        site: Site,
        query: str = "",
        *,
        link: Link | None = None,
        script: str | None = None,
        routes: Mapping[str, Callable[[Route], None]] | None = None,
        size: tuple[int, int] = (640, 360),
        pixel_ratio: float | None = None,
    ) -> None:
        self.site = site
        if pixel_ratio is None:
            pixel_ratio = PIXEL_RATIO if size[0] >= 640 else 1.0
        # The servers of the tests have self-signed certificates.
        self.context = new_context(browser, size, pixel_ratio, ignore_https_errors=site.url.startswith("https:"))
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.crashes: list[str] = []
        self.requested: Counter[str] = Counter()
        self._devtools: CDPSession | None = None
        self.page.on("pageerror", lambda error: self.crashes.append(str(error)))
        self.page.on("request", self._note)
        if script is not None:
            self.page.add_init_script(script)
        for pattern, answer in (routes or {}).items():
            self.page.route(pattern, answer)
        if link is not None:
            self.throttle(link)
        # On a small canvas few errors are larger than a pixel; a lower tolerance requests the finer tiers anyway.
        tolerance = 0.45 * pixel_ratio
        self.page.goto(f"{site.url}?debug=1&tolerance={tolerance}&{query}", wait_until="commit")

    def _note(self, request: Request) -> None:
        # blob: addresses are in memory; the workers of the decoder start from one.
        if request.url.startswith("http"):
            self.requested[request.url] += 1

    def throttle(self, link: Link, *, offline: bool = False) -> None:
        # One session for all calls: the limits of several sessions would add up.
        if self._devtools is None:
            self._devtools = self.context.new_cdp_session(self.page)
            self._devtools.send("Network.enable")
        self._devtools.send(
            "Network.emulateNetworkConditions",
            {
                "offline": offline,
                "latency": link.latency_ms,
                "downloadThroughput": link.mbit_per_s * MEGABIT,
                "uploadThroughput": link.mbit_per_s * MEGABIT,
            },
        )

    def wait(self, condition: str, argument: Any = None) -> None:
        self.page.wait_for_function(condition, arg=argument)

    def settle(self) -> None:
        """Waits until all files that the view needs have arrived and are drawn."""
        self.wait(SETTLED)
        self.see_frames(3)
        self.wait(SETTLED)

    def see_frames(self, count: int) -> None:
        """Waits for more frames."""
        self.wait(f"(goal) => ({COUNT_FRAMES})() >= goal", self.count_frames() + count)

    def count_frames(self) -> int:
        count: int = self.page.evaluate(COUNT_FRAMES)
        return count

    def frames(self) -> list[dict[str, Any]]:
        """The content of each frame; consecutive frames with the same content are one record."""
        records: list[dict[str, Any]] = self.page.evaluate("streamxr.frames")
        return records

    def requests(self) -> list[dict[str, Any]]:
        """The bundle's requests: url, start, firstByte and end in milliseconds, bytes, status."""
        records: list[dict[str, Any]] = self.page.evaluate("streamxr.requests")
        return records

    def notices(self) -> list[str]:
        return self.page.locator("#notices .notice p").all_text_contents()

    def picture(self) -> bytes:
        """The canvas alone, as PNG."""
        return self.page.locator("canvas#view").screenshot()

    def close(self) -> None:
        self.context.close()


COUNT_FRAMES = "() => streamxr.frames.reduce((sum, { frames }) => sum + frames, 0)"
