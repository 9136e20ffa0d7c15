"""A published bundle in a real browser: HTTP/3 by the Caddy file of the docs, a private bucket by signed addresses."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import mimetypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from made_bundle import make_bundle
from playwright.sync_api import Browser, Page, Route, sync_playwright
from processes import PATIENCE_S, stop
from s3_server import S3Server
from streamxr.pipeline.publish.folder import FolderStore
from streamxr.pipeline.publish.publish import publish
from streamxr.pipeline.publish.s3 import S3Store
from test_publish_check import CADDY_FILE, STREAMXR, free_port, replaced, web_server

ROOT = Path(__file__).parents[2]
THREE = ROOT / "viewer" / "node_modules" / "three"
CDN = "https://cdn.jsdelivr.net/npm/three@"
SECONDS = 600  # for which an address is signed

# A page that shows one asset. `signed.json` is what the site's own server gives to visitors who are logged in.
PAGE = """<!doctype html><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"three": "%s0/build/three.module.js",
    "three/addons/": "%s0/examples/jsm/", "streamxr-viewer": "/viewer/module/streamxr-viewer.js"}}</script>
<script type="module">
  import { StreamXR } from "streamxr-viewer";
  import { Scene, WebGLRenderer } from "three";
  const signed = location.search ? await (await fetch("/signed.json")).json() : {};
  const hook = (request) => {
    const path = new URL(request.url).pathname;
    return new Request(signed[path] ?? request.url, request);
  };
  const streamxr = new StreamXR({ renderer: new WebGLRenderer(), hook });
  streamxr.load("%s", { asset: "lantern", scene: new Scene() }).then(
    () => { window.outcome = "shown"; },
    (error) => { window.outcome = String(error); },
  );
</script>"""


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert path is not None, "no Chromium: install one (apt install chromium) or set CHROMIUM to its path"
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", *arguments]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def pin(path: Path) -> str:
    """The hash of a certificate's key, by which Chromium accepts it."""
    key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_caddy_serves_a_bundle_over_http_3_and_a_second_visit_loads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(make_bundle(tmp_path / "build", {"chair": 1}, files=9), FolderStore(tmp_path / "www"))
    port = free_port()
    local = "{\n\tadmin off\n\tauto_https disable_redirects\n\tlocal_certs\n\tskip_install_trust\n}\n"
    text = replaced(
        CADDY_FILE.read_text("utf-8"),
        ("cdn.example.org {", f"https://localhost:{port} {{"),
        ("/srv/www", str(tmp_path / "www")),
    )
    (tmp_path / "Caddyfile").write_text(local + text, "utf-8")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "data"))
    arguments = ("run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile")
    files = [path.relative_to(tmp_path / "www").as_posix() for path in (tmp_path / "www/o").rglob("*.*")]
    assert len(files) == 9
    with web_server("caddy", port, *arguments):
        certificates = [*(tmp_path / "data").rglob("*.crt")]
        pins = ",".join(map(pin, certificates))
        flags = (f"--origin-to-force-quic-on=localhost:{port}", f"--ignore-certificate-errors-spki-list={pins}")
        with chromium(*flags) as browser:
            page = browser.new_page()
            page.goto(f"https://localhost:{port}/bundle.json")
            fetched = page.evaluate(FETCH_ALL, files)
            assert {each["protocol"] for each in fetched} == {"h3"}
            assert all(each["sent"] > 0 for each in fetched)
            page.reload()
            assert [each["sent"] for each in page.evaluate(FETCH_ALL, files)] == [0] * 9


FETCH_ALL = """async (files) => {
    const fetched = [];
    for (const file of files) {
        const url = new URL(`/${file}`, location).href;
        performance.clearResourceTimings();
        await (await fetch(url)).arrayBuffer();
        await new Promise((resolve) => setTimeout(resolve, 20));
        const { nextHopProtocol, transferSize } = performance.getEntriesByName(url).at(-1);
        fetched.push({ protocol: nextHopProtocol, sent: transferSize });
    }
    return fetched;
}"""


@pytest.fixture(scope="module")
def lantern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small sample."""
    folder = tmp_path_factory.mktemp("private")
    (folder / "lantern.glb").write_bytes(importlib.import_module("models.samples.lantern").build("lantern", 0.1))
    subprocess.run([STREAMXR, "build", folder / "lantern.glb", "-o", folder / "build"], check=True, timeout=240)
    return folder / "build"


@contextmanager
def served(bundle: Path) -> Iterator[str]:
    process = subprocess.Popen([STREAMXR, "serve", str(bundle), "--port", "0", "--quiet"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        stop(process)
        process.stdout.close()


def installed_three(route: Route) -> None:
    """Answers requests to the CDN with the installed three.js."""
    _, _, path = route.request.url.removeprefix(CDN).partition("/")
    route.fulfill(path=THREE / path, content_type=mimetypes.guess_type(path)[0] or "text/javascript")


def outcome(browser: Browser, address: str) -> str:
    """What the page made of the bundle."""
    page: Page = browser.new_page()
    page.route(f"{CDN}**", installed_three)
    page.goto(address)
    page.wait_for_function("window.outcome", timeout=2_000 * PATIENCE_S)
    result: str = page.evaluate("window.outcome")
    page.close()
    return result


def test_a_private_bucket_is_shown_by_signed_addresses_and_to_nobody_else(
    lantern: Path, server: S3Server, store: S3Store, client: Any
) -> None:
    publish(lantern, store)
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "AllowedHeaders": ["*"]}
    client.put_bucket_cors(Bucket="gallery", CORSConfiguration={"CORSRules": [rule]})
    keys = [each["Key"] for each in client.list_objects_v2(Bucket="gallery")["Contents"]]
    signed = {
        f"/gallery/{key}": client.generate_presigned_url(
            "get_object", Params={"Bucket": "gallery", "Key": key}, ExpiresIn=SECONDS
        )
        for key in keys
    }
    assert json.dumps(signed).count("Signature=") == len(keys)
    # The page is a file of the site: Chromium keeps pages without an address from private networks.
    (lantern / "private.html").write_text(PAGE % (CDN, CDN, f"{server.url}/gallery/show/bundle.json"))
    (lantern / "signed.json").write_text(json.dumps(signed))
    with served(lantern) as site, chromium() as browser:
        assert outcome(browser, f"{site}private.html?signed") == "shown"
        refused = outcome(browser, f"{site}private.html")
        assert "bundle.json" in refused
        assert "403" in refused
