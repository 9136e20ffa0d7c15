"""Hostile clients next to a room of well-behaved clients, and many short connections."""

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
    """Send frames from hostile clients, while two participants continue to see each other."""
    rng = random.Random(seed)
    with relay.join("healthy") as ada, relay.join("healthy", "Zoë") as zoe:
        ada.received.clear()
        sent = step = 0
        while sent < frames:
            for _ in range(10):
                sent += attack(relay.port, rng, FRAMES_PER_CONNECTION)
            step += 1
            ada.move(step % 1000 / 100)
            zoe.wait_for_pose(ada.pid, step % 1000 / 100)
            zoe.move(-(step % 1000) / 100)
            ada.wait_for_pose(zoe.pid, -(step % 1000) / 100)
        assert [message for message in ada.received + zoe.received if message["type"] not in ("joined", "pace")] == []


def assert_no_errors(caplog: pytest.LogCaptureFixture) -> None:
    """Check that no error was logged, except two of the websockets library about text that is not UTF-8.

    It logs such text as an error, and raises InvalidState if a close frame is in the same segment. Both end that
    connection, as they should.
    """
    records = [r for r in caplog.records if r.levelno >= logging.ERROR and "Invalid UTF-8" not in r.getMessage()]
    assert [r for r in records if not (r.exc_info and r.exc_info[0] is InvalidState)] == []


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_hostile_clients_do_not_affect_another_room(fast_path: bool, caplog: pytest.LogCaptureFixture) -> None:
    with running_relay(fast_path=fast_path, max_per_address=0) as relay:
        survive(relay, frames=6_000, seed=5)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
    assert_no_errors(caplog)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_a_million_hostile_frames_do_not_affect_another_room(fast_path: bool, caplog: pytest.LogCaptureFixture) -> None:
    with running_relay(fast_path=fast_path, max_per_address=0) as relay:
        survive(relay, frames=1_000_000, seed=6)
    assert_no_errors(caplog)


def connect_once(port: int, rng: random.Random) -> None:
    """Open one connection and end it in a random way."""
    ending = rng.randrange(6)
    if ending == 0:  # an incomplete HTTP request
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(b"GET /ws/hall HTTP/1.1\r\nHost")
        return
    raw = RawWebSocket(port, f"room-{rng.randrange(20)}")
    if ending > 1:
        raw.hello()
    if ending == 2:  # a close frame
        raw.send(frame(CLOSE, struct.pack("!H", 1000)))
        raw.close_code()
    elif ending == 3:  # a reset
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif ending == 4:  # closed by the relay
        raw.send(frame(2, b"", masked=False))
        raw.close_code()
    raw.abort()


def connections_alive() -> int:
    gc.collect()
    return sum(isinstance(obj, Connection) for obj in gc.get_objects())


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "plain ASGI"])
def test_no_state_remains_of_ended_connections(fast_path: bool) -> None:
    before = connections_alive()
    with running_relay(fast_path=fast_path, max_per_address=0) as relay:
        rng = random.Random(8)
        for _ in range(300):
            connect_once(relay.port, rng)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
        eventually(lambda: not relay.relay._addresses._connections)
        eventually(lambda: connections_alive() == before)


@pytest.fixture
def relay_process() -> Iterator[tuple[int, int]]:
    """Process id and port of a relay in a process of its own, whose memory can be measured."""
    # Without --state, empty rooms are closed at once, so rooms do not make the memory grow.
    command = [sys.executable, "-m", "streamxr.relay.cli", "serve", "--port", "0", "--max-per-address", "0"]
    command += ["--log-level", "error"]  # stderr is not read
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
    rng = random.Random(9)
    sizes = []
    for _ in range(20):
        for _ in range(10_000):
            connect_once(port, rng)
        time.sleep(ConnectionLimits().hello_timeout_s + 1)  # connections without hello are closed by then
        sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        print(f"{len(sizes) * 10_000} connections, {sizes[-1] / 1e6:.1f} MB")
    early, late = max(sizes[3:8]), min(sizes[-5:])
    assert late - early < 2e6, sizes
