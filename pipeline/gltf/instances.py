"""EXT_mesh_gpu_instancing: a node that draws its mesh many times, as one node for each instance.

So all later stages see nodes alone: they copy small meshes, and let large ones repeat.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..arrays import FloatArray
from ..errors import ModelError, shown
from .accessors import read_accessor
from .document import Document, Json, integer, item, items, label

INSTANCING = "EXT_mesh_gpu_instancing"
MAX_INSTANCES = 100_000  # of a document; a node for each takes a kilobyte of memory
# By attribute: the property of a node, and its number of components.
TRANSFORMS = {
    "TRANSLATION": ("translation", 3),
    "ROTATION": ("rotation", 4),
    "SCALE": ("scale", 3),
}


def with_instances_as_nodes(document: Document) -> Document:
    """The document with a child for each instance of a node, which keeps its place and loses its mesh.

    document: one whose links are checked. The new nodes are the last ones. Raises ModelError for broken attributes, and
    for more than MAX_INSTANCES.
    """
    nodes = items(document.json, "nodes")
    instanced = [i for i, node in enumerate(nodes) if INSTANCING in node.get("extensions", {})]
    if not instanced:
        return document
    left = MAX_INSTANCES
    changed = [*nodes]
    for index in instanced:
        children = _instances(document, nodes[index], label("node", index, nodes[index]), left)
        left -= len(children)
        node = {key: value for key, value in nodes[index].items() if key not in ("mesh", "skin", "weights")}
        node["extensions"] = {k: v for k, v in node["extensions"].items() if k != INSTANCING}
        if not node["extensions"]:
            del node["extensions"]
        if children:
            first = len(changed)
            node["children"] = [*node.get("children", []), *range(first, first + len(children))]
        changed[index] = node
        changed += children
    json = {**document.json, "nodes": changed}
    for key in ("extensionsUsed", "extensionsRequired"):
        json[key] = [name for name in json.get(key, []) if name != INSTANCING]
        if not json[key]:
            del json[key]
    return replace(document, json=json)


def _instances(document: Document, node: Json, place: str, most: int) -> list[Json]:
    """One node for each instance of a node; none if it has no mesh."""
    place = f"{place}, {INSTANCING}"
    holder = node["extensions"][INSTANCING]
    attributes = holder.get("attributes") if isinstance(holder, dict) else None
    if not isinstance(attributes, dict):
        raise ModelError("has no attributes", place=place)
    if node.get("mesh") is None:
        return []
    counts = set()
    for name, accessor in attributes.items():
        counts.add(integer(item(document.json, "accessors", accessor, f"{place}, {name}"), "count", place))
    if len(counts) > 1:
        raise ModelError(f"its attributes have different counts: {shown(sorted(counts))}", place=place)
    count = counts.pop() if counts else 1
    if count > most:
        remedy = "export fewer, or as several models"
        raise ModelError(f"the model has more than {MAX_INSTANCES:,} instances", place=place, remedy=remedy)
    drawn: Json = {key: node[key] for key in ("mesh", "skin", "weights") if key in node}
    columns = {
        name: _values(document, attributes[attribute], count, width, f"{place}, {attribute}").tolist()
        for attribute, (name, width) in TRANSFORMS.items()
        if attribute in attributes
    }
    return [{**drawn, **{name: values[i] for name, values in columns.items()}} for i in range(count)]


def _values(document: Document, accessor: int, count: int, width: int, place: str) -> FloatArray:
    """The values (count, width) of an attribute, quaternions with a length of one."""
    values = read_accessor(document, accessor, place).astype(np.float64)
    if values.shape != (count, width) or not np.isfinite(values).all():
        raise ModelError(f"must be {count:,} times {width} finite numbers", place=place)
    if width == 4:
        length = np.linalg.norm(values, axis=1, keepdims=True)
        values = np.where(length > 1e-6, values / np.maximum(length, 1e-6), [0.0, 0.0, 0.0, 1.0])
    return values
