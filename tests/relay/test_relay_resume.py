"""Coming back, over real lines."""

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


def cut(client: Client) -> None:
    """The line is gone without a close frame."""
    client.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def again(relay: RunningRelay, welcome: dict[str, Any], room: str, **hello: Any) -> Iterator[Client]:
    with relay.connect(room) as line:
        client = Client(line)
        client.say(HELLO | {"resume": welcome["resume"]} | hello)
        client.welcome = client.hear("welcome")
        yield client


def test_who_lost_the_line_comes_back_to_the_same_seat(relay: RunningRelay) -> None:
    with relay.join("back", "Zoë") as zoe, relay.join("back") as ada:
        cut(ada)
        zoe.hear("joined")
        assert zoe.hear("updated")["away"] is True
        with again(relay, ada.welcome, "back") as returned:
            assert returned.pid == ada.pid
            assert zoe.hear("updated") == {
                "type": "updated",
                "pid": ada.pid,
                "name": "Ada",
                "color": "#ff8800",
                "away": False,
            }
            returned.move(3.0)
            zoe.see(ada.pid, 3.0)
            assert not any(message["type"] in ("joined", "left") for message in zoe.heard)


def test_a_line_that_is_not_known_to_be_lost_is_replaced(relay: RunningRelay) -> None:
    with relay.join("twice", "Zoë") as zoe, relay.join("twice") as ada:
        zoe.hear("joined")
        with again(relay, ada.welcome, "twice") as newer:
            assert newer.pid == ada.pid
            assert ada.hear_close() == 4409
            newer.move(2.0)
            zoe.see(ada.pid, 2.0)
            assert zoe.heard == [], "others noticed nothing"


def test_a_bad_key_over_a_real_line_touches_nobody(relay: RunningRelay) -> None:
    with relay.join("guess") as ada:
        with again(relay, {"resume": "A" * 22}, "guess") as thief:
            assert thief.pid != ada.pid
            assert ada.hear("joined")["pid"] == thief.pid
        assert ada.hear("left")["pid"] == thief.pid
        ada.move(1.0)
        ada.see(ada.pid, 1.0)


def test_who_comes_back_hears_the_events_in_between(relay: RunningRelay) -> None:
    pose = {"p": [0, 1, 0], "q": [0, 0, 0, 1]}
    with relay.join("missed", "Zoë") as zoe, relay.join("missed") as ada:
        zoe.say({"type": "spawn", "ref": 1, "asset": "chair", "pose": pose, "scale": 1})
        rev = ada.hear("spawned")["rev"]
        cut(ada)
        eventually(lambda: relay.away("missed") == [ada.pid])
        zoe.say({"type": "grab", "id": 1})
        zoe.hear("grabbed")
        with again(relay, ada.welcome, "missed", rev=rev, incarnation=ada.welcome["incarnation"]) as returned:
            assert (returned.welcome["objects"], returned.welcome["rev"]) == (None, rev)
            assert returned.hear("grabbed")["rev"] == rev + 1


@pytest.mark.parametrize("code", [1000, 1001])
def test_a_goodbye_frees_the_seat_at_once(relay: RunningRelay, code: int) -> None:
    with relay.join("bye", "Zoë") as zoe, relay.join("bye") as ada:
        ada.socket.close(code)
        assert zoe.hear("left")["pid"] == ada.pid


def test_who_is_silent_is_closed_with_4408_and_the_seat_is_free_after_the_grace() -> None:
    limits = ConnectionLimits(idle_timeout_s=0.5)
    with running_relay(connection=limits, grace_s=0.2) as relay, relay.join() as ada, relay.join(name="Zoë") as zoe:

        def left() -> bool:
            time.sleep(0.1)  # there is an allowance of control messages
            ada.say({"type": "signal", "to": ada.pid, "data": "here"})
            ada.hear("signal")
            return any(message["type"] == "left" and message["pid"] == zoe.pid for message in ada.heard)

        eventually(left)
        assert zoe.hear_close() == 4408
        assert relay.metric('streamxr_relay_closes_total{code="4408"}') == 1
