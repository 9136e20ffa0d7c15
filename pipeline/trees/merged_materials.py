"""Merge materials that differ in their base colour alone: one white material, and colours of vertices.

CAD exports have a material for each part. Each one would be a primitive in every region, and so a draw call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..gltf.animation_pointer import POINTER, pointed_element
from ..gltf.document import Document, Json, items
from ..gltf.primitives import POINTS_AND_LINES, VARIANTS, carried
from .nodes import addressable_nodes, world_matrices

MANY = 16  # fewer materials stay as they are, since pages look materials up by name
MAX_GROUPS = 32  # of materials with the same metalness, roughness and emission; with more, the first two are rounded
STEPS = 32  # in 0…1, of rounded metalness and roughness
NAME = "StreamXR merged colours"
# Extensions that refer to no material, by the beginnings of their names. Others may, so that no index may change.
WITHOUT_MATERIALS = (
    "AGI_", "CESIUM_", "EXT_instance_features", "EXT_lights_", "EXT_mesh", "EXT_structural_metadata", "EXT_texture_",
    "FB_ngon_encoding", "KHR_accessor_", "KHR_animation_pointer", "KHR_draco_", "KHR_gaussian_", "KHR_lights_",
    "KHR_materials_", "KHR_mesh", "KHR_node_", "KHR_texture_", "KHR_xmp", "MSFT_texture_dds",
)  # fmt: skip

Color = tuple[float, float, float]  # linear red, green and blue


@dataclass(frozen=True)
class MergedMaterial:
    """A material that is replaced by another one.

    index: in the source. color: the linear factor for the colours of vertices; None if the new material has the colour.
    """

    index: int
    color: Color | None


MergedPrimitives = Mapping[tuple[int, int], MergedMaterial]  # by (mesh, primitive)


@dataclass(frozen=True)
class MergedMaterials:
    """A document with fewer materials.

    primitives: those whose materials are replaced.
    notes: remarks for the artist.
    """

    document: Document
    primitives: MergedPrimitives = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Look:
    """A material but for its name and its base colour."""

    metalness: float
    roughness: float
    emission: Color
    double_sided: bool

    def rounded(self) -> _Look:
        return replace(
            self, metalness=round(self.metalness * STEPS) / STEPS, roughness=round(self.roughness * STEPS) / STEPS
        )

    def material(self, name: str, color: Color) -> Json:
        """The glTF material of this look with a linear base colour."""
        pbr: Json = {"metallicFactor": self.metalness, "roughnessFactor": self.roughness}
        if color != (1.0, 1.0, 1.0):
            pbr["baseColorFactor"] = [*color, 1.0]
        material: Json = {"name": name, "pbrMetallicRoughness": pbr}
        if any(self.emission):
            material["emissiveFactor"] = [*self.emission]
        return {**material, "doubleSided": True} if self.double_sided else material


def merge_materials(document: Document, keep_nodes: str = "") -> MergedMaterials:
    """Merge the opaque materials without pictures, extensions and extras that differ in base colour and name alone.

    document: one whose links are checked. keep_nodes: as for `read_scene`.

    Materials stay if a variant or an animation refers to them, or if they belong to points, lines, meshes that deform,
    nodes that stay addressable, or primitives with extensions or extras. All stay if fewer than MANY could be merged.
    """
    json = document.json
    looks = {
        index: look
        for index, material in enumerate(items(json, "materials"))
        if (look := _look_of(material)) is not None
    }
    if len(looks) < MANY:
        return MergedMaterials(document)
    used, kept = _used_and_kept(json, keep_nodes)
    looks = {index: look for index, look in looks.items() if index not in kept}
    groups = _groups(looks)
    rounded = len(groups) > MAX_GROUPS
    if rounded:
        groups = _groups({index: look.rounded() for index, look in looks.items()})
    count = sum(member in used for members in groups.values() for member in members)
    if count < MANY:
        return MergedMaterials(document)
    if unknown := sorted(_extension_names(json)):
        note = f"{count:,} materials that differ in colour only stay separate: {unknown[0]} may refer to them"
        return MergedMaterials(document, {}, (note,))
    merged, primitives = _merged(json, groups)
    note = (
        f"{count:,} materials that differ in colour only became {len(groups):,} with colours of vertices"
        f"{f'; metalness and roughness are rounded to 1/{STEPS}' if rounded else ''}; --keep-materials keeps them"
    )
    return MergedMaterials(replace(document, json=merged), primitives, (note,))


def _look_of(material: Json) -> _Look | None:
    """The look of a material that may be merged, or None."""
    pbr = material.get("pbrMetallicRoughness", {})
    plain = {"name", "pbrMetallicRoughness", "emissiveFactor", "doubleSided", "alphaMode"}
    factors = {"baseColorFactor", "metallicFactor", "roughnessFactor"}
    if not set(material) <= plain or not isinstance(pbr, dict) or not set(pbr) <= factors:
        return None
    if material.get("alphaMode", "OPAQUE") != "OPAQUE" or not isinstance(material.get("doubleSided", False), bool):
        return None
    emission, color = material.get("emissiveFactor", [0, 0, 0]), pbr.get("baseColorFactor", [1, 1, 1, 1])
    shine = [pbr.get("metallicFactor", 1.0), pbr.get("roughnessFactor", 1.0)]
    if not (_are_factors(emission, 3) and _are_factors(color, 4) and _are_factors(shine, 2)):
        return None
    red, green, blue = map(float, emission)
    return _Look(float(shine[0]), float(shine[1]), (red, green, blue), material.get("doubleSided", False))


def _are_factors(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 1 for v in values)
    )


def _used_and_kept(json: Json, keep_nodes: str) -> tuple[set[int], set[int]]:
    """The materials that primitives use, and those that must stay."""
    nodes = items(json, "nodes")
    held = addressable_nodes(json, world_matrices(json), keep_nodes).separate
    kept_meshes = {
        n["mesh"] for i, n in enumerate(nodes) if n.get("mesh") is not None and (i in held or n.get("skin") is not None)
    }
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


def _groups(looks: Mapping[int, _Look]) -> dict[_Look, list[int]]:
    """The materials of each look that several have."""
    groups: dict[_Look, list[int]] = {}
    for index, look in looks.items():
        groups.setdefault(look, []).append(index)
    return {look: members for look, members in groups.items() if len(members) > 1}


def _merged(json: Json, groups: Mapping[_Look, Sequence[int]]) -> tuple[Json, MergedPrimitives]:
    """The JSON with one material for each group, and the primitives that it changes."""
    merged_of: dict[int, MergedMaterial] = {}
    first_of: dict[int, int] = {}
    replaced: dict[int, Json] = {}
    for number, (look, members) in enumerate(groups.items()):
        colors = {member: _base_color(json["materials"][member]) for member in members}
        same = len(set(colors.values())) == 1
        merged_of |= {m: MergedMaterial(m, None if same else color) for m, color in colors.items()}
        first_of |= dict.fromkeys(members, members[0])
        name = NAME if number == 0 else f"{NAME} {number + 1}"
        replaced[members[0]] = look.material(name, colors[members[0]] if same else (1.0, 1.0, 1.0))
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
        if (old := _index(primitive.get("material"))) in merged_of:
            changed[mesh, number] = merged_of[old]
        meshes[mesh]["primitives"][number] = _renumbered(primitive, new)
    result = {**json, "materials": materials, "meshes": meshes}
    if json.get("animations"):
        result["animations"] = [_renumbered_pointers(animation, new) for animation in json["animations"]]
    return result, changed


def _base_color(material: Json) -> Color:
    red, green, blue = map(float, material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1, 1, 1, 1])[:3])
    return red, green, blue


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
