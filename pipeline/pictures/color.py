"""The sRGB transfer function, both ways: IEC 61966-2-1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray

Codes = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]

LIGHT_STEPS = 65535  # fine enough that the way back gives every 8-bit code


def decode_srgb(values: FloatArray) -> FloatArray:
    """Linear light 0…1 of sRGB values 0…1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: FloatArray) -> FloatArray:
    """sRGB values 0…1 of linear light 0…1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


LIGHT_OF_CODE: Pixels = decode_srgb(np.arange(256, dtype=np.float64) / 255).astype(np.float32)
CODE_OF_LIGHT: Codes = np.rint(255 * encode_srgb(np.arange(LIGHT_STEPS + 1, dtype=np.float64) / LIGHT_STEPS)).astype(
    np.uint8
)


def srgb_to_linear(codes: Codes) -> Pixels:
    """Linear light 0…1 of 8-bit sRGB codes."""
    light: Pixels = LIGHT_OF_CODE[codes]
    return light
