"""How many connections each address has, so that one of them cannot take all. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Final

SUBSCRIBER_BITS: Final = 64  # of IPv6: whoever has one address has at least a network of that size (RFC 6177)


class AddressCensus:
    def __init__(self, most: int) -> None:
        """`most` connections per address; 0 is no limit."""
        self._most = most
        self._present: Counter[str] = Counter()

    def is_full(self, address: str) -> bool:
        return 0 < self._most <= self._present[_subscriber(address)]

    def enter(self, address: str) -> None:
        self._present[_subscriber(address)] += 1

    def leave(self, address: str) -> None:
        subscriber = _subscriber(address)
        self._present[subscriber] -= 1
        if self._present[subscriber] <= 0:
            del self._present[subscriber]


def _subscriber(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address  # a Unix socket, or a header of a trusted proxy that holds something else
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, SUBSCRIBER_BITS), strict=False))
