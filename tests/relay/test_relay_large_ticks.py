"""Large ticks share their pages between sockets, and slow clients still receive exactly the offered bytes."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from streamxr.relay.fast_path import EXTENSION, FastPathWebSocketProtocol
from streamxr.relay.frames import BINARY, MIN_SHARED_BYTES, Burst, Frame, text_frame
from uvicorn import Config
from uvicorn.server import ServerState

REQUEST = (
    b"GET /ws/hall HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SIZES = (1, 100, MIN_SHARED_BYTES - 100, MIN_SHARED_BYTES, 60_000, 70_000, 250_000)
ROUNDS = 8
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=("asyncio", "uvloop"))
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def sendfile_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The requested and the sent bytes of each call of sendfile by the fast path."""
    calls: list[tuple[int, int]] = []
    sendfile = os.sendfile

    def recorded(connection: int, file: int, offset: int, count: int) -> int:
        sent = 0
        try:
            sent = sendfile(connection, file, offset, count)
        finally:
            calls.append((count, sent))
        return sent

    monkeypatch.setattr("streamxr.relay.fast_path.os.sendfile", recorded)
    return calls


@LOOPS
def test_a_fast_reader_receives_the_offered_bytes(new_loop: NewLoop, sendfile_calls: list[tuple[int, int]]) -> None:
    transfer(new_loop, bytes_at_once=1 << 20, pause_s=0.0)
    assert {count for count, sent in sendfile_calls if sent == count} >= {60_004, 70_010}


@LOOPS
def test_a_slow_reader_receives_the_offered_bytes(new_loop: NewLoop, sendfile_calls: list[tuple[int, int]]) -> None:
    transfer(new_loop, bytes_at_once=20_000, pause_s=0.001)
    assert any(0 < sent < count for count, sent in sendfile_calls), (
        "no call sent a part of its data, so the test proves nothing"
    )


@LOOPS
def test_large_ticks_are_copied_without_memory_files(
    new_loop: NewLoop, sendfile_calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    transfer(new_loop, bytes_at_once=1 << 20, pause_s=0.0)
    assert not sendfile_calls


def test_no_file_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    burst = Burst([Frame(BINARY, [bytes(MIN_SHARED_BYTES)])])
    assert burst.file is not None
    assert burst.file == burst.file
    burst.close()
    assert open_files() == before

    monkeypatch.setattr(os, "write", lambda _file, content: len(content) - 1)  # out of memory
    assert Burst([Frame(BINARY, [bytes(MIN_SHARED_BYTES)])]).file is None
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def transfer(new_loop: NewLoop, *, bytes_at_once: int, pause_s: float) -> None:
    """Offer bursts of all sizes, mixed with text frames, to a client that reads `bytes_at_once` and then pauses."""
    sent, received = bytearray(), bytearray()
    rng = random.Random(5)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        transport: FastPathWebSocketProtocol = scope["extensions"][EXTENSION]
        transport.open_fast_path(lambda _payload: None)
        for size in SIZES * ROUNDS:
            if rng.random() < 0.5:
                text = text_frame(f"before {size}")
                transport.write(text)
                sent.extend(text.encoded)
            burst = Burst([Frame(BINARY, [rng.randbytes(size)])])
            while not transport.offer(burst):
                await asyncio.sleep(0.001)
            burst.close()
            sent.extend(burst.encoded)
            if rng.random() < 0.5:
                await asyncio.sleep(0)
        transport.close(1000, "done")

    def read(port: int) -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
            connection.connect(("127.0.0.1", port))
            connection.sendall(REQUEST)
            while data := connection.recv(bytes_at_once):
                received.extend(data)
                if b"done" in data[-8:]:
                    return
                time.sleep(pause_s)

    async def serve() -> None:
        config = Config(app, ws_per_message_deflate=False, ws_ping_interval=None, log_config=None)
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: FastPathWebSocketProtocol(config, ServerState(), {}, loop), "127.0.0.1", 0
        )
        async with server:
            await asyncio.wait_for(asyncio.to_thread(read, server.sockets[0].getsockname()[1]), 30.0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
    assert bytes(received.partition(b"\r\n\r\n")[2]) == bytes(sent) + b"\x88\x06\x03\xe8done"
