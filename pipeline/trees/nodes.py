"""The nodes of the default scene: their world matrices, the meshes they draw, and which must stay addressable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ..arrays import FloatArray
from ..errors import ModelError
from ..gltf.animation_pointer import pointed_element
from ..gltf.document import Json, item, items, label
from ..gltf.node_transforms import node_matrix
from ..gltf.primitives import MAX_EXTENT

# More nodes with extras share the static tree: a tree of its own takes about 1 KB of the base, and so many take half of
# the smallest one.
MAX_DESCRIBED = 32
MAX_NODE_DEPTH = 1000  # viewers follow the hierarchy by recursion
VISIBILITY = "KHR_node_visibility"
MESH_INDEPENDENT = {"KHR_lights_punctual"}  # node extensions that do not concern the node's mesh


def world_matrices(json: Json) -> dict[int, FloatArray]:
    """The rest matrix (4, 4), from node to asset space, of each node of the default scene, in node order.

    Raises ModelError if nodes form a cycle, share a child, lie too deep, or are scaled or moved past MAX_EXTENT.
    """
    world: dict[int, FloatArray] = {}
    stack: list[tuple[Any, FloatArray, int]] = [(root, np.eye(4), 1) for root in _roots(json)]
    while stack:
        index, parent_matrix, depth = stack.pop()
        node = item(json, "nodes", index, "scene")
        place = label("node", index, node)
        if index in world:
            raise ModelError(
                "is reached twice: nodes form a cycle or share a child", place=place, remedy="export it again"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            world[index] = parent_matrix @ node_matrix(node, place)
        if not np.abs(world[index]).max() < MAX_EXTENT:  # also true for NaN
            raise ModelError("is scaled or moved past any real size", place=place, remedy="check its scale")
        if depth > MAX_NODE_DEPTH:
            remedy = "flatten the hierarchy: viewers cannot draw it"
            raise ModelError(f"is more than {MAX_NODE_DEPTH:,} levels deep", place=place, remedy=remedy)
        stack.extend((child, world[index], depth + 1) for child in node.get("children", []))
    return dict(sorted(world.items()))


def mesh_users(json: Json, world: dict[int, FloatArray]) -> dict[int, tuple[int, ...]]:
    """The nodes of the default scene that draw each mesh, by mesh. Raises ModelError if a mesh does not exist."""
    nodes = items(json, "nodes")
    users: dict[int, list[int]] = {}
    for index in world:
        mesh = nodes[index].get("mesh")
        if mesh is not None:
            item(json, "meshes", mesh, label("node", index, nodes[index]))
            users.setdefault(mesh, []).append(index)
    return {mesh: tuple(drawing) for mesh, drawing in users.items()}


@dataclass(frozen=True)
class Addressable:
    """The nodes to which an animation or an application refers.

    separate: the nodes whose mesh must not be flattened. required: those among them that a base needs; all but the
    nodes that have extras only. described: the nodes whose extras do not keep their mesh separate, since they are many.
    named: the separate nodes that an application may look for; the others only move.
    """

    separate: frozenset[int]
    required: frozenset[int]
    described: frozenset[int]
    named: frozenset[int]


def addressable_nodes(json: Json, world: Collection[int], patterns: str) -> Addressable:
    """The nodes to which an animation or an application refers.

    world: the nodes of the default scene. patterns: node names to keep, one pattern a line.
    """
    nodes = items(json, "nodes")
    meshes = items(json, "meshes")
    kept = _kept(nodes, meshes, patterns)
    required = _animated(json, nodes) | kept
    listed = {index for index, node in enumerate(nodes) if object_extras(node, meshes)}
    described = listed - required
    drawing = {index for index in described if index in world and nodes[index].get("mesh") is not None}
    if len(drawing) > MAX_DESCRIBED:
        return Addressable(frozenset(required), frozenset(required), frozenset(drawing), frozenset(kept))
    return Addressable(frozenset(required | described), frozenset(required), frozenset(), frozenset(kept | listed))


def object_extras(node: Json, meshes: list[Json]) -> Any:
    """The extras of a node, None without any. Those of its mesh are beneath, as they are in three.js."""
    found = [holder["extras"] for holder in (_mesh_of(node, meshes), node) if holder.get("extras")]
    if len(found) == 2 and all(isinstance(extras, dict) for extras in found):
        return {**found[0], **found[1]}
    return found[-1] if found else None


def _roots(json: Json) -> list[Any]:
    """The root nodes of the default scene; without scenes, the nodes that are no children."""
    if items(json, "scenes"):
        roots: list[Any] = item(json, "scenes", json.get("scene", 0), "scene").get("nodes", [])
        return roots
    nodes = items(json, "nodes")
    children = {c for n in nodes for c in n.get("children", [])}
    return [i for i in range(len(nodes)) if i not in children]


def _animated(json: Json, nodes: list[Json]) -> set[int]:
    """Nodes that an animation moves, with their descendants."""
    animated: set[int] = set()
    for animation in items(json, "animations"):
        for channel in items(animation, "channels"):
            target = channel["target"]
            if target.get("node") is not None:
                animated.add(target["node"])
            if (node := pointed_element(target, "nodes")) is not None and node < len(nodes):
                animated.add(node)
            if (mesh := pointed_element(target, "meshes")) is not None:
                animated |= {index for index, node in enumerate(nodes) if node.get("mesh") == mesh}
    return with_descendants(nodes, animated)


def _kept(nodes: list[Json], meshes: list[Json], patterns: str) -> set[int]:
    """Nodes that an application may look for.

    These are the nodes that have extensions, or whose mesh has. Nodes that match a pattern, or that an extension may
    hide, are kept with their descendants.
    """
    listed = [p for p in patterns.splitlines() if p]
    named = {
        index
        for index, node in enumerate(nodes)
        if VISIBILITY in (node.get("extensions") or {})
        or any(fnmatchcase(str(node.get("name", "")), pattern) for pattern in listed)
    }
    extended = {
        index
        for index, node in enumerate(nodes)
        if any(set(holder.get("extensions") or {}) - MESH_INDEPENDENT for holder in (node, _mesh_of(node, meshes)))
    }
    return extended | with_descendants(nodes, named)


def _mesh_of(node: Json, meshes: list[Json]) -> Json:
    """The mesh of a node; empty without one."""
    return meshes[node["mesh"]] if node.get("mesh") is not None else {}


def with_descendants(nodes: list[Json], chosen: set[int]) -> set[int]:
    """The chosen nodes and all those below them."""
    found = set(chosen)
    stack = list(chosen)
    while stack:
        for child in nodes[stack.pop()].get("children", []):
            if child not in found:
                found.add(child)
                stack.append(child)
    return found
