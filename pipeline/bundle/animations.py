"""Write animations: packed into the base, or each into a file of its own if the base would be too large.

Such a file has one animation, and nodes with the numbers and names of the base's; the viewer binds it to the base.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..arrays import FloatArray, IntArray
from ..gltf.accessors import FLOAT, read_accessor
from ..gltf.animation_sampling import Motion
from ..gltf.document import Document, Json, item, items, label, name_of
from ..gltf.glb import GENERATOR, GlbWriter
from ..gltf.node_transforms import rest_value
from ..gltf.primitives import primitives_of, read_attributes, read_targets
from ..gltf.skinning import read_deformable, read_mesh_poses
from ..trees.tree import TreeSource
from .keyframes import compact_keys

SMALL = 4096  # bytes: an animation with fewer stays in the base beside the first
SAMPLED_POINTS = 512  # of a primitive, for its reach
SAMPLED_NODES = 64  # of a tree, for its reach

# By content (bytes, componentType, type, normalized): the accessor that holds it.
PackedAccessors = dict[tuple[bytes, int, str, bool], int]


def pack_animations(document: Document, chosen: Sequence[int], writer: GlbWriter) -> list[Json]:
    """The chosen animations with compact keyframes; keys that several samplers share are stored once."""
    packed: PackedAccessors = {}
    result = []
    for index in chosen:
        animation = copy.deepcopy(items(document.json, "animations")[index])
        _pack(document, animation, writer, packed, label("animation", index, animation))
        animation["name"] = animation_name(document, index)
        result.append(animation)
    return result


def animation_name(document: Document, index: int) -> str:
    """The name of an animation in all files of the bundle; one without a name gets its number."""
    return name_of(items(document.json, "animations")[index], f"animation {index}")


def animation_glb(document: Document, index: int) -> bytes:
    """One animation as a GLB without a scene. Nodes have the base's numbers, and names if the animation moves them."""
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
        out["meshes"] = [_point_mesh(writer, count) for count in meshes]
    return writer.finish(out)


def movable_animations(document: Document) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Animations that can be files of their own: those that play only on request, and all that can be moved.

    The first animation plays at once, and short ones are not worth a file. All can be moved only if no extension ties
    one to the base, so that a base has the first animation or none.
    """
    animations = items(document.json, "animations")
    movable = tuple(index for index, animation in enumerate(animations) if not _is_tied(animation))
    on_request = tuple(index for index in movable if index > 0 and len(animation_glb(document, index)) >= SMALL)
    return on_request, movable if len(movable) == len(animations) else on_request


def reaches(document: Document, trees: Sequence[TreeSource], motion: Motion) -> list[list[float]]:
    """By animation and tree: the largest distance of the tree's points from their rest, in units of its space."""
    distances = [_distances(document, tree, motion) / tree.scale for tree in trees]
    spans = list(pairwise([*motion.starts, motion.poses]))
    spans += [(0, motion.poses)] * (len(items(document.json, "animations")) - len(spans))  # not sampled: as far as any
    return [[float(d[start:end].max(initial=0.0)) for d in distances] for start, end in spans]


def _pack(document: Document, animation: Json, writer: GlbWriter, packed: PackedAccessors, place: str) -> None:
    """Compact the keyframes of an animation in place, and let its samplers name the new accessors."""
    paths = {c["sampler"]: str(c["target"].get("path")) for c in items(animation, "channels", place)}
    for number, sampler in enumerate(items(animation, "samplers", place)):
        times = read_accessor(document, sampler.get("input"), place)
        values = read_accessor(document, sampler.get("output"), place, normalize=False)
        source = item(document.json, "accessors", sampler["output"], place)
        interpolation = sampler.get("interpolation", "LINEAR")
        if interpolation == "LINEAR":
            sampler.pop("interpolation", None)  # the default of glTF
        keys = compact_keys(times, values, source["componentType"], paths.get(number, ""), interpolation)
        normalized = bool(keys.normalized or source.get("normalized"))
        inputs = (keys.times.tobytes(), FLOAT, "SCALAR", False)
        outputs = (keys.values.tobytes(), keys.component, str(source["type"]), normalized)
        if inputs not in packed:
            packed[inputs] = writer.add_packed(keys.times, FLOAT, bounds=len(keys.times) > 0)
        if outputs not in packed:
            flags = {"normalized": True} if normalized else {}
            packed[outputs] = writer.add_packed(keys.values, keys.component, type=source["type"], **flags)
        sampler["input"], sampler["output"] = packed[inputs], packed[outputs]


def _is_tied(animation: Json) -> bool:
    """Whether an animation must stay in the base: an extension adds to it, or it animates no node."""
    holders = [animation]
    for channel in items(animation, "channels"):
        holders += [channel, channel["target"]]
    return any(h.get("extensions") for h in holders) or all(h.get("node") is None for h in holders)


def _point_mesh(writer: GlbWriter, targets: int) -> Json:
    """A mesh of one point with this number of morph targets: glTF requires one on a node with animated weights."""
    zero = [0.0, 0.0, 0.0]
    at = writer.add_accessor(np.zeros((1, 3), "<f4"), FLOAT, view=False, min=zero, max=zero)
    return {"primitives": [{"mode": 0, "attributes": {"POSITION": at}, "targets": [{"POSITION": at}] * targets}]}


def _distances(document: Document, tree: TreeSource, motion: Motion) -> FloatArray:
    """(poses,) the largest distance of a tree's sampled points from their rest, in the asset's space."""
    distances = np.zeros(motion.poses)
    if tree.mesh is None:
        return distances
    for place, primitive in primitives_of(document, tree.mesh):
        attributes = read_attributes(document, primitive, place)
        count = len(attributes["POSITION"])
        points = _spread(count, SAMPLED_POINTS)
        targets = read_targets(document, primitive, count, place)
        deltas = [t.get("POSITION", np.zeros((count, 3)))[points] for t in targets]
        for node in (tree.nodes[i] for i in _spread(len(tree.nodes), SAMPLED_NODES)):
            poses = read_mesh_poses(document, node, motion, place)
            deformable = read_deformable(
                {n: v[points] for n, v in attributes.items()}, deltas, poses.matrices.shape[1], place
            )
            rest = deformable.posed(poses, 0)
            for pose in range(1, max(len(poses.matrices), len(poses.weights))):
                moved = np.linalg.norm(deformable.posed(poses, pose) - rest, axis=1)
                distances[pose] = max(distances[pose], float(moved.max(initial=0.0)))
    return distances


def _spread(count: int, most: int) -> IntArray:
    """At most `most` indices below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))
