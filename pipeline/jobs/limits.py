"""Limits of one model on this machine: time, and memory of all its processes together.

Memory has two limits. Inside a process, RLIMIT_DATA makes an absurdly large allocation fail at once; it counts each
process separately. Outside, the parent measures the memory of the whole process tree several times a second.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MEMORY_SHARE = 0.75  # of the machine's memory, for all models together; the rest is for other programs
DEFAULT_SECONDS = 3600.0  # the largest model tried (4 million triangles) takes minutes
# Threads of numeric libraries: the build runs processes side by side instead, and a sum split among threads may depend
# on their number.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
ONE_THREAD = dict.fromkeys(_THREAD_VARIABLES, "1")


class ProcessStartError(Exception):
    """The operating system refuses to start a process, or to create the pipes and semaphores that it needs."""


@dataclass(frozen=True)
class ModelLimits:
    """Limits of one model; None for no limit.

    seconds: wall time of one model from the start of its work.
    memory: bytes of all processes of one model together.
    total: bytes of all models together. Past it, the largest model is stopped and built later, alone.
    """

    seconds: float | None = None
    memory: int | None = None
    total: int | None = None

    def timeout_message(self) -> str:
        """The message for a model that exceeds its time."""
        return f"took longer than {self.seconds:g} s (allow more with --timeout, or export it with less detail)"

    def memory_message(self) -> str:
        """The message for a model that exceeds its memory."""
        if self.memory is None:
            return "there is not enough memory (build with fewer --jobs)"
        gigabytes = f"{self.memory / 1e9:.1f} GB"
        return f"needs more than {gigabytes} of memory (allow more with --memory, or build with fewer --jobs)"


def default_limits(seconds: float | None = DEFAULT_SECONDS, memory: int | None = None) -> ModelLimits:
    """Limits for this machine. Without `memory`, one model may use as much as all models together."""
    total = machine_memory()
    share = None if total is None else int(total * MEMORY_SHARE)
    return ModelLimits(seconds, memory or share, share)


def confine(limits: ModelLimits) -> None:
    """Limit the memory of this process and of its children, and disable core files."""
    if sys.platform == "win32":
        return
    import resource

    def lower(which: int, value: int) -> None:
        hard = resource.getrlimit(which)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (allowed, hard))

    lower(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux" and limits.memory is not None:  # on other systems it does not count mapped memory
        lower(resource.RLIMIT_DATA, limits.memory)


def tree_memory(root: int, *, exact: bool = True) -> int:
    """Bytes of private memory that a process and its descendants hold now; 0 if the system does not report them.

    If not `exact`, memory that forked processes share counts once for each of them; that is faster to measure.
    """
    if sys.platform == "linux":
        return sum((_proportional_memory if exact else _private_memory)(pid) for pid in [root, *_descendants(root)])
    elif sys.platform == "win32":  # noqa: RET505 the type checker recognises platforms only in this form
        return 0
    else:
        return group_memory(root)


def group_memory(group: int) -> int:
    """Bytes of resident memory of a process group, by `ps`; 0 if `ps` fails."""
    try:
        output = subprocess.run(["ps", "-axo", "pgid=,rss="], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    rows = [line.split() for line in output.splitlines()]
    return sum(int(rss) << 10 for pgid, rss in rows if int(pgid) == group)


def machine_memory() -> int | None:
    """Bytes of memory of this machine or container; None if the system does not report them."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return None
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # control groups, version 2 and 1
        text = _read(Path("/sys/fs/cgroup", file)).strip()
        sizes += [int(text)] if text.isdigit() else []
    return min(sizes)


def _private_memory(pid: int) -> int:
    """Bytes of resident memory of a process that is not shared with files."""
    words = _read(Path(f"/proc/{pid}/statm")).split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE") if len(words) > 2 else 0


def _proportional_memory(pid: int) -> int:
    """Bytes of anonymous memory of a process; pages that processes share are divided by the number of these."""
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", _read(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    return int(found[1]) << 10 if found else _private_memory(pid)


def _descendants(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # the process has ended
        return []
    children = [int(child) for thread in threads for child in _read(thread / "children").split()]
    return [found for child in children for found in (child, *_descendants(child))]


def _read(path: Path) -> str:
    """The text of a system file; empty if it does not exist or its process has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
