"""A palette: one picture of 16×16 texels, which many parts share; a row is a substance, a column a shade of it.

Every part points with all its UVs into the middle of one texel, as models do whose artists paint by palette. The
picture is sampled without interpolation.
"""

from __future__ import annotations

import numpy as np

from . import picture
from .mesh import Corners
from .noise import Floats

TEXELS = 16
# Colour of the lightest shade in linear light, roughness, metallic; in the order of the rows.
SUBSTANCES: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "enamel": ((0.007, 0.070, 0.058), 0.30, 0.0),
    "ivory": ((0.880, 0.800, 0.640), 0.42, 0.0),
    "gold": ((0.900, 0.640, 0.270), 0.26, 1.0),
    "chrome": ((0.860, 0.860, 0.870), 0.14, 1.0),
    "steel": ((0.700, 0.700, 0.710), 0.34, 1.0),
    "iron": ((0.360, 0.350, 0.340), 0.42, 1.0),
    "rubber": ((0.060, 0.058, 0.056), 0.82, 0.0),
    "gum": ((0.820, 0.640, 0.400), 0.62, 0.0),
    "linen": ((0.860, 0.780, 0.620), 0.90, 0.0),
    "ruby": ((0.560, 0.020, 0.020), 0.20, 0.0),
    "amber": ((0.900, 0.300, 0.020), 0.22, 0.0),
    "stem": ((0.240, 0.340, 0.110), 0.70, 0.0),
    "pollen": ((0.860, 0.520, 0.040), 0.88, 0.0),
    "hide": ((0.430, 0.190, 0.070), 0.55, 0.0),
    "ink": ((0.040, 0.042, 0.045), 0.38, 0.0),
    "white": ((0.900, 0.900, 0.880), 0.50, 0.0),
}


def cell(substance: str, shade: int = 0) -> tuple[float, float]:
    """The UV in the middle of a texel; shade 0 is the lightest, 15 the darkest."""
    row = list(SUBSTANCES).index(substance)
    return (shade + 0.5) / TEXELS, (row + 0.5) / TEXELS


def paint(corners: Corners, substance: str, shade: int = 0) -> Corners:
    """The same triangles with all UVs in one texel."""
    uvs = np.empty_like(corners.uvs)
    uvs[:] = cell(substance, shade)
    return Corners(corners.positions, uvs)


def palette_pictures() -> dict[str, picture.Picture]:
    """Colours, and occlusion-roughness-metallic, in the same texels."""
    shade = np.linspace(0, 1, TEXELS)
    light = np.array([colour for colour, _, _ in SUBSTANCES.values()])
    linear = light[:, None] * (1 - 0.72 * shade[None, :, None])
    rough = np.array([rough for _, rough, _ in SUBSTANCES.values()])[:, None] * (1 + 0.25 * shade[None, :])
    metal = np.array([metal for _, _, metal in SUBSTANCES.values()])[:, None]
    ones: Floats = np.ones_like(rough)
    return {
        "base": picture.channels("palette_base", picture.srgb(linear)),
        "orm": picture.orm("palette_orm", ones, rough, metal),
    }
