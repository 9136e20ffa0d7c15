"""Merge materials that differ in their factors alone: one white material, and colours of vertices.

CAD exports have a material for each part. Each one would be a primitive in every region, and so a draw call. Metalness,
roughness and emission are in a palette if materials differ in these, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json import dumps as json_text
from json import loads as json_of
from typing import Any

from ..gltf.animation_pointer import POINTER, pointed_element
from ..gltf.document import Document, Json, items, texture_slots
from ..gltf.primitives import POINTS_AND_LINES, VARIANTS, carried
from .nodes import addressable_nodes, world_matrices
from .palettes import PalettePicture, Shine, palette_of, with_picture

MANY = 16  # fewer materials stay as they are, since pages look materials up by name
FEW_SHINES = 4  # combinations of metalness, roughness and emission that stay materials; more become a palette
MAX_GROUPS = 32  # of materials with the same extensions; with more, the factors of extensions are rounded
STEPS = 32  # in 0…1, of rounded factors
NAME = "StreamXR merged colours"
# Extensions that refer to no material, by the beginnings of their names. Others may, so that no index may change.
WITHOUT_MATERIALS = (
    "AGI_", "CESIUM_", "EXT_instance_features", "EXT_lights_", "EXT_mesh", "EXT_structural_metadata", "EXT_texture_",
    "FB_ngon_encoding", "KHR_accessor_", "KHR_animation_pointer", "KHR_draco_", "KHR_gaussian_", "KHR_lights_",
    "KHR_materials_", "KHR_mesh", "KHR_node_", "KHR_texture_", "KHR_xmp", "MSFT_texture_dds",
)  # fmt: skip

SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"

Color = tuple[float, float, float]  # linear red, green and blue


@dataclass(frozen=True)
class MergedMaterial:
    """A material that is replaced by another one.

    index: in the source. color: the linear factor for the colours of vertices; None if the new material has the colour.
    uv: the texture coordinates of its texel; None without a palette.
    """

    index: int
    color: Color | None
    uv: tuple[float, float] | None = None


MergedPrimitives = Mapping[tuple[int, int], MergedMaterial]  # by (mesh, primitive)


@dataclass(frozen=True)
class MergedMaterials:
    """A document with fewer materials.

    primitives: those whose materials are replaced. palettes: the pictures of new materials.
    notes: remarks for the artist.
    """

    document: Document
    primitives: MergedPrimitives = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    palettes: tuple[PalettePicture, ...] = ()


@dataclass(frozen=True)
class _Look:
    """A material but for its name.

    rest: the JSON of all that is neither its base colour nor its shine.
    """

    rest: str
    color: Color
    shine: Shine

    def rounded(self) -> _Look:
        return replace(self, rest=json_text(_rounded(json_of(self.rest)), sort_keys=True))


@dataclass(frozen=True)
class _Group:
    """Materials that become one. shine: of them all; None if a palette has it."""

    rest: str
    members: tuple[int, ...]
    shine: Shine | None


def merge_materials(document: Document, keep_nodes: str = "") -> MergedMaterials:
    """Merge the opaque materials without pictures and extras that differ in their factors and name alone.

    document: one whose links are checked. keep_nodes: as for `read_scene`.

    Materials stay if a variant or an animation refers to them, or if they belong to points, lines, morphed meshes,
    nodes that an application may look for, or primitives with extensions or extras. All stay if fewer than MANY could
    be merged.
    """
    json = document.json
    looks = {
        index: look
        for index, material in enumerate(items(document.json, "materials"))
        if (look := _look_of(material)) is not None
    }
    if len(looks) < MANY:
        return MergedMaterials(document)
    used, kept = _used_and_kept(json, keep_nodes)
    looks = {index: look for index, look in looks.items() if index not in kept}
    groups = _groups(looks)
    rounded = len({look.rest for look in looks.values()}) > MAX_GROUPS
    if rounded:
        looks = {index: look.rounded() for index, look in looks.items()}
        groups = _groups(looks)
    count = sum(member in used for group in groups for member in group.members)
    if count < MANY:
        return MergedMaterials(document)
    if unknown := sorted(_extension_names(json)):
        note = f"{count:,} materials that differ in factors only stay separate: {unknown[0]} may refer to them"
        return MergedMaterials(document, {}, (note,))
    note = (
        f"{count:,} materials that differ in factors only became {len(groups):,} with colours of vertices"
        f"{f'; factors of extensions are rounded to 1/{STEPS}' if rounded else ''}; --keep-materials keeps them"
    )
    return replace(_merged(document, looks, groups), notes=(note,))


def _look_of(material: Json) -> _Look | None:
    """The look of a material that may be merged, or None."""
    pbr = material.get("pbrMetallicRoughness", {})
    plain = {"name", "pbrMetallicRoughness", "emissiveFactor", "doubleSided", "alphaMode", "extensions"}
    factors = {"baseColorFactor", "metallicFactor", "roughnessFactor"}
    if not set(material) <= plain or not isinstance(pbr, dict) or not set(pbr) <= factors:
        return None
    if material.get("alphaMode", "OPAQUE") != "OPAQUE" or not isinstance(material.get("doubleSided", False), bool):
        return None
    extensions = material.get("extensions", {})
    if not isinstance(extensions, dict) or SPECULAR_GLOSSINESS in extensions or any(texture_slots(extensions)):
        return None
    emission, color = material.get("emissiveFactor", [0, 0, 0]), pbr.get("baseColorFactor", [1, 1, 1, 1])
    shine = [pbr.get("metallicFactor", 1.0), pbr.get("roughnessFactor", 1.0)]
    if not (_are_factors(emission, 3) and _are_factors(color, 4) and _are_factors(shine, 2)):
        return None
    rest: Json = {"extensions": extensions} if extensions else {}
    rest |= {"doubleSided": True} if material.get("doubleSided") else {}
    red, green, blue = map(float, emission)
    shining = Shine(float(shine[0]), float(shine[1]), (red, green, blue))
    return _Look(json_text(rest, sort_keys=True), (float(color[0]), float(color[1]), float(color[2])), shining)


def _rounded(value: Any, key: str = "") -> Any:
    """A JSON value with the factors and strengths of 0…1 in it rounded."""
    if isinstance(value, dict):
        return {name: _rounded(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each, key) for each in value]
    is_factor = isinstance(value, int | float) and key.endswith(("Factor", "Strength")) and 0 <= value <= 1
    return round(value * STEPS) / STEPS if is_factor else value


def _are_factors(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 1 for v in values)
    )


def _used_and_kept(json: Json, keep_nodes: str) -> tuple[set[int], set[int]]:
    """The materials that primitives use, and those that must stay."""
    nodes = items(json, "nodes")
    held = addressable_nodes(json, world_matrices(json), keep_nodes).named
    kept_meshes = {nodes[index]["mesh"] for index in held if nodes[index].get("mesh") is not None}
    used, kept = set(), set()
    for mesh, _, primitive in _primitives(json):
        material = _index(primitive.get("material"))
        if material is None:
            continue
        used.add(material)
        special = carried(primitive) or primitive.get("targets") or primitive.get("mode") in POINTS_AND_LINES
        if special or mesh in kept_meshes:
            kept.add(material)
        kept |= {m for mapping in _mappings(primitive) if (m := _index(mapping.get("material"))) is not None}
    for animation in items(json, "animations"):
        for channel in items(animation, "channels"):
            if (pointed := pointed_element(channel["target"], "materials")) is not None:
                kept.add(pointed)
    return used, kept


def _groups(looks: Mapping[int, _Look]) -> list[_Group]:
    """The materials that become one each. Those that differ in shine stay apart while there are few of them."""
    of_rest: dict[str, dict[Shine, list[int]]] = {}
    for index, look in looks.items():
        of_rest.setdefault(look.rest, {}).setdefault(look.shine, []).append(index)
    few = sum(map(len, of_rest.values())) <= FEW_SHINES
    groups = []
    for rest, of_shine in of_rest.items():
        members = tuple(sorted(index for each in of_shine.values() for index in each))
        if not few and len(of_shine) > 1 and palette_of([looks[m].shine for m in members]) is not None:
            groups.append(_Group(rest, members, None))
        else:
            groups += [_Group(rest, tuple(each), shine) for shine, each in of_shine.items() if len(each) > 1]
    return groups


def _merged(document: Document, looks: Mapping[int, _Look], groups: Sequence[_Group]) -> MergedMaterials:
    """The document with one material for each group, and the primitives that it changes."""
    merged_of: dict[int, MergedMaterial] = {}
    first_of: dict[int, int] = {}
    replaced: dict[int, Json] = {}
    palettes: list[PalettePicture] = []
    for number, group in enumerate(groups):
        name = NAME if number == 0 else f"{NAME} {number + 1}"
        members, colors = group.members, [looks[member].color for member in group.members]
        same = len(set(colors)) == 1
        palette = None if group.shine else palette_of([looks[member].shine for member in members])
        material = _material(name, group, colors[0] if same else (1.0, 1.0, 1.0))
        for slot, codes in palette.codes.items() if palette else ():
            document, picture = with_picture(document, slot, f"{name}: {slot.removesuffix('Texture')}", codes)
            palettes.append(picture)
            if slot == "emissiveTexture":
                material |= {slot: {"index": picture.texture}, "emissiveFactor": [1.0, 1.0, 1.0]}
            else:
                material["pbrMetallicRoughness"][slot] = {"index": picture.texture}
        coordinates = [(u, v) for u, v in palette.uv.tolist()] if palette else [None] * len(members)
        for member, color, uv in zip(members, colors, coordinates, strict=True):
            merged_of[member] = MergedMaterial(member, None if same else color, uv)
        first_of |= dict.fromkeys(members, members[0])
        replaced[members[0]] = material
    json = document.json
    materials: list[Json] = []
    new: dict[int, int] = {}  # by old index
    for index, material in enumerate(json["materials"]):
        if first_of.get(index, index) == index:
            new[index] = len(materials)
            materials.append(replaced.get(index, material))
    new |= {member: new[first] for member, first in first_of.items()}
    meshes = [{**mesh, "primitives": [*_list(mesh)]} if _list(mesh) else mesh for mesh in json.get("meshes", [])]
    changed: dict[tuple[int, int], MergedMaterial] = {}
    for mesh, number, primitive in _primitives(json):
        if (old := _index(primitive.get("material"))) is not None and old in merged_of:
            changed[mesh, number] = merged_of[old]
        meshes[mesh]["primitives"][number] = _renumbered(primitive, new)
    result = {**json, "materials": materials, "meshes": meshes}
    if json.get("animations"):
        result["animations"] = [_renumbered_pointers(animation, new) for animation in json["animations"]]
    return MergedMaterials(replace(document, json=result), changed, (), tuple(palettes))


def _material(name: str, group: _Group, color: Color) -> Json:
    """The glTF material of a group with a linear base colour."""
    pbr: Json = {}
    if group.shine is not None:
        pbr = {"metallicFactor": group.shine.metalness, "roughnessFactor": group.shine.roughness}
    if color != (1.0, 1.0, 1.0):
        pbr["baseColorFactor"] = [*color, 1.0]
    material: Json = {"name": name, "pbrMetallicRoughness": pbr, **json_of(group.rest)}
    if group.shine is not None and any(group.shine.emission):
        material["emissiveFactor"] = [*group.shine.emission]
    return material


def _renumbered(primitive: Json, new: Mapping[int, int]) -> Json:
    """A primitive with new indices of materials, its variants included. Indices that do not exist stay so."""
    result = dict(primitive)
    if (material := _index(primitive.get("material"))) is not None:
        result["material"] = new.get(material, material)
    if mappings := _mappings(primitive):
        changed = [
            m if (i := _index(m.get("material"))) is None else {**m, "material": new.get(i, i)} for m in mappings
        ]
        variants = {**primitive["extensions"][VARIANTS], "mappings": changed}
        result["extensions"] = {**primitive["extensions"], VARIANTS: variants}
    return result


def _renumbered_pointers(animation: Json, new: Mapping[int, int]) -> Json:
    channels = []
    for channel in items(animation, "channels"):
        target = channel["target"]
        if (material := pointed_element(target, "materials")) is not None:
            words = target["extensions"][POINTER]["pointer"].split("/")
            pointer = "/".join(["", "materials", str(new.get(material, material)), *words[3:]])
            holder = {**target["extensions"][POINTER], "pointer": pointer}
            channel = {**channel, "target": {**target, "extensions": {**target["extensions"], POINTER: holder}}}
        channels.append(channel)
    return {**animation, "channels": channels}


def _primitives(json: Json) -> Iterator[tuple[int, int, Json]]:
    """(mesh, number, primitive) of all primitives. They are not checked yet, so that broken ones are left out."""
    for mesh, holder in enumerate(items(json, "meshes")):
        for number, primitive in enumerate(_list(holder)):
            if isinstance(primitive, dict):
                yield mesh, number, primitive


def _list(mesh: Json) -> list[Any]:
    found = mesh.get("primitives")
    return found if isinstance(found, list) else []


def _mappings(primitive: Json) -> list[Json]:
    extensions = primitive.get("extensions")
    variants = extensions.get(VARIANTS) if isinstance(extensions, dict) else None
    found = variants.get("mappings") if isinstance(variants, dict) else None
    return found if isinstance(found, list) and all(isinstance(m, dict) for m in found) else []


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _extension_names(json: Json) -> set[str]:
    """The extensions anywhere in the document that may refer to materials."""
    found = {name for name in json.get("extensionsUsed", []) if isinstance(name, str)}
    stack: list[Any] = [json]
    while stack:
        holder = stack.pop()
        if isinstance(holder, dict):
            found |= set(holder.get("extensions") or ())
            stack += [value for key, value in holder.items() if key != "extras" and isinstance(value, dict | list)]
        else:
            stack += [value for value in holder if isinstance(value, dict | list)]
    return {name for name in found if not name.startswith(WITHOUT_MATERIALS)}
