"""Checks a public bundle: fetches it like a browser, and finds headers that are missing or wrong, and what it costs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..bundle.files import CATALOGUE, content_hash
from ..bundle.headers import is_immutable, media_type
from ..errors import ModelError
from .errors import PublishError
from .http import Answer, Browser
from .local import catalogue_assets, manifest_files

if TYPE_CHECKING:
    from ..gltf.document import Json

YEAR_S = 31_536_000
FRESH_S = 300  # a catalogue that is cached for longer hides a publication for longer
COMPRESS_FROM_BYTES = 1400  # one packet: compressing less saves no time
FETCHED_ASSETS = 3  # assets whose files are fetched; headers follow rules, so the others will be alike
MISSING = f"o/00/{'0' * 32}.glb"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

Level = Literal["wrong", "advice"]


@dataclass(frozen=True)
class Finding:
    """wrong: visitors see no model or an old one. advice: they wait longer, or some pages cannot use the bundle."""

    level: Level
    file: str
    text: str


@dataclass(frozen=True)
class AssetCost:
    """Bytes of one asset: those sent before the first picture (without the catalogue), and all files."""

    asset: str
    first: int
    all: int


@dataclass
class Check:
    """The result: findings, the bytes of the catalogue as it was sent, and those of each asset."""

    findings: list[Finding] = field(default_factory=list)
    catalogue_bytes: int = 0
    costs: list[AssetCost] = field(default_factory=list)
    requests: int = 0


def check(url: str, origin: str, on_asset: Callable[[str], None] = lambda _: None) -> Check:
    """Check the bundle at the address of its catalogue, for a page of `origin`.

    Raises PublishError if the catalogue cannot be fetched or is none.
    """
    address = url if url.endswith(".json") else f"{url.rstrip('/')}/{CATALOGUE}"
    checker = _Checker(Browser(address, origin), origin)
    try:
        checker.run(on_asset)
    finally:
        checker.browser.close()
    return checker.result


class _Checker:
    def __init__(self, browser: Browser, origin: str) -> None:
        self.browser = browser
        self.result = Check()
        self._origin = origin

    def run(self, on_asset: Callable[[str], None]) -> None:
        catalogue = self._get(CATALOGUE, self.browser.url)
        if catalogue.status != 200:
            raise PublishError(f"the server answers {catalogue.status}", place=self.browser.url)
        assets = catalogue_assets(catalogue.body, self.browser.url)
        self.result.catalogue_bytes = catalogue.sent
        self._check_headers(CATALOGUE, catalogue)
        self._check_catalogue(catalogue)
        self._check_connection()
        for number, (name, entry) in enumerate(assets.items()):
            on_asset(name)
            self._check_asset(name, entry, fetch=number < FETCHED_ASSETS)
        if assets:
            self._check_range(next(iter(assets.values()))["base"])
        self._check_missing()

    def _get(self, uri: str, address: str = "", **headers: str) -> Answer:
        self.result.requests += 1
        return self.browser.get(address or uri, headers)

    def _add(self, level: Level, file: str, text: str) -> None:
        self.result.findings.append(Finding(level, file, text))

    def _check_asset(self, name: str, entry: Json, *, fetch: bool) -> None:
        manifest_answer = self._check_file(entry["manifest"])
        try:
            manifest = json.loads(manifest_answer.body)
            files = {file.key: file.bytes for file in manifest_files(manifest)}
        except (ValueError, KeyError, TypeError, RecursionError, ModelError):
            self._add("wrong", entry["manifest"]["uri"], "is not a manifest")
            return
        base = self._check_file(entry["base"]).sent if fetch else entry["base"]["bytes"]
        total = sum(files.values()) + manifest_answer.sent
        self.result.costs.append(AssetCost(name, manifest_answer.sent + base, total))
        if fetch:  # one file of each kind
            kinds = {uri.rpartition(".")[2]: uri for uri in files if uri != entry["base"]["uri"]}
            for uri in kinds.values():
                self._check_file({"uri": uri, "bytes": files[uri]})

    def _check_file(self, file: Json) -> Answer:
        """Fetch a file that never changes, and compare size, hash and headers."""
        uri = file["uri"]
        answer = self._get(uri)
        if answer.status != 200:
            self._add("wrong", uri, f"the server answers {answer.status}")
            return answer
        if len(answer.body) != file["bytes"] or content_hash(answer.body) not in uri:
            self._add("wrong", uri, f"has {len(answer.body):,} other bytes than its name says")
        self._check_headers(uri, answer)
        return answer

    def _check_headers(self, uri: str, answer: Answer) -> None:
        headers = answer.headers
        allowed = headers.get("access-control-allow-origin", "")
        if allowed not in ("*", self._origin):
            text = f"Access-Control-Allow-Origin is {allowed or 'missing'}: pages of other origins cannot read it"
            self._add("wrong", uri, f"{text} (send *)")
        found, expected = headers.get("content-type", "").split(";")[0], media_type(uri).split(";")[0]
        if found != expected:
            level: Level = "wrong" if headers.get("x-content-type-options") == "nosniff" and ".js" in uri else "advice"
            self._add(level, uri, f"Content-Type is {found or 'missing'} instead of {expected}")
        if headers.get("cross-origin-resource-policy") != "cross-origin":
            self._add("advice", uri, "Cross-Origin-Resource-Policy: cross-origin is missing: isolated pages refuse it")
        if headers.get("timing-allow-origin") not in ("*", self._origin):
            self._add("advice", uri, "Timing-Allow-Origin: * is missing: the viewer takes cached files for fast ones")
        encoding = headers.get("content-encoding", "")
        if uri.endswith(".json") and not encoding and answer.sent > COMPRESS_FROM_BYTES:
            self._add("advice", uri, f"is sent without compression: {answer.sent:,} bytes")
        if is_immutable(uri):
            self._check_lifetime(uri, headers.get("cache-control", ""))

    def _check_lifetime(self, uri: str, lifetime: str) -> None:
        seconds = _max_age(lifetime)
        if "no-store" in lifetime or "no-cache" in lifetime or not seconds:
            text = f"Cache-Control is {lifetime or 'missing'}: every visit fetches or asks for it again"
            self._add("wrong", uri, f"{text} (send public, max-age={YEAR_S}, immutable)")
        elif seconds < YEAR_S or "immutable" not in lifetime:
            text = f"Cache-Control is {lifetime}, but the file never changes"
            self._add("advice", uri, f"{text} (send max-age={YEAR_S}, immutable)")

    def _check_catalogue(self, answer: Answer) -> None:
        """A catalogue is asked for at each visit, and sent only if it has changed."""
        lifetime = answer.headers.get("cache-control", "")
        seconds = _max_age(lifetime)
        if "no-cache" not in lifetime and "no-store" not in lifetime and (seconds or 0) > FRESH_S:
            self._add("wrong", CATALOGUE, f"Cache-Control is {lifetime}: visitors see the old bundle for that long")
        if not lifetime:
            self._add("advice", CATALOGUE, "Cache-Control is missing: browsers guess how long it lasts (send no-cache)")
        validator = answer.headers.get("etag")
        if validator is None:
            self._add("advice", CATALOGUE, "ETag is missing: every visit fetches it again")
        elif self._get(CATALOGUE, self.browser.url, **{"If-None-Match": validator}).status != 304:
            self._add("advice", CATALOGUE, "is sent again though it has not changed: If-None-Match is ignored")

    def _check_connection(self) -> None:
        if not self.browser.secure:
            if self.browser.host not in LOCAL_HOSTS:
                self._add("wrong", CATALOGUE, "is served by plain HTTP: pages on HTTPS, as WebXR needs, refuse it")
        elif not self.browser.offers_http2():
            self._add("advice", CATALOGUE, "HTTP/2 is not offered: only six files are fetched at a time")

    def _check_range(self, file: Json) -> None:
        answer = self._get(file["uri"], Range="bytes=0-3")
        if answer.status != 206 or answer.sent != 4:
            self._add("advice", file["uri"], f"ranges are not served: the answer is {answer.status}")

    def _check_missing(self) -> None:
        answer = self._get(MISSING)
        if answer.status < 400:
            self._add("wrong", MISSING, f"a file that does not exist is answered with {answer.status}, not 404")
        elif (_max_age(answer.headers.get("cache-control", "")) or 0) > FRESH_S:
            lifetime = answer.headers["cache-control"]
            self._add(
                "wrong", MISSING, f"its {answer.status} is cached ({lifetime}): a file published later stays missing"
            )


def grouped(findings: list[Finding]) -> Iterator[tuple[Finding, int]]:
    """Each text once, with the first file and the number of files that it holds for; what is wrong comes first."""
    groups: dict[tuple[Level, str], list[Finding]] = {}
    for finding in findings:
        text = re.sub(r"[\d,]{4,} ", "", finding.text)
        groups.setdefault((finding.level, text), []).append(finding)
    for level in ("wrong", "advice"):
        yield from ((same[0], len(same)) for key, same in groups.items() if key[0] == level)


def _max_age(lifetime: str) -> int | None:
    match = re.search(r"(?:^|[\s,])max-age=(\d{1,10})", lifetime)
    return int(match[1]) if match else None
