"""Undo KHR_draco_mesh_compression: compressed primitives of a document as plain accessors."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..errors import ModelError
from .document import COMPONENTS, DRACO, MAX_ELEMENTS, WIDTHS, Document, Json, integer, item, items, label, view_bytes

REMEDY = "the file is damaged: export it again"


def expand_draco(document: Document) -> Document:
    """The document with every Draco stream decoded into accessors of its own; itself where there is none.

    Raises ModelError for streams that cannot be decoded or do not hold what their primitive says.
    """
    meshes = items(document.json, "meshes")
    if not any(DRACO in _extensions(p) for m in meshes for p in _primitives(m)):
        return document
    json = copy.deepcopy(document.json)
    chunk = bytearray()
    buffer = len(document.buffers)
    for number, mesh in enumerate(items(json, "meshes")):
        for index, primitive in enumerate(_primitives(mesh)):
            extensions = _extensions(primitive)
            if DRACO not in extensions:
                continue
            place = f"{label('mesh', number, mesh)}, primitive {index}, {DRACO}"
            _expand(document, json, primitive, extensions.pop(DRACO), chunk, buffer, place)
            if not extensions:
                primitive.pop("extensions")
    json.setdefault("buffers", []).append({"byteLength": len(chunk)})
    for key in ("extensionsUsed", "extensionsRequired"):
        if names := [name for name in json.get(key, []) if name != DRACO]:
            json[key] = names
        else:
            json.pop(key, None)
    return replace(document, json=json, buffers=(*document.buffers, bytes(chunk)))


def _primitives(mesh: Json) -> list[Json]:
    found = mesh.get("primitives")
    return [p for p in found if isinstance(p, dict)] if isinstance(found, list) else []


def _extensions(primitive: Json) -> Json:
    found = primitive.get("extensions")
    return found if isinstance(found, dict) else {}


def _expand(
    document: Document, json: Json, primitive: Json, extension: Any, chunk: bytearray, buffer: int, place: str
) -> None:
    import DracoPy  # here, since few models need it

    ids = extension.get("attributes") if isinstance(extension, dict) else None
    named = primitive.get("attributes")
    if not isinstance(ids, dict) or not isinstance(named, dict) or not set(ids) <= set(named):
        raise ModelError("its attributes are not among the primitive's", place=place, remedy=REMEDY)
    stream = view_bytes(document, extension.get("bufferView"), place)
    declared = {name: item(json, "accessors", named[name], f"{place}, {name}") for name in sorted(ids)}
    counts = {integer(accessor, "count", f"{place}, {name}") for name, accessor in declared.items()}
    if len(counts) != 1 or max(counts) > MAX_ELEMENTS:
        raise ModelError("its accessors differ in length, or are too long", place=place, remedy=REMEDY)
    try:
        decoded: Any = DracoPy.decode(bytes(stream))
        faces: AnyArray = np.asarray(decoded.faces, np.uint32).reshape(-1, 1)
        vertices = len(decoded.points)
    except Exception as error:  # the decoder's own kinds of errors
        raise ModelError(f"cannot be decoded: {str(error)[:120]}", place=place, remedy=REMEDY) from None
    if counts != {vertices}:
        raise ModelError(f"holds {vertices:,} vertices, not {max(counts):,}", place=place, remedy=REMEDY)
    streams = {int(a["unique_id"]): a for a in decoded.attributes}
    for name, accessor in declared.items():
        here = f"{place}, {name}"
        if not isinstance(ids[name], int) or ids[name] not in streams:
            raise ModelError(f"has no attribute {ids[name]!r}", place=here, remedy=REMEDY)
        kind, component = accessor.get("type"), accessor.get("componentType")
        values = np.asarray(streams[ids[name]]["data"]).reshape(vertices, -1)
        if not isinstance(kind, str) or not isinstance(component, int) or isinstance(component, bool):
            raise ModelError("has an unknown componentType or type", place=here)
        if component not in COMPONENTS or values.shape[1] != WIDTHS.get(kind):
            raise ModelError(f"is no {kind[:20]} of component type {component}", place=here, remedy=REMEDY)
        kept: Json = {k: accessor[k] for k in ("name", "normalized", "extras") if k in accessor}
        named[name] = _add(json, chunk, buffer, values.astype(COMPONENTS[component]), component, kind, kept)
    if primitive.get("mode", 4) not in (4, 5):
        raise ModelError("only triangles can be compressed", place=place, remedy=REMEDY)
    primitive["mode"] = 4  # decoded faces are triangles, also those of strips
    primitive["indices"] = _add(json, chunk, buffer, faces, 5125, "SCALAR", {})


def _add(json: Json, chunk: bytearray, buffer: int, values: AnyArray, component: int, kind: str, kept: Json) -> int:
    chunk.extend(b"\0" * (-len(chunk) % 4))
    content = np.ascontiguousarray(values).tobytes()
    views = json.setdefault("bufferViews", [])
    views.append({"buffer": buffer, "byteOffset": len(chunk), "byteLength": len(content)})
    chunk.extend(content)
    json["accessors"].append(
        {"bufferView": len(views) - 1, "componentType": component, "count": len(values), "type": kind, **kept}
    )
    return len(json["accessors"]) - 1
