"""The relay as clients meet it: real uvicorn, real sockets."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from relay_server import PATIENCE_S, Client, RunningRelay, eventually, running_relay
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


def test_two_people_see_each_other_move(relay: RunningRelay) -> None:
    with relay.join("two") as ada, relay.join("two", "Zoë") as zoe:
        ada.move(1.0)
        zoe.see(ada.pid, 1.0)
        zoe.move(-2.5)
        ada.see(zoe.pid, -2.5)
        ada.move(1.25)
        zoe.see(ada.pid, 1.25)


def test_a_late_joiner_sees_those_who_stand_still(relay: RunningRelay) -> None:
    with relay.join("late") as ada:
        ada.move(3.0)
        ada.see(ada.pid, 3.0)
        with relay.join("late", "Zoë") as zoe:
            assert zoe.welcome["participants"] == [{"pid": ada.pid, "name": "Ada", "color": "#ff8800", "away": False}]
            zoe.see(ada.pid, 3.0)


def test_coming_going_and_renaming_are_announced(relay: RunningRelay) -> None:
    with relay.join("hall") as ada:
        with relay.join("hall", "Zoë") as zoe:
            assert ada.hear("joined") == {"type": "joined", "pid": zoe.pid, "name": "Zoë", "color": "#ff8800"}
            zoe.say({"type": "update", "name": "Eve"})
            assert ada.hear("updated")["name"] == "Eve"
            assert zoe.hear("updated")["name"] == "Eve"
        assert ada.hear("left") == {"type": "left", "pid": zoe.pid}


def test_a_lost_line_is_announced_at_once_and_a_lost_seat_after_a_while() -> None:
    with running_relay(grace_s=0.2) as relay, relay.join("hall") as ada, relay.join("hall", "Zoë") as zoe:
        zoe.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        zoe.socket.socket.shutdown(socket.SHUT_RDWR)
        assert ada.hear("updated") == {
            "type": "updated",
            "pid": zoe.pid,
            "name": "Zoë",
            "color": "#ff8800",
            "away": True,
        }
        assert ada.hear("left")["pid"] == zoe.pid


def test_rooms_do_not_hear_each_other(relay: RunningRelay) -> None:
    with relay.join("a") as ada, relay.join("b") as bob, relay.join("a", "Zoë") as zoe:
        bob.move(9.0)
        bob.see(bob.pid, 9.0)
        ada.move(1.0)
        zoe.see(ada.pid, 1.0)
        # All of them have pid 1 or 2 in their own room; nobody's pose is at 9 in room a.
        assert [message for message in ada.heard if message.get("name") == "Bob"] == []
        assert zoe.welcome["participants"] == [{"pid": ada.pid, "name": "Ada", "color": "#ff8800", "away": False}]
        assert bob.welcome["participants"] == []


def test_what_the_relay_says_is_in_the_schema(relay: RunningRelay) -> None:
    validator = Draft202012Validator(message_schema("ServerMessage"))
    with relay.join("schema") as ada, relay.join("schema", "Zoë") as zoe:
        zoe.say({"type": "update", "color": "#123456"})
        zoe.say("nonsense")
        said = [ada.welcome, zoe.welcome, ada.hear("joined"), ada.hear("updated"), zoe.hear("error")]
        for message in said:
            validator.validate(message)


@pytest.mark.parametrize("vector", POSES["up_invalid"] + POSES["ack_invalid"], ids=lambda v: v["name"])
def test_a_malformed_pose_costs_only_its_sender(relay: RunningRelay, vector: dict[str, str]) -> None:
    frame = bytes.fromhex(vector["hex"] if "hex" in vector else vector["repeat"][0] * int(vector["repeat"][1]))
    with relay.join("bad") as ada, relay.join("bad", "Mallory") as mallory:
        mallory.socket.send(frame)
        assert mallory.hear("error")["code"] == "pose"
        ada.move(1.0)
        mallory.see(ada.pid, 1.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type":"update","name":7}', '{"type":"hello","v":1}'])
def test_a_malformed_message_is_answered_and_the_line_stays(relay: RunningRelay, text: str) -> None:
    with relay.join("bad") as mallory:
        mallory.say(text)
        assert mallory.hear("error")["code"] in ("json", "field")
        mallory.move(1.0)
        mallory.see(mallory.pid, 1.0)


def test_a_message_of_an_unknown_type_is_ignored(relay: RunningRelay) -> None:
    with relay.join("future") as ada:
        ada.say({"type": "teleport"})
        ada.say({"type": "update", "name": "Eve"})
        ada.hear("updated")
        assert ada.heard == []


def test_hello_twice_is_an_error(relay: RunningRelay) -> None:
    with relay.join("twice") as ada:
        ada.say({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
        assert ada.hear("error")["code"] == "state"


def test_before_hello_nothing_is_obeyed(relay: RunningRelay) -> None:
    with relay.connect("early") as line:
        line.send(bytes.fromhex(POSES["up"][0]["hex"]))
        assert json.loads(line.recv(PATIENCE_S))["code"] == "state"


def close_code_of(relay: RunningRelay, room: str = "hall", **how: object) -> int | None:
    with relay.connect(room, **how) as line:
        return Client(line).hear_close()


@pytest.mark.parametrize("room", ["a/b", "a%20b", "%00", "a" * 65, "r%C3%B6m", ".%0A", "../hall/%2e"])
def test_a_room_of_a_bad_name_closes_with_4404(relay: RunningRelay, room: str) -> None:
    assert close_code_of(relay, room) == 4404


@pytest.mark.parametrize("room", ["a", "A.b_c-9", "." * 64])
def test_a_room_of_a_good_name_opens(relay: RunningRelay, room: str) -> None:
    with relay.join(room) as ada:
        assert ada.pid


def test_a_page_of_another_origin_closes_with_4403(relay: RunningRelay) -> None:
    assert close_code_of(relay, origin="https://evil.example") == 4403


def test_a_page_of_the_same_address_may_connect(relay: RunningRelay) -> None:
    with relay.join(origin="http://127.0.0.1:8080") as ada:
        assert ada.pid


def test_without_the_subprotocol_it_closes_with_4426(relay: RunningRelay) -> None:
    assert close_code_of(relay, subprotocols=None) == 4426
    assert close_code_of(relay, subprotocols=["streamxr.v2"]) == 4426


def test_the_subprotocol_is_chosen_among_several(relay: RunningRelay) -> None:
    with relay.connect(subprotocols=["streamxr.v2", "streamxr.v1"]) as line:
        assert line.subprotocol == "streamxr.v1"


def test_hello_of_another_version_closes_with_4426(relay: RunningRelay) -> None:
    with relay.connect() as line:
        line.send('{"type":"hello","v":2,"name":"Ada","color":"#ff8800"}')
        assert Client(line).hear_close() == 4426


def test_permessage_deflate_is_not_spoken(relay: RunningRelay) -> None:
    with relay.connect(compression="deflate") as line:
        assert line.protocol.extensions == []


def test_a_control_message_that_is_too_long_closes_with_1009(relay: RunningRelay) -> None:
    with relay.join("long") as ada:
        ada.say(json.dumps({"type": "x", "x": "x" * MAX_CONTROL_BYTES}))
        assert ada.hear_close() == 1009


def test_a_frame_beyond_64_kib_closes_with_1009(relay: RunningRelay) -> None:
    with relay.join("long") as ada:
        ada.socket.send(bytes(65537))
        assert ada.hear_close() == 1009


def test_too_many_bad_messages_close_with_1008(relay: RunningRelay) -> None:
    with relay.join("flood") as ada, relay.join("flood", "Mallory") as mallory:
        mallory.flood(b"\x01", 80)
        assert mallory.hear_close() == 1008
        assert ada.hear("left")["pid"] == mallory.pid


def test_too_many_messages_close_with_4429(relay: RunningRelay) -> None:
    with relay.join("flood") as mallory:
        mallory.flood('{"type":"update","name":"Mallory"}', 200)
        assert mallory.hear_close() == 4429


def test_a_plain_request_to_a_room_is_no_websocket(relay: RunningRelay) -> None:
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


def test_silence_instead_of_hello_closes_with_4408() -> None:
    with (
        running_relay(connection=ConnectionLimits(hello_timeout_s=0.05)) as relay,
        relay.connect() as line,
    ):
        assert Client(line).hear_close() == 4408


def test_a_full_room_closes_with_4413() -> None:
    with running_relay(max_participants=1) as relay, relay.join(), relay.connect() as line:
        line.send('{"type":"hello","v":1,"name":"Zoë","color":"#ff8800"}')
        assert Client(line).hear_close() == 4413


def test_a_full_relay_closes_with_4413() -> None:
    with running_relay(max_rooms=1, max_connections=2) as relay, relay.join("a"):
        with relay.connect("b") as line:
            line.send('{"type":"hello","v":1,"name":"Zoë","color":"#ff8800"}')
            assert Client(line).hear_close() == 4413
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 1)
        with relay.join("a"):
            assert close_code_of(relay, "a") == 4413


def test_an_empty_room_makes_place_for_another() -> None:
    with running_relay(max_rooms=1) as relay:
        for room in ("a", "b", "c"):
            with relay.join(room) as ada:
                assert ada.pid == 1
            eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)


def narrow(relay: RunningRelay) -> dict[str, Any]:
    """How to join with little buffer on the way: who then does not read is soon behind."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    line.connect(("127.0.0.1", relay.port))
    return {"sock": line, "max_queue": 1, "close_timeout": 0.1}


