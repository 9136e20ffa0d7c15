"""Decode KHR_draco_mesh_compression: the compressed primitives of a document become plain accessors."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..errors import DAMAGED, ModelError
from .accessors import COMPONENTS, MAX_ELEMENTS, UNSIGNED_INT, WIDTHS, AccessorWriter, view_bytes
from .document import DRACO, TRIANGLE_STRIP, TRIANGLES, Document, Json, integer, item, items, label, objects_in


def expand_draco(document: Document) -> Document:
    """The document with every Draco stream decoded into accessors; the same object if it has no stream.

    Raises ModelError if a stream cannot be decoded, or differs from what its primitive declares.
    """
    meshes = items(document.json, "meshes")
    if not any(DRACO in _extensions(p) for m in meshes for p in objects_in(m.get("primitives"))):
        return document
    json = copy.deepcopy(document.json)
    writer = AccessorWriter(json.setdefault("bufferViews", []), json.setdefault("accessors", []), len(document.buffers))
    for number, mesh in enumerate(items(json, "meshes")):
        for index, primitive in enumerate(objects_in(mesh.get("primitives"))):
            extensions = _extensions(primitive)
            if DRACO not in extensions:
                continue
            place = f"{label('mesh', number, mesh)}, primitive {index}, {DRACO}"
            _expand(document, json, primitive, extensions.pop(DRACO), writer, place)
            if not extensions:
                primitive.pop("extensions")
    json.setdefault("buffers", []).append({"byteLength": len(writer.chunk)})
    for key in ("extensionsUsed", "extensionsRequired"):
        if names := [name for name in json.get(key, []) if name != DRACO]:
            json[key] = names
        else:
            json.pop(key, None)
    return replace(document, json=json, buffers=(*document.buffers, bytes(writer.chunk)))


def _extensions(primitive: Json) -> Json:
    found = primitive.get("extensions")
    return found if isinstance(found, dict) else {}


def _expand(
    document: Document, json: Json, primitive: Json, extension: Any, writer: AccessorWriter, place: str
) -> None:
    """Decode the stream of one primitive, and point the primitive at new accessors."""
    ids = extension.get("attributes") if isinstance(extension, dict) else None
    named = primitive.get("attributes")
    if not isinstance(ids, dict) or not isinstance(named, dict) or not set(ids) <= set(named):
        raise ModelError("its attributes are not among the primitive's", place=place, remedy=DAMAGED)
    stream = view_bytes(document, extension.get("bufferView"), place)
    declared = {name: item(json, "accessors", named[name], f"{place}, {name}") for name in sorted(ids)}
    counts = {integer(accessor, "count", f"{place}, {name}") for name, accessor in declared.items()}
    if len(counts) != 1 or max(counts) > MAX_ELEMENTS:
        raise ModelError("its accessors differ in length, or are too long", place=place, remedy=DAMAGED)
    decoded, faces = _decode(stream, place)
    vertices = len(decoded.points)
    if counts != {vertices}:
        raise ModelError(f"holds {vertices:,} vertices, not {max(counts):,}", place=place, remedy=DAMAGED)
    streams = {int(a["unique_id"]): a for a in decoded.attributes}
    for name, accessor in declared.items():
        where = f"{place}, {name}"
        if not isinstance(ids[name], int) or ids[name] not in streams:
            raise ModelError(f"has no attribute {ids[name]!r}", place=where, remedy=DAMAGED)
        kind, component = accessor.get("type"), accessor.get("componentType")
        values = np.asarray(streams[ids[name]]["data"]).reshape(vertices, -1)
        if not isinstance(kind, str) or not isinstance(component, int) or isinstance(component, bool):
            raise ModelError("has an unknown componentType or type", place=where)
        if component not in COMPONENTS or values.shape[1] != WIDTHS.get(kind):
            raise ModelError(f"is not {kind[:20]} of component type {component}", place=where, remedy=DAMAGED)
        kept: Json = {k: accessor[k] for k in ("name", "normalized", "extras") if k in accessor}
        named[name] = writer.add_accessor(values.astype(COMPONENTS[component]), component, type=kind, **kept)
    if primitive.get("mode", TRIANGLES) not in (TRIANGLES, TRIANGLE_STRIP):
        raise ModelError("only triangles can be compressed", place=place, remedy=DAMAGED)
    primitive["mode"] = TRIANGLES  # the decoder returns the triangles of strips too
    primitive["indices"] = writer.add_accessor(faces, UNSIGNED_INT)


def _decode(stream: bytes, place: str) -> tuple[Any, AnyArray]:
    """The decoder's mesh, and its triangles as uint32 indices (3 m, 1)."""
    import DracoPy  # loaded on demand: few models need it

    try:
        decoded: Any = DracoPy.decode(stream)
        faces: AnyArray = np.asarray(decoded.faces, np.uint32).reshape(-1, 1)
    except Exception as error:  # the decoder raises several types
        raise ModelError(f"cannot be decoded: {str(error)[:120]}", place=place, remedy=DAMAGED) from None
    return decoded, faces
