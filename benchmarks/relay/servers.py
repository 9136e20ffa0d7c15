"""The servers under test; each runs in a process of its own on one core."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).parent
SERVER_CORE = "0"
PATIENCE_S = 30.0
UNLIMITED = [
    "--max-participants=5000",
    "--max-connections=10000",
    "--max-per-address=0",
    "--rooms-per-address=0",
]
RELAY = [sys.executable, "-m", "streamxr.relay.cli", "serve", "--port", "0", "--drain-seconds", "0", *UNLIMITED]


@dataclass(frozen=True)
class Contender:
    """A server under test. protocol: a key of `client_protocols.PROTOCOLS`; color: of its line in the chart."""

    key: str
    title: str
    protocol: str
    command: tuple[str, ...]
    color: str


CONTENDERS = (
    Contender("full", "StreamXR, every pose to everyone", "streamxr", (*RELAY, "--full-up-to", "65535"), "#0077bb"),
    Contender("cells", "StreamXR by default: cells above 150", "streamxr", tuple(RELAY), "#33bbee"),
    Contender(
        "plain",
        "StreamXR on plain ASGI, every pose to everyone",
        "streamxr",
        (*RELAY, "--full-up-to", "65535", "--no-fast-path"),
        "#009988",
    ),
    Contender("colyseus", "Colyseus, patches every 33 ms", "colyseus", ("node", str(HERE / "colyseus.mjs")), "#ee7733"),
    Contender(
        "original", "The original's design: JSON at once", "original", ("node", str(HERE / "original.mjs")), "#cc3311"
    ),
)


@dataclass(frozen=True)
class Running:
    pid: int
    port: int


@contextlib.contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """A server that is ready, on its core, while the context lasts.

    `taskset` replaces itself by the server, so its process id is the server's.
    """
    # The log goes into a file: a full pipe that is not read would stop the server after some thousand lines.
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *contender.command], stdout=log, stderr=subprocess.STDOUT, cwd=HERE
        )
        try:
            yield Running(process.pid, _port(process, log))
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: TextIO) -> int:
    """The port in the first line of the log that has one. Raises RuntimeError if the server does not start."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        ended = process.poll() is not None or time.monotonic() > deadline
        # pread, since the server writes at the file offset, which it shares with this process.
        output = os.pread(log.fileno(), 1 << 16, 0).decode(errors="replace")
        if found := re.search(r"^(\d+)$|:(\d+)/ws/", output, re.MULTILINE):
            return int(found[1] or found[2])
        if ended:
            raise RuntimeError(f"the server did not start: {output}")
        time.sleep(0.02)
