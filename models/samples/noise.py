"""Seeded noise for stone, metal and wood; the same on every run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

LATTICE = 32  # knots along each axis of one period; enough to hide the repeat on these models


def solid(points: Floats, frequency: float, seed: int, octaves: int = 1) -> Floats:
    """Noise in space, which leaves no seam on a surface wherever its UV charts are cut.

    `points` is (…, 3), in metres; `frequency` in knots per metre. Each octave doubles the frequency and
    halves the amplitude. The values are a cubic B-spline over random knots, so they are smooth (C2),
    with zero mean and unit deviation before the octaves are added. Returns (…).
    """
    total = np.zeros(points.shape[:-1])
    for octave in range(octaves):
        rng = np.random.default_rng([seed, octave])
        knots = rng.standard_normal((LATTICE,) * 3)
        places = np.moveaxis(points * (frequency * 2**octave) + rng.uniform(0, LATTICE, 3), -1, 0)
        value = ndimage.map_coordinates(knots, places, order=3, mode="grid-wrap", prefilter=False)
        # The B-spline averages 4³ knots, which scales the deviation of one knot by (Σ b²)^{3/2}, about 0.33.
        total += value / 0.33 * 0.5**octave
    return total


def tile(rows: int, columns: int, seed: int, cycles: tuple[float, float], slope: float = 1.0) -> Floats:
    """A picture of noise that repeats without a seam, (rows, columns), zero mean and unit deviation.

    `cycles` is the strongest frequency along (rows, columns), in cycles per picture; unequal numbers
    stretch the grain, as in brushed metal or wood. Above it the amplitude falls as frequency^-slope.
    """
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((rows, columns)))
    fy = np.fft.fftfreq(rows, 1 / rows)[:, None] / cycles[0]
    fx = np.fft.rfftfreq(columns, 1 / columns)[None, :] / cycles[1]
    frequency = np.hypot(fy, fx)
    spectrum *= frequency / (1 + frequency ** (1 + slope))
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=(rows, columns))
    return np.asarray(picture / picture.std(), dtype=np.float64)


def step(low: float, high: float, x: Floats) -> Floats:
    """0 below `low`, 1 above `high`, a cubic between (the shading languages' smoothstep)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))
