"""Refuse documents that are small on disk and immense in memory: what is declared is added up before it is read.

Accessors may overlap, primitives may share accessors and meshes may be drawn many times, so a few kilobytes can
ask for terabytes. Only sums are judged here; whether each part is sound is for whoever reads it.
"""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .accessors import COMPONENTS, WIDTHS
from .document import Document, Json, items

MAX_OVERLAP = 16  # times that all accessors together may read the file: exporters that repeat vertices reach 2 or 3
SMALL = 64 << 20  # bytes of accessors that are never too many
MAX_TRIANGLES = 1 << 26  # 67 million: at half a kilobyte each past the memory of the largest workstations
MAX_DELTAS = 1 << 26  # of morph targets, which all travel in the base
SHARED = 4096  # triangles that copies of one mesh may add before it is stored once (see scene.py)
REMEDY = "the file is damaged, or must be split"


def check_sizes(document: Document) -> None:
    """Raise ModelError when a document declares far more than its file can hold, or than can be built."""
    accessors = items(document.json, "accessors")
    present = sum(map(len, document.buffers))
    # One that alone is past the end is for its reader to name.
    declared = sum(min(_count(a) * _width(a), present) for a in accessors if a.get("bufferView") is not None)
    if declared > SMALL + MAX_OVERLAP * present:
        raise ModelError(f"describe {declared:,} bytes of buffers of {present:,}", place="accessors", remedy=REMEDY)
    users: dict[Any, int] = {}
    for node in items(document.json, "nodes"):
        mesh = node.get("mesh")
        if isinstance(mesh, int):
            users[mesh] = users.get(mesh, 0) + 1
    triangles = deltas = 0
    for index, mesh in enumerate(items(document.json, "meshes")):
        found = mesh.get("primitives")
        primitives = [p for p in found if isinstance(p, dict)] if isinstance(found, list) else []
        once = sum(_triangles(p, accessors) for p in primitives)
        triangles += min(once * users.get(index, 0), once + SHARED)
        deltas += sum(_deltas(p, accessors) for p in primitives)
    for total, limit, noun in ((triangles, MAX_TRIANGLES, "triangles"), (deltas, MAX_DELTAS, "moved vertices")):
        if total > limit:
            raise ModelError(f"declare {total:,} {noun}, more than {limit:,}", place="meshes", remedy=REMEDY)


def _count(accessor: Json) -> int:
    count = accessor.get("count")
    return int(count) if isinstance(count, int | float) and count > 0 else 0


def _width(accessor: Json) -> int:
    """Bytes of one element."""
    kind, component = accessor.get("type"), accessor.get("componentType")
    dtype = COMPONENTS.get(component) if isinstance(component, int) else None
    return WIDTHS.get(kind, 0) * dtype.itemsize if isinstance(kind, str) and dtype is not None else 0


def _named(accessors: list[Json], index: Any) -> int:
    return _count(accessors[index]) if isinstance(index, int) and 0 <= index < len(accessors) else 0


def _vertices(primitive: Json, accessors: list[Json]) -> int:
    attributes = primitive.get("attributes")
    return _named(accessors, attributes.get("POSITION")) if isinstance(attributes, dict) else 0


def _triangles(primitive: Json, accessors: list[Json]) -> int:
    indices = primitive.get("indices")
    corners = _vertices(primitive, accessors) if indices is None else _named(accessors, indices)
    mode = primitive.get("mode", 4)
    return corners // 3 if mode == 4 else corners if mode in (5, 6) else 0


def _deltas(primitive: Json, accessors: list[Json]) -> int:
    targets = primitive.get("targets")
    number = sum(len(t) for t in targets if isinstance(t, dict)) if isinstance(targets, list) else 0
    return number * _vertices(primitive, accessors)
