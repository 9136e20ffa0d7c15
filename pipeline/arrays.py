"""Types of NumPy arrays by their elements, and joining arrays without needless copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
AnyArray = npt.NDArray[Any]


def concatenated(arrays: Sequence[AnyArray]) -> AnyArray:
    """Concatenate arrays along their first axis; a single array is returned itself, without a copy."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
