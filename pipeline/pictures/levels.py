"""Texture levels: one picture at several sizes, each encoded for what it means.

Colour is averaged in linear light, weighted by its alpha where that is how much of a surface there is; normals are
averaged as vectors and made unit length again; everything else is averaged as it is.

The format of the levels is a setting. WebP is the default. PNG and JPEG are for bundles whose base must open in
viewers that know no extension; what has alpha is PNG there. With KTX2 the levels that travel as files of their own
are KTX2, and the small ones that the base may embed stay WebP: any viewer opens the base, and of pictures that
small the GPU holds little.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import ModelError
from ..gltf.document import Document, Json, item, items, label, read_image, texture_slots
from ..jobs.tasks import Begin
from ..settings import Role, Settings
from . import ktx2
from .codec import Codes, Format, decode_picture, encode_picture, picture_size

Pixels = npt.NDArray[np.float32]

COLOR_SLOTS = {
    "baseColorTexture",
    "emissiveTexture",
    "diffuseTexture",
    "specularGlossinessTexture",
    "specularColorTexture",
    "sheenColorTexture",
    "diffuseTransmissionColorTexture",
    "multiscatterColorTexture",
}
COVERAGE_SLOTS = {"baseColorTexture", "diffuseTexture"}
NORMAL_SLOTS = {"normalTexture", "clearcoatNormalTexture"}
SMALLEST = 16  # pixels: below this a base picture is as good as flat


@dataclass(frozen=True)
class TextureUse:
    """One source image in one role.

    coverage: its alpha says how much of the surface there is (a material that is cut out or blended), so what cannot
        be seen has no say in averages. Elsewhere alpha is a value of its own, which materials may even ignore.
    """

    image: int
    role: Role
    name: str
    coverage: bool = True

    @property
    def place(self) -> str:
        return f'image {self.image} "{self.name}"'


@dataclass(frozen=True)
class Level:
    """One encoded size of a picture. `gpu_bytes` is what it takes in GPU memory, mipmaps included."""

    width: int
    height: int
    content: bytes
    format: Format
    gpu_bytes: int


@dataclass(frozen=True)
class Pyramid:
    """A picture at all its sizes, coarse to fine."""

    use: TextureUse
    levels: tuple[Level, ...]

    def within(self, pixels: int) -> Level:
        """The finest level whose longest side is at most `pixels`, or the coarsest there is."""
        fitting = [level for level in self.levels if max(level.width, level.height) <= pixels]
        return fitting[-1] if fitting else self.levels[0]


@dataclass(frozen=True)
class Pictures:
    """The pictures of a document, which may still be in the making.

    of_texture: the index of each picture by (texture, role).
    pyramids: gives all their levels, once they are there.
    notes: what the artist should know of them.
    """

    of_texture: dict[tuple[int, Role], int]
    pyramids: Callable[[], list[Pyramid]]
    notes: tuple[str, ...]


def begin_pictures(document: Document, settings: Settings, begin: Begin) -> Pictures:
    """Begin to build the levels of every picture. Raises ModelError for what is none."""
    uses, of_texture = texture_uses(document)
    contents = [read_image(document, use.image) for use in uses]
    notes = [
        f"{use.place} is stored at half its size: KTX2's encoder takes no more than {ktx2.MAX_PIXELS:,} pixels"
        for content, use in zip(contents, uses, strict=True)
        if too_large_for_ktx2(*picture_size(content, use.place), use.role, settings)
    ]
    # The finest level takes longer than all the others together; started first, nobody waits for it at the end.
    tasks = [(c, use, settings, finest) for finest in (True, False) for c, use in zip(contents, uses, strict=True)]
    levels = begin("textures", build_levels, tasks)

    def pyramids() -> list[Pyramid]:
        done = levels.results()
        fine, coarse = done[: len(uses)], done[len(uses) :]
        return [Pyramid(use, c + f) for use, c, f in zip(uses, coarse, fine, strict=True)]

    return Pictures(of_texture, pyramids, tuple(notes))


def texture_uses(document: Document) -> tuple[list[TextureUse], dict[tuple[int, Role], int]]:
    """Every (image, role) that a material uses, in order of first use, and the index of each by
    (texture, role). Images with the same bytes are one."""
    uses: list[TextureUse] = []
    of_texture: dict[tuple[int, Role], int] = {}
    first: dict[bytes, int] = {}
    same: dict[int, int] = {}
    for index, material in enumerate(items(document.json, "materials")):
        place = label("material", index, material)
        for slot, info in texture_slots(material):
            texture = item(document.json, "textures", info.get("index"), f"{place}, {slot}")
            image = texture_image(texture, f"{place}, {slot}")
            holder = item(document.json, "images", image, f"{place}, {slot}")
            if image not in same:
                same[image] = first.setdefault(hashlib.sha256(read_image(document, image)).digest(), image)
            image = same[image]
            role = slot_role(slot)
            coverage = slot in COVERAGE_SLOTS and material.get("alphaMode") in ("MASK", "BLEND")
            known = next((i for i, u in enumerate(uses) if (u.image, u.role) == (image, role)), None)
            if known is None:
                name = str(holder.get("name") or slot.removesuffix("Texture"))
                uses.append(TextureUse(image, role, name, coverage))
                known = len(uses) - 1
            elif coverage:
                uses[known] = replace(uses[known], coverage=True)
            of_texture[info["index"], role] = known
    return uses, of_texture


def slot_role(slot: str) -> Role:
    """What the pixels of a material's texture slot mean."""
    if slot in COLOR_SLOTS:
        return "color"
    return "normal" if slot in NORMAL_SLOTS else "data"


