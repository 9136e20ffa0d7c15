"""Keyframes of an animation in fewer bytes: constant channels keep only their ends, rotations take 16 bits.

The glTF 2.0 specification allows rotations as normalised 16-bit integers. Their step is 0.002°, finer than animations
are authored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray
from ..gltf.accessors import FLOAT, SHORT

MAX_LENGTH_ERROR = 1e-3  # of a quaternion that counts as a rotation
CONSTANT = 2e-6  # variation, as a share of the largest value: noise that exporters leave, and nobody can see


@dataclass(frozen=True)
class Keys:
    """times: (n, 1) seconds; values: (n, k), for splines (3 n, k); component: the glTF componentType of values."""

    times: AnyArray
    values: AnyArray
    component: int
    normalized: bool = False


def compact_keys(times: AnyArray, values: AnyArray, component: int, path: str, interpolation: str) -> Keys:
    """Compact the keys of a sampler that animates `path`. Splines and values that are not float32 stay unchanged."""
    keys = Keys(np.ascontiguousarray(times), np.ascontiguousarray(values), component)
    if interpolation == "CUBICSPLINE" or component != FLOAT or path == "weights" or len(times) != len(values):
        return keys
    if len(times) > 2 and float(np.ptp(values, axis=0).max()) <= CONSTANT * float(np.abs(values).max()):
        ends = [0, len(times) - 1]
        keys = Keys(np.ascontiguousarray(times[ends]), np.ascontiguousarray(values[ends]), component)
    exact = keys.values.astype(np.float64)
    if path != "rotation" or np.abs(np.linalg.norm(exact, axis=1) - 1.0).max(initial=0.0) > MAX_LENGTH_ERROR:
        return keys
    return Keys(keys.times, np.rint(np.clip(exact, -1, 1) * 32767).astype("<i2"), SHORT, True)
