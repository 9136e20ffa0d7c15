"""Limits below the level of messages: control frames, fragments, and requests that never end."""

from __future__ import annotations

import json
import socket
import time

import pytest
from raw_websocket import BINARY, HELLO, PING, PONG, TEXT, RawWebSocket, frame
from relay_server import running_relay
from streamxr.relay import limited_protocols
from streamxr.relay.limited_protocols import CONTROL_FRAME_BURST

CONTINUATION = 0


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
@pytest.mark.parametrize("opcode", [PING, PONG])
def test_a_flood_of_control_frames_closes_with_1008(opcode: int, fast_path: bool) -> None:
    with running_relay(fast_path=fast_path) as relay, relay.join() as ada:
        mallory = RawWebSocket(relay.port)
        mallory.hello()
        mallory.send(*[frame(opcode)] * (2 * CONTROL_FRAME_BURST))
        assert mallory.close_code() == 1008
        mallory.abort()
        ada.receive("left")


def test_a_flood_of_fragments_closes_with_1008() -> None:
    with running_relay() as relay:
        mallory = RawWebSocket(relay.port)
        mallory.hello()
        mallory.send(frame(BINARY, b"\1", fin=False), *[frame(CONTINUATION, fin=False)] * (2 * CONTROL_FRAME_BURST))
        assert mallory.close_code() == 1008
        mallory.abort()


def test_a_message_in_a_few_fragments_and_a_few_pings_are_fine() -> None:
    with running_relay() as relay:
        client = RawWebSocket(relay.port)
        hello = json.dumps(HELLO).encode()
        client.send(
            frame(TEXT, hello[:10], fin=False), frame(PING), frame(CONTINUATION, hello[10:20], fin=False),
            frame(CONTINUATION, hello[20:]),
        )  # fmt: skip
        client.receive_until(PONG)
        assert json.loads(client.receive_until(TEXT))["type"] == "welcome"
        client.abort()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"GET /healthz HTT",
        b"GET /ws/hall HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\nGET /healthz HTTP/1.1\r\n",
    ],
    ids=["nothing", "half a line", "half a handshake", "half a second request"],
)
def test_a_request_that_never_ends_is_cut_off(request_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_protocols, "REQUEST_TIMEOUT_S", 0.3)
    with running_relay() as relay, socket.create_connection(("127.0.0.1", relay.port), 20.0) as client:
        client.sendall(request_bytes)
        received = b""
        try:
            while got := client.recv(4096):
                received += got
        except ConnectionResetError:
            pass
        assert received.count(b"200 OK") == request_bytes.count(b"\r\n\r\n")


def test_a_websocket_stays_open_after_the_time_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_protocols, "REQUEST_TIMEOUT_S", 0.2)
    with running_relay() as relay, relay.join() as ada:
        time.sleep(0.5)
        with relay.join(name="Bob"):
            ada.receive("joined")
