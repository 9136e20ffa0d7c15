"""The base: the whole asset as one small, complete GLB.

One new node in asset space draws all static geometry. The nodes that it came from stay, with names and extras, but
without a mesh. All else keeps its place: other meshes get their coarsest tier, and points and lines are copied.
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
from ..gltf.primitives import POINTS_AND_LINES
from ..gltf.texture_uses import slot_role
from ..mesh.surface import PrimitiveKind
from ..pictures.levels import Level
from ..settings import Role
from ..trees.nodes import object_extras
from ..trees.scene import Scene
from .animations import pack_animations
from .objects import leave_out_nodes

MAX_FLOAT32 = 1e38
STATIC_NODE = "StreamXR static geometry"
WEBP = "EXT_texture_webp"
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


@dataclass(frozen=True)
class BasePrimitive:
    """A primitive of one kind in the base. encoded: its triangles; None if only finer tiers have triangles of this
    kind."""

    kind: PrimitiveKind
    encoded: EncodedPrimitive | None


BaseMesh = Sequence[BasePrimitive]  # one primitive for each kind of a tree


@dataclass(frozen=True)
class Base:
    """The base as a GLB, and its node that draws the static tree; None without one."""

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
    *,
    all_nodes: bool = True,
) -> Base:
    """Write the base.

    meshes: the coarsest tier by source mesh. pictures: (name, level) of each picture. of_texture: the index of the
    picture of each (source texture, role). without: the animations that are files of their own. all_nodes: whether to
    keep the nodes that nothing in the base needs.
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
    copied: dict[int, int] = {}  # by source accessor: its copy

    new_meshes, mesh_index = _meshes(document, writer, scene, meshes, copied)
    source_meshes = items(source, "meshes")
    for index, node in enumerate(items(out, "nodes")):
        _shorten_transform(node)
        mesh = node.get("mesh")
        if mesh is None:
            continue
        if mesh in mesh_index and (index not in scene.flattened or _points_and_lines(document, mesh)):
            node["mesh"] = mesh_index[mesh]
        else:
            for key in ("mesh", "weights", "skin"):  # glTF allows weights and skin only beside a mesh
                node.pop(key, None)
            if (extras := object_extras({**node, "mesh": mesh}, source_meshes)) is not None:  # those of the mesh, too
                node["extras"] = copy.deepcopy(extras)
    static_node = None
    if static is not None:
        new_meshes.append({"name": STATIC_NODE, "primitives": _encoded(writer, static)})
        static_node = _add_node(out, {"name": STATIC_NODE, "mesh": len(new_meshes) - 1})
    if new_meshes:
        out["meshes"] = new_meshes
    if kept := [i for i in range(len(items(source, "animations"))) if i not in without]:
        out["animations"] = pack_animations(document, kept, writer)
    _skins(document, out, writer, copied)
    _update_mesh_pointers(out, mesh_index)
    _pictures(source, out, writer, pictures, of_texture)
    if not all_nodes:
        leave_out_nodes(out, scene)
    _extensions(out)
    return Base(writer.finish(out), static_node)


def _meshes(
    document: Document, writer: GlbWriter, scene: Scene, meshes: dict[int, BaseMesh], copied: dict[int, int]
) -> tuple[list[Json], dict[int, int]]:
    """The base's meshes, and the index of each source mesh among them. A flattened mesh keeps its points and lines."""
    new: list[Json] = []
    new_index: dict[int, int] = {}
    nodes = items(document.json, "nodes")
    used = {nodes[n].get("mesh") for n in scene.world}
    for index, holder in enumerate(items(document.json, "meshes")):
        if index not in used:
            continue
        primitives: list[Json] = []
        if index in meshes:
            primitives = _encoded(writer, meshes[index])
        primitives += [
            _copied_primitive(document, writer, p, index, copied) for p in _points_and_lines(document, index)
        ]
        if not primitives:
            continue
        mesh = {k: copy.deepcopy(v) for k, v in holder.items() if k != "primitives"}
        new_index[index] = len(new)
        new.append({**mesh, "primitives": primitives})
    return new, new_index


