"""Take a strip of frames of a page's first seconds, one row for each asset, over a slow network.

The page's code is in the browser's cache, as for a visitor who returns, and the bundle is not. The time starts when the
page is opened. Chromium draws on the CPU, so that frames come late rather than early.

Usage: python scripts/first_second.py BUNDLE OUT.webp [--mbit 1.5] [--latency 40] [--assets a,b]
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, CDPSession, sync_playwright

SECONDS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
SIZE = (320, 240)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
PORT = 8970


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--mbit", type=float, default=1.5)
    parser.add_argument("--latency", type=float, default=40, help="milliseconds")
    parser.add_argument("--assets", help="names of assets, separated by commas; all of the bundle by default")
    options = parser.parse_args()
    assets = json.loads((options.bundle / "bundle.json").read_text())["assets"]
    chosen = options.assets.split(",") if options.assets else list(assets)
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    serve = [Path(sys.executable).parent / "streamxr", "serve", options.bundle, "--port", str(PORT)]
    server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_server()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            rows = [frames_of(browser, name, options.mbit, options.latency) for name in chosen]
            browser.close()
    finally:
        server.terminate()
    strip(chosen, rows, assets).save(options.out, quality=85)


def wait_for_server() -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/bundle.json").close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not start")


def frames_of(browser: Browser, asset: str, mbit: float, latency: float) -> list[Image.Image]:
    """The newest frame at each of SECONDS after the page was opened."""
    context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{PORT}/?assets=none")
    page.wait_for_timeout(1500)
    page.goto("about:blank")
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    throughput = mbit * 1e6 / 8
    limits = {"offline": False, "latency": latency, "downloadThroughput": throughput, "uploadThroughput": throughput}
    devtools.send("Network.emulateNetworkConditions", limits)
    frames: list[tuple[float, bytes]] = []
    record(devtools, frames)
    opened = time.time()
    page.goto(f"http://127.0.0.1:{PORT}/?assets={asset}", wait_until="commit")
    page.wait_for_timeout(SECONDS[-1] * 1000 + 1500)
    context.close()
    result = []
    for seconds in SECONDS:
        shown = [content for at, content in frames if at <= opened + seconds]
        picture = Image.open(io.BytesIO(shown[-1])).convert("RGB") if shown else Image.new("RGB", SIZE)
        result.append(picture.resize(SIZE))
    return result


def record(devtools: CDPSession, frames: list[tuple[float, bytes]]) -> None:
    """Append every frame that the browser presents, with its time."""

    def keep(event: dict[str, Any]) -> None:
        frames.append((event["metadata"]["timestamp"], base64.b64decode(event["data"])))
        devtools.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    devtools.on("Page.screencastFrame", keep)
    devtools.send("Page.startScreencast", {"format": "png", "everyNthFrame": 1})


def strip(names: list[str], rows: list[list[Image.Image]], assets: dict[str, Any]) -> Image.Image:
    """The rows below each other, with their names, the bytes of their bases, and the seconds."""
    head, side = 20, 2
    width, height = (SIZE[0] + side) * len(SECONDS), (SIZE[1] + head) * len(rows)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, frames) in enumerate(zip(names, rows, strict=True)):
        top = row * (SIZE[1] + head)
        for column, (seconds, frame) in enumerate(zip(SECONDS, frames, strict=True)):
            left = column * (SIZE[0] + side)
            label = f"{name}, base {assets[name]['base']['bytes'] / 1000:.0f} KB: {seconds:g} s"
            draw.text((left + 4, top + 4), label if column == 0 else f"{seconds:g} s", fill="black")
            sheet.paste(frame, (left, top + head))
    return sheet


if __name__ == "__main__":
    main()
