"""Keyframes of an animation in fewer bytes: channels that never change keep their ends, rotations take 16 bits.

glTF stores rotations as normalised shorts by its core specification; a step is 0.002°, less than a float32 animation
is authored to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray
from ..gltf.accessors import FLOAT

SHORT = 5122
UNIT = 1e-3  # how far a quaternion may be from unit length
STILL = 2e-6  # of the largest value: exporters leave such noise, and nobody sees it


@dataclass(frozen=True)
class Keys:
    """times: (n, 1); values: (n, k), for splines (3 n, k), with their component type."""

    times: AnyArray
    values: AnyArray
    component: int
    normalized: bool = False


def compact_keys(times: AnyArray, values: AnyArray, component: int, path: str, interpolation: str) -> Keys:
    """The keys of a sampler that moves `path`; splines and what is no plain float32 stay as they are."""
    whole = Keys(np.ascontiguousarray(times), np.ascontiguousarray(values), component)
    if interpolation == "CUBICSPLINE" or component != FLOAT or path == "weights" or len(times) != len(values):
        return whole
    if len(times) > 2 and float(np.ptp(values, axis=0).max()) <= STILL * float(np.abs(values).max()):
        ends = [0, len(times) - 1]
        whole = Keys(np.ascontiguousarray(times[ends]), np.ascontiguousarray(values[ends]), component)
    exact = whole.values.astype(np.float64)
    if path != "rotation" or np.abs(np.linalg.norm(exact, axis=1) - 1.0).max(initial=0.0) > UNIT:
        return whole
    return Keys(whole.times, np.rint(np.clip(exact, -1, 1) * 32767).astype("<i2"), SHORT, True)
