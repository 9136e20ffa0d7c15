"""Refuse documents that are small on disk and immense in memory, by adding up declared sizes before reading.

Accessors may overlap, primitives may share accessors and nodes may share meshes, so a few kilobytes can declare
terabytes. This module checks sums only; the code that reads each part checks the part.
"""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .accessors import COMPONENTS, WIDTHS
from .document import TRIANGLE_FAN, TRIANGLE_STRIP, TRIANGLES, Document, Json, items, objects_in

MAX_OVERLAP = 16  # bytes of all accessors over bytes of the buffers; exporters that repeat vertices reach 2 or 3
SMALL = 64 << 20  # bytes of accessors that are always allowed
MAX_TRIANGLES = 1 << 26  # 67 million: at half a kilobyte each, more than the memory of the largest workstations
MAX_DELTAS = 1 << 26  # of morph targets: the base contains all of them
SHARED = 4096  # triangles that copies of one mesh may add before the mesh is stored once (see trees/scene.py)
REMEDY = "the file is damaged, or must be split"


def check_sizes(document: Document) -> None:
    """Raise ModelError if a document declares far more than its file can contain, or than the pipeline can build."""
    accessors = items(document.json, "accessors")
    present = sum(map(len, document.buffers))
    # Clamp each accessor: if one alone exceeds the buffers, its reader raises the better error.
    declared = sum(min(_count(a) * _element_bytes(a), present) for a in accessors if a.get("bufferView") is not None)
    if declared > SMALL + MAX_OVERLAP * present:
        raise ModelError(f"describe {declared:,} bytes of buffers of {present:,}", place="accessors", remedy=REMEDY)
    users: dict[Any, int] = {}
    for node in items(document.json, "nodes"):
        mesh = node.get("mesh")
        if isinstance(mesh, int):
            users[mesh] = users.get(mesh, 0) + 1
    triangles = deltas = 0
    for index, mesh in enumerate(items(document.json, "meshes")):
        primitives = objects_in(mesh.get("primitives"))
        once = sum(_triangles(p, accessors) for p in primitives)
        triangles += min(once * users.get(index, 0), once + SHARED)
        deltas += sum(_deltas(p, accessors) for p in primitives)
    for total, limit, noun in ((triangles, MAX_TRIANGLES, "triangles"), (deltas, MAX_DELTAS, "moved vertices")):
        if total > limit:
            raise ModelError(f"declare {total:,} {noun}, more than {limit:,}", place="meshes", remedy=REMEDY)


def _count(accessor: Json) -> int:
    count = accessor.get("count")
    return int(count) if isinstance(count, int | float) and count > 0 else 0


def _element_bytes(accessor: Json) -> int:
    """Bytes of one element; 0 if the accessor does not declare a known type."""
    kind, component = accessor.get("type"), accessor.get("componentType")
    dtype = COMPONENTS.get(component) if isinstance(component, int) else None
    return WIDTHS.get(kind, 0) * dtype.itemsize if isinstance(kind, str) and dtype is not None else 0


def _count_at(accessors: list[Json], index: Any) -> int:
    return _count(accessors[index]) if isinstance(index, int) and 0 <= index < len(accessors) else 0


def _vertices(primitive: Json, accessors: list[Json]) -> int:
    attributes = primitive.get("attributes")
    return _count_at(accessors, attributes.get("POSITION")) if isinstance(attributes, dict) else 0


def _triangles(primitive: Json, accessors: list[Json]) -> int:
    indices = primitive.get("indices")
    corners = _vertices(primitive, accessors) if indices is None else _count_at(accessors, indices)
    mode = primitive.get("mode", TRIANGLES)
    return corners // 3 if mode == TRIANGLES else corners if mode in (TRIANGLE_STRIP, TRIANGLE_FAN) else 0


def _deltas(primitive: Json, accessors: list[Json]) -> int:
    return sum(map(len, objects_in(primitive.get("targets")))) * _vertices(primitive, accessors)