def texture_image(texture: dict[str, object], place: str) -> int:
    """The image a glTF texture shows: WebP if there is one, else the core source."""
    extensions = texture.get("extensions")
    webp = extensions.get("EXT_texture_webp") if isinstance(extensions, dict) else None
    source = webp.get("source") if isinstance(webp, dict) else texture.get("source")
    if isinstance(source, bool) or not isinstance(source, int):
        remedy = "export with PNG, JPEG or WebP pictures"
        raise ModelError("has no picture this version can read", place=place, remedy=remedy)
    return source


def texels_per_uv(document: Document, material: int | None, settings: Settings) -> float:
    """Texels of the finest level along one unit of TEXCOORD_0, the most over all pictures of a material and both
    directions; 0 without any.

    Only a picture's size matters here and never its pixels, so that a repainted one changes no geometry.
    """
    most = 0.0
    if material is None:
        return most
    holder = item(document.json, "materials", material, "materials")
    for slot, info in texture_slots(holder):
        place = f"{label('material', material, holder)}, {slot}"
        extensions = info.get("extensions")
        transform = extensions.get("KHR_texture_transform") if isinstance(extensions, dict) else None
        transform = transform if isinstance(transform, dict) else {}
        if transform.get("texCoord", info.get("texCoord", 0)) != 0:
            continue
        texture = item(document.json, "textures", info.get("index"), place)
        image = texture_image(texture, place)
        shown = item(document.json, "images", image, place)
        size = picture_size(read_image(document, image), label("image", image, shown))
        finest = level_sizes(*size, slot_role(slot), settings)[-1]
        most = max(most, *(s * f for s, f in zip(finest, _repeats(transform), strict=True)))
    return most


def _repeats(transform: Json) -> tuple[float, float]:
    """How often KHR_texture_transform repeats a picture along each side, once turned either way."""
    scale: Any = transform.get("scale", [1, 1])
    good = isinstance(scale, list) and len(scale) == 2 and all(isinstance(s, int | float) for s in scale)
    x, y = (min(abs(float(s)), 1e6) for s in scale) if good else (1.0, 1.0)
    return (x, y) if not transform.get("rotation") else (max(x, y), max(x, y))


def build_levels(content: bytes, use: TextureUse, settings: Settings, finest: bool) -> tuple[Level, ...]:
    """The finest level of a picture, or all the others, coarse to fine: two tasks of about the same length.

    Raises ModelError when it cannot be decoded.
    """
    pixels = decode_picture(content, use.place)
    if use.role == "normal":
        pixels = pixels[:, :, :3]
    sizes = level_sizes(pixels.shape[1], pixels.shape[0], use.role, settings)
    if finest:
        if sizes[-1] != (pixels.shape[1], pixels.shape[0]):
            pixels = _to_codes(_shrink(_planes(pixels, use), sizes[-1], use.role), use)
        return (_level(pixels, use, settings),)
    levels: list[Level] = []
    if len(sizes) == 1:
        return ()
    linear = _shrink(_planes(pixels, use), sizes[-2], use.role)
    del pixels
    for size in reversed(sizes[:-1]):
        if linear[0].shape[::-1] != size:
            linear = _shrink(map(Image.fromarray, linear), size, use.role)
        levels.insert(0, _level(_to_codes(linear, use), use, settings))
    return tuple(levels)


def build_pyramid(content: bytes, use: TextureUse, settings: Settings) -> Pyramid:
    """Decode a picture and encode it at every size from the base's smallest to its own."""
    return Pyramid(use, build_levels(content, use, settings, False) + build_levels(content, use, settings, True))


