"""The fast path compared with plain ASGI: both receive the same messages in the same order from any stream."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_websocket import BINARY, CLOSE, PING, TEXT, frame
from relay_server import running_relay
from streamxr.relay.fast_path import EXTENSION, FastPathWebSocketProtocol, fast_path_available
from uvicorn import Config
from uvicorn.server import ServerState

REQUEST = (
    b"GET /ws/hall HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class MemoryTransport(asyncio.Transport):
    """Keeps the written data, and remembers whether the protocol has paused reading."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


def messages_and_answers(segments: list[bytes], *, fast_path: bool) -> tuple[list[str | bytes], bytes]:
    """The messages that an application receives from these segments, and the bytes that the peer gets."""

    async def play() -> tuple[list[str | bytes], bytes]:
        messages: list[str | bytes] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            if fast_path:
                scope["extensions"][EXTENSION].open_fast_path(messages.append)
            while (event := await receive())["type"] == "websocket.receive":
                messages.append(event["text"] if event.get("text") is not None else bytes(event["bytes"]))

        config = Config(app, ws_max_size=1024, ws_per_message_deflate=False, ws_ping_interval=None, log_config=None)
        config.load()
        protocol = FastPathWebSocketProtocol(config, ServerState(), {}, asyncio.get_running_loop())
        transport = MemoryTransport()
        protocol.connection_made(transport)
        protocol.data_received(REQUEST)
        for segment in ([], *segments):
            while not transport.reading:
                await asyncio.sleep(0)
            if segment and not transport.closed:
                protocol.data_received(bytes(segment))
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        await asyncio.gather(*protocol.tasks)
        return messages, transport.written.partition(b"\r\n\r\n")[2]

    return asyncio.run(play())


payloads = st.binary(max_size=140)
complete = st.one_of(
    st.builds(lambda payload: frame(BINARY, payload, mask=b"\x01\x02\x03\x04"), payloads),
    st.builds(lambda text: frame(TEXT, text.encode(), mask=b"abcd"), st.text(max_size=20)),
    st.builds(lambda payload: frame(PING, payload, mask=b"ping"), st.binary(max_size=20)),
)
fragmented = st.builds(
    lambda first, rest: frame(BINARY, first, fin=False, mask=b"frag") + frame(0, rest, mask=b"ment"), payloads, payloads
)
broken = st.one_of(
    st.just(frame(BINARY, b"pose", fin=False, mask=b"open")),
    st.just(frame(BINARY, b"pose", rsv=4, mask=b"bits")),
    st.just(frame(BINARY, b"pose", masked=False)),
    st.just(frame(CLOSE, struct.pack("!H", 1000), mask=b"done")),
    st.binary(min_size=1, max_size=12),
)
streams = st.lists(st.one_of(complete, complete, complete, fragmented, broken), max_size=12).map(b"".join)


@settings(max_examples=150)
@given(streams, st.lists(st.integers(1, 200), max_size=12))
def test_the_fast_path_receives_the_same_messages_as_plain_asgi(stream: bytes, sizes: list[int]) -> None:
    segments, at = [], 0
    for size in sizes:
        segments.append(stream[at : at + size])
        at += size
    segments.append(stream[at:])
    messages, answers = messages_and_answers(segments, fast_path=True)
    plain_messages, plain_answers = messages_and_answers(segments, fast_path=False)
    assert answers == plain_answers
    # The library drops messages that precede an error in the same segment; the fast path has already passed them on.
    failed = b"\x88" in answers
    assert messages[: len(plain_messages)] == plain_messages
    assert failed or len(messages) == len(plain_messages)


def test_the_fast_path_is_available_with_the_locked_versions() -> None:
    assert fast_path_available()


def test_the_relay_works_without_the_fast_path_if_it_is_not_available(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr("websockets.protocol.Protocol.recv_frame")
    assert not fast_path_available()
    monkeypatch.undo()
    monkeypatch.setattr("streamxr.relay.server.fast_path_available", lambda: False)
    with running_relay() as relay, relay.join() as ada, relay.join(name="Zoë") as zoe:
        assert "fast path" in caplog.text
        ada.move(1.0)
        zoe.wait_for_pose(ada.pid, 1.0)
