"""Decides which web pages may connect.

Browsers send the origin of the page. Other programs can send any origin, so this check protects people who use a
browser and nothing else. Without a list of allowed origins, a page may connect from the host of the relay, on any port
(the page on 8080, the relay on 8787), and from loopback. A check for the same host alone would be open to DNS
rebinding: an attacker's domain that points to a private address also is "the same host". So the shared host must be one
that cannot be registered: an address, or a name of a local network. Public names must be listed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

# Names that never resolve in the public DNS: RFC 6761 (localhost), RFC 6762 (local), RFC 8375 (home.arpa),
# ICANN's reservation of `internal`, and `lan`, which home routers assign.
LOCAL_SUFFIXES: Final = (".localhost", ".local", ".home.arpa", ".internal", ".lan")


def origin_allowed(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a page of `origin` (the Origin header) may connect to the relay at `host` (the Host header).

    `allowed` holds exact origins. If it is not empty, only they may connect; `*` stands for every page. A client
    without an origin is not a browser and may connect; to restrict those, require tokens.
    """
    if origin is None or "*" in allowed:
        return True
    if allowed:
        return origin.lower() in {entry.lower().rstrip("/") for entry in allowed}
    page = _host_name(origin, is_url=True)
    if page is None:
        return False
    if _is_loopback(page):
        return True
    return page == _host_name(host or "", is_url=False) and _is_local(page)


def _host_name(value: str, *, is_url: bool) -> str | None:
    """The host name of a URL, or of a Host header; None if it has none."""
    try:
        parts = urlsplit(value if is_url else f"//{value}")
        name = parts.hostname
    except ValueError:
        return None
    if is_url and parts.scheme not in ("http", "https"):
        return None
    return name.rstrip(".") if name else None


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_local(name: str) -> bool:
    """Whether a host name cannot be registered in the public DNS: an address, or a name of a local network."""
    if "." not in name or name.endswith(LOCAL_SUFFIXES):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
