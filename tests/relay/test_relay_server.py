"""The relay from the view of its clients, on uvicorn and real sockets."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from relay_server import TIMEOUT_S, Client, RunningRelay, eventually, running_relay
from relay_vectors import POSES, message_schema
from streamxr.relay.connection import ConnectionLimits
from streamxr.relay.protocol.messages import MAX_CONTROL_BYTES
from streamxr.relay.rooms.pace import TickPolicy
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def relay() -> Iterator[RunningRelay]:
    with running_relay() as running:
        yield running


def test_two_participants_see_each_other_move(relay: RunningRelay) -> None:
    with relay.join("two") as ada, relay.join("two", "Zoë") as zoe:
        ada.move(1.0)
        zoe.wait_for_pose(ada.pid, 1.0)
        zoe.move(-2.5)
        ada.wait_for_pose(zoe.pid, -2.5)
        ada.move(1.25)
        zoe.wait_for_pose(ada.pid, 1.25)


def test_a_newcomer_sees_participants_who_do_not_move(relay: RunningRelay) -> None:
    with relay.join("late") as ada:
        ada.move(3.0)
        ada.wait_for_pose(ada.pid, 3.0)
        with relay.join("late", "Zoë") as zoe:
            assert zoe.welcome["participants"] == [{"pid": ada.pid, "name": "Ada", "color": "#ff8800", "away": False}]
            zoe.wait_for_pose(ada.pid, 3.0)


def test_joining_leaving_and_renaming_are_announced(relay: RunningRelay) -> None:
    with relay.join("hall") as ada:
        with relay.join("hall", "Zoë") as zoe:
            assert ada.receive("joined") == {"type": "joined", "pid": zoe.pid, "name": "Zoë", "color": "#ff8800"}
            zoe.send({"type": "update", "name": "Eve"})
            assert ada.receive("updated")["name"] == "Eve"
            assert zoe.receive("updated")["name"] == "Eve"
        assert ada.receive("left") == {"type": "left", "pid": zoe.pid}


def test_a_lost_connection_is_announced_at_once_and_the_freed_seat_after_the_grace_time() -> None:
    with running_relay(grace_s=0.2) as relay, relay.join("hall") as ada, relay.join("hall", "Zoë") as zoe:
        zoe.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        zoe.socket.socket.shutdown(socket.SHUT_RDWR)
        assert ada.receive("updated") == {
            "type": "updated",
            "pid": zoe.pid,
            "name": "Zoë",
            "color": "#ff8800",
            "away": True,
        }
        assert ada.receive("left")["pid"] == zoe.pid


def test_rooms_are_separate(relay: RunningRelay) -> None:
    with relay.join("a") as ada, relay.join("b") as bob, relay.join("a", "Zoë") as zoe:
        bob.move(9.0)
        bob.wait_for_pose(bob.pid, 9.0)
        ada.move(1.0)
        zoe.wait_for_pose(ada.pid, 1.0)
        # All of them have pid 1 or 2 in their own room.
        assert [message for message in ada.received if message.get("name") == "Bob"] == []
        assert zoe.welcome["participants"] == [{"pid": ada.pid, "name": "Ada", "color": "#ff8800", "away": False}]
        assert bob.welcome["participants"] == []


def test_messages_of_the_relay_match_the_schema(relay: RunningRelay) -> None:
    validator = Draft202012Validator(message_schema("ServerMessage"))
    with relay.join("schema") as ada, relay.join("schema", "Zoë") as zoe:
        zoe.send({"type": "update", "color": "#123456"})
        zoe.send("nonsense")
        messages = [ada.welcome, zoe.welcome, ada.receive("joined"), ada.receive("updated"), zoe.receive("error")]
        for message in messages:
            validator.validate(message)


@pytest.mark.parametrize("vector", POSES["up_invalid"] + POSES["ack_invalid"], ids=lambda v: v["name"])
def test_a_malformed_pose_affects_only_its_sender(relay: RunningRelay, vector: dict[str, str]) -> None:
    frame = bytes.fromhex(vector["hex"] if "hex" in vector else vector["repeat"][0] * int(vector["repeat"][1]))
    with relay.join("bad") as ada, relay.join("bad", "Mallory") as mallory:
        mallory.socket.send(frame)
        assert mallory.receive("error")["code"] == "pose"
        ada.move(1.0)
        mallory.wait_for_pose(ada.pid, 1.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type":"update","name":7}', '{"type":"hello","v":1}'])
def test_a_malformed_message_is_answered_and_the_connection_stays(relay: RunningRelay, text: str) -> None:
    with relay.join("bad") as mallory:
        mallory.send(text)
        assert mallory.receive("error")["code"] in ("json", "field")
        mallory.move(1.0)
        mallory.wait_for_pose(mallory.pid, 1.0)


def test_a_message_of_an_unknown_type_is_ignored(relay: RunningRelay) -> None:
    with relay.join("future") as ada:
        ada.send({"type": "teleport"})
        ada.send({"type": "update", "name": "Eve"})
        ada.receive("updated")
        assert ada.received == []


def test_hello_twice_is_an_error(relay: RunningRelay) -> None:
    with relay.join("twice") as ada:
        ada.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
        assert ada.receive("error")["code"] == "state"


def test_a_pose_before_hello_is_an_error(relay: RunningRelay) -> None:
    with relay.connect("early") as connection:
        connection.send(bytes.fromhex(POSES["up"][0]["hex"]))
        assert json.loads(connection.recv(TIMEOUT_S))["code"] == "state"


def close_code_of(relay: RunningRelay, room: str = "hall", **options: object) -> int | None:
    with relay.connect(room, **options) as connection:
        return Client(connection).close_code()


@pytest.mark.parametrize("room", ["a/b", "a%20b", "%00", "a" * 65, "r%C3%B6m", ".%0A", "../hall/%2e"])
def test_an_invalid_room_name_closes_with_4404(relay: RunningRelay, room: str) -> None:
    assert close_code_of(relay, room) == 4404


@pytest.mark.parametrize("room", ["a", "A.b_c-9", "." * 64])
def test_a_valid_room_name_opens_a_room(relay: RunningRelay, room: str) -> None:
    with relay.join(room) as ada:
        assert ada.pid


def test_a_page_of_another_origin_closes_with_4403(relay: RunningRelay) -> None:
    assert close_code_of(relay, origin="https://evil.example") == 4403


def test_a_page_of_the_same_address_may_connect(relay: RunningRelay) -> None:
    with relay.join(origin="http://127.0.0.1:8080") as ada:
        assert ada.pid


def test_a_missing_subprotocol_closes_with_4426(relay: RunningRelay) -> None:
    assert close_code_of(relay, subprotocols=None) == 4426
    assert close_code_of(relay, subprotocols=["streamxr.v2"]) == 4426


def test_a_client_of_newer_versions_only_gets_a_handshake_that_browsers_accept_and_one_message(
    relay: RunningRelay,
) -> None:
    with relay.connect(subprotocols=["streamxr.v3", "streamxr.v2"]) as connection:
        assert connection.subprotocol == "streamxr.v3"  # browsers hide the close code if none of theirs is chosen
        assert Client(connection).close_code() == 4426
        assert connection.close_reason == (
            "the page needs version 3 of the protocol, and this relay has 1: update the relay"
        )


def test_the_relay_chooses_its_subprotocol_among_several(relay: RunningRelay) -> None:
    with relay.connect(subprotocols=["streamxr.v2", "streamxr.v1"]) as connection:
        assert connection.subprotocol == "streamxr.v1"


def test_hello_of_another_version_closes_with_4426(relay: RunningRelay) -> None:
    with relay.connect() as connection:
        connection.send('{"type":"hello","v":2,"name":"Ada","color":"#ff8800"}')
        assert Client(connection).close_code() == 4426


def test_permessage_deflate_is_not_negotiated(relay: RunningRelay) -> None:
    with relay.connect(compression="deflate") as connection:
        assert connection.protocol.extensions == []


def test_a_control_message_that_is_too_long_closes_with_1009(relay: RunningRelay) -> None:
    with relay.join("long") as ada:
        ada.send(json.dumps({"type": "x", "x": "x" * MAX_CONTROL_BYTES}))
        assert ada.close_code() == 1009


def test_a_frame_beyond_64_kib_closes_with_1009(relay: RunningRelay) -> None:
    with relay.join("long") as ada:
        ada.socket.send(bytes(65537))
        assert ada.close_code() == 1009


def test_too_many_bad_messages_close_with_1008(relay: RunningRelay) -> None:
    with relay.join("flood") as ada, relay.join("flood", "Mallory") as mallory:
        mallory.flood(b"\x01", 80)
        assert mallory.close_code() == 1008
        assert ada.receive("left")["pid"] == mallory.pid


def test_too_many_messages_close_with_4429(relay: RunningRelay) -> None:
    with relay.join("flood") as mallory:
        mallory.flood('{"type":"update","name":"Mallory"}', 200)
        assert mallory.close_code() == 4429


def test_an_http_request_to_a_room_is_not_found(relay: RunningRelay) -> None:
    assert relay.get("/ws/hall")[0] == 404


def test_another_path_is_refused(relay: RunningRelay) -> None:
    with (
        pytest.raises(InvalidStatus),
        connect(f"ws://127.0.0.1:{relay.port}/other", subprotocols=["streamxr.v1"]),
    ):
        pass


def test_healthz_and_readyz_answer(relay: RunningRelay) -> None:
    assert relay.get("/healthz") == (200, "ok\n")
    assert relay.get("/readyz") == (200, "ok\n")


def test_a_missing_hello_closes_with_4408() -> None:
    with (
        running_relay(connection=ConnectionLimits(hello_timeout_s=0.05)) as relay,
        relay.connect() as connection,
    ):
        assert Client(connection).close_code() == 4408


def test_a_full_room_closes_with_4413() -> None:
    with running_relay(max_participants=1) as relay, relay.join(), relay.connect() as connection:
        connection.send('{"type":"hello","v":1,"name":"Zoë","color":"#ff8800"}')
        assert Client(connection).close_code() == 4413


def test_a_full_relay_closes_with_4413() -> None:
    with running_relay(max_rooms=1, max_connections=2) as relay, relay.join("a"):
        with relay.connect("b") as connection:
            connection.send('{"type":"hello","v":1,"name":"Zoë","color":"#ff8800"}')
            assert Client(connection).close_code() == 4413
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 1)
        with relay.join("a"):
            assert close_code_of(relay, "a") == 4413


def test_an_empty_room_is_closed_and_does_not_count() -> None:
    with running_relay(max_rooms=1) as relay:
        for room in ("a", "b", "c"):
            with relay.join(room) as ada:
                assert ada.pid == 1
            eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)


def narrow(relay: RunningRelay) -> dict[str, Any]:
    """Options to join with small buffers, so that a client that does not read is soon behind."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.connect(("127.0.0.1", relay.port))
    return {"sock": connection, "max_queue": 1, "close_timeout": 0.1}


