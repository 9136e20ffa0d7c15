"""`streamxr serve` sends the headers that a CDN should send too."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import gltf_maker as make
import httpx
import pytest
from builds import build_file
from command import STREAMXR
from streamxr.pipeline.bundle.files import Bundle


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    built = build_file(make.save(make.textured_sphere(40, 60), folder, "ball"), folder / "build")
    Bundle(built.root).write_site()
    return built.root


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    command = [STREAMXR, "serve", str(root), "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, headers={"Accept-Encoding": "identity"}) as client:
            yield client
        process.terminate()


@pytest.fixture(scope="module")
def entry(root: Path) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = json.loads((root / "bundle.json").read_text())["assets"]["ball"]
    return result


def test_the_page_is_at_the_root(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"


def test_hashed_files_are_cached_for_ever(client: httpx.Client, entry: dict[str, dict[str, str]]) -> None:
    for file, kind in ((entry["base"], "model/gltf-binary"), (entry["manifest"], "application/json")):
        answer = client.get(file["uri"])
        assert answer.headers["content-type"] == kind
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert len(answer.content) == file["bytes"]


def test_pictures_have_their_media_type(client: httpx.Client, root: Path) -> None:
    picture = next((root / "o").rglob("*.webp")).relative_to(root).as_posix()
    assert client.get(picture).headers["content-type"] == "image/webp"


def test_the_catalogue_is_revalidated_each_time(client: httpx.Client) -> None:
    first = client.get("bundle.json")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("bundle.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_other_origins_may_read_and_measure(client: httpx.Client, entry: dict[str, dict[str, str]]) -> None:
    answer = client.get(entry["base"]["uri"], headers={"Origin": "https://gallery.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["timing-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    preflight = client.options(
        entry["base"]["uri"],
        headers={
            "Origin": "https://gallery.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "range",
        },
    )
    assert preflight.status_code == 200


def test_ranges_are_served(client: httpx.Client, entry: dict[str, dict[str, str]]) -> None:
    whole = client.get(entry["base"]["uri"]).content
    part = client.get(entry["base"]["uri"], headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole[4:12])
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole)}"
    past = client.get(entry["base"]["uri"], headers={"Range": f"bytes={len(whole)}-"})
    assert past.status_code == 416


def test_a_missing_file_is_not_cached(client: httpx.Client) -> None:
    answer = client.get(f"o/00/{'0' * 32}.glb")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/src/ball.glb", "/o/..%2f..%2f..%2fetc%2fpasswd"])
def test_files_outside_of_the_bundle_are_not_served(client: httpx.Client, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert client.send(request).status_code == 404


def test_writing_is_refused(client: httpx.Client) -> None:
    assert client.put("bundle.json", content=b"{}").status_code == 405


def test_scripts_are_sent_compressed(client: httpx.Client, root: Path) -> None:
    code = root / "viewer/streamxr.js"
    answer = client.get("viewer/streamxr.js", headers={"Accept-Encoding": "gzip, br;q=1"})
    assert answer.headers["content-encoding"] == "br"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "Accept-Encoding" in answer.headers["vary"]
    assert int(answer.headers["content-length"]) == (root / "viewer/streamxr.js.br").stat().st_size
    assert client.get("viewer/streamxr.js").content == code.read_bytes()


def test_hashed_chunks_of_the_page_are_cached_for_ever(client: httpx.Client, root: Path) -> None:
    hashed = [p for p in (root / "viewer").rglob("*.js") if re.fullmatch(r".+-[A-Z0-9]{8}", p.stem)]
    assert len(hashed) > 3
    for path in hashed:
        answer = client.head(path.relative_to(root).as_posix())
        assert "immutable" in answer.headers["cache-control"]
    assert client.head("viewer/streamxr.js").headers["cache-control"] == "no-cache"
