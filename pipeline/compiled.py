"""Loops that NumPy cannot express, compiled to machine code when they are first used and kept on disk.

What is compiled works on arrays alone, raises nothing and follows IEEE 754 to the letter: `fastmath` stays off, so that
the same input gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """The function as machine code. Division by zero gives infinity, as in NumPy."""
    try:
        return cast("Loop", njit(cache=True, error_model="numpy")(loop))
    except RuntimeError:  # nowhere to keep it: neither beside the source nor in the user's cache
        return cast("Loop", njit(error_model="numpy")(loop))
