"""How different two sets of pictures look: silhouettes, CIEDE2000 and FLIP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Pictures = npt.NDArray[np.uint8]  # (views, side, side, 4): sRGB, alpha premultiplied
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Difference = Callable[[Floats, Floats], Floats]

BACKGROUND = np.array([0.25, 0.35, 0.6])  # sRGB: of medium lightness, and the colour of few models
BLUR = 1.0  # standard deviation in pixels: the eye does not see where one pixel's edge is
REACH = 32  # pixels: more than the radius of any filter here
FAR = 10.0  # ΔE that anybody sees at once


@dataclass(frozen=True)
class Measures:
    """Means over all views.

    overlap: intersection over union of the silhouettes, 1 if they are equal. colour: mean CIEDE2000 over the union of
    the silhouettes. far: the share of these pixels with a CIEDE2000 over 10. flip: mean FLIP error over the same
    pixels, from 0 to 1.
    """

    overlap: float
    colour: float
    far: float
    flip: float


def measure(reference: Pictures, candidate: Pictures) -> Measures:
    """Compare two sets of pictures from the same cameras. Raises ValueError if their shapes differ."""
    return measure_with(ciede2000, flip, reference, candidate)


def measure_with(colour: Difference, error: Difference, reference: Pictures, candidate: Pictures) -> Measures:
    """Compare two sets of pictures.

    colour: the difference (n,) of sRGB colours (n, 3) from 0 to 1. error: that of such pictures, pixel by pixel.
    """
    if reference.shape != candidate.shape:
        raise ValueError(f"pictures of shape {reference.shape} and {candidate.shape} cannot be compared")
    rows = []
    for one, other in zip(reference, candidate, strict=True):
        either = silhouette(one) | silhouette(other)
        if not either.any():
            rows.append((1.0, 0.0, 0.0, 0.0))
            continue
        part = around(either)
        either, one, other = either[part], one[part], other[part]
        shared = silhouette(one) & silhouette(other)
        pair = on_background(one), on_background(other)
        away = colour(blurred(pair[0])[either], blurred(pair[1])[either])
        seen = error(*pair)[either]
        rows.append((shared.sum() / either.sum(), away.mean(), (away > FAR).mean(), seen.mean()))
    return Measures(*np.mean(rows, axis=0).tolist())


def around(mask: Bools) -> tuple[slice, slice]:
    """The rows and columns of a mask (side, side) that is not empty, with a margin for filters."""
    low_high = ((int(line.argmax()), len(line) - int(line[::-1].argmax())) for line in (mask.any(1), mask.any(0)))
    rows, columns = (slice(max(low - REACH, 0), high + REACH) for low, high in low_high)
    return rows, columns


def silhouette(picture: Pictures) -> Bools:
    """The pixels of a picture (side, side, 4) that the model covers by more than half."""
    covered: Bools = picture[..., 3] > 127
    return covered


def on_background(picture: Pictures, background: Floats = BACKGROUND) -> Floats:
    """A picture (side, side, 4) on a background of one colour, as sRGB (side, side, 3) from 0 to 1."""
    values = picture.astype(np.float64) / 255
    return np.clip(values[..., :3] + background * (1 - values[..., 3:]), 0, 1)


def blurred(picture: Floats) -> Floats:
    """An sRGB picture (side, side, 3) after a Gaussian blur of its linear light."""
    linear = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    smooth = np.clip(gaussian_filter(linear, (BLUR, BLUR, 0), mode="nearest"), 0, 1)
    return np.where(smooth <= 0.0031308, smooth * 12.92, 1.055 * smooth ** (1 / 2.4) - 0.055)


def ciede2000(one: Floats, other: Floats) -> Floats:
    """The colour difference CIEDE2000 of sRGB colours (n, 3), by scikit-image."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    result: Floats = deltaE_ciede2000(rgb2lab(one), rgb2lab(other))
    return result


def flip(one: Floats, other: Floats) -> Floats:
    """The FLIP error (Andersson et al. 2020) of two sRGB pictures (side, side, 3), at 67 pixels per degree."""
    from flip_evaluator import evaluate

    pair = (np.ascontiguousarray(picture, np.float32) for picture in (one, other))
    error, _, _ = evaluate(*pair, "LDR", applyMagma=False, computeMeanError=False)
    return np.asarray(error, np.float64)[..., 0]
