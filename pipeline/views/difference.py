"""How different two pictures look: overlap of silhouettes, and colour difference in CIELAB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..mesh.compiled import compiled, compiled_inner
from .shading import Picture

BACKGROUND = np.array([0.05, 0.10, 0.32])  # linear; no model is likely to have this blue
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


@dataclass(frozen=True)
class Difference:
    """overlap: pixels of both silhouettes divided by those of either, 1 if they are the same.
    color: mean ΔE (CIE 1976) over the pixels of either silhouette, after a blur of 3×3 pixels."""

    overlap: float
    color: float


@dataclass(frozen=True)
class ComparedPicture:
    """A picture as it is compared. inside: (h, w) pixels of the silhouette. lab: (h, w, 3) blurred, in CIELAB."""

    inside: BoolArray
    lab: FloatArray

    @classmethod
    def of(cls, picture: Picture) -> ComparedPicture:
        return cls(picture.alpha > 0.5, _blurred_lab(picture.color, picture.alpha))


def difference(ones: Sequence[ComparedPicture], others: Sequence[ComparedPicture]) -> Difference:
    """The mean difference of pairs of pictures of the same size."""
    overlaps, colors = [], []
    for one, other in zip(ones, others, strict=True):
        either = one.inside | other.inside
        if not either.any():
            overlaps.append(1.0)
            colors.append(0.0)
            continue
        overlaps.append(float((one.inside & other.inside).sum() / either.sum()))
        gap = one.lab[either] - other.lab[either]
        colors.append(float(np.sqrt((gap * gap).sum(axis=1)).mean()))
    return Difference(float(np.mean(overlaps)), float(np.mean(colors)))


@compiled
def _blurred_lab(color: FloatArray, alpha: FloatArray) -> FloatArray:
    """A premultiplied linear picture (h, w, 3) with alpha (h, w) on the background, blurred and in CIELAB (h, w, 3).

    Beyond its border the picture repeats its outermost pixels.
    """
    height, width = alpha.shape
    result = np.empty((height, width, 3))
    background = _lab(BACKGROUND[0], BACKGROUND[1], BACKGROUND[2])
    for row in range(height):
        for column in range(width):
            red, green, blue, empty = 0.0, 0.0, 0.0, True
            for y in range(row - 1, row + 2):
                for x in range(column - 1, column + 2):
                    r, c = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                    through = 1.0 - alpha[r, c]
                    empty = empty and through == 1.0
                    red += color[r, c, 0] + BACKGROUND[0] * through
                    green += color[r, c, 1] + BACKGROUND[1] * through
                    blue += color[r, c, 2] + BACKGROUND[2] * through
            lab = background if empty else _lab(red / 9.0, green / 9.0, blue / 9.0)
            result[row, column, 0], result[row, column, 1], result[row, column, 2] = lab
    return result


@compiled_inner
def _lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """CIELAB of linear sRGB."""
    red, green, blue = min(max(red, 0.0), 1.0), min(max(green, 0.0), 1.0), min(max(blue, 0.0), 1.0)
    x = _lightness((RGB_TO_XYZ[0, 0] * red + RGB_TO_XYZ[0, 1] * green + RGB_TO_XYZ[0, 2] * blue) / WHITE[0])
    y = _lightness((RGB_TO_XYZ[1, 0] * red + RGB_TO_XYZ[1, 1] * green + RGB_TO_XYZ[1, 2] * blue) / WHITE[1])
    z = _lightness((RGB_TO_XYZ[2, 0] * red + RGB_TO_XYZ[2, 1] * green + RGB_TO_XYZ[2, 2] * blue) / WHITE[2])
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


@compiled_inner
def _lightness(value: float) -> float:
    """The function f of CIELAB."""
    if value > 216.0 / 24389.0:
        root: float = np.cbrt(value)
        return root
    return value * (841.0 / 108.0) + 4.0 / 29.0
