"""The glTF material of a shell, and its place in a document."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..gltf.document import Document, Json, items
from ..pictures.color import Codes
from ..pictures.levels import Pyramid, build_pyramid
from ..settings import Role, Settings
from ..views.materials import OPAQUE, FlatMaterial, Sampler
from .bake import Baked

NAME = "StreamXR shell"
STRENGTH = "KHR_materials_emissive_strength"


@dataclass(frozen=True)
class ShellPicture:
    """A baked picture for a slot of the material. Its levels are for the base alone."""

    slot: str
    role: Role
    pyramid: Pyramid


@dataclass(frozen=True)
class ShellMaterial:
    """A glTF material without its textures, and their pictures."""

    json: Json
    pictures: tuple[ShellPicture, ...]


def shell_material(baked: Baked, settings: Settings) -> ShellMaterial:
    """The material that shows baked pictures."""
    pbr: Json = {"metallicFactor": baked.metalness, "roughnessFactor": baked.roughness}
    material: Json = {"name": NAME, "pbrMetallicRoughness": pbr}
    if baked.emission is not None:
        material["emissiveFactor"] = [min(1.0, baked.emission_scale)] * 3
        if baked.emission_scale > 1:
            material["extensions"] = {STRENGTH: {"emissiveStrength": baked.emission_scale}}
    # Every viewer opens the base, so that its pictures are never KTX2.
    base_format = "webp" if settings.texture_format == "ktx2" else settings.texture_format
    settings = replace(settings, texture_format=base_format)
    pictures = [
        ShellPicture(
            slot, role, build_pyramid(codes, f"{NAME}: {slot.removesuffix('Texture')}", role, settings, base_only=True)
        )
        for slot, role, codes in _slots(baked)
    ]
    return ShellMaterial(material, tuple(pictures))


def with_material(document: Document, shell: ShellMaterial) -> tuple[Document, list[tuple[int, Role]]]:
    """The document with the material as its last one, and the (texture, role) of each picture of it."""
    json = dict(document.json)
    textures, images = [*items(json, "textures")], [*items(json, "images")]
    material = {**shell.json, "pbrMetallicRoughness": {**shell.json["pbrMetallicRoughness"]}}
    keys: list[tuple[int, Role]] = []
    for picture in shell.pictures:
        keys.append((len(textures), picture.role))
        info = {"index": len(textures)}
        images.append({"name": picture.pyramid.name})
        textures.append({"source": len(images) - 1})
        if picture.slot in ("baseColorTexture", "metallicRoughnessTexture"):
            material["pbrMetallicRoughness"][picture.slot] = info
        else:
            material[picture.slot] = info
        if picture.slot == "metallicRoughnessTexture":
            material["occlusionTexture"] = dict(info)
    json |= {"materials": [*items(json, "materials"), material], "textures": textures, "images": images}
    if STRENGTH in material.get("extensions", {}):
        json["extensionsUsed"] = sorted({*json.get("extensionsUsed", []), STRENGTH})
    return replace(document, json=json), keys


def flat_shell_material(baked: Baked) -> FlatMaterial:
    """The same material for the rasteriser."""
    one, zero = np.ones(2), np.zeros(2)
    emission = np.full(3, baked.emission_scale if baked.emission is not None else 0.0)
    pictures = {slot: Sampler(codes, one, zero) for slot, _, codes in _slots(baked)}
    return FlatMaterial(
        np.ones(4), emission, baked.roughness, baked.metalness, 1.0, pictures, OPAQUE, 0.5, two_sided=False
    )


def _slots(baked: Baked) -> list[tuple[str, Role, Codes]]:
    found: list[tuple[str, Role, Codes | None]] = [
        ("baseColorTexture", "color", baked.color),
        ("normalTexture", "normal", baked.normal),
        ("metallicRoughnessTexture", "data", baked.surface),
        ("emissiveTexture", "color", baked.emission),
    ]
    return [(slot, role, codes) for slot, role, codes in found if codes is not None]
