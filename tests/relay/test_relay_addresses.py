"""The limit of connections per address, and the addresses of clients behind a proxy."""

from __future__ import annotations

import pytest
from relay_server import Client, RunningRelay, running_relay
from streamxr.relay.addresses import AddressCensus


def test_an_address_is_full_until_one_of_its_connections_ends() -> None:
    census = AddressCensus(2)
    census.enter("192.0.2.1")
    census.enter("192.0.2.1")
    assert census.is_full("192.0.2.1")
    assert not census.is_full("192.0.2.2")
    census.leave("192.0.2.1")
    assert not census.is_full("192.0.2.1")


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    census = AddressCensus(1)
    census.enter("2001:db8:1:2::1")
    assert census.is_full("2001:db8:1:2:ffff::9")
    assert not census.is_full("2001:db8:1:3::1")


def test_an_ipv4_address_mapped_to_ipv6_is_the_same_address() -> None:
    census = AddressCensus(1)
    census.enter("::ffff:192.0.2.1")
    assert census.is_full("192.0.2.1")


def test_a_limit_of_zero_means_no_limit() -> None:
    census = AddressCensus(0)
    census.enter("192.0.2.1")
    assert not census.is_full("192.0.2.1")


def close_code(relay: RunningRelay, **options: object) -> int | None:
    with relay.connect(**options) as connection:
        return Client(connection).close_code()


def from_address(address: str) -> dict[str, object]:
    return {"additional_headers": {"X-Forwarded-For": address}}


def test_too_many_connections_from_one_address_close_with_4413() -> None:
    with running_relay(max_per_address=1) as relay, relay.join():
        assert close_code(relay) == 4413


def test_only_a_trusted_proxy_can_set_the_address() -> None:
    with running_relay(max_per_address=1) as relay, relay.join(**from_address("192.0.2.1")):
        assert close_code(relay, **from_address("192.0.2.2")) == 4413


@pytest.mark.parametrize("proxy", ["127.0.0.1", "127.0.0.0/8"])
def test_clients_behind_a_trusted_proxy_have_their_own_addresses(proxy: str) -> None:
    with (
        running_relay(max_per_address=1, trusted_proxies=(proxy,)) as relay,
        relay.join(**from_address("192.0.2.1")),
        relay.join(**from_address("192.0.2.2")),
    ):
        # The client itself can send the entries to the left.
        assert close_code(relay, **from_address("198.51.100.7, 192.0.2.2")) == 4413
