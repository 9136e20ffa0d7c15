"""`streamxr-relay` as an operator runs it: a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from relay_server import PATIENCE_S

RELAY = [sys.executable, "-m", "streamxr.relay.cli"]


@contextmanager
def serving(*options: str, port: int = 0, **environment: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [*RELAY, "serve", "--port", str(port), *options],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stderr
    try:
        said = process.stderr.readline()
        found = re.search(r":(\d+)/ws/", said)
        assert found, said
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)
