"""Decode PNG, JPEG and WebP files to 8-bit pixels, and encode the pixels of levels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image

from ..errors import ModelError
from ..settings import Role, Settings
from . import ktx2
from .color import Codes

Format = Literal["jpg", "ktx2", "png", "webp"]

MAX_PIXELS = 8192 * 8192  # more than the GPU of a headset accepts; limits decompression bombs to 256 MB of RGBA
WEBP_EFFORT = 4  # Pillow's method: 6 takes three times as long for 1–2 % fewer bytes
READABLE = ("PNG", "JPEG", "WEBP")

T = TypeVar("T")


def picture_size(content: bytes, place: str) -> tuple[int, int]:
    """Width and height from the header of a file. Raises ModelError if it is not a picture, or is too large."""
    return _read(content, place, lambda image: (image.width, image.height))


def decode_picture(content: bytes, place: str) -> Codes:
    """Pixels (h, w, 3), or (h, w, 4) if one of them is not opaque.

    Colour profiles, gamma and orientation are ignored, as glTF requires. Of an animation, this is the first frame.
    Channels of 16 bits lose their low bits. Raises ModelError if the picture cannot be decoded.
    """
    pixels = _read(content, place, _decoded)
    return pixels[:, :, :3] if pixels.shape[2] == 4 and int(pixels[:, :, 3].min()) == 255 else pixels


def encode_picture(
    pixels: Codes, role: Role, settings: Settings, texture_format: str, *, lossless: bool = False
) -> tuple[bytes, Format]:
    """A file of these pixels, and its format.

    lossless: keep every pixel; KTX2 cannot. With "jpeg", pictures with alpha and lossless ones become PNG.
    """
    alpha = pixels.shape[2] == 4
    if texture_format == "ktx2":
        return ktx2.encode(pixels, role), "ktx2"
    if texture_format == "png" or (texture_format == "jpeg" and (alpha or lossless)):
        return _saved(pixels, "PNG"), "png"
    if lossless:
        return _saved(pixels, "WEBP", lossless=True, quality=100, method=WEBP_EFFORT, exact=True), "webp"
    quality = {"color": settings.color_quality, "normal": settings.normal_quality, "data": settings.data_quality}[role]
    if texture_format == "jpeg":
        # Eyes do not notice halved chroma in colours, but in other maps the channels are independent data.
        chroma = "4:2:0" if role == "color" else "4:4:4"
        return _saved(pixels, "JPEG", quality=quality, subsampling=chroma, optimize=True), "jpg"
    return _saved(pixels, "WEBP", quality=quality, method=WEBP_EFFORT, exact=True), "webp"


def _saved(pixels: Codes, name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **options)
    return out.getvalue()


def _read(content: bytes, place: str, use: Callable[[Image.Image], T]) -> T:
    """The result of `use` on the opened picture. Raises ModelError if it is not a picture, or is too large."""
    remedy = "open it in an image program and save it again"
    try:
        with warnings.catch_warnings():
            # Pillow warns about metadata, which is not used, and about sizes, which are checked below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=READABLE) as image:
                if image.width * image.height > MAX_PIXELS:
                    problem = f"is {image.width:,}×{image.height:,}, over {MAX_PIXELS:,} pixels"
                    raise ModelError(problem, place=place, remedy="make it smaller")
                return use(image)
    except (ModelError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise ModelError(f"is over {MAX_PIXELS:,} pixels", place=place, remedy="make it smaller") from None
    except Exception as error:  # Pillow's readers raise many types for damaged headers
        raise ModelError(f"is not a readable PNG, JPEG or WebP: {error}", place=place, remedy=remedy) from None


def _decoded(image: Image.Image) -> Codes:
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey: the one mode that Pillow clips instead of scaling
        deep = np.asarray(image, np.uint32)
        channels = [(deep >> 8).astype(np.uint8)] * 3
        if "transparency" in image.info:
            channels.append(np.where(deep == image.info["transparency"], 0, 255).astype(np.uint8))
        return np.dstack(channels)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
