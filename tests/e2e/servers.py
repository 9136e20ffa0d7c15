"""The project's own servers as processes, each on a free port."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import PATIENCE_S, stop


@dataclass(frozen=True)
class Site:
    """A served bundle."""

    url: str
    folder: Path


def script(name: str) -> str:
    """The path of an installed command."""
    return str(Path(sys.executable).with_name(name))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Site]:
    """`streamxr serve` on a bundle."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [script("streamxr"), "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, url + "bundle.json"):
        yield Site(url, folder)


@contextlib.contextmanager
def running(command: Sequence[str], health: str) -> Iterator[None]:
    """A server process: from the first answer of the address `health` to the end of the block.

    Raises RuntimeError with its log if it does not answer.
    """
    # A file, not a pipe: a server stops when a pipe that nobody reads is full.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not _answers(health, process):
                process.kill()
                log.seek(0)
                text = log.read().decode(errors="replace")
                raise RuntimeError(f"{command!r} did not answer at {health}:\n{text}")
            yield
        finally:
            stop(process)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S):
                return True
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.05)
    return False
