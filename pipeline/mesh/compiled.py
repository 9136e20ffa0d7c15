"""Decorators for loops that NumPy cannot express: compiled to machine code at first use and kept on disk.

Compiled functions take and return arrays and numbers, raise nothing and follow IEEE 754 exactly: `fastmath` stays off,
so that the same input gives the same bits. `NUMBA_DISABLE_JIT=1` runs them as plain Python, for a debugger;
`NUMBA_BOUNDSCHECK=1` raises IndexError where an index is outside its array.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar, cast

import numba
import numpy as np

from .loop_cache import LoopCache

Loop = TypeVar("Loop", bound=Callable[..., object])


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


@compiled_inner
def int64(number: int) -> int:
    """Convert to 64 bits. Functions that are called with several integer types are compiled once for each."""
    return np.int64(number)  # type: ignore[return-value]
