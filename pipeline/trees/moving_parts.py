"""Bind many small parts that animations move to one skinned mesh, whose joints are the nodes that move.

A part of its own costs half a kilobyte of the base and a draw call, however few triangles it has. A vertex that follows
one joint moves exactly as its part does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, FloatArray, concatenated
from ..gltf.accessors import FLOAT
from ..gltf.animation_pointer import pointed_element
from ..gltf.document import Document, Json, items
from ..gltf.primitives import count_triangles, is_triangles, primitives_of
from ..mesh.surface import PrimitiveKind
from .gather import GatheredPrimitives
from .nodes import addressable_nodes, with_descendants, world_matrices

MANY_MOVING = 32  # moving parts; fewer stay nodes with meshes of their own
MAX_PART_TRIANGLES = 8192  # a larger part has tiers of its own
MAX_BOUND_TRIANGLES = 1 << 19  # the finest tier of a skinned mesh is one file
MAX_CONDITION = 1e4  # of the rest matrix of a joint, whose inverse is stored in float32
NAME = "StreamXR moving parts"
TRANSFORMS = ("translation", "rotation", "scale")


@dataclass(frozen=True)
class MovingParts:
    """A skinned mesh for moving parts. node, mesh: new ones of the document, the mesh without primitives.

    joints: the number of the joint in its skin that each bound node follows.
    """

    node: int
    mesh: int
    joints: Mapping[int, int]


@dataclass(frozen=True)
class BoundGeometry:
    """The triangles of all bound parts in asset space at rest. joints: that of each array of `gathered`.
    parts: their number."""

    gathered: GatheredPrimitives
    joints: tuple[int, ...]
    parts: int

    def primitives(self) -> list[tuple[PrimitiveKind, dict[str, AnyArray], AnyArray]]:
        """(kind, attributes (n, k), triangles (m, 3)) of each kind, with joints and weights."""
        gathered, result = self.gathered, []
        kind_of = [int(kinds[0]) if len(kinds) else -1 for kinds in gathered.kind_of]
        for index, kind in enumerate(gathered.kinds):
            own = [i for i, of in enumerate(kind_of) if of == index]
            if not own:
                continue
            counts = [len(gathered.positions[i]) for i in own]
            starts = np.cumsum([0, *counts])
            attributes: dict[str, AnyArray] = {"POSITION": concatenated([gathered.positions[i] for i in own])}
            for name in gathered.attributes[own[0]]:
                attributes[name] = concatenated([gathered.attributes[i][name] for i in own])
            joints = np.zeros((starts[-1], 4), np.uint16)
            joints[:, 0] = np.repeat([self.joints[i] for i in own], counts)
            weights = np.zeros((starts[-1], 4), np.float32)
            weights[:, 0] = 1
            attributes |= {"JOINTS_0": joints, "WEIGHTS_0": weights}
            triangles = concatenated([gathered.triangles[i] + s for i, s in zip(own, starts, strict=False)])
            result.append((replace(kind, attributes=tuple(sorted(attributes))), attributes, triangles))
        return result


def bind_moving_parts(document: Document, keep_nodes: str = "") -> tuple[Document, MovingParts | None]:
    """Choose the parts to bind, and add a node with mesh and skin for them; None if there are fewer than MANY_MOVING.

    document: one whose links are checked. keep_nodes: as for `read_scene`.

    Parts are nodes whose own transform or that of a node above is animated. Not bound are those that an application may
    look for, that an animation points at, or whose meshes deform, have points, lines or more than MAX_PART_TRIANGLES.
    """
    json = document.json
    world = world_matrices(json)
    if not items(json, "animations"):
        return document, None
    anchor_of = _anchors(json, world)
    held = addressable_nodes(json, world, keep_nodes).named | _pointed(json)
    nodes = items(json, "nodes")
    moving = [n for n in world if n in anchor_of and n not in held and nodes[n].get("mesh") is not None]
    if len(moving) <= MANY_MOVING:
        return document, None
    triangles = {node: _part_triangles(document, nodes[node]) for node in moving}
    left, bound = MAX_BOUND_TRIANGLES, []
    for node in sorted(moving, key=lambda node: (triangles[node], node)):
        fits = 0 < triangles[node] <= min(left, MAX_PART_TRIANGLES)
        if fits and np.linalg.cond(world[anchor_of[node]][:3, :3]) < MAX_CONDITION:
            bound.append(node)
            left -= triangles[node]
    if len(bound) < 2:
        return document, None
    anchors = sorted({anchor_of[node] for node in bound})
    inverse = np.stack([np.linalg.inv(world[anchor]).T.reshape(16) for anchor in anchors])
    document = _with_skin(document, anchors, inverse)
    joint_of = {anchor: number for number, anchor in enumerate(anchors)}
    joints = {node: joint_of[anchor_of[node]] for node in sorted(bound)}
    json = document.json
    return document, MovingParts(len(items(json, "nodes")) - 1, len(items(json, "meshes")) - 1, joints)


def _anchors(json: Json, world: Mapping[int, FloatArray]) -> dict[int, int]:
    """The nearest node at or above each node whose transform an animation moves."""
    nodes = items(json, "nodes")
    channels = [c["target"] for a in items(json, "animations") for c in items(a, "channels")]
    moved = {t["node"] for t in channels if t.get("node") is not None and t.get("path") in TRANSFORMS}
    anchor_of: dict[int, int] = {}
    children = {child for index in world for child in nodes[index].get("children", [])}
    stack = [(index, -1) for index in world if index not in children]
    while stack:
        index, anchor = stack.pop()
        anchor = index if index in moved else anchor
        if anchor >= 0:
            anchor_of[index] = anchor
        stack += [(child, anchor) for child in nodes[index].get("children", [])]
    return anchor_of


def _pointed(json: Json) -> set[int]:
    """The nodes that a pointer of an animation names, or whose mesh it names, and those below."""
    nodes = items(json, "nodes")
    pointed: set[int] = set()
    for target in (c["target"] for a in items(json, "animations") for c in items(a, "channels")):
        if (node := pointed_element(target, "nodes")) is not None and node < len(nodes):
            pointed.add(node)
        if (mesh := pointed_element(target, "meshes")) is not None:
            pointed |= {index for index, node in enumerate(nodes) if node.get("mesh") == mesh}
    return with_descendants(nodes, pointed)


def _part_triangles(document: Document, node: Json) -> int:
    """The triangles of a node's mesh; 0 if it deforms, or has points or lines."""
    primitives = primitives_of(document, node["mesh"])
    plain = all(is_triangles(p) and not p.get("targets") for _, p in primitives)
    return count_triangles(document.json, primitives) if plain and node.get("skin") is None else 0


