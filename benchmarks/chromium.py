"""Find Chromium, and the flags with which it draws WebGL without a GPU."""

from __future__ import annotations

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# SwiftShader draws without a GPU. The sandbox does not work for root, as in a container.
FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # No page of a benchmark needs another host; such requests fail at once, on every machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def chromium() -> str:
    """The path of Chromium: of the environment variable CHROMIUM, or from the PATH. Exits without one."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        sys.exit("Chromium was not found: install it (apt install chromium) or set CHROMIUM to its path")
    return path
