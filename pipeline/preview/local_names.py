"""The names and addresses under which other devices on the local network reach this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Networks that the public Internet does not route: RFC 1918, loopback, link-local (RFC 3927, RFC 4291), the addresses
# of carriers' and mesh networks (RFC 6598), of documentation and tests (RFC 5737), and unique local ones (RFC 4193).
PRIVATE_NETWORKS: Final[tuple[IpNetwork, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "192.0.2.0/24",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
# Names that never resolve in the public DNS: RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`, and that of home
# routers.
LOCAL_DOMAINS: Final = ("localhost", "local", "home.arpa", "internal", "lan")
LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Nothing is sent there: a socket for datagrams only chooses a route.
ROUTED: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True)
class LocalNames:
    """names: lower-case host names. addresses: private addresses. left_out: others that were found or given."""

    names: tuple[str, ...]
    addresses: tuple[IpAddress, ...]
    left_out: tuple[str, ...] = ()

    @property
    def best(self) -> str:
        """The host for an address that people type: an address of the network, or else `localhost`."""
        for address in self.addresses:
            if address.version == 4 and not address.is_loopback and not address.is_link_local:
                return str(address)
        return "localhost"


def local_names(more: tuple[str, ...] = ()) -> LocalNames:
    """The names and addresses of this machine, and `more` of them, if they are local."""
    host = socket.gethostname().lower().rstrip(".")
    found = ["localhost", "127.0.0.1", "::1", host, *([] if "." in host else [f"{host}.local"]), *_addresses(host)]
    names: list[str] = []
    addresses: list[IpAddress] = []
    left_out: list[str] = []
    for text in dict.fromkeys([*found, *(name.lower().rstrip(".") for name in more)]):
        address = _address(text)
        if address is not None and is_private(address):
            addresses.append(address)
        elif address is None and is_local_name(text):
            names.append(text)
        elif text:
            left_out.append(text)
    return LocalNames(tuple(names), tuple(addresses), tuple(left_out))


def is_private(address: IpAddress) -> bool:
    return any(address.version == network.version and address in network for network in PRIVATE_NETWORKS)


def is_local_name(name: str) -> bool:
    """Whether a name cannot be registered in the public DNS: one label, or a name below LOCAL_DOMAINS."""
    labels = name.split(".")
    if not all(LABEL.fullmatch(label) for label in labels) or len(name) > 253:
        return False
    return len(labels) == 1 or any(name.endswith(f".{domain}") for domain in LOCAL_DOMAINS)


def _address(text: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _addresses(host: str) -> list[str]:
    """The addresses from which this machine would reach others, and those of its name."""
    found: list[str] = []
    for family, target in ROUTED:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return found
