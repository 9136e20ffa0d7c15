"""The folder that keeps the machine code of compiled loops: one for each state of source, compiler and processor."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[1]
VARIABLE: Final = "STREAMXR_CACHE"  # environment variable: another place for the cache than the user's cache folder
READY: Final = "ready"  # file that marks a folder with all loops; its time is that of the last use
KEPT_S: Final = 30 * 86_400.0  # a folder that was not used for so long belongs to an older version


def root() -> Path:
    """The folder that holds the folders of all versions."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(caches).expanduser() / "streamxr"


def folder() -> Path:
    """The folder for this source, package name, compiler and processor."""
    return root() / f"compiled-{_key()}"


@cache
def _key() -> str:
    """Hash of all that machine code depends on.

    Numba itself notices changes only in the file that defines a function, not in the functions that are compiled into
    it. The package name counts because cached code refers to modules by name.
    """
    from importlib.metadata import version  # imported here: takes 30 ms

    from llvmlite import binding

    state = sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        state.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    facts = [
        __package__ or "",
        sys.version,
        *(f"{name} {version(name)}" for name in ("numba", "numpy", "llvmlite")),
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        *(f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")),
    ]
    state.update("\0".join(facts).encode())
    return state.hexdigest()[:16]


def is_ready() -> bool:
    """Whether all loops were compiled before."""
    return (folder() / READY).exists()


def is_writable() -> bool:
    """Whether files can be kept. Makes the folder of all versions if it is missing."""
    probe = root() / f".probe-{os.getpid()}"
    try:
        root().mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0")
        probe.unlink()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """Use a temporary folder, here and in processes started meanwhile, where the user's is neither writable nor ready.

    Without it each process of a build would compile the loops for itself.
    """
    if is_writable() or is_ready():
        yield
        return
    with contextlib.ExitStack() as stack:
        before = os.environ.get(VARIABLE)
        with contextlib.suppress(OSError):  # there may be no room at all
            temporary = tempfile.TemporaryDirectory(prefix="streamxr-", ignore_cleanup_errors=True)
            os.environ[VARIABLE] = stack.enter_context(temporary)
        try:
            yield
        finally:
            os.environ.pop(VARIABLE, None)
            if before is not None:
                os.environ[VARIABLE] = before


def note_use(now: float | None = None) -> None:
    """Mark the folder as ready and in use, and remove folders that were not used for long. Errors do no harm."""
    now = time.time() if now is None else now
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        (folder() / READY).touch()
        for other in folder().parent.glob("compiled-*"):
            used = other / READY
            if other != folder() and now - (used if used.exists() else other).stat().st_mtime > KEPT_S:
                shutil.rmtree(other, ignore_errors=True)
