"""Pictures for glTF materials: arrays encoded as PNG or JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .noise import Floats

JPEG_QUALITY = 92  # as artists' tools export: without visible blocks, larger than a stream needs


@dataclass(frozen=True)
class Picture:
    """One encoded image; `mime` is `image/png` or `image/jpeg`."""

    name: str
    mime: str
    encoded: bytes


def to_8bit(values: Floats) -> NDArray[np.uint8]:
    """Values 0…1 as 0…255, clipped and rounded."""
    return np.asarray(np.clip(values * 255.0 + 0.5, 0, 255), dtype=np.uint8)


def colour(name: str, rgb: Floats) -> Picture:
    """A colour picture (rows, columns, 3), already in sRGB, as JPEG."""
    out = io.BytesIO()
    Image.fromarray(to_8bit(rgb)).save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Picture(name, "image/jpeg", out.getvalue())


def channels(name: str, picture: Floats) -> Picture:
    """3 or 4 channels as PNG, for values that need lossless encoding: normals, roughness, alpha."""
    out = io.BytesIO()
    Image.fromarray(to_8bit(picture)).save(out, "PNG", compress_level=4)
    return Picture(name, "image/png", out.getvalue())


def orm(name: str, occlusion: Floats, roughness: Floats, metallic: Floats | float) -> Picture:
    """Occlusion, roughness and metallic in R, G and B, the order of glTF 2.0."""
    metal = np.broadcast_to(np.asarray(metallic, dtype=np.float64), occlusion.shape)
    return channels(name, np.stack([occlusion, roughness, metal], axis=-1))


def normals(height: Floats, metres_per_texel: tuple[Floats | float, Floats | float], wrap: bool = True) -> Floats:
    """Tangent-space normals of a height field in metres, as 0…1 colours, (rows, columns, 3).

    `metres_per_texel` along (rows, columns), each a number or an array that broadcasts to the picture.
    +Y is up in the picture, towards row 0 (glTF 2.0 §3.9.3). `wrap`: whether the picture repeats, so that
    differences wrap around its edges.
    """
    if wrap:
        down = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
        right = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    else:
        down, right = np.gradient(height, axis=0), np.gradient(height, axis=1)
    down, right = np.asarray(down / metres_per_texel[0]), np.asarray(right / metres_per_texel[1])
    length = np.sqrt(down**2 + right**2 + 1)
    return np.asarray(np.stack([-right / length, down / length, 1 / length], axis=-1) * 0.5 + 0.5)


def srgb(linear: Floats) -> Floats:
    """Linear light to sRGB (IEC 61966-2-1)."""
    roots = np.linspace(0, 1, 4096)  # a table over the square root: fine where the curve is steep
    knots = roots**2
    curve = np.where(knots <= 0.0031308, knots * 12.92, 1.055 * knots ** (1 / 2.4) - 0.055)
    return np.asarray(curve[(np.sqrt(np.clip(linear, 0, 1)) * 4095 + 0.5).astype(np.int32)])


def blend(low: Floats, high: Floats, amount: Floats) -> Floats:
    """Mix of two colours, (3,) or (rows, columns, 3), by an amount (rows, columns) of 0…1."""
    return np.asarray(low + (high - low) * amount[..., None])
