"""The `streamxr` command as a process, and the processes below it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from builds import BUNDLES
from streamxr.pipeline.bundle.files import CATALOGUE

STREAMXR = str(Path(sys.executable).with_name("streamxr"))


def run(
    *arguments: object,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. `before` is called in its process first, on POSIX."""
    done = subprocess.run(
        [STREAMXR, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=200,
        env={**os.environ, **(environment or {})},
        preexec_fn=before,
    )
    output = Path(str(arguments[arguments.index("-o") + 1])) if "-o" in arguments else None
    if output is not None and (output / CATALOGUE).exists():  # a first build that fails leaves no catalogue
        BUNDLES.add(output)
    return done


def children(pid: int) -> list[int]:
    """The child processes of a process, from /proc."""
    return [int(child) for thread in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(thread).split()]


def descendants(pid: int) -> list[int]:
    return [process for child in children(pid) for process in (child, *descendants(child))]


def worker_processes(pid: int) -> list[int]:
    """The child processes that multiprocessing has started: the models of a build, or the pool of a model."""
    return [child for child in children(pid) if "spawn_main" in _read(Path(f"/proc/{child}/cmdline"))]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(fields) and fields[0] != "Z"


def _read(path: Path) -> str:
    """A file of /proc; empty if its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
