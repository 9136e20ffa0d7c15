"""The pictures that a document's materials use, and the role of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ModelError
from ..pictures.codec import picture_size
from ..pictures.levels import Picture, level_sizes
from ..settings import Role, Settings
from .accessors import read_image
from .document import TEXTURE_TRANSFORM, Document, Json, item, items, label, texture_slots

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
MAX_REPEATS = 1e6  # of a picture along one unit of its coordinates


@dataclass(frozen=True)
class TextureUses:
    """The pictures of a document, in the order of first use.

    pictures: one for each (image, role) that a material uses; images with the same bytes are one image.
    of_texture: the index of the picture of each (texture, role).
    """

    pictures: tuple[Picture, ...]
    of_texture: dict[tuple[int, Role], int]


def read_texture_uses(document: Document) -> TextureUses:
    """Find the pictures of all materials. Raises ModelError for a texture without a readable image."""
    pictures: list[Picture] = []
    of_texture: dict[tuple[int, Role], int] = {}
    of_image: dict[tuple[int, Role], int] = {}
    first_with: dict[bytes, int] = {}
    same_as: dict[int, int] = {}
    for index, material in enumerate(items(document.json, "materials")):
        for slot, info in texture_slots(material):
            place = f"{label('material', index, material)}, {slot}"
            texture = item(document.json, "textures", info.get("index"), place)
            image = texture_image(texture, place)
            holder = item(document.json, "images", image, place)
            if image not in same_as:
                same_as[image] = first_with.setdefault(hashlib.sha256(read_image(document, image)).digest(), image)
            image = same_as[image]
            role = slot_role(slot)
            coverage = slot in COVERAGE_SLOTS and material.get("alphaMode") in ("MASK", "BLEND")
            known = of_image.get((image, role))
            if known is None:
                known = of_image[image, role] = len(pictures)
                name = str(holder.get("name") or slot.removesuffix("Texture"))
                content = read_image(document, image)
                pictures.append(Picture(content, name, f'image {image} "{name}"', role, coverage))
            elif coverage:
                pictures[known] = replace(pictures[known], coverage=True)
            of_texture[info["index"], role] = known
    return TextureUses(tuple(pictures), of_texture)


def slot_role(slot: str) -> Role:
    """The meaning of the pixels in a material's texture slot."""
    if slot in COLOR_SLOTS:
        return "color"
    return "normal" if slot in NORMAL_SLOTS else "data"


def texture_image(texture: Json, place: str) -> int:
    """The index of a texture's image: the WebP image if there is one, else the core source."""
    extensions = texture.get("extensions")
    webp = extensions.get("EXT_texture_webp") if isinstance(extensions, dict) else None
    source = webp.get("source") if isinstance(webp, dict) else texture.get("source")
    if isinstance(source, bool) or not isinstance(source, int):
        remedy = "export with PNG, JPEG or WebP pictures"
        raise ModelError("has no picture this version can read", place=place, remedy=remedy)
    return source


def texels_per_uv(document: Document, material: int | None, settings: Settings) -> float:
    """Texels of the finest level along one unit of TEXCOORD_0: the most over all pictures of a material and both
    directions; 0 if there are none.

    Only the size of a picture matters and never its pixels, so that a repainted picture changes no geometry.
    """
    most = 0.0
    if material is None:
        return most
    holder = item(document.json, "materials", material, "materials")
    for slot, info in texture_slots(holder):
        place = f"{label('material', material, holder)}, {slot}"
        extensions = info.get("extensions")
        transform = extensions.get(TEXTURE_TRANSFORM) if isinstance(extensions, dict) else None
        transform = transform if isinstance(transform, dict) else {}
        if transform.get("texCoord", info.get("texCoord", 0)) != 0:
            continue
        texture = item(document.json, "textures", info.get("index"), place)
        image = texture_image(texture, place)
        described = item(document.json, "images", image, place)
        size = picture_size(read_image(document, image), label("image", image, described))
        finest = level_sizes(*size, slot_role(slot), settings)[-1]
        most = max(most, *(s * f for s, f in zip(finest, _repeats(transform), strict=True)))
    return most


def _repeats(transform: Json) -> tuple[float, float]:
    """How often KHR_texture_transform repeats a picture along each side; the larger for both if it rotates it."""
    scale: Any = transform.get("scale", [1, 1])
    good = isinstance(scale, list) and len(scale) == 2 and all(isinstance(s, int | float) for s in scale)
    x, y = (min(abs(float(s)), MAX_REPEATS) for s in scale) if good else (1.0, 1.0)
    return (x, y) if not transform.get("rotation") else (max(x, y), max(x, y))
