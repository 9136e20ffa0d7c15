"""How different two pictures look: overlap of silhouettes, and colour difference in CIELAB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray
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
        blurred = _blurred(_on_background(picture))
        drawn = (np.abs(blurred - BACKGROUND) > 1e-9).any(axis=2)
        lab = np.empty(blurred.shape)
        lab[~drawn], lab[drawn] = _lab(BACKGROUND[None]), _lab(blurred[drawn])
        return cls(picture.alpha > 0.5, lab)


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


def _on_background(picture: Picture) -> FloatArray:
    return picture.color + BACKGROUND * (1 - picture.alpha[:, :, None])


def _blurred(color: FloatArray) -> FloatArray:
    padded = np.pad(color, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    result: FloatArray = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    return result


def _lab(linear: FloatArray) -> FloatArray:
    """CIELAB of linear sRGB (n, 3)."""
    clipped = np.clip(linear, 0, 1)
    xyz = np.stack([sum(clipped[:, k] * RGB_TO_XYZ[i, k] for k in range(3)) for i in range(3)], axis=1) / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
