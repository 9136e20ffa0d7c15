"""The objects of an asset: the nodes of its source with names, extras, matrices and boxes, as a file of their own.

A base that is too large leaves out the nodes that only this file needs: the flattened ones and the groups above them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from ..arrays import FloatArray
from ..gltf.document import Document, Json, items
from ..trees.nodes import object_extras
from ..trees.scene import Scene
from ..trees.scene_bounds import rest_boxes

# More locators (nodes without a mesh and without children, as a page uses for labels) leave a base that is too large.
MAX_LOCATORS = 32
NEEDED = ("mesh", "camera", "extensions")
# Extensions whose numbers are no indices of nodes.
NODE_INDEPENDENT = {"KHR_lights_punctual", "KHR_materials_variants", "KHR_xmp_json_ld"}


def objects_json(document: Document, scene: Scene) -> bytes | None:
    """The file of objects, as docs/manifest.md specifies it; None if no node has a name or extras."""
    nodes, meshes = items(document.json, "nodes"), items(document.json, "meshes")
    parents = _parents(nodes)
    deforming = {mesh.mesh for mesh in scene.deforming}
    told = {index: object_extras(nodes[index], meshes) for index in scene.source_world}
    if not any(_name(nodes[index]) or extras is not None for index, extras in told.items()):
        return None
    boxes = rest_boxes(document, scene.source_world, deforming, scene.motion)
    objects = []
    for index, matrix in scene.source_world.items():
        box = boxes.get(index)
        objects.append(
            {
                "node": index,
                "parent": parents.get(index),
                "name": _name(nodes[index]),
                "extras": told[index],
                "matrix": _numbers(matrix.T.reshape(-1)),
                "box": None if box is None else {"min": _numbers(box[0]), "max": _numbers(box[1])},
            }
        )
    file = {"format": "streamxr/objects", "version": 1, "objects": objects}
    return json.dumps(file, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def leave_out_nodes(base: Json, scene: Scene) -> None:
    """Take the nodes out of a base that nothing in it needs; they keep their place in the array, as `{}`.

    Nodes that stay only to repeat a rigid mesh lose name and extras.

    base: the glTF of the base, with its meshes in place.
    """
    nodes = items(base, "nodes")
    needed = set(scene.addressable.required - scene.flattened) | {
        index for index, node in enumerate(nodes) if any(key in node for key in NEEDED)
    }
    needed |= {joint for skin in items(base, "skins") for joint in skin.get("joints", [])}
    needed |= {skin["skeleton"] for skin in items(base, "skins") if skin.get("skeleton") is not None}
    needed |= set(_possible_indices(base, nodes))
    locators = {
        index for index, node in enumerate(nodes) if index in scene.world and not node.get("children")
    } - scene.flattened
    if len(locators - needed) <= MAX_LOCATORS:
        needed |= locators
    parents = _parents(nodes)
    for index in list(needed):
        while (index := parents.get(index, -1)) not in needed and index >= 0:
            needed.add(index)
    repeated = {node for tree in scene.trees for node in tree.nodes} - scene.addressable.separate
    for index, node in enumerate(nodes):
        if index not in needed:
            node.clear()
        if index in repeated:
            node.pop("name", None)
            node.pop("extras", None)
        _keep_only(node, "children", needed)
    for each in items(base, "scenes"):
        _keep_only(each, "nodes", needed)


def _name(node: Json) -> str:
    name = node.get("name")
    return name if isinstance(name, str) else ""


def _parents(nodes: list[Json]) -> dict[int, int]:
    """The parent of each node that has one."""
    return {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}


def _keep_only(holder: Json, key: str, kept: Collection[int]) -> None:
    """Reduce a list of indices; glTF allows no empty one."""
    if key in holder:
        holder[key] = [index for index in holder[key] if index in kept]
        if not holder[key]:
            del holder[key]


def _possible_indices(base: Json, nodes: list[Json]) -> Iterator[int]:
    """Every integer in an extension that may name nodes, and the index in each JSON pointer to a node."""
    holders = [base, *nodes, *items(base, "scenes"), *items(base, "skins"), *items(base, "animations")]
    extensions = [pair for holder in holders for pair in holder.get("extensions", {}).items()]
    stack: list[Any] = [value for name, value in extensions if name not in NODE_INDEPENDENT]
    while stack:
        value = stack.pop()
        if isinstance(value, dict | list):
            stack.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, str) and value.startswith("/nodes/"):
            stack.extend(int(word) for word in value[:20].split("/")[2:3] if word.isdecimal())
        elif isinstance(value, int | float) and value in range(len(nodes)):
            yield int(value)


def _numbers(values: FloatArray) -> list[float | int]:
    """To seven significant digits; whole numbers without a point."""
    rounded = [float(f"{value:.7g}") for value in values.tolist()]
    return [int(value) if value.is_integer() else value for value in rounded]
