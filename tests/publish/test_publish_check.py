"""`streamxr check`: a public bundle as a browser sees it; and the nginx file of docs/cdn.md before a real bucket."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from made_bundle import make_bundle
from s3_server import S3Server
from streamxr.pipeline.publish.check import check
from streamxr.pipeline.publish.errors import PublishError
from streamxr.pipeline.publish.folder import FolderStore
from streamxr.pipeline.publish.http import Browser
from streamxr.pipeline.publish.publish import publish
from streamxr.pipeline.publish.s3 import S3Store

ORIGIN = "https://page.example"
DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX_FILE = DEPLOY / "nginx" / "cdn.conf"
CADDY_FILE = DEPLOY / "caddy" / "Caddyfile"
STREAMXR = str(Path(sys.executable).with_name("streamxr"))
GOOD = {
    "Access-Control-Allow-Origin": "*",
    "Timing-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
TYPES = {".glb": "model/gltf-binary", ".webp": "image/webp", ".json": "application/json"}


@contextmanager
def served(root: Path, headers: Callable[[str], dict[str, str | None]] = lambda _: {}) -> Iterator[str]:
    """Serve a folder with the headers of GOOD and a right Cache-Control, changed by `headers` of a path."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        extensions_map = TYPES

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(root))

        def end_headers(self) -> None:
            lifetime = "no-cache" if self.path == "/bundle.json" else "public, max-age=31536000, immutable"
            chosen = {**GOOD, "Cache-Control": lifetime, "ETag": '"1"', **headers(self.path)}
            for name, value in chosen.items():
                if value is not None:
                    self.send_header(name, value)
            super().end_headers()

        def do_GET(self) -> None:
            if self.headers.get("If-None-Match") == '"1"' and headers(self.path).get("ETag", "") is not None:
                self.send_response(304)
                self.end_headers()
            elif not self._exists():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.send_header("Cache-Control", "no-store")
                super().end_headers()
            else:
                super().do_GET()

        def _exists(self) -> bool:
            return Path(self.translate_path(self.path)).exists()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/bundle.json"
        server.shutdown()
        thread.join()


def texts(url: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in check(url, ORIGIN).findings]


def test_streamxr_serve_passes_without_anything_wrong(bundle: Path) -> None:
    command = [STREAMXR, "serve", str(bundle), "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            assert texts(url) == []
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("header", "value", "level", "words"),
    [
        ("Access-Control-Allow-Origin", None, "wrong", "Access-Control-Allow-Origin is missing"),
        ("Access-Control-Allow-Origin", "https://other.example", "wrong", "is https://other.example"),
        ("Timing-Allow-Origin", None, "advice", "Timing-Allow-Origin: * is missing"),
        (
            "Cross-Origin-Resource-Policy",
            "same-origin",
            "advice",
            "Policy: cross-origin is missing",
        ),
    ],
)
def test_a_header_that_is_missing_or_wrong_is_found(
    bundle: Path, header: str, value: str | None, level: str, words: str
) -> None:
    with served(bundle, lambda _: {header: value}) as url:
        found = [text for found_level, text in texts(url) if found_level == level]
    assert any(words in text for text in found)


@pytest.mark.parametrize(
    ("path", "lifetime", "level", "words"),
    [
        ("/o/", None, "wrong", "Cache-Control is missing: every visit fetches"),
        ("/o/", "no-cache", "wrong", "Cache-Control is no-cache: every visit fetches"),
        ("/a/", "public, max-age=3600", "advice", "but the file never changes"),
        ("/bundle.json", "public, max-age=86400", "wrong", "visitors see the old bundle for that long"),
        ("/bundle.json", None, "advice", "browsers guess how long it lasts"),
    ],
)
def test_a_wrong_lifetime_is_found(bundle: Path, path: str, lifetime: str | None, level: str, words: str) -> None:
    with served(bundle, lambda found: {"Cache-Control": lifetime} if found.startswith(path) else {}) as url:
        found = [text for found_level, text in texts(url) if found_level == level]
    assert any(words in text for text in found)


def test_files_with_other_bytes_and_missing_files_are_found(bundle: Path) -> None:
    base, other = sorted((bundle / "o").rglob("*.glb"))
    base.write_bytes(b"other bytes")
    other.unlink()
    with served(bundle) as url:
        found = {finding.file: finding.text for finding in check(url, ORIGIN).findings if finding.level == "wrong"}
    assert found[base.relative_to(bundle).as_posix()].startswith("has 11 other bytes")
    assert found[other.relative_to(bundle).as_posix()] == "the server answers 404"