def rename_until(ada: Client, done: Callable[[], bool]) -> None:
    """Change names until it is so: what fills the line of whoever does not read."""
    turn = 0
    while not done():
        for _ in range(50):
            turn += 1
            ada.say({"type": "update", "name": f"{turn:064}"})
            ada.hear("updated")


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_a_stalled_client_is_evicted_and_the_others_never_wait(fast_path: bool) -> None:
    limits = ConnectionLimits(stall_timeout_s=0.3, control_per_s=100_000, control_queue_bytes=10**8)
    with (
        running_relay(fast_path=fast_path, tick=TickPolicy(120), connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Zoë") as zoe,
        relay.join("hall", "Mallory", **narrow(relay)) as mallory,
    ):
        rename_until(ada, lambda: relay.metric("streamxr_relay_skipped_ticks_total") > 0)
        ada.move(1.0)
        zoe.see(ada.pid, 1.0)
        eventually(lambda: relay.away() == [mallory.pid])
        assert relay.metric('streamxr_relay_closes_total{code="4430"}') == 1
        ada.move(-1.0)
        zoe.see(ada.pid, -1.0)


def test_an_evicted_client_that_wakes_up_reads_4430() -> None:
    limits = ConnectionLimits(stall_timeout_s=0.1, control_per_s=100_000, control_queue_bytes=10**8)
    with (
        running_relay(connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Zoë", **narrow(relay)) as zoe,
    ):
        rename_until(ada, lambda: relay.metric('streamxr_relay_closes_total{code="4430"}') > 0)
        assert zoe.hear_close() == 4430


def test_a_client_that_was_behind_ends_up_with_the_truth() -> None:
    limits = ConnectionLimits(stall_timeout_s=60.0, control_per_s=100_000, control_queue_bytes=10**8)
    with (
        running_relay(tick=TickPolicy(120), connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Bob") as bob,
        relay.join("hall", "Zoë", **narrow(relay)) as zoe,
    ):
        rename_until(ada, lambda: relay.metric("streamxr_relay_skipped_ticks_total") > 0)
        bob.move(8.0)
        ada.see(bob.pid, 8.0)
        zoe.see(bob.pid, 8.0)


def test_a_client_that_reads_no_control_messages_is_evicted() -> None:
    limits = ConnectionLimits(stall_timeout_s=60.0, control_per_s=100_000, control_queue_bytes=4096)
    with (
        running_relay(connection=limits) as relay,
        relay.join("hall") as ada,
        relay.join("hall", "Mallory", **narrow(relay)) as mallory,
    ):
        rename_until(ada, lambda: relay.metric('streamxr_relay_closes_total{code="4430"}') > 0)
        eventually(lambda: relay.away() == [mallory.pid])


def test_metrics_keep_the_names_and_show_the_values() -> None:
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
            ada.say({"type": "stats", "bandwidth_bps": 5e6, "cdn_bytes": 1000})
            bob.say({"type": "stats", "bandwidth_bps": 1e6, "cdn_bytes": 234})
            eventually(lambda: relay.metric("streamxr_data_transferred_bytes") == 1234)
            assert relay.metric("streamxr_websocket_connections") == 3
            assert relay.metric('streamxr_room_users{room="a"}') == 2
            assert relay.metric('streamxr_room_users{room="other"}') == 1
            assert relay.metric('streamxr_client_bandwidth_bps{client_id="p05"}') == 1e6
            assert relay.metric('streamxr_client_bandwidth_bps{client_id="max"}') == 5e6
            ada.socket.send(b"\x01")
            ada.hear("error")
            assert relay.metric('streamxr_relay_errors_total{code="pose"}') == 1
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
        assert relay.metric('streamxr_client_bandwidth_bps{client_id="max"}') == 0
        assert relay.metric("streamxr_data_transferred_bytes") == 1234
        with pytest.raises(KeyError):
            relay.metric('streamxr_room_users{room="a"}')


def test_two_relays_in_one_process_count_apart() -> None:
    with running_relay() as one, running_relay() as other, one.join():
        assert one.metric("streamxr_websocket_connections") == 1
        assert other.metric("streamxr_websocket_connections") == 0


def test_draining_says_when_to_come_back_and_closes_with_1012() -> None:
    with running_relay(drain_s=0.5) as relay, relay.join() as ada, relay.join() as zoe:
        relay.server.stop()
        for client in (ada, zoe):
            assert 0 <= client.hear("drain")["retry_ms"] < 5000
        assert relay.get("/readyz")[0] == 503
        assert relay.get("/healthz")[0] == 200
        assert close_code_of(relay) == 1012
        assert ada.hear_close() == 1012
        assert zoe.hear_close() == 1012


def test_a_room_that_fails_is_closed_and_the_others_go_on() -> None:
    with running_relay() as relay, relay.join("broken") as ada, relay.join("sound") as bob:
        (broken,) = [opened for opened in relay.relay.rooms._rooms.values() if opened.name == "broken"]

        def fail(*_anything: object, **_more: object) -> None:
            raise ArithmeticError("a fault for the test")

        broken.tick = fail
        assert ada.hear_close() == 1011
        bob.move(1.0)
        bob.see(bob.pid, 1.0)
