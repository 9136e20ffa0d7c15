"""Reconnecting to the same seat, over real connections."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from relay_server import Client, RunningRelay, eventually, running_relay
from streamxr.relay.connection import ConnectionLimits

HELLO = {"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"}


@pytest.fixture(scope="module")
def relay() -> Iterator[RunningRelay]:
    with running_relay() as running:
        yield running


def reset(client: Client) -> None:
    """Reset the connection, without a close frame."""
    client.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def rejoined(relay: RunningRelay, welcome: dict[str, Any], room: str, **hello: Any) -> Iterator[Client]:
    with relay.connect(room) as connection:
        client = Client(connection)
        client.send(HELLO | {"resume": welcome["resume"]} | hello)
        client.welcome = client.receive("welcome")
        yield client


def test_a_client_that_lost_its_connection_returns_to_the_same_seat(relay: RunningRelay) -> None:
    with relay.join("back", "Zoë") as zoe, relay.join("back") as ada:
        reset(ada)
        zoe.receive("joined")
        assert zoe.receive("updated")["away"] is True
        with rejoined(relay, ada.welcome, "back") as returned:
            assert returned.pid == ada.pid
            assert zoe.receive("updated") == {
                "type": "updated",
                "pid": ada.pid,
                "name": "Ada",
                "color": "#ff8800",
                "away": False,
            }
            returned.move(3.0)
            zoe.wait_for_pose(ada.pid, 3.0)
            assert not any(message["type"] in ("joined", "left") for message in zoe.received)


def test_a_new_connection_replaces_one_that_is_not_known_to_be_lost(relay: RunningRelay) -> None:
    with relay.join("twice", "Zoë") as zoe, relay.join("twice") as ada:
        zoe.receive("joined")
        with rejoined(relay, ada.welcome, "twice") as newer:
            assert newer.pid == ada.pid
            assert ada.close_code() == 4409
            newer.move(2.0)
            zoe.wait_for_pose(ada.pid, 2.0)
            assert zoe.received == [], "others get no message"


def test_a_wrong_key_affects_no_participant(relay: RunningRelay) -> None:
    with relay.join("guess") as ada:
        with rejoined(relay, {"resume": "A" * 22}, "guess") as thief:
            assert thief.pid != ada.pid
            assert ada.receive("joined")["pid"] == thief.pid
        assert ada.receive("left")["pid"] == thief.pid
        ada.move(1.0)
        ada.wait_for_pose(ada.pid, 1.0)


def test_a_returning_client_gets_the_missed_events(relay: RunningRelay) -> None:
    pose = {"p": [0, 1, 0], "q": [0, 0, 0, 1]}
    with relay.join("missed", "Zoë") as zoe, relay.join("missed") as ada:
        zoe.send({"type": "spawn", "ref": 1, "asset": "chair", "pose": pose, "scale": 1})
        rev = ada.receive("spawned")["rev"]
        reset(ada)
        eventually(lambda: relay.away("missed") == [ada.pid])
        zoe.send({"type": "grab", "id": 1})
        zoe.receive("grabbed")
        with rejoined(relay, ada.welcome, "missed", rev=rev, incarnation=ada.welcome["incarnation"]) as returned:
            assert (returned.welcome["objects"], returned.welcome["rev"]) == (None, rev)
            assert returned.receive("grabbed")["rev"] == rev + 1


@pytest.mark.parametrize("code", [1000, 1001])
def test_a_close_frame_frees_the_seat_at_once(relay: RunningRelay, code: int) -> None:
    with relay.join("bye", "Zoë") as zoe, relay.join("bye") as ada:
        ada.socket.close(code)
        assert zoe.receive("left")["pid"] == ada.pid


def test_a_silent_client_is_closed_with_4408_and_its_seat_is_freed_after_the_grace_time() -> None:
    limits = ConnectionLimits(idle_timeout_s=0.5)
    with running_relay(connection=limits, grace_s=0.2) as relay, relay.join() as ada, relay.join(name="Zoë") as zoe:

        def left() -> bool:
            time.sleep(0.1)  # the rate of control messages is limited
            ada.send({"type": "signal", "to": ada.pid, "data": "ping"})
            ada.receive("signal")
            return any(message["type"] == "left" and message["pid"] == zoe.pid for message in ada.received)

        eventually(left)
        assert zoe.close_code() == 4408
        assert relay.metric('streamxr_relay_closes_total{code="4408"}') == 1
