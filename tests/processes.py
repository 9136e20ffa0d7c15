"""Server processes of the tests."""

from __future__ import annotations

import subprocess

PATIENCE_S = 30.0  # longer than any answer on a slow machine takes


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a server, and kill it if it does not end."""
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
