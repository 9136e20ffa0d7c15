"""Loops that NumPy cannot express, compiled to machine code when they are first used and kept on disk.

What is compiled works on arrays alone, raises nothing and follows IEEE 754 to the letter: `fastmath` stays off, so that
the same input gives the same bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar, cast

import numba

from . import code_cache

Loop = TypeVar("Loop", bound=Callable[..., object])


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """What asks whether there is a module hears that there is none."""
    there = name in sys.modules
    if not there:
        sys.modules[name] = cast("Any", None)  # which is what `import` takes for absence
    try:
        yield
    finally:
        if not there:
            del sys.modules[name]


# Numba asks SciPy for BLAS, which loads half of SciPy in every process of a build: 0.1 s. No loop here needs it.
with _hidden("scipy.linalg"):
    import_module("numba.np.arraymath")


def compiled(loop: Loop) -> Loop:
    """The function as machine code. Division by zero gives infinity, as in NumPy. Other threads go on meanwhile: those
    that hand tasks to processes, above all."""
    return _compiled(loop, nogil=True)


def compiled_inner(loop: Loop) -> Loop:
    """As `compiled`, for functions that other compiled ones call and that make no arrays. They become part of these.

    A call would copy all that describes its arrays, seven words for each, and count a reference to each by an atomic
    instruction. In a tuple of ten arrays that was more than two thirds of the time that a collapse took.
    """
    return _compiled(loop, _nrt=False, forceinline=True)


def _compiled(loop: Loop, **options: Any) -> Loop:
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(code_cache.folder())
    try:
        return cast("Loop", numba.njit(cache=True, error_model="numpy", **options)(loop))
    except (RuntimeError, OSError):  # nowhere to keep it
        return cast("Loop", numba.njit(error_model="numpy", **options)(loop))
    finally:
        settings.CACHE_DIR = before
