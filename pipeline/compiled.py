"""Loops that NumPy cannot express, compiled to machine code when they are first used and kept on disk.

What is compiled works on arrays alone, raises nothing and follows IEEE 754 to the letter: `fastmath` stays off, so that
the same input gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from . import code_cache

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """The function as machine code. Division by zero gives infinity, as in NumPy."""
    return _compiled(loop)


def compiled_inner(loop: Loop) -> Loop:
    """As `compiled`, for functions that other compiled ones call and that make no arrays.

    They do not count the references to the arrays that they are given. Each count is an atomic instruction, and a
    tuple of ten arrays is counted twenty times a call: more than half the time that a collapse took.
    """
    return _compiled(loop, _nrt=False)


def _compiled(loop: Loop, **options: Any) -> Loop:
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(code_cache.folder())
    try:
        return cast("Loop", numba.njit(cache=True, error_model="numpy", **options)(loop))
    except (RuntimeError, OSError):  # nowhere to keep it
        return cast("Loop", numba.njit(error_model="numpy", **options)(loop))
    finally:
        settings.CACHE_DIR = before
