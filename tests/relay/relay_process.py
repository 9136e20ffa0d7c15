"""`streamxr-relay serve` in a process of its own, as an operator runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from relay_server import TIMEOUT_S

RELAY = [sys.executable, "-m", "streamxr.relay.cli"]


@contextmanager
def serving(
    *options: str, port: int = 0, descriptors: int | None = None, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port. descriptors: the most files that it may open."""
    command = [*RELAY, "serve", "--port", str(port), "--metrics-port", "0", *options]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stderr
    try:
        first_line = process.stderr.readline()
        found = re.search(r":(\d+)/ws/", first_line)
        assert found, first_line
        yield process, int(found[1])
    finally:
        process.kill()
        if not process.stderr.closed:
            process.communicate(timeout=TIMEOUT_S)