def _points_and_lines(document: Document, mesh: int) -> list[Json]:
    """The primitives of a source mesh that are points or lines."""
    holder = item(document.json, "meshes", mesh, "meshes")
    return [p for p in holder["primitives"] if p.get("mode", 4) in POINTS_AND_LINES]


def _encoded(writer: GlbWriter, mesh: BaseMesh) -> list[Json]:
    """Write the primitives of a mesh, each with the properties that its kind carries."""
    result = []
    for kind, encoded in ((p.kind, p.encoded) for p in mesh):
        if encoded is None:
            primitive = writer.add_empty_primitive(kind.attributes, kind.material)
        else:
            primitive = writer.add_primitive(encoded, kind.material)
        further: Json = json_of(kind.carried) if kind.carried else {}
        extensions = {**primitive.get("extensions", {}), **further.pop("extensions", {})}
        result.append({**primitive, **further, **({"extensions": extensions} if extensions else {})})
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
    """Copy an accessor's values unchanged, once for all uses; returns the index of the copy.

    bounds: write min and max, which glTF requires for positions, even if the source lacks them.
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


def _update_mesh_pointers(out: Json, new_index: dict[int, int]) -> None:
    """Give animations that target a mesh by KHR_animation_pointer its new index."""
    for animation in items(out, "animations"):
        for channel in items(animation, "channels"):
            mesh = pointed_element(channel["target"], "meshes")
            if mesh in new_index:
                holder = channel["target"]["extensions"][POINTER]
                holder["pointer"] = "/".join(["", "meshes", str(new_index[mesh]), *holder["pointer"].split("/")[3:]])


def _pictures(
    source: Json,
    out: Json,
    writer: GlbWriter,
    pictures: Sequence[tuple[str, Level]],
    of_texture: Mapping[tuple[int, Role], int],
) -> None:
    """Write the pictures, and a texture for each (source texture, role) that a material uses."""
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
        image: Json = {"source": of_texture[texture, role]}
        if pictures[of_texture[texture, role]][1].format == "webp":
            extensions[WEBP] = image
            image = {}
        textures.append({**kept, **image, **({"extensions": extensions} if extensions else {})})
    out["textures"] = textures
    for material in items(out, "materials"):
        for slot, info in texture_slots(material):
            info["index"] = keys.index((info["index"], slot_role(slot)))


def _shorten_transform(node: Json) -> None:
    """Write the numbers of a node's transform with the digits of float32, which is what viewers keep of them.

    Exporters write those of float64: of a node with a rotation and a place they are most of its bytes.
    """
    for key in ("translation", "rotation", "scale", "matrix"):
        values = node.get(key)
        if isinstance(values, list) and all(isinstance(v, int | float) and abs(v) < MAX_FLOAT32 for v in values):
            node[key] = [int(v) if v == int(v) else float(str(np.float32(v))) for v in values]


def _add_node(out: Json, node: Json) -> int:
    """Append a node to the default scene, and create the scene if there is none; returns the node's index."""
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
    """Declare the extensions that the base uses, in place of those of the source's encoding."""
    used = set(out.get("extensionsUsed", []))
    required = set(out.get("extensionsRequired", []))
    source_encoding = {"MSFT_texture_dds", "KHR_texture_basisu", "EXT_meshopt_compression", WEBP, DRACO}
    own = set()
    if any(DRACO in p.get("extensions", {}) for m in out.get("meshes", []) for p in m["primitives"]):
        own.add(DRACO)
    if any(WEBP in t.get("extensions", {}) for t in out.get("textures", [])):
        own.add(WEBP)
    for key, names in (
        ("extensionsUsed", (used - source_encoding) | own),
        ("extensionsRequired", (required - source_encoding) | own),
    ):
        out.pop(key, None)
        if names:
            out[key] = sorted(names)