def rename_until(ada: Client, condition: Callable[[], bool]) -> None:
    """Change a name until the condition holds. The announcements fill the buffers of clients that do not read."""
    turn = 0
    while not condition():
        for _ in range(50):
            turn += 1
            ada.send({"type": "update", "name": f"{turn:064}"})
            ada.receive("updated")


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_a_stalled_client_is_evicted_and_does_not_delay_the_others(fast_path: bool) -> None:
    limits = ConnectionLimits(stall_timeout_s=0.3, control_per_s=100_000, control_queue_bytes=10**8)
    with (
        running_relay(fast_path=fast_path, tick=TickPolicy(120), connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Zoë") as zoe,
        relay.join("hall", "Mallory", **narrow(relay)) as mallory,
    ):
        rename_until(ada, lambda: relay.metric("streamxr_relay_skipped_ticks_total") > 0)
        ada.move(1.0)
        zoe.wait_for_pose(ada.pid, 1.0)
        eventually(lambda: relay.away() == [mallory.pid])
        assert relay.metric('streamxr_relay_closes_total{code="4430"}') == 1
        ada.move(-1.0)
        zoe.wait_for_pose(ada.pid, -1.0)


def test_an_evicted_client_that_reads_again_finds_4430() -> None:
    limits = ConnectionLimits(stall_timeout_s=0.1, control_per_s=100_000, control_queue_bytes=10**8)
    with (
        running_relay(connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Zoë", **narrow(relay)) as zoe,
    ):
        rename_until(ada, lambda: relay.metric('streamxr_relay_closes_total{code="4430"}') > 0)
        assert zoe.close_code() == 4430


def test_a_client_that_was_behind_gets_the_latest_poses() -> None:
    limits = ConnectionLimits(stall_timeout_s=60.0, control_per_s=100_000, control_queue_bytes=10**8)
    with (
        running_relay(tick=TickPolicy(120), connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Bob") as bob,
        relay.join("hall", "Zoë", **narrow(relay)) as zoe,
    ):
        rename_until(ada, lambda: relay.metric("streamxr_relay_skipped_ticks_total") > 0)
        bob.move(8.0)
        ada.wait_for_pose(bob.pid, 8.0)
        zoe.wait_for_pose(bob.pid, 8.0)


def test_a_client_that_reads_no_control_messages_is_evicted() -> None:
    limits = ConnectionLimits(stall_timeout_s=60.0, control_per_s=100_000, control_queue_bytes=4096)
    with (
        running_relay(connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Mallory", **narrow(relay)) as mallory,
    ):
        rename_until(ada, lambda: relay.metric('streamxr_relay_closes_total{code="4430"}') > 0)
        eventually(lambda: relay.away() == [mallory.pid])


def test_metrics_have_their_documented_names_and_values() -> None:
    with running_relay(labelled_rooms=1) as relay:
        for series in (
            "streamxr_websocket_connections",
            'streamxr_room_users{room="other"}',
            'streamxr_client_bandwidth_bps{client_id="p50"}',
            "streamxr_data_transferred_bytes",
            'streamxr_shared_objects_total{room="other"}',
        ):
            assert relay.metric(series) == 0
        with relay.join("a") as ada, relay.join("a"), relay.join("b") as bob:
            ada.send({"type": "stats", "bandwidth_bps": 5e6, "cdn_bytes": 1000})
            bob.send({"type": "stats", "bandwidth_bps": 1e6, "cdn_bytes": 234})
            eventually(lambda: relay.metric("streamxr_data_transferred_bytes") == 1234)
            assert relay.metric("streamxr_websocket_connections") == 3
            assert relay.metric('streamxr_room_users{room="a"}') == 2
            assert relay.metric('streamxr_room_users{room="other"}') == 1
            assert relay.metric('streamxr_client_bandwidth_bps{client_id="p05"}') == 1e6
            assert relay.metric('streamxr_client_bandwidth_bps{client_id="max"}') == 5e6
            ada.socket.send(b"\x01")
            ada.receive("error")
            assert relay.metric('streamxr_relay_errors_total{code="pose"}') == 1
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
        assert relay.metric('streamxr_client_bandwidth_bps{client_id="max"}') == 0
        assert relay.metric("streamxr_data_transferred_bytes") == 1234
        with pytest.raises(KeyError):
            relay.metric('streamxr_room_users{room="a"}')


def test_two_relays_in_one_process_count_separately() -> None:
    with running_relay() as first, running_relay() as second, first.join():
        assert first.metric("streamxr_websocket_connections") == 1
        assert second.metric("streamxr_websocket_connections") == 0


def test_a_drain_announces_the_time_to_reconnect_and_closes_with_1012() -> None:
    with running_relay(drain_s=0.5) as relay, relay.join() as ada, relay.join() as zoe:
        relay.server.stop()
        for client in (ada, zoe):
            assert 0 <= client.receive("drain")["retry_ms"] < 5000
        assert relay.get("/readyz")[0] == 503
        assert relay.get("/healthz")[0] == 200
        assert close_code_of(relay) == 1012
        assert ada.close_code() == 1012
        assert zoe.close_code() == 1012


def test_a_room_that_fails_is_closed_and_the_others_continue() -> None:
    with running_relay() as relay, relay.join("failing") as ada, relay.join("working") as bob:
        failing = relay.relay.rooms._rooms["failing"]

        def fail(*_arguments: object, **_options: object) -> None:
            raise ArithmeticError("a fault for the test")

        failing.tick = fail
        assert ada.close_code() == 1011
        bob.move(1.0)
        bob.wait_for_pose(bob.pid, 1.0)
