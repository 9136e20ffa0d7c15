"""The base: the whole asset as one small, complete GLB.

Static geometry hangs on one new node in asset space; the nodes it came from stay, with their names and
extras, without a mesh. Everything else keeps its place: other meshes get their coarsest tier, points and
lines pass through.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from json import loads as json_of
from typing import Any

import numpy as np

from ..gltf.accessors import read_accessor
from ..gltf.animation_pointer import POINTER, pointed_element
from ..gltf.document import DRACO, Document, Json, item, items, label, texture_slots
from ..gltf.draco import EncodedPrimitive
from ..gltf.glb import GENERATOR, GlbWriter
from ..gltf.primitives import POINTS_AND_LINES, carried
from ..gltf.texture_uses import slot_role
from ..pictures.levels import Level
from ..settings import Role
from ..trees.scene import Scene
from .animations import pack_animations

STATIC_NODE = "StreamXR static geometry"
WEBP = "EXT_texture_webp"
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True)
class BaseMesh:
    """What a mesh of the base is drawn with: (material, primitive) pairs, then primitives as they came.

    carried: what else each primitive says, as JSON or ""; empty where each stands for one of the source's.
    """

    primitives: tuple[tuple[int | None, EncodedPrimitive], ...]
    carried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Base:
    """The base's bytes, and the base node that draws the static tree (None without one)."""

    content: bytes
    static_node: int | None


def build_base(
    document: Document,
    scene: Scene,
    static: BaseMesh | None,
    meshes: dict[int, BaseMesh],
    pictures: Sequence[tuple[str, Level]],
    of_texture: Mapping[tuple[int, Role], int],
    without: Collection[int] = (),
) -> Base:
    """Write the base.

    meshes: the coarse or deforming geometry of source meshes; pictures: (name, level) of each texture use;
    of_texture: the picture of each (source texture, role); without: animations that are files of their own.
    """
    source = document.json
    writer = GlbWriter()
    out: Json = {
        k: copy.deepcopy(v)
        for k, v in source.items()
        if k not in ("accessors", "animations", "bufferViews", "buffers", "images", "textures", "meshes")
    }
    out["asset"] = {**out["asset"], "generator": GENERATOR, "version": "2.0"}
    out["asset"].pop("minVersion", None)
    copied: dict[int, int] = {}

    new_meshes, mesh_index = _meshes(document, writer, scene, meshes, copied)
    for index, node in enumerate(items(out, "nodes")):
        mesh = node.get("mesh")
        if mesh is None:
            continue
        if mesh in mesh_index and (index not in scene.flattened or _rest(document, mesh)):
            node["mesh"] = mesh_index[mesh]
        else:
            for key in ("mesh", "weights", "skin"):  # glTF allows the others only beside a mesh
                node.pop(key, None)
    static_node = None
    if static is not None:
        new_meshes.append({"name": STATIC_NODE, "primitives": _encoded(writer, static, static.carried)})
        static_node = _add_node(out, {"name": STATIC_NODE, "mesh": len(new_meshes) - 1})
    if new_meshes:
        out["meshes"] = new_meshes
    if kept := [i for i in range(len(items(source, "animations"))) if i not in without]:
        out["animations"] = pack_animations(document, kept, writer)
    _skins(document, out, writer, copied)
    _point_at_meshes(out, mesh_index)
    _pictures(source, out, writer, pictures, of_texture)
    _extensions(out)
    return Base(writer.finish(out), static_node)


def _meshes(
    document: Document, writer: GlbWriter, scene: Scene, meshes: dict[int, BaseMesh], copied: dict[int, int]
) -> tuple[list[Json], dict[int, int]]:
    """The base's meshes and where each source mesh went; a flattened mesh is kept for its points and lines."""
    new: list[Json] = []
    where: dict[int, int] = {}
    nodes = items(document.json, "nodes")
    used = {nodes[n].get("mesh") for n in scene.world}
    for index, holder in enumerate(items(document.json, "meshes")):
        if index not in used:
            continue
        primitives: list[Json] = []
        if index in meshes:
            said = meshes[index].carried or [
                carried(p) for p in holder["primitives"] if p not in _rest(document, index)
            ]
            primitives = _encoded(writer, meshes[index], said)
        primitives += [_copied_primitive(document, writer, p, index, copied) for p in _rest(document, index)]
        if not primitives:
            continue
        mesh = {k: copy.deepcopy(v) for k, v in holder.items() if k != "primitives"}
        where[index] = len(new)
        new.append({**mesh, "primitives": primitives})
    return new, where


def _rest(document: Document, mesh: int) -> list[Json]:
    """The primitives that are no triangles."""
    holder = item(document.json, "meshes", mesh, "meshes")
    return [p for p in holder["primitives"] if p.get("mode", 4) in POINTS_AND_LINES]


def _encoded(writer: GlbWriter, mesh: BaseMesh, said: Sequence[str]) -> list[Json]:
    """The primitives of a mesh, with what else the source says of each."""
    result = []
    for (material, shape), text in zip(mesh.primitives, said, strict=True):
        primitive = writer.add_primitive(shape, material)
        more: Json = json_of(text) if text else {}
        extensions = {**primitive.get("extensions", {}), **more.pop("extensions", {})}
        result.append({**primitive, **more, **({"extensions": extensions} if extensions else {})})
    return result


