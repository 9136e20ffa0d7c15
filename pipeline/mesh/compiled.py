"""Decorators for loops that NumPy cannot express: compiled to machine code at first use and kept on disk.

Compiled functions take and return arrays and numbers, raise nothing and follow IEEE 754 exactly: `fastmath` stays off,
so that the same input gives the same bits. `NUMBA_DISABLE_JIT=1` runs them as plain Python, for a debugger;
`NUMBA_BOUNDSCHECK=1` raises IndexError where an index is outside its array.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

from . import code_cache

Loop = TypeVar("Loop", bound=Callable[..., object])

DIGEST_BYTES = 32  # SHA-256, before the content of each file


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Make `import name` fail."""
    loaded = name in sys.modules
    if not loaded:
        sys.modules[name] = cast("Any", None)  # `import` takes None for a missing module
    try:
        yield
    finally:
        if not loaded:
            del sys.modules[name]


# Numba's own functions have no types.
_result: Any = import_module("numba.core.compiler").CompileResult
_dumps: Any = import_module("numba.core.serialize").dumps

# Numba imports SciPy to look for BLAS, which adds 0.1 s to the start of every process. No loop needs BLAS.
with _hidden("scipy.linalg"):
    import_module("numba.np.arraymath")


def compiled(loop: Loop) -> Loop:
    """Compile a function that Python calls.

    Division by zero gives infinity, as in NumPy. The function releases the interpreter lock, so that other threads go
    on: above all those that hand tasks to processes.
    """
    return _compiled(loop, nogil=True)


def compiled_inner(loop: Loop) -> Loop:
    """Compile a function that only other compiled functions call and that makes no arrays. It is inlined into them.

    A call would copy the descriptors of its arrays, seven words each, and count a reference to each by an atomic
    instruction. With a tuple of ten arrays that took more than two thirds of the time of a collapse.
    """
    return _compiled(loop, _nrt=False, forceinline=True)


def _compiled(loop: Loop, **options: Any) -> Loop:
    function = numba.njit(error_model="numpy", **options)(loop)
    if function is not loop:  # which it is with NUMBA_DISABLE_JIT=1
        function._cache = LoopCache(loop)
    return cast("Loop", function)


class LoopCache:
    """The machine code of one function on disk, one file for each signature, in place of Numba's own cache.

    Numba's cache raises whatever `pickle` raises where a file is truncated, and keeps an index file that two processes
    may overwrite for each other. Here each file begins with the digest of its content; a file that does not load is
    set aside and the function compiled anew. Files that cannot be written are not kept.

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


@compiled_inner
def int64(number: int) -> int:
    """Convert to 64 bits. Functions that are called with several integer types are compiled once for each."""
    return np.int64(number)  # type: ignore[return-value]
