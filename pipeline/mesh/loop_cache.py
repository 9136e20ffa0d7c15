"""The machine code of compiled loops on disk: one file for each signature of a function.

Numba's own cache raises whatever `pickle` raises where a file is truncated, and keeps an index file that two processes
may overwrite for each other. Here each file begins with the digest of its content; a file that does not load is set
aside and its function compiled anew. Files that cannot be written are not kept. code_cache.py names the folder.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from . import code_cache

DIGEST_BYTES = 32  # SHA-256, before the content of each file

# Numba's own functions have no types.
_result: Any = import_module("numba.core.compiler").CompileResult
_dumps: Any = import_module("numba.core.serialize").dumps


class LoopCache:
    """The machine code of one function on disk, in place of Numba's own cache.

    The methods are those of `numba.core.caching._Cache`, which Numba's dispatcher calls.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        place = function.__module__.removeprefix(f"{__package__}.")
        self._name = f"{place}.{function.__qualname__}-{function.__code__.co_firstlineno}"

    @property
    def cache_path(self) -> str:
        return str(code_cache.folder())

    def enable(self) -> None:
        """The cache is always on."""

    def disable(self) -> None:
        """The cache is always on."""

    def flush(self) -> None:
        for path in code_cache.folder().glob(f"{self._name}-*"):
            path.unlink(missing_ok=True)

    def load_overload(self, signature: object, target_context: Any) -> object | None:
        """The compiled function, or None if it must be compiled."""
        path = self._path(signature)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        target_context.refresh()
        try:
            digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            if _digest(path, payload) != digest:
                raise ValueError("the content does not match its digest")
            return cast("object", _result._rebuild(target_context, *pickle.loads(payload)))
        except Exception as error:  # `pickle` and LLVM raise exceptions of many types
            _set_aside(path, error)
            return None

    def save_overload(self, signature: object, result: Any) -> None:
        if result.library.has_dynamic_globals:  # its code holds addresses of this process
            return
        payload: bytes = _dumps(result._reduce())
        path = self._path(signature)
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            scratch.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(_digest(path, payload) + payload)
            scratch.replace(path)
        except OSError:  # a full disk, or a folder that is read-only
            with contextlib.suppress(OSError):
                scratch.unlink()

    def _path(self, signature: object) -> Path:
        return code_cache.folder() / f"{self._name}-{sha256(str(signature).encode()).hexdigest()[:16]}"


def _digest(path: Path, payload: bytes) -> bytes:
    """The digest covers the name, so that a file under the name of another loop does not load."""
    return sha256(path.name.encode() + b"\0" + payload).digest()


_told: list[Path] = []


def _set_aside(path: Path, error: Exception) -> None:
    """Rename a damaged file, and say so once in a process."""
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))
    if not _told:
        reason = f"{type(error).__name__}: {error}"
        print(f"compiled code in {path.parent} is damaged ({reason}); compiling it again", file=sys.stderr)
    _told.append(path)
