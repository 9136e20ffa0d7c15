"""The page under `streamxr serve --https`: a secure context that may start XR, with a relay behind the same origin."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from processes import stop
from servers import Site, script
from visit import Visit

HERE = Path(__file__).parent
IWER = HERE.parents[1] / "viewer" / "node_modules" / "iwer" / "build" / "iwer.min.js"


def test_a_page_over_https_enters_an_xr_session_in_a_room(
    browser: Browser, bundle: Path, relay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMXR_HTTPS", str(tmp_path / "https"))
    command = [script("streamxr"), "serve", str(bundle), "--https", "--port", "0", "--http-port", "0", "--quiet"]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--relay", relay], stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = process.stdout.readline().decode().strip()
    headset = "\n".join([IWER.read_text(), (HERE / "headset.js").read_text()])
    visit = Visit(browser, Site(url, bundle), "?assets=lantern&room=den&relay=/relay&debug=1", script=headset)
    try:
        visit.wait("() => document.querySelector('#people').textContent === 'In the room: only you'")
        assert visit.page.evaluate("() => isSecureContext")
        visit.page.get_by_role("button", name="Enter VR").click()
        visit.wait("() => streamxr.demo.renderer.xr.isPresenting")
        assert visit.crashes == []
    finally:
        visit.close()
        stop(process)
        process.stdout.close()
