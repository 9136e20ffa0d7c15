"""Materials as small pictures show them: factors and reduced pictures, sampled at texture coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..arrays import FloatArray
from ..errors import ModelError
from ..gltf.accessors import read_image
from ..gltf.document import TEXTURE_TRANSFORM, Document, Json, item, numbers
from ..gltf.texture_uses import texture_image
from ..pictures.codec import decode_picture
from ..pictures.color import Codes, srgb_to_linear

PICTURE_PIXELS = 256  # the longest side of a picture that is sampled
MAX_FACTOR = 1e4  # more light than a picture can show
OPAQUE, MASK, BLEND = "OPAQUE", "MASK", "BLEND"
SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"


@dataclass(frozen=True)
class Sampler:
    """A picture that repeats. codes: (h, w, 3 or 4). scale, offset: (2,) of KHR_texture_transform."""

    codes: Codes
    scale: FloatArray
    offset: FloatArray

    def texels(self, uv: FloatArray) -> Codes:
        """The texels (p, 3 or 4) at coordinates (p, 2)."""
        height, width = self.codes.shape[:2]
        moved = uv * self.scale + self.offset
        inside = moved - np.floor(moved)
        column = np.minimum((inside[:, 0] * width).astype(np.int64), width - 1)
        row = np.minimum((inside[:, 1] * height).astype(np.int64), height - 1)
        texels: Codes = self.codes[row, column]
        return texels


@dataclass(frozen=True)
class Appearance:
    """Properties at p points. color: (p, 4) linear RGBA. emission: (p, 3) linear. surface: (p, 3) occlusion, roughness
    and metalness, 0…1. normal: (p, 3) in tangent space, or None without a normal map."""

    color: FloatArray
    emission: FloatArray
    surface: FloatArray
    normal: FloatArray | None


@dataclass(frozen=True)
class FlatMaterial:
    """A glTF material. Factors are linear: color (4,), emission (3,), roughness and metalness.

    pictures: by slot, those that use TEXCOORD_0. cutoff: the alpha below which a cut-out material is invisible.
    """

    color: FloatArray
    emission: FloatArray
    roughness: float
    metalness: float
    normal_scale: float
    pictures: dict[str, Sampler]
    mode: str
    cutoff: float
    two_sided: bool

    def at(self, uv: FloatArray) -> Appearance:
        """The appearance at texture coordinates (p, 2)."""
        color = np.tile(self.color, (len(uv), 1))
        emission = np.tile(self.emission, (len(uv), 1))
        surface = np.tile([1.0, self.roughness, self.metalness], (len(uv), 1))
        if picture := self.pictures.get("baseColorTexture"):
            texels = picture.texels(uv)
            color[:, :3] *= srgb_to_linear(texels[:, :3])
            if texels.shape[1] == 4:
                color[:, 3] *= texels[:, 3] / 255.0
        if picture := self.pictures.get("emissiveTexture"):
            emission *= srgb_to_linear(picture.texels(uv)[:, :3])
        if picture := self.pictures.get("metallicRoughnessTexture"):
            surface[:, 1:] *= picture.texels(uv)[:, 1:3] / 255.0
        if picture := self.pictures.get("occlusionTexture"):
            surface[:, 0] = picture.texels(uv)[:, 0] / 255.0
        normal = None
        if picture := self.pictures.get("normalTexture"):
            normal = picture.texels(uv)[:, :3] / 127.5 - 1.0
            normal[:, :2] *= self.normal_scale
        return Appearance(color, emission, surface, normal)


PLAIN = FlatMaterial(np.ones(4), np.zeros(3), 1.0, 1.0, 1.0, {}, OPAQUE, 0.5, two_sided=False)  # glTF's default


def flat_materials(document: Document, indices: Sequence[int | None]) -> list[FlatMaterial]:
    """Materials of a document whose textures are checked; glTF's default for None.

    A malformed factor counts as its default: no other step of a build reads it, and viewers do the same.
    Raises ModelError for an unreadable picture.
    """
    codes: dict[int, Codes] = {}  # by image, since materials share pictures
    return [PLAIN if index is None else _flat_material(document, index, codes) for index in indices]


def _flat_material(document: Document, index: int, codes: dict[int, Codes]) -> FlatMaterial:
    holder = item(document.json, "materials", index, f"material {index}")
    pbr, extensions = _object(holder, "pbrMetallicRoughness"), _object(holder, "extensions")
    specular = _object(extensions, SPECULAR_GLOSSINESS)
    infos = {
        "baseColorTexture": specular.get("diffuseTexture") or pbr.get("baseColorTexture"),
        "metallicRoughnessTexture": pbr.get("metallicRoughnessTexture"),
        "emissiveTexture": holder.get("emissiveTexture"),
        "occlusionTexture": holder.get("occlusionTexture"),
        "normalTexture": holder.get("normalTexture"),
    }
    color = _factors(specular, "diffuseFactor", _factors(pbr, "baseColorFactor", np.ones(4)))
    strength = _factor(_object(extensions, "KHR_materials_emissive_strength"), "emissiveStrength", 1.0)
    roughness, metalness = _factor(pbr, "roughnessFactor", 1.0), _factor(pbr, "metallicFactor", 1.0)
    if specular:
        roughness, metalness = 1.0 - _factor(specular, "glossinessFactor", 1.0), 0.0
    mode = holder.get("alphaMode")
    return FlatMaterial(
        np.clip(color, 0, 1),
        _factors(holder, "emissiveFactor", np.zeros(3)) * strength,
        min(max(roughness, 0.0), 1.0),
        min(max(metalness, 0.0), 1.0),
        _factor(_object(holder, "normalTexture"), "scale", 1.0),
        {slot: s for slot, info in infos.items() if isinstance(info, dict) and (s := _sampler(document, info, codes))},
        mode if mode in (MASK, BLEND) else OPAQUE,
        _factor(holder, "alphaCutoff", 0.5),
        holder.get("doubleSided") is True,
    )


def _object(holder: Json, key: str) -> Json:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _factor(holder: Json, key: str, default: float) -> float:
    value = holder.get(key)
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_FACTOR
    return float(value) if good else default  # type: ignore[arg-type]


def _factors(holder: Json, key: str, default: FloatArray) -> FloatArray:
    try:
        found = numbers(holder.get(key), len(default), key)
    except ModelError:
        return default
    return np.clip(found, 0, MAX_FACTOR)


def _sampler(document: Document, info: Json, codes: dict[int, Codes]) -> Sampler | None:
    transform = _object(_object(info, "extensions"), TEXTURE_TRANSFORM)
    if transform.get("texCoord", info.get("texCoord", 0)) != 0:
        return None
    image = texture_image(item(document.json, "textures", info["index"], "texture"), "texture")
    if image not in codes:
        pixels = decode_picture(read_image(document, image), f"image {image}")
        factor = -(-max(pixels.shape[:2]) // PICTURE_PIXELS)
        codes[image] = np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
    place = []
    for key, default in (("scale", np.ones(2)), ("offset", np.zeros(2))):
        try:
            place.append(numbers(transform.get(key), 2, key))
        except ModelError:
            place.append(default)
    return Sampler(codes[image], *place)
