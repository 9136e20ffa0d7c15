"""Counts the connections of each address, so that one address cannot take them all. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Final

SUBSCRIBER_BITS: Final = 64  # of an IPv6 address: each subscriber has at least a /64 network (RFC 6177)


class AddressCensus:
    def __init__(self, limit: int) -> None:
        """`limit` is the number of connections per address; 0 means no limit."""
        self._limit = limit
        self._connections: Counter[str] = Counter()

    def is_full(self, address: str) -> bool:
        return 0 < self._limit <= self._connections[subscriber(address)]

    def enter(self, address: str) -> None:
        self._connections[subscriber(address)] += 1

    def leave(self, address: str) -> None:
        key = subscriber(address)
        self._connections[key] -= 1
        if self._connections[key] <= 0:
            del self._connections[key]


def subscriber(address: str) -> str:
    """The part of an address that identifies a subscriber: an IPv4 address, or an IPv6 network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address  # a Unix socket, or a trusted proxy whose header holds no address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, SUBSCRIBER_BITS), strict=False))
