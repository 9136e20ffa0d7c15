"""Servers as processes of the tests."""

from __future__ import annotations

import subprocess

PATIENCE_S = 30.0  # a hang, not a slow machine


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a server as a supervisor does: gently, and for good where it does not listen."""
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
