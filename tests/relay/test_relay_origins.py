"""The web pages that may connect."""

from __future__ import annotations

import pytest
from streamxr.relay.origins import origin_allowed


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8080", "localhost:8787"),
        ("http://127.0.0.1:8080", "localhost:8787"),
        ("http://[::1]:8080", "127.0.0.1:8787"),
        ("http://demo.localhost:8080", "127.0.0.1:8787"),
        ("http://192.168.1.20:8080", "192.168.1.20:8787"),
        ("https://192.168.1.20", "192.168.1.20:8787"),
        ("http://[fd00::20]:8080", "[fd00::20]:8787"),
        ("http://workbench:8080", "workbench:8787"),
        ("http://Workbench.LOCAL:8080", "workbench.local.:8787"),
        (None, "anything:8787"),
    ],
)
def test_by_default_a_page_of_the_same_local_host_may_connect(origin: str | None, host: str) -> None:
    assert origin_allowed(origin, host, ())


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "192.168.1.20:8787"),
        ("https://evil.example:8787", "evil.example:8787"),  # DNS rebinding
        ("http://192.168.1.21:8080", "192.168.1.20:8787"),
        ("http://localhost.evil.example", "localhost:8787"),
        ("http://127.0.0.1.evil.example", "127.0.0.1:8787"),
        ("null", "localhost:8787"),
        ("", ""),
        ("http://", ""),
        ("http://[", "["),
        ("file://localhost", "localhost:8787"),
        ("http://workbench:8080", None),
    ],
)
def test_by_default_other_pages_may_not_connect(origin: str, host: str | None) -> None:
    assert not origin_allowed(origin, host, ())


def test_with_an_allow_list_only_its_pages_may_connect() -> None:
    allowed = ["https://museum.example", "http://lab.example:8080/"]
    assert origin_allowed("https://museum.example", "relay.museum.example", allowed)
    assert origin_allowed("http://LAB.example:8080", "x", allowed)
    assert not origin_allowed("http://museum.example", "relay.museum.example", allowed)
    assert not origin_allowed("https://museum.example:8443", "relay.museum.example", allowed)
    assert not origin_allowed("http://localhost:8080", "localhost:8787", allowed)
    assert not origin_allowed("https://museum.example.evil.example", "relay.museum.example", allowed)


def test_a_star_allows_every_page() -> None:
    assert origin_allowed("https://evil.example", "museum.example", ["*"])
