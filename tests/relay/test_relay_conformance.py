"""Conformance with RFC 6455 of the whole server, on the fast path and on plain ASGI."""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Iterator

import pytest
from pose_codec import Body, decode_tick, encode_pose, unpack_body
from raw_websocket import BINARY, CLOSE, PING, PONG, TEXT, RawWebSocket, frame
from relay_server import RunningRelay, running_relay
from streamxr.relay.protocol.messages import Point

CONTINUATION = 0


@pytest.fixture(scope="module", params=[True, False], ids=["fast path", "plain ASGI"])
def relay(request: pytest.FixtureRequest) -> Iterator[RunningRelay]:
    with running_relay(fast_path=request.param, max_per_address=0) as running:
        yield running


@pytest.fixture
def client(relay: RunningRelay) -> Iterator[RawWebSocket]:
    """A client that has joined a room."""
    raw = RawWebSocket(relay.port, "conformance")
    raw.hello()
    yield raw
    raw.abort()


def pose(x: float) -> bytes:
    return encode_pose(Body(Point((x, 1.6, 0.0), (0.0, 0.0, 0.0, 1.0))), 0, 0)


def wait_for_pose(client: RawWebSocket, x: float) -> None:
    """Wait for a tick with a head at `x`."""
    while True:
        tick = decode_tick(client.receive_until(BINARY))
        if any(abs(unpack_body(r.flags, r.body).head.p[0] - x) < 0.001 for r in tick.records):
            return


