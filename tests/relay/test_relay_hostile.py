"""Hostile clients beside a healthy room, and many connections that come and go."""

from __future__ import annotations

import gc
import logging
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import attack
from raw_websocket import CLOSE, RawWebSocket, frame
from relay_server import RunningRelay, eventually, running_relay
from streamxr.relay.connection import Connection, ConnectionLimits
from websockets.exceptions import InvalidState

FRAMES_PER_CONNECTION = 60


def survive(relay: RunningRelay, frames: int, seed: int) -> None:
    """So many frames from hostile clients, while two people go on seeing each other."""
    dice = random.Random(seed)
    with relay.join("healthy") as ada, relay.join("healthy", "Zoë") as zoe:
        ada.heard.clear()
        sent = step = 0
        while sent < frames:
            for _ in range(10):
                sent += attack(relay.port, dice, FRAMES_PER_CONNECTION)
            step += 1
            ada.move(step % 1000 / 100)
            zoe.see(ada.pid, step % 1000 / 100)
            zoe.move(-(step % 1000) / 100)
            ada.see(zoe.pid, -(step % 1000) / 100)
        assert [m for m in ada.heard + zoe.heard if m["type"] not in ("joined", "pace")] == []


def nothing_broke(caplog: pytest.LogCaptureFixture) -> None:
    """No error is logged, but for two of the library's own about text that is not UTF-8: it says so as an error,
    and stumbles if a close frame came in the same segment. Both end that connection, as they should."""
    faults = [r for r in caplog.records if r.levelno >= logging.ERROR and "Invalid UTF-8" not in r.getMessage()]
    assert [r for r in faults if not (r.exc_info and r.exc_info[0] is InvalidState)] == []


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_a_healthy_room_notices_nothing_of_hostile_clients(fast_path: bool, caplog: pytest.LogCaptureFixture) -> None:
    with running_relay(fast_path=fast_path, max_per_address=0) as relay:
        survive(relay, frames=6_000, seed=5)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
    nothing_broke(caplog)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_a_healthy_room_notices_nothing_of_a_million_frames(fast_path: bool, caplog: pytest.LogCaptureFixture) -> None:
    with running_relay(fast_path=fast_path, max_per_address=0) as relay:
        survive(relay, frames=1_000_000, seed=6)
    nothing_broke(caplog)


def come_and_go(port: int, dice: random.Random) -> None:
    """One connection of any kind."""
    ending = dice.randrange(6)
    if ending == 0:  # never a WebSocket
        with socket.create_connection(("127.0.0.1", port), 20) as line:
            line.sendall(b"GET /ws/hall HTTP/1.1\r\nHost")
        return
    raw = RawWebSocket(port, f"room-{dice.randrange(20)}")
    if ending > 1:
        raw.hello()
    if ending == 2:  # a clean goodbye
        raw.send(frame(CLOSE, struct.pack("!H", 1000)))
        raw.close_code()
    elif ending == 3:  # a line that breaks
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif ending == 4:  # thrown out
        raw.send(frame(2, b"", masked=False))
        raw.close_code()
    raw.cut()


def connections_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_nothing_is_left_of_connections_that_came_and_went(fast_path: bool) -> None:
    before = connections_alive()
    with running_relay(fast_path=fast_path, max_per_address=0) as relay:
        dice = random.Random(8)
        for _ in range(300):
            come_and_go(relay.port, dice)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
        eventually(lambda: not relay.relay._addresses._connections)
        eventually(lambda: connections_alive() == before)


@pytest.fixture
def relay_process() -> Iterator[tuple[int, int]]:
    """A relay of its own, so that its memory is its own: process id and port."""
    # Rooms that everyone left go at once: what is kept for people who may come back is not growth.
    command = [sys.executable, "-m", "streamxr.relay.cli", "serve", "--port", "0", "--max-per-address", "0"]
    command += ["--log-level", "error"]  # nobody reads the log here
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    found = re.search(r":(\d+)/ws/", process.stderr.readline())
    assert found
    yield process.pid, int(found[1])
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.stderr.close()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to read memory")
def test_memory_does_not_grow_over_200_000_connections(relay_process: tuple[int, int]) -> None:
    pid, port = relay_process
    dice = random.Random(9)
    sizes = []
    for _ in range(20):
        for _ in range(10_000):
            come_and_go(port, dice)
        time.sleep(ConnectionLimits().hello_timeout_s + 1)  # those who never said hello are gone too
        sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        print(f"{len(sizes) * 10_000} connections, {sizes[-1] / 1e6:.1f} MB")
    early, late = max(sizes[3:8]), min(sizes[-5:])
    assert late - early < 2e6, sizes
