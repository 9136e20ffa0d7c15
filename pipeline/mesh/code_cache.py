"""Where the machine code of compiled loops is kept: a folder of the user's for each state of this package's source."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

READY: Final = "ready"  # file that says that all loops are there; its time, when they were last used
KEPT_S: Final = 30 * 86_400.0  # code that was not used for so long is that of an older version


@cache
def folder() -> Path:
    """The folder of this state of the source.

    Numba by itself only sees changes of the file that a function is in, not of the functions that were built into it.
    """
    own = sorted(Path(__file__).parents[1].rglob("*.py"))
    state = sha256(b"".join(path.read_bytes() for path in own)).hexdigest()[:16]
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(caches).expanduser() / "streamxr" / f"compiled-{state}"


def is_ready() -> bool:
    """Whether all loops were compiled before."""
    return (folder() / READY).exists()


def can_be_kept() -> bool:
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder(), os.W_OK)


def note_use(now: float | None = None) -> None:
    """Say that the code is there and in use, and remove what was not used for long. Where that cannot be done, it does
    not matter."""
    now = time.time() if now is None else now
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        (folder() / READY).touch()
        for other in folder().parent.glob("compiled-*"):
            used = other / READY
            if other != folder() and now - (used if used.exists() else other).stat().st_mtime > KEPT_S:
                shutil.rmtree(other, ignore_errors=True)
