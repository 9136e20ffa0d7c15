"""Texture levels: one picture at several sizes, each size averaged and encoded by the meaning of its pixels.

Colour is averaged in linear light, weighted by alpha if alpha is coverage. Normals are averaged as vectors and then
normalised. Everything else is averaged as it is.

The format of the levels is a setting. WebP is the default. PNG and JPEG are for bundles whose base must open in viewers
without extensions; there a picture with alpha becomes PNG. With KTX2 the levels in files of their own are KTX2, and the
small levels that the base may embed stay WebP: every viewer opens the base, and such small pictures take little GPU
memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..settings import Role, Settings
from . import ktx2
from .codec import Format, decode_picture, encode_picture
from .color import CODE_OF_LIGHT, LIGHT_OF_CODE, LIGHT_STEPS, Codes, Pixels

SMALLEST = 16  # pixels: a smaller base picture is as good as one flat colour
# Small pictures are often palettes, of which each pixel is the colour of a part. Lossy encoding mixes the colours of
# neighbours, and so does a smaller level of a strip.
LOSSLESS = 64 * 64  # pixels in all, so 16 KB at most
STRIP_HEIGHT, STRIP_PIXELS = 4, 32 * 32
# By code: a value 0…1, and a component −1…1 of a vector.
VALUE_OF_CODE = (np.arange(256, dtype=np.float64) / 255).astype(np.float32)
COMPONENT_OF_CODE = (np.arange(256, dtype=np.float64) / 255 * 2 - 1).astype(np.float32)


@dataclass(frozen=True)
class Picture:
    """An encoded picture of a model, in one role.

    place: its name in errors.
    coverage: whether alpha is coverage (the material is cut out or blended), so that invisible pixels have no weight in
        averages. Elsewhere alpha is an independent value, which materials may ignore.
    """

    content: bytes
    name: str
    place: str
    role: Role
    coverage: bool = True


@dataclass(frozen=True)
class Level:
    """One encoded size of a picture. gpu_bytes: its size in GPU memory, mipmaps included."""

    width: int
    height: int
    content: bytes
    format: Format
    gpu_bytes: int


@dataclass(frozen=True)
class Pyramid:
    """A picture at all its sizes, coarse to fine.

    base_only: whether the base has its finest level that fits, and no finer one is needed.
    """

    name: str
    role: Role
    levels: tuple[Level, ...]
    base_only: bool = False

    def within(self, pixels: int) -> Level:
        """The finest level whose longest side is at most `pixels`; the coarsest level if there is none."""
        fitting = [level for level in self.levels if max(level.width, level.height) <= pixels]
        return fitting[-1] if fitting else self.levels[0]


@dataclass(frozen=True)
class LevelsTask:
    """One picture to encode. finest: only its finest level, or else all the others; both take about the same time."""

    picture: Picture
    settings: Settings
    finest: bool


def build_levels(task: LevelsTask) -> tuple[Level, ...]:
    """Encode the finest level of a picture, or all the others, coarse to fine.

    Raises ModelError if the picture cannot be decoded.
    """
    pixels = decode_picture(task.picture.content, task.picture.place)
    return _levels(pixels, task.picture, task.settings, finest=task.finest)


def build_pyramid(pixels: Codes, name: str, role: Role, settings: Settings, *, base_only: bool) -> Pyramid:
    """Encode all levels of pixels (h, w, 3)."""
    picture = Picture(b"", name, name, role, coverage=False)
    levels = [_levels(pixels, picture, settings, finest=finest) for finest in (False, True)]
    return Pyramid(name, role, levels[0] + levels[1], base_only)


def _levels(pixels: Codes, picture: Picture, settings: Settings, *, finest: bool) -> tuple[Level, ...]:
    if picture.role == "normal":
        pixels = pixels[:, :, :3]
    sizes = level_sizes(pixels.shape[1], pixels.shape[0], picture.role, settings)
    lossless = pixels.shape[0] * pixels.shape[1] <= LOSSLESS
    if finest:
        if sizes[-1] != (pixels.shape[1], pixels.shape[0]):
            pixels = _to_codes(_shrink(_planes(pixels, picture), sizes[-1], picture.role), picture)
        return (_level(pixels, picture.role, settings, lossless),)
    levels: list[Level] = []
    if len(sizes) == 1:
        return ()
    linear = _shrink(_planes(pixels, picture), sizes[-2], picture.role)
    del pixels
    for size in reversed(sizes[:-1]):
        if linear[0].shape[::-1] != size:
            linear = _shrink(map(Image.fromarray, linear), size, picture.role)
        levels.insert(0, _level(_to_codes(linear, picture), picture.role, settings, lossless))
    return tuple(levels)


def level_sizes(width: int, height: int, role: Role, settings: Settings) -> list[tuple[int, int]]:
    """Widths and heights, coarse to fine: halves of the finest size, down to a few pixels for the base to choose. A
    strip of colours has one size."""
    sizes = [_finest_size(width, height, role, settings)]
    if min(width, height) <= STRIP_HEIGHT and width * height <= STRIP_PIXELS:
        return sizes
    while max(sizes[0]) > SMALLEST:
        w, h = sizes[0]
        sizes.insert(0, (max(1, w // 2), max(1, h // 2)))
    return [_whole_blocks(*size) if _is_ktx2(*size, settings) else size for size in sizes]


def too_large_for_ktx2(width: int, height: int, role: Role, settings: Settings) -> bool:
    """Whether a picture loses its finest size because the KTX2 encoder does not accept it."""
    longest = max(_finest_size(width, height, role, settings))
    return longest < min(max(width, height), settings.max_pixels(role))


def _finest_size(width: int, height: int, role: Role, settings: Settings) -> tuple[int, int]:
    longest, limit = max(width, height), settings.max_pixels(role)
    if longest > limit:
        width, height = (max(1, round(side * limit / longest)) for side in (width, height))
    while settings.texture_format == "ktx2" and width * height > ktx2.MAX_PIXELS:
        width, height = width // 2, height // 2
    return width, height


def _is_ktx2(width: int, height: int, settings: Settings) -> bool:
    return settings.texture_format == "ktx2" and max(width, height) > settings.base_texture_pixels


def _whole_blocks(width: int, height: int) -> tuple[int, int]:
    return max(ktx2.BLOCK, width - width % ktx2.BLOCK), max(ktx2.BLOCK, height - height % ktx2.BLOCK)


def _level(pixels: Codes, role: Role, settings: Settings, lossless: bool) -> Level:
    height, width, channels = pixels.shape
    small = settings.texture_format == "ktx2" and not _is_ktx2(width, height, settings)
    texture_format = "webp" if small else settings.texture_format
    content, stored = encode_picture(pixels, role, settings, texture_format, lossless=lossless)
    if stored == "ktx2":
        return Level(width, height, content, stored, ktx2.gpu_bytes(width, height, role, channels == 4))
    # RGBA8; mipmaps add a third.
    return Level(width, height, content, stored, width * height * 4 * 4 // 3)


def _planes(pixels: Codes, picture: Picture) -> Iterator[Image.Image]:
    """The channels in a form that can be averaged, alpha last: linear light (times coverage), vectors or values."""
    table = {"color": LIGHT_OF_CODE, "normal": COMPONENT_OF_CODE, "data": VALUE_OF_CODE}[picture.role]
    weighted = pixels.shape[2] == 4 and picture.role == "color" and picture.coverage
    coverage = VALUE_OF_CODE[pixels[:, :, 3]] if weighted else None
    for channel in range(3):
        codes = pixels[:, :, channel]
        if coverage is None:
            yield _lookup(codes, table)
        else:
            yield Image.fromarray(table[codes] * coverage)
    if pixels.shape[2] == 4:
        yield _lookup(pixels[:, :, 3], VALUE_OF_CODE) if coverage is None else Image.fromarray(coverage)


def _lookup(codes: Codes, table: Pixels) -> Image.Image:
    """`table[codes]` as an image, in half of NumPy's time."""
    return Image.fromarray(codes).point(table.tolist(), "F")


