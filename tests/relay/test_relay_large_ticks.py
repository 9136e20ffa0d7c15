"""Large ticks share their pages with all sockets. What arrives is what was offered, in order, whoever reads slowly."""

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
def shares(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What sendfile was asked for and what it took, of each call that the door makes."""
    calls: list[tuple[int, int]] = []
    sendfile = os.sendfile

    def noted(line: int, file: int, offset: int, count: int) -> int:
        taken = 0
        try:
            taken = sendfile(line, file, offset, count)
        finally:
            calls.append((count, taken))
        return taken

    monkeypatch.setattr("streamxr.relay.fast_path.os.sendfile", noted)
    return calls


@LOOPS
def test_a_quick_reader_gets_what_was_offered(new_loop: NewLoop, shares: list[tuple[int, int]]) -> None:
    play(new_loop, bytes_at_once=1 << 20, pause_s=0.0)
    assert {count for count, taken in shares if taken == count} >= {60_004, 70_010}


@LOOPS
def test_a_slow_reader_gets_what_was_offered(new_loop: NewLoop, shares: list[tuple[int, int]]) -> None:
    play(new_loop, bytes_at_once=20_000, pause_s=0.001)
    assert any(0 < taken < count for count, taken in shares), "none was taken in part: the test was too easy"


@LOOPS
def test_without_such_files_it_is_copied(new_loop: NewLoop, shares: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    play(new_loop, bytes_at_once=1 << 20, pause_s=0.0)
    assert not shares


def test_no_file_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    burst = Burst([Frame(BINARY, [bytes(MIN_SHARED_BYTES)])])
    assert burst.file is not None
    assert burst.file == burst.file
    burst.close()
    assert open_files() == before

    monkeypatch.setattr(os, "write", lambda _file, content: len(content) - 1)  # memory ends
    assert Burst([Frame(BINARY, [bytes(MIN_SHARED_BYTES)])]).file is None
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def play(new_loop: NewLoop, *, bytes_at_once: int, pause_s: float) -> None:
    """Offer bursts of all sizes, with words in between, to somebody who reads so many bytes and pauses."""
    sent, received = bytearray(), bytearray()
    dice = random.Random(5)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        door: FastPathWebSocketProtocol = scope["extensions"][EXTENSION]
        door.open_fast_path(lambda _payload: None)
        for size in SIZES * ROUNDS:
            if dice.random() < 0.5:
                word = text_frame(f"before {size}")
                door.write(word)
                sent.extend(word.encoded)
            burst = Burst([Frame(BINARY, [dice.randbytes(size)])])
            while not door.offer(burst):
                await asyncio.sleep(0.001)
            burst.close()
            sent.extend(burst.encoded)
            if dice.random() < 0.5:
                await asyncio.sleep(0)
        door.close(1000, "done")

    def read(port: int) -> None:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
            line.connect(("127.0.0.1", port))
            line.sendall(REQUEST)
            while got := line.recv(bytes_at_once):
                received.extend(got)
                if b"done" in got[-8:]:
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
