"""Which web pages may open a socket here.

Browsers send the page's origin; anything else can claim one, so this guards people's browsers and nothing
more. Without an allow-list a page may connect from the relay's own host, whatever its port (the page on 8080,
the relay on 8787), and from loopback. A same-host check alone would fall to DNS rebinding: an attacker's
domain, pointed at a private address, is "the same host". So the shared host must be one that nobody can
register: an address, or a name of a local network. A public name has to be listed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

# Names that never resolve in the public DNS: RFC 6761 (localhost), RFC 6762 (local), RFC 8375 (home.arpa),
# ICANN's reservation of `internal`, and `lan`, which home routers hand out.
LOCAL_SUFFIXES = (".localhost", ".local", ".home.arpa", ".internal", ".lan")


def origin_allowed(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a page of `origin` (the Origin header) may reach the relay at `host` (the Host header).

    `allowed` holds exact origins; with any, only they count, and `*` means every page. No origin means no
    browser, which is let in: where that matters, ask for tokens.
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
    return page == _host_name(host or "", is_url=False) and _nobody_can_register(page)


def _host_name(value: str, *, is_url: bool) -> str | None:
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


def _nobody_can_register(name: str) -> bool:
    if "." not in name or name.endswith(LOCAL_SUFFIXES):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
