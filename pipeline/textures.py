"""Texture levels: one picture at several sizes, each encoded for what it means.

Colour is averaged in linear light with its alpha premultiplied; normals are averaged as vectors and made
unit length again; everything else is averaged as it is.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from .document import Document, item, items, label, texture_slots
from .errors import ModelError
from .settings import Settings

Role = Literal["color", "normal", "data"]
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
NORMAL_SLOTS = {"normalTexture", "clearcoatNormalTexture"}
MAX_PIXELS = 16384 * 16384 // 4  # 64 megapixels: more than any GPU of a headset takes, and a bomb's bound
WEBP_EFFORT = 4  # Pillow's method: 6 takes three times as long for 1–2 % fewer bytes
SMALLEST = 16  # pixels: below this a base picture is as good as flat


@dataclass(frozen=True)
class TextureUse:
    """One source image in one role."""

    image: int
    role: Role
    name: str


@dataclass(frozen=True)
class Level:
    """One encoded size of a picture."""

    width: int
    height: int
    content: bytes

    @property
    def gpu_bytes(self) -> int:
        """RGBA8 with mipmaps, which add a third."""
        return self.width * self.height * 4 * 4 // 3


@dataclass(frozen=True)
class Pyramid:
    """A picture at all its sizes, coarse to fine."""

    use: TextureUse
    levels: tuple[Level, ...]

    def within(self, pixels: int) -> Level:
        """The finest level whose longest side is at most `pixels`, or the coarsest there is."""
        fitting = [level for level in self.levels if max(level.width, level.height) <= pixels]
        return fitting[-1] if fitting else self.levels[0]


def texture_uses(document: Document) -> tuple[list[TextureUse], dict[tuple[int, Role], int]]:
    """Every (image, role) that a material uses, in order of first use, and the index of each by
    (texture, role)."""
    uses: list[TextureUse] = []
    of_texture: dict[tuple[int, Role], int] = {}
    for index, material in enumerate(items(document.json, "materials")):
        place = label("material", index, material)
        for slot, info in texture_slots(material):
            texture = item(document.json, "textures", info.get("index"), f"{place}, {slot}")
            image = texture_image(texture, f"{place}, {slot}")
            holder = item(document.json, "images", image, f"{place}, {slot}")
            role = slot_role(slot)
            use = TextureUse(image, role, str(holder.get("name") or slot.removesuffix("Texture")))
            known = next((i for i, u in enumerate(uses) if (u.image, u.role) == (image, role)), None)
            if known is None:
                uses.append(use)
                known = len(uses) - 1
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


def build_pyramid(content: bytes, use: TextureUse, settings: Settings) -> Pyramid:
    """Decode a picture and encode it at every size from the base's smallest to its own.

    Raises ModelError when it cannot be decoded.
    """
    pixels = _decode(content, use, settings.max_texture_pixels)
    linear = _to_linear(pixels, use.role)
    sizes = level_sizes(pixels.shape[1], pixels.shape[0])
    levels: list[Level] = []
    for width, height in reversed(sizes):
        if (linear.shape[1], linear.shape[0]) != (width, height):
            linear = _shrink(linear, width, height, use.role)
            pixels = _from_linear(linear, use.role)
        levels.insert(0, Level(width, height, _encode(pixels, use.role, settings)))
    return Pyramid(use, tuple(levels))


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Coarse to fine: halves of the source size, down to a few pixels, so that the base can choose."""
    sizes = [(width, height)]
    while max(sizes[0]) > SMALLEST:
        w, h = sizes[0]
        sizes.insert(0, (max(1, w // 2), max(1, h // 2)))
    return sizes


def _decode(content: bytes, use: TextureUse, limit: int) -> npt.NDArray[np.uint8]:
    place = f'image {use.image} "{use.name}"'
    remedy = "open it in an image program and save it again"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ModelError(
                        f"is {image.width}×{image.height}, over {MAX_PIXELS:,} pixels",
                        place=place,
                        remedy="make it smaller",
                    )
                image.load()
                if image.mode in ("I;16", "I;16B", "I"):
                    values = np.asarray(image, np.uint32) >> 8
                    image_8 = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
                else:
                    image_8 = image
                alpha = image_8.has_transparency_data
                converted = image_8.convert("RGBA" if alpha else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ModelError(f"is not a readable PNG, JPEG or WebP: {error}", place=place, remedy=remedy) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ModelError(f"is over {MAX_PIXELS:,} pixels", place=place, remedy="make it smaller") from None
    if max(converted.size) > limit:
        factor = limit / max(converted.size)
        width, height = (max(1, round(s * factor)) for s in converted.size)
        linear = _shrink(_to_linear(np.asarray(converted), use.role), width, height, use.role)
        return _from_linear(linear, use.role)
    pixels = np.asarray(converted)
    if pixels.shape[2] == 4 and (pixels[:, :, 3] == 255).all():
        pixels = pixels[:, :, :3]
    return pixels


# The sRGB transfer function, IEC 61966-2-1.
_CODES = np.arange(256, dtype=np.float32) / 255
_SRGB_TO_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb_to_linear(codes: npt.NDArray[np.uint8]) -> Pixels:
    """Linear light 0…1 of sRGB codes."""
    light: Pixels = _SRGB_TO_LINEAR[codes]
    return light


def _to_linear(pixels: npt.NDArray[np.uint8], role: Role) -> Pixels:
    """What can be averaged: linear light times alpha, vectors, or plain values; alpha, if any, last."""
    if role == "color":
        light = srgb_to_linear(pixels[:, :, :3])
        if pixels.shape[2] == 3:
            return light
        alpha = pixels[:, :, 3:].astype(np.float32) / np.float32(255)
        return np.concatenate([light * alpha, alpha], axis=2)
    values: Pixels = pixels.astype(np.float32) / np.float32(255)
    if role == "normal":
        return values[:, :, :3] * np.float32(2) - np.float32(1)
    return values


def _from_linear(values: Pixels, role: Role) -> npt.NDArray[np.uint8]:
    if role == "normal":
        values = (values + np.float32(1)) * np.float32(0.5)
    elif role == "color":
        light: Pixels = values[:, :, :3]
        if values.shape[2] == 4:
            light = (light / np.maximum(values[:, :, 3:], np.float32(1e-6))).astype(np.float32)
        light = np.clip(light, 0, 1).astype(np.float32)
        coded: Pixels = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(
            np.float32
        )
        values = np.concatenate([coded, values[:, :, 3:]], axis=2, dtype=np.float32)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _shrink(values: Pixels, width: int, height: int, role: Role) -> Pixels:
    """Area average, which for halves is the mean of four pixels."""
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(values[:, :, c])).resize((width, height), Image.Resampling.BOX))
        for c in range(values.shape[2])
    ]
    result = np.stack(channels, axis=2)
    if role == "normal":
        length = np.linalg.norm(result, axis=2, keepdims=True)
        result = np.where(length > 1e-6, result / np.maximum(length, 1e-6), np.array([0, 0, 1], np.float32))
    return result.astype(np.float32)


def _encode(pixels: npt.NDArray[np.uint8], role: Role, settings: Settings) -> bytes:
    quality = {"color": settings.color_quality, "normal": settings.normal_quality, "data": settings.data_quality}
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=quality[role], method=WEBP_EFFORT, exact=True)
    return out.getvalue()


def total_bytes(pyramids: Sequence[Pyramid], pixels: int) -> int:
    """Bytes of the levels that fit into `pixels`."""
    return sum(len(p.within(pixels).content) for p in pyramids)