def test_the_cost_of_each_asset_is_counted(tmp_path: Path) -> None:
    root = make_bundle(tmp_path / "build", {"chair": 1}, files=5, size=3000)
    (manifest,) = root.glob("a/*/*.json")
    with served(root) as url:
        result = check(url, ORIGIN)
    (cost,) = result.costs
    assert cost.first == manifest.stat().st_size + 3000
    assert cost.all == manifest.stat().st_size + 5 * 3000
    assert result.catalogue_bytes == (root / "bundle.json").stat().st_size


def test_an_address_without_a_bundle_is_one_clear_error(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with served(tmp_path / "empty") as url, pytest.raises(PublishError, match="the server answers 404"):
        check(url, ORIGIN)
    with served(bundle) as url, pytest.raises(PublishError, match="is not JSON"):
        check(url.replace("bundle.json", "index.html?.json"), ORIGIN)
    with pytest.raises(PublishError, match="cannot be fetched"):
        check("http://127.0.0.1:9/bundle.json", ORIGIN)
    with pytest.raises(PublishError, match="is no address of a web server"):
        check("s3://gallery", ORIGIN)


def test_the_command_exits_with_1_if_something_is_wrong(bundle: Path) -> None:
    with served(bundle, lambda _: {"Access-Control-Allow-Origin": None}) as url:
        done = subprocess.run([STREAMXR, "check", url], capture_output=True, text=True, timeout=100)
        report = subprocess.run([STREAMXR, "check", url, "--json"], capture_output=True, text=True, timeout=100)
    assert done.returncode == report.returncode == 1
    assert "wrong  bundle.json (and 6 more): Access-Control-Allow-Origin is missing" in done.stdout
    assert [each["asset"] for each in json.loads(report.stdout)["assets"]] == ["chair", "table"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def web_server(program: str, port: int, *arguments: str) -> Iterator[None]:
    """Run a web server until its port answers, and for the time of the block."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert path is not None, f"{program} is not installed: scripts/system-deps.sh test"
    with subprocess.Popen([path, *arguments]) as process:
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


def replaced(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@contextmanager
def nginx_before(server: S3Server, folder: Path) -> Iterator[str]:
    """nginx with the file of docs/cdn.md, its marked lines replaced, before the bucket."""
    port = free_port()
    upstream = server.url.removeprefix("http://")
    text = replaced(
        NGINX_FILE.read_text("utf-8"),
        ("server s3.example.org:443;", f"server {upstream};"),
        ("proxy_pass https://bucket", "proxy_pass http://bucket"),
        ("default s3.example.org;", f"default {upstream};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/tmp/", f"{folder}/"),
    )
    (folder / "nginx.conf").write_text(text, "utf-8")
    # If root starts nginx, its workers run as a user who cannot read the folders of tests.
    worker = "daemon off;" + (" user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else "")
    with web_server("nginx", port, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", worker):
        yield f"http://127.0.0.1:{port}"


def test_nginx_before_a_bucket_passes_and_asks_the_bucket_once(
    bundle: Path, server: S3Server, store: S3Store, client: Any, tmp_path: Path
) -> None:
    publish(bundle, store)
    everyone = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::gallery/*"]}
    policy = {"Version": "2012-10-17", "Statement": [everyone]}
    client.put_bucket_policy(Bucket="gallery", Policy=json.dumps(policy))
    with nginx_before(server, tmp_path) as site:
        assert texts(f"{site}/bundle.json") == []
        with urllib.request.urlopen(f"{site}/") as page:
            assert page.read() == (bundle / "index.html").read_bytes()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{site}/history/page.json")
        # Hashed files come from the cache now, the catalogue from the bucket.
        base = next(iter(sorted((bundle / "o").rglob("*.glb")))).relative_to(bundle).as_posix()
        with urllib.request.urlopen(f"{site}/{base}") as first:
            content = first.read()
        store.delete([base])
        with urllib.request.urlopen(f"{site}/{base}") as cached:
            assert cached.read() == content
        make_bundle(bundle, {"lamp": 1})
        publish(bundle, store)
        with urllib.request.urlopen(f"{site}/bundle.json") as catalogue:
            assert list(json.loads(catalogue.read())["assets"]) == ["lamp"]


def test_caddy_before_a_folder_passes_on_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_bundle(tmp_path / "build", {"chair": 1}, files=9)
    (root / "viewer/streamxr.js.br").write_bytes(b"compressed")
    publish(root, FolderStore(tmp_path / "www"))
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
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "data/caddy/pki/authorities/local/root.crt"))
    arguments = ("run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile")
    with web_server("caddy", port, *arguments):
        site = f"https://localhost:{port}"
        assert texts(f"{site}/bundle.json") == []
        browser = Browser(f"{site}/", ORIGIN)
        assert browser.offers_http2()
        script = browser.get("viewer/streamxr.js")
        assert (script.headers["content-encoding"], script.sent) == ("br", len(b"compressed"))
        assert "h3=" in script.headers["alt-svc"]
        assert browser.get("history/page.json").status == 404
        browser.close()
