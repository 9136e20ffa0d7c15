"""What one model may take of the machine: time, and memory of all its processes together.

Two locks hold memory. Inside, RLIMIT_DATA makes the one allocation that is absurd fail at once; it counts for each
process by itself. Outside, the parent looks at what the whole tree holds, several times a second.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MEMORY_SHARE = 0.75  # of the machine, for all models together; the rest is the artist's
ALLOWED_SECONDS = 3600.0  # the largest model tried (4 million triangles) takes minutes
# Threads of numeric libraries: processes are what runs side by side here, and a sum that is split among threads
# may depend on how many there are.
_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
ONE_THREAD = dict.fromkeys(_LIBRARIES, "1")


class ProcessStartError(Exception):
    """The operating system does not give a process, or the pipes and semaphores that it needs."""


@dataclass(frozen=True)
class ModelLimits:
    """seconds: wall time of one model, from the moment it is at work.
    memory: bytes that the processes of one model may hold together.
    total: bytes that all models may hold together: past it the largest is put off until it has the machine alone.
    None of these where there is no limit.
    """

    seconds: float | None = None
    memory: int | None = None
    total: int | None = None

    def too_long(self) -> str:
        """What the artist reads of a model that ran out of time."""
        return f"took longer than {self.seconds:g} s (allow more with --timeout, or export it with less detail)"

    def too_large(self) -> str:
        """What the artist reads of a model that ran out of memory."""
        if self.memory is None:
            return "there is not enough memory (build with fewer --jobs)"
        gigabytes = f"{self.memory / 1e9:.1f} GB"
        return f"needs more than {gigabytes} of memory (allow more with --memory, or build with fewer --jobs)"


def default_limits(seconds: float | None = ALLOWED_SECONDS, memory: int | None = None) -> ModelLimits:
    """Limits for this machine: without a figure of its own a model may take what all may take together."""
    total = machine_memory()
    share = None if total is None else int(total * MEMORY_SHARE)
    return ModelLimits(seconds, memory or share, share)


def confine(limits: ModelLimits) -> None:
    """Hold this process, and those it starts, to the memory of one model; leave no core files."""
    if sys.platform == "win32":
        return
    import resource

    def lower(which: int, wanted: int) -> None:
        hard = resource.getrlimit(which)[1]
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (allowed, hard))

    lower(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux" and limits.memory is not None:  # elsewhere it does not count mapped memory
        lower(resource.RLIMIT_DATA, limits.memory)


def tree_memory(root: int, *, exact: bool = True) -> int:
    """Bytes of private memory that a process and all below it hold now; 0 where the system does not tell.

    Without `exact` what they share, since one was forked from the other, counts for each.
    """
    if sys.platform == "linux":
        return sum((_own_share if exact else _private)(pid) for pid in [root, *_below(root)])
    elif sys.platform == "win32":  # noqa: RET505 the type checker knows platforms only this way
        return 0
    else:
        return group_memory(root)


def group_memory(group: int) -> int:
    """The same for a process group, as `ps` tells it."""
    try:
        said = subprocess.run(["ps", "-axo", "pgid=,rss="], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    rows = [line.split() for line in said.splitlines()]
    return sum(int(rss) << 10 for pgid, rss in rows if int(pgid) == group)


def machine_memory() -> int | None:
    """Bytes of memory that this machine, or this container, has."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return None
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # control groups, version 2 and 1
        text = _read(Path("/sys/fs/cgroup", file)).strip()
        sizes += [int(text)] if text.isdigit() else []
    return min(sizes)


def _private(pid: int) -> int:
    words = _read(Path(f"/proc/{pid}/statm")).split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE") if len(words) > 2 else 0


def _own_share(pid: int) -> int:
    """Anonymous memory of a process, what it shares with others divided by their number."""
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", _read(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    return int(found[1]) << 10 if found else _private(pid)


def _below(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # it is gone by now
        return []
    children = [int(child) for thread in threads for child in _read(thread / "children").split()]
    return [found for child in children for found in (child, *_below(child))]


def _read(path: Path) -> str:
    """A file of the system's; empty where there is none, or its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