def _with_skin(document: Document, joints: list[int], inverse: FloatArray) -> Document:
    """The document with a node that draws a new, empty mesh by a new skin. inverse: (j, 16) matrices by column."""
    json = dict(document.json)
    content = inverse.astype("<f4").tobytes()
    added: dict[str, Json] = {
        "buffers": {"byteLength": len(content)},
        "bufferViews": {"buffer": len(document.buffers), "byteLength": len(content)},
        "accessors": {
            "bufferView": len(items(json, "bufferViews")),
            "componentType": FLOAT,
            "count": len(joints),
            "type": "MAT4",
        },
        "skins": {"joints": joints, "inverseBindMatrices": len(items(json, "accessors"))},
        "meshes": {"name": NAME, "primitives": []},
        "nodes": {"name": NAME, "mesh": len(items(json, "meshes")), "skin": len(items(json, "skins"))},
    }
    json |= {key: [*items(json, key), value] for key, value in added.items()}
    if not items(json, "scenes"):
        return replace(document, json=json, buffers=(*document.buffers, content))
    scenes = [*items(json, "scenes")]
    default = json.get("scene", 0)
    scenes[default] = {**scenes[default], "nodes": [*scenes[default].get("nodes", []), len(json["nodes"]) - 1]}
    return replace(document, json=json | {"scenes": scenes}, buffers=(*document.buffers, content))
