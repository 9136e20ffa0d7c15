"""Pictures of one texel for each source material, for factors that vertices cannot carry: roughness, metalness, light.

Vertices have colours, but no attribute for these. So the merged material reads them from a small picture, in which each
source material has a texel, and every vertex has the texture coordinates of its material's texel.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..arrays import FloatArray
from ..gltf.document import Document, Json, items
from ..pictures.color import Codes, encode_srgb
from ..pictures.levels import LOSSLESS, Pyramid, build_pyramid
from ..settings import Role, Settings

MAX_TEXELS = LOSSLESS**2  # a larger picture would be encoded with loss
STEPS = 32  # in 0…1, of roughness and metalness if there are more than MAX_TEXELS combinations
# Texels of other materials are neighbours, so that none may be mixed with them.
SAMPLER: Json = {"magFilter": 9728, "minFilter": 9728, "wrapS": 33071, "wrapT": 33071}


@dataclass(frozen=True)
class Shine:
    """The factors of a material that its palette has: metalness, roughness, and linear emission."""

    metalness: float
    roughness: float
    emission: tuple[float, float, float]


@dataclass(frozen=True)
class PalettePicture:
    """A picture (h, w, 3) for a slot of a merged material, and its texture in the document."""

    texture: int
    role: Role
    name: str
    codes: Codes


@dataclass(frozen=True)
class Palette:
    """Pictures by slot, and the texture coordinates (n, 2) of n shines in them."""

    codes: dict[str, Codes]
    uv: FloatArray


def palette_of(shines: Sequence[Shine]) -> Palette | None:
    """The palette of these shines; None if they have too many different ones."""
    factors = np.array([[s.metalness, s.roughness, *s.emission] for s in shines])
    codes = np.concatenate([np.rint(factors[:, :2] * 255), np.rint(encode_srgb(factors[:, 2:]) * 255)], axis=1)
    rows, row_of = np.unique(codes, axis=0, return_inverse=True)
    if len(rows) > MAX_TEXELS:
        codes[:, :2] = np.rint(np.rint(factors[:, :2] * STEPS) / STEPS * 255)
        rows, row_of = np.unique(codes, axis=0, return_inverse=True)
    if len(rows) > MAX_TEXELS:
        return None
    side = int(np.ceil(len(rows) ** 0.5))
    listed = np.zeros((side * side, 5), np.uint8)
    listed[: len(rows)] = rows
    texels = listed.reshape(side, side, 5)
    surface = np.full((side, side, 3), 255, np.uint8)
    surface[:, :, 1], surface[:, :, 2] = texels[:, :, 1], texels[:, :, 0]
    pictures = {"metallicRoughnessTexture": surface}
    if texels[:, :, 2:].any():
        pictures["emissiveTexture"] = np.ascontiguousarray(texels[:, :, 2:])
    place = row_of.reshape(-1)
    return Palette(pictures, (np.stack([place % side, place // side], axis=1) + 0.5) / side)


def with_picture(document: Document, slot: str, name: str, codes: Codes) -> tuple[Document, PalettePicture]:
    """The document with a picture, and a texture that shows it without a filter."""
    content = io.BytesIO()
    Image.fromarray(codes).save(content, "PNG")
    json = dict(document.json)
    buffers, views = [*items(json, "buffers")], [*items(json, "bufferViews")]
    samplers, images, textures = [*items(json, "samplers")], [*items(json, "images")], [*items(json, "textures")]
    if SAMPLER not in samplers:
        samplers.append(SAMPLER)
    size = len(content.getvalue())
    views.append({"buffer": len(document.buffers), "byteLength": size})
    buffers.append({"byteLength": size})
    images.append({"name": name, "mimeType": "image/png", "bufferView": len(views) - 1})
    textures.append({"source": len(images) - 1, "sampler": samplers.index(SAMPLER)})
    json |= {"buffers": buffers, "bufferViews": views, "samplers": samplers, "images": images, "textures": textures}
    role: Role = "color" if slot == "emissiveTexture" else "data"
    picture = PalettePicture(len(textures) - 1, role, name, codes)
    return replace(document, json=json, buffers=(*document.buffers, content.getvalue())), picture


def palette_pyramid(picture: PalettePicture, settings: Settings) -> Pyramid:
    """The one level of a palette: its texels must not be averaged. It is never KTX2, since the base has it."""
    base_format = "webp" if settings.texture_format == "ktx2" else settings.texture_format
    settings = replace(settings, texture_format=base_format)
    pyramid = build_pyramid(picture.codes, picture.name, picture.role, settings, base_only=True)
    return replace(pyramid, levels=pyramid.levels[-1:])