def level_sizes(width: int, height: int, role: Role, settings: Settings) -> list[tuple[int, int]]:
    """Coarse to fine: halves of the finest size, down to a few pixels, so that the base can choose."""
    sizes = [_finest_size(width, height, role, settings)]
    while max(sizes[0]) > SMALLEST:
        w, h = sizes[0]
        sizes.insert(0, (max(1, w // 2), max(1, h // 2)))
    return [_whole_blocks(*size) if _is_ktx2(*size, settings) else size for size in sizes]


def too_large_for_ktx2(width: int, height: int, role: Role, settings: Settings) -> bool:
    """Whether a picture loses its finest size because the encoder of KTX2 does not take it."""
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


def _level(pixels: Codes, use: TextureUse, settings: Settings) -> Level:
    height, width, channels = pixels.shape
    small = settings.texture_format == "ktx2" and not _is_ktx2(width, height, settings)
    content, stored = encode_picture(pixels, use.role, settings, "webp" if small else settings.texture_format)
    if stored == "ktx2":
        return Level(width, height, content, stored, ktx2.gpu_bytes(width, height, use.role, channels == 4))
    # RGBA8; mipmaps add a third.
    return Level(width, height, content, stored, width * height * 4 * 4 // 3)


# The sRGB transfer function, IEC 61966-2-1, both ways: by code, and by light in steps of 1/65535.
_CODES = np.arange(256, dtype=np.float64) / 255
_LIGHT = np.arange(65536, dtype=np.float64) / 65535
_SRGB_TO_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_LINEAR_TO_SRGB = np.rint(
    255 * np.where(_LIGHT <= 0.0031308, _LIGHT * 12.92, 1.055 * _LIGHT ** (1 / 2.4) - 0.055)
).astype(np.uint8)
_AS_VALUE = _CODES.astype(np.float32)
_AS_VECTOR = (_CODES * 2 - 1).astype(np.float32)


def srgb_to_linear(codes: Codes) -> Pixels:
    """Linear light 0…1 of sRGB codes."""
    light: Pixels = _SRGB_TO_LINEAR[codes]
    return light


def _planes(pixels: Codes, use: TextureUse) -> Iterator[Image.Image]:
    """What can be averaged, channel by channel: linear light (times coverage), vectors, or plain values; alpha last."""
    table = {"color": _SRGB_TO_LINEAR, "normal": _AS_VECTOR, "data": _AS_VALUE}[use.role]
    weighted = pixels.shape[2] == 4 and use.role == "color" and use.coverage
    coverage = _AS_VALUE[pixels[:, :, 3]] if weighted else None
    for channel in range(3):
        codes = pixels[:, :, channel]
        if coverage is None:
            yield _looked_up(codes, table)
        else:
            yield Image.fromarray(table[codes] * coverage)
    if pixels.shape[2] == 4:
        yield _looked_up(pixels[:, :, 3], _AS_VALUE) if coverage is None else Image.fromarray(coverage)


def _looked_up(codes: Codes, table: Pixels) -> Image.Image:
    """`table[codes]` in half of NumPy's time, where Pillow wants it."""
    return Image.fromarray(codes).point(table.tolist(), "F")


def _to_codes(planes: Sequence[Pixels], use: TextureUse) -> Codes:
    if use.role == "normal":
        return np.dstack([_rounded((plane + np.float32(1)) * np.float32(0.5), 255) for plane in planes])
    if use.role == "data":
        return np.dstack([_rounded(plane, 255) for plane in planes])
    light = list(planes[:3])
    if len(planes) == 4 and use.coverage:
        light = [np.asarray(plane / np.maximum(planes[3], np.float32(1e-6)), np.float32) for plane in light]
    coded = [_LINEAR_TO_SRGB[_rounded(plane, 65535)] for plane in light]
    return np.dstack(coded + [_rounded(alpha, 255) for alpha in planes[3:]])


def _rounded(plane: Pixels, top: int) -> npt.NDArray[Any]:
    scaled = np.clip(plane, 0, 1) * np.float32(top) + np.float32(0.5)
    return scaled.astype(np.uint8 if top == 255 else np.uint16)


def _shrink(planes: Iterable[Image.Image], size: tuple[int, int], role: Role) -> list[Pixels]:
    """Area averages, which for halves are the means of four pixels; one plane after the other, as they may be
    large."""
    result = list(map(partial(_area_average, size=size), planes))  # which holds none while it makes the next
    if role == "normal":
        x, y, z = result
        length = np.sqrt(x * x + y * y + z * z)
        short = length <= 1e-6  # where opposite normals cancel out
        length[short] = 1
        result = [x / length, y / length, z / length]
        result[2][short] = 1
    return result


def _area_average(image: Image.Image, size: tuple[int, int]) -> Pixels:
    width, height = size
    if image.width % width == 0 and image.height % height == 0:
        return np.asarray(image.reduce((image.width // width, image.height // height)))
    return np.asarray(image.resize(size, Image.Resampling.BOX))