def _copied_primitive(
    document: Document, writer: GlbWriter, primitive: Json, mesh: int, copied: dict[int, int]
) -> Json:
    place = f"mesh {mesh}"
    result: Json = copy.deepcopy(primitive)
    result["attributes"] = {
        k: _copy_accessor(document, writer, v, place, copied, vertex=True, bounds=k == "POSITION")
        for k, v in primitive["attributes"].items()
    }
    if primitive.get("indices") is not None:
        result["indices"] = _copy_accessor(document, writer, primitive["indices"], place, copied)
    if primitive.get("targets"):
        result["targets"] = [
            {
                k: _copy_accessor(document, writer, v, place, copied, vertex=True, bounds=k == "POSITION")
                for k, v in t.items()
            }
            for t in primitive["targets"]
        ]
    return result


def _copy_accessor(
    document: Document,
    writer: GlbWriter,
    index: Any,
    place: str,
    copied: dict[int, int],
    *,
    vertex: bool = False,
    bounds: bool = False,
) -> int:
    """Copy an accessor's values as they are; once, however often it is used.

    bounds: glTF wants min and max here, whether the source has them or not.
    """
    source = item(document.json, "accessors", index, place)
    if index not in copied:
        values = np.ascontiguousarray(read_accessor(document, index, place, normalize=False))
        kept = {k: source[k] for k in ("name", "extras", "normalized") if source.get(k)}
        bounds = len(values) > 0 and (bounds or "min" in source or "max" in source)
        copied[index] = writer.add_accessor(
            values, source["componentType"], view=True, vertex=vertex, bounds=bounds, type=source["type"], **kept
        )
    return copied[index]


def _skins(document: Document, out: Json, writer: GlbWriter, copied: dict[int, int]) -> None:
    for index, skin in enumerate(items(out, "skins")):
        if skin.get("inverseBindMatrices") is not None:
            skin["inverseBindMatrices"] = _copy_accessor(
                document, writer, skin["inverseBindMatrices"], label("skin", index, skin), copied
            )


def _point_at_meshes(out: Json, where: dict[int, int]) -> None:
    """Animations that point at a mesh point at where it went."""
    for animation in items(out, "animations"):
        for channel in items(animation, "channels"):
            mesh = pointed_element(channel["target"], "meshes")
            if mesh in where:
                holder = channel["target"]["extensions"][POINTER]
                holder["pointer"] = "/".join(["", "meshes", str(where[mesh]), *holder["pointer"].split("/")[3:]])


def _pictures(
    source: Json,
    out: Json,
    writer: GlbWriter,
    pictures: Sequence[tuple[str, Level]],
    of_texture: Mapping[tuple[int, Role], int],
) -> None:
    """The pictures, and a texture for each (source texture, role) that a material uses."""
    if not pictures:
        return
    out["images"] = [
        {"name": name, "mimeType": MEDIA_TYPES[level.format], "bufferView": writer.add_view(level.content)}
        for name, level in pictures
    ]
    keys = sorted(of_texture)
    textures = []
    for texture, role in keys:
        kept = {k: copy.deepcopy(v) for k, v in items(source, "textures")[texture].items() if k != "source"}
        extensions = {
            k: v for k, v in kept.pop("extensions", {}).items() if not k.endswith(("_webp", "_dds", "_basisu"))
        }
        shown: Json = {"source": of_texture[texture, role]}
        if pictures[of_texture[texture, role]][1].format == "webp":
            extensions[WEBP] = shown
            shown = {}
        textures.append({**kept, **shown, **({"extensions": extensions} if extensions else {})})
    out["textures"] = textures
    for material in items(out, "materials"):
        for slot, info in texture_slots(material):
            info["index"] = keys.index((info["index"], slot_role(slot)))


def _add_node(out: Json, node: Json) -> int:
    """Append a node to the default scene."""
    nodes = out.setdefault("nodes", [])
    nodes.append(node)
    if not out.get("scenes"):
        children = {c for n in nodes for c in n.get("children", [])}
        out["scenes"] = [{"nodes": [i for i in range(len(nodes) - 1) if i not in children]}]
        out["scene"] = 0
    out.setdefault("scene", 0)
    out["scenes"][out["scene"]].setdefault("nodes", []).append(len(nodes) - 1)
    return len(nodes) - 1


def _extensions(out: Json) -> None:
    used = set(out.get("extensionsUsed", []))
    required = set(out.get("extensionsRequired", []))
    # Said of the source's own encoding, which is gone.
    gone = {"MSFT_texture_dds", "KHR_texture_basisu", "EXT_meshopt_compression", WEBP, DRACO}
    mine = set()
    if any(DRACO in p.get("extensions", {}) for m in out.get("meshes", []) for p in m["primitives"]):
        mine.add(DRACO)
    if any(WEBP in t.get("extensions", {}) for t in out.get("textures", [])):
        mine.add(WEBP)
    for key, names in (("extensionsUsed", (used - gone) | mine), ("extensionsRequired", (required - gone) | mine)):
        out.pop(key, None)
        if names:
            out[key] = sorted(names)