MALFORMED = {
    "an unmasked frame": (frame(BINARY, pose(1), masked=False), 1002),
    "an unmasked text": (frame(TEXT, b"{}", masked=False), 1002),
    "rsv1 without an extension": (frame(BINARY, pose(1), rsv=4), 1002),
    "rsv2": (frame(BINARY, pose(1), rsv=2), 1002),
    "opcode 3": (frame(3, b"x"), 1002),
    "opcode 11": (frame(11, b"x"), 1002),
    "a ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "a fragmented ping": (frame(PING, b"x", fin=False), 1002),
    "a continuation without a start": (frame(CONTINUATION, b"x"), 1002),
    "a new message within a fragmented one": (frame(BINARY, b"ab", fin=False) + frame(BINARY, pose(1)), 1002),
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe\xfd"), 1007),
    "text that is not UTF-8 over two fragments": (frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"\xff"), 1007),
    "close code 999": (frame(CLOSE, struct.pack("!H", 999)), 1002),
    "close code 1005": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a frame that announces 64 KiB and a byte": (frame(BINARY, b"", announced=65537), 1009),
    "a frame that announces 2⁶³ bytes": (frame(BINARY, b"", announced=1 << 63), 1009),
    "64 KiB and a byte in fragments": (
        frame(BINARY, bytes(40_000), fin=False) + frame(CONTINUATION, bytes(25_537)),
        1009,
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_frames_close_with_the_code_of_rfc_6455(client: RawWebSocket, case: str) -> None:
    data, code = MALFORMED[case]
    client.send(frame(BINARY, pose(1)), data)
    assert client.close_code() == code


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_frames_close_with_the_same_code_when_segments_split_them(client: RawWebSocket, case: str) -> None:
    data, code = MALFORMED[case]
    client.send(frame(BINARY, pose(1)) + data[:2])
    time.sleep(0.002)
    client.send(data[2:])
    assert client.close_code() == code


def test_a_new_message_within_a_fragmented_one_is_detected_in_a_later_segment_too(client: RawWebSocket) -> None:
    client.send(frame(BINARY, pose(1)))
    wait_for_pose(client, 1)
    client.send(frame(BINARY, b"ab", fin=False))
    time.sleep(0.02)
    client.send(frame(BINARY, pose(2)))
    assert client.close_code() == 1002


@pytest.mark.parametrize(
    ("payload", "code"),
    [(struct.pack("!H", 1000), 1000), (struct.pack("!H", 3999) + b"bye", 3999), (b"", 1006)],
    ids=["1000", "3999", "none"],
)
def test_a_close_is_echoed(client: RawWebSocket, payload: bytes, code: int) -> None:
    client.send(frame(CLOSE, payload))
    assert client.close_code() == code


def test_frames_after_a_close_frame_are_ignored(relay: RunningRelay, client: RawWebSocket) -> None:
    with relay.join("conformance") as ada:
        client.send(frame(BINARY, pose(3)), frame(CLOSE, struct.pack("!H", 1000)), frame(BINARY, pose(4)))
        assert client.close_code() == 1000
        ada.move(5.0)
        ada.wait_for_pose(ada.pid, 5.0)
        assert not any(abs(unpack_body(r.flags, r.body).head.p[0] - 4) < 0.001 for t in ada.ticks for r in t.records)


@pytest.mark.parametrize("payload", [b"", b"hello", bytes(125)], ids=["empty", "short", "longest"])
def test_a_ping_is_answered_with_its_payload(client: RawWebSocket, payload: bytes) -> None:
    client.send(frame(PING, payload))
    assert client.receive_until(PONG) == payload


def test_an_unsolicited_pong_is_not_an_error(client: RawWebSocket) -> None:
    client.send(frame(PONG, b"?"), frame(PING, b"!"))
    assert client.receive_until(PONG) == b"!"


def test_a_ping_between_fragments_is_answered_and_the_message_arrives(client: RawWebSocket) -> None:
    payload = pose(6)
    client.send(frame(BINARY, payload[:10], fin=False), frame(PING, b"q"), frame(CONTINUATION, payload[10:]))
    assert client.receive_until(PONG) == b"q"
    wait_for_pose(client, 6)


def test_a_pose_in_many_fragments_arrives(client: RawWebSocket) -> None:
    payload = pose(7)
    pieces = [frame(CONTINUATION, bytes((byte,)), fin=False) for byte in payload[1:]]
    client.send(frame(BINARY, payload[:1], fin=False), *pieces, frame(CONTINUATION, b""), frame(BINARY, pose(8)))
    wait_for_pose(client, 8)


def test_frames_may_arrive_byte_by_byte(client: RawWebSocket) -> None:
    for byte in frame(BINARY, pose(9)) + frame(BINARY, pose(10)) + frame(PING, b"z"):
        client.send(bytes((byte,)))
        time.sleep(0.0003)
    assert client.receive_until(PONG) == b"z"
    wait_for_pose(client, 10)


def test_segments_may_split_frames_anywhere(client: RawWebSocket) -> None:
    rng = random.Random(1)
    stream = b"".join(frame(BINARY, pose(step / 10)) for step in range(1, 60)) + frame(PING, b"end")
    while stream:
        cut = rng.randint(1, 97)
        client.send(stream[:cut])
        stream = stream[cut:]
        time.sleep(0.0005)
    assert client.receive_until(PONG) == b"end"
    wait_for_pose(client, 5.9)


def test_a_length_in_more_bytes_than_necessary_is_accepted(client: RawWebSocket) -> None:
    payload = pose(11)
    client.send(struct.pack("!BBH", 0x82, 0x80 | 126, len(payload)) + bytes(4) + payload)
    wait_for_pose(client, 11)


def test_a_masking_key_of_zeros_is_valid(client: RawWebSocket) -> None:
    client.send(frame(BINARY, pose(12), mask=bytes(4)))
    wait_for_pose(client, 12)


def test_an_empty_binary_message_is_answered_with_an_error(client: RawWebSocket) -> None:
    client.send(frame(BINARY, b""))
    # The client of the previous test may leave only now, and that is announced first.
    while (message := json.loads(client.receive_until(TEXT)))["type"] != "error":
        pass
    assert message["code"] == "pose"


def test_a_pose_in_the_same_segment_as_hello_comes_after_it(relay: RunningRelay) -> None:
    raw = RawWebSocket(relay.port, "segment")
    hello = b'{"type":"hello","v":1,"name":"Ada","color":"#ff8800"}'
    raw.send(frame(TEXT, hello), frame(BINARY, pose(13)), frame(TEXT, b'{"type":"update","name":"Eve"}'))
    assert json.loads(raw.receive_until(TEXT))["type"] == "welcome"
    assert json.loads(raw.receive_until(TEXT))["type"] == "updated"
    wait_for_pose(raw, 13)
    raw.abort()


def test_websocket_version_12_is_refused(relay: RunningRelay) -> None:
    raw = RawWebSocket(relay.port, version=12)
    assert raw.status in (400, 426)
    raw.abort()
