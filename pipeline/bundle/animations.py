"""Animations on their way into files: packed into the base, or each a file of its own where the base is too large.

A file has the base's nodes, by number and name, and the one animation; the viewer binds it to the base's own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..arrays import FloatArray
from ..gltf.accessors import FLOAT, read_accessor
from ..gltf.animation_sampling import Motion
from ..gltf.document import Document, Json, item, items, label, name_of
from ..gltf.glb import GENERATOR, GlbWriter
from ..gltf.node_transforms import rest_value
from ..gltf.primitives import primitives_of, read_attributes, read_targets
from ..gltf.skinning import read_deformable, read_mesh_poses
from ..trees.tree import TreeSource
from .keyframes import compact_keys

SMALL = 4096  # bytes: shorter animations than this stay in the base beside the first
POINTS = 512  # of a primitive that are followed
NODES = 64  # of a tree that are followed

Packed = dict[tuple[bytes, int, str, bool], int]  # what accessors hold, and which they are


def pack_animations(document: Document, chosen: Sequence[int], writer: GlbWriter) -> list[Json]:
    """The chosen animations with their keyframes packed; what several samplers share is stored once."""
    packed: Packed = {}
    result = []
    for index in chosen:
        animation = copy.deepcopy(items(document.json, "animations")[index])
        _pack(document, animation, writer, packed, label("animation", index, animation))
        animation["name"] = animation_name(document, index)
        result.append(animation)
    return result


def animation_name(document: Document, index: int) -> str:
    """What an animation is called in every file: one without a name, by its number."""
    return name_of(items(document.json, "animations")[index], f"animation {index}")


def animation_glb(document: Document, index: int) -> bytes:
    """One animation as a GLB. Its nodes have the base's numbers, and names where they are moved; in no scene."""
    writer = GlbWriter()
    (animation,) = pack_animations(document, [index], writer)
    nodes = items(document.json, "nodes")
    targets = [channel["target"] for channel in items(animation, "channels")]
    moved = {t["node"]: nodes[t["node"]] for t in targets if t.get("node") is not None}
    named = [{"name": moved[i]["name"]} if moved.get(i, {}).get("name") else {} for i in range(max(moved) + 1)]
    out: Json = {"asset": {"version": "2.0", "generator": GENERATOR}, "nodes": named, "animations": [animation]}
    meshes: dict[int, int] = {}
    for target in targets:
        if target["path"] == "weights":
            count = len(rest_value(document, target["node"], "weights"))
            named[target["node"]]["mesh"] = meshes.setdefault(count, len(meshes))
    if meshes:
        out["meshes"] = [_point(writer, count) for count in meshes]
    return writer.finish(out)


def movable_animations(document: Document) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Animations that may be files of their own: at first those that nobody sees unless they are asked for, the
    long ones after the first; then all, if none is tied to the base by an extension."""
    animations = items(document.json, "animations")
    free = tuple(index for index, animation in enumerate(animations) if not _extended(animation))
    long = tuple(index for index in free if index > 0 and len(animation_glb(document, index)) >= SMALL)
    return long, free if len(free) == len(animations) else long


def reaches(document: Document, trees: Sequence[TreeSource], motion: Motion) -> list[list[float]]:
    """By animation and tree: how far points of the tree get from where they rest, in units of its space."""
    far = [_far(document, tree, motion) / tree.scale for tree in trees]
    spans = list(pairwise([*motion.starts, motion.poses]))
    spans += [(0, motion.poses)] * (len(items(document.json, "animations")) - len(spans))  # not sampled: as any other
    return [[float(f[start:end].max(initial=0.0)) for f in far] for start, end in spans]


def _pack(document: Document, animation: Json, writer: GlbWriter, packed: Packed, place: str) -> None:
    paths = {c["sampler"]: str(c["target"].get("path")) for c in items(animation, "channels", place)}
    for number, sampler in enumerate(items(animation, "samplers", place)):
        times = read_accessor(document, sampler.get("input"), place)
        values = read_accessor(document, sampler.get("output"), place, normalize=False)
        source = item(document.json, "accessors", sampler["output"], place)
        how = sampler.get("interpolation", "LINEAR")
        if how == "LINEAR":
            sampler.pop("interpolation", None)  # what glTF means without
        keys = compact_keys(times, values, source["componentType"], paths.get(number, ""), how)
        normalized = bool(keys.normalized or source.get("normalized"))
        inputs = (keys.times.tobytes(), FLOAT, "SCALAR", False)
        outputs = (keys.values.tobytes(), keys.component, str(source["type"]), normalized)
        if inputs not in packed:
            packed[inputs] = writer.add_packed(keys.times, FLOAT, bounds=len(keys.times) > 0)
        if outputs not in packed:
            said = {"normalized": True} if normalized else {}
            packed[outputs] = writer.add_packed(keys.values, keys.component, type=source["type"], **said)
        sampler["input"], sampler["output"] = packed[inputs], packed[outputs]


def _extended(animation: Json) -> bool:
    """Whether an extension says more of an animation than which nodes of the base it moves."""
    holders = [animation]
    for channel in items(animation, "channels"):
        holders += [channel, channel["target"]]
    return any(h.get("extensions") for h in holders) or all(h.get("node") is None for h in holders)


def _point(writer: GlbWriter, targets: int) -> Json:
    """A mesh of one point with so many morph targets: glTF wants one where weights are animated."""
    zero = [0.0, 0.0, 0.0]
    at = writer.add_accessor(np.zeros((1, 3), "<f4"), FLOAT, view=False, min=zero, max=zero)
    return {"primitives": [{"mode": 0, "attributes": {"POSITION": at}, "targets": [{"POSITION": at}] * targets}]}


def _far(document: Document, tree: TreeSource, motion: Motion) -> FloatArray:
    """(poses,) the largest distance of a tree's points from where they rest, in the asset's space."""
    far = np.zeros(motion.poses)
    if tree.mesh is None:
        return far
    for place, primitive in primitives_of(document, tree.mesh):
        attributes = read_attributes(document, primitive, place)
        count = len(attributes["POSITION"])
        some = np.unique(np.linspace(0, count - 1, min(POINTS, count)).round().astype(np.int64))
        targets = read_targets(document, primitive, count, place)
        deltas = [t.get("POSITION", np.zeros((count, 3)))[some] for t in targets]
        for node in _spread(tree.nodes):
            drawing = read_mesh_poses(document, node, motion, place)
            body = read_deformable(
                {n: v[some] for n, v in attributes.items()}, deltas, drawing.matrices.shape[1], place
            )
            rest = body.posed(drawing, 0)
            for pose in range(1, max(len(drawing.matrices), len(drawing.weights))):
                moved = np.linalg.norm(body.posed(drawing, pose) - rest, axis=1)
                far[pose] = max(far[pose], float(moved.max(initial=0.0)))
    return far


def _spread(nodes: Sequence[int]) -> list[int]:
    return [nodes[i] for i in np.unique(np.linspace(0, len(nodes) - 1, min(NODES, len(nodes))).round().astype(int))]