def _to_codes(planes: Sequence[Pixels], picture: Picture) -> Codes:
    """The reverse of `_planes`."""
    if picture.role == "normal":
        return np.dstack([_rounded((plane + np.float32(1)) * np.float32(0.5), 255) for plane in planes])
    if picture.role == "data":
        return np.dstack([_rounded(plane, 255) for plane in planes])
    light = list(planes[:3])
    if len(planes) == 4 and picture.coverage:
        light = [np.asarray(plane / np.maximum(planes[3], np.float32(1e-6)), np.float32) for plane in light]
    coded = [CODE_OF_LIGHT[_rounded(plane, LIGHT_STEPS)] for plane in light]
    return np.dstack(coded + [_rounded(alpha, 255) for alpha in planes[3:]])


def _rounded(plane: Pixels, top: int) -> npt.NDArray[Any]:
    """Values 0…1 as integers 0…top."""
    scaled = np.clip(plane, 0, 1) * np.float32(top) + np.float32(0.5)
    return scaled.astype(np.uint8 if top == 255 else np.uint16)


def _shrink(planes: Iterable[Image.Image], size: tuple[int, int], role: Role) -> list[Pixels]:
    """Area averages: for halves, the means of four pixels. Takes one plane at a time, as planes may be large."""
    result = list(map(partial(_area_average, size=size), planes))  # `map` keeps no plane while it makes the next
    if role == "normal":
        x, y, z = result
        length = np.sqrt(x * x + y * y + z * z)
        short = length <= 1e-6  # opposite normals cancel out
        length[short] = 1
        result = [x / length, y / length, z / length]
        result[2][short] = 1
    return result


def _area_average(image: Image.Image, size: tuple[int, int]) -> Pixels:
    width, height = size
    if image.width % width == 0 and image.height % height == 0:
        return np.asarray(image.reduce((image.width // width, image.height // height)))
    return np.asarray(image.resize(size, Image.Resampling.BOX))
