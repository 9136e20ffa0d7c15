"""Take a document apart: which geometry becomes which tree of gaze regions, and which deforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from ..arrays import FloatArray, IntArray, concatenated
from ..errors import ModelError
from ..gltf.animation_sampling import Motion, sample_motion
from ..gltf.document import Document, Json, item, items, label
from ..gltf.node_transforms import node_matrix
from ..gltf.primitives import (
    MAX_EXTENT,
    count_triangles,
    is_triangles,
    needs_tangents,
    primitive_kind,
    primitives_of,
    read_attributes,
    read_targets,
    read_triangles,
)
from ..gltf.skinning import read_deformable, read_mesh_poses
from ..mesh.geometry import bounding_box
from ..mesh.surface import PrimitiveKind, Source, Surface
from ..mesh.topology import in_order_of_use, non_degenerate, unique_rows

TreeKind = Literal["static", "rigid", "skinned", "morphed"]

# A mesh that several nodes share is stored once when flattening its copies would add more triangles than
# a region holds; below that one request for all of them is cheaper than a tree of its own.
SHARED_TRIANGLES = 4096
FAR_STEPS = 256  # of float32 across a mesh: fewer show
MANY_POSITIONS = 5_000_000  # of all poses of all instances of a mesh: a second's work for its bounds
MAX_NODE_DEPTH = 1000  # viewers follow the hierarchy by recursion
POINTER = "KHR_animation_pointer"
VISIBILITY = "KHR_node_visibility"
INDIFFERENT = {"KHR_lights_punctual"}  # extensions of a node that say nothing of its mesh


@dataclass(frozen=True)
class TreeSource:
    """The geometry of one tree before it is built.

    nodes: source nodes that draw it; empty for the flattened static geometry.
    mesh: the source mesh it stands for; None for the flattened static geometry.
    scale: largest scale from the tree's space to the asset's.
    """

    kind: TreeKind
    nodes: tuple[int, ...]
    mesh: int | None
    scale: float
    kinds: tuple[PrimitiveKind, ...]
    source: Source


@dataclass(frozen=True)
class DeformingMesh:
    """A skinned or morphed mesh: its tiers are whole meshes."""

    kind: Literal["skinned", "morphed"]
    nodes: tuple[int, ...]
    mesh: int
    triangles: int


@dataclass(frozen=True)
class Scene:
    """What an asset draws. `flattened` are the nodes whose triangles went into the static tree; `low` and `high`
    bound it in every pose."""

    trees: tuple[TreeSource, ...]
    deforming: tuple[DeformingMesh, ...]
    flattened: frozenset[int]
    world: dict[int, FloatArray]
    motion: Motion
    low: FloatArray
    high: FloatArray
    notes: tuple[str, ...] = ()


@dataclass
class _Gathered:
    """Primitives on their way into one Source: positions (n, 3) and attributes (n, k) of the vertices that each one
    uses, and its triangles (m, 3)."""

    kinds: list[PrimitiveKind] = field(default_factory=list)
    positions: list[FloatArray] = field(default_factory=list)
    attributes: list[dict[str, FloatArray]] = field(default_factory=list)
    triangles: list[IntArray] = field(default_factory=list)
    kind_of: list[IntArray] = field(default_factory=list)


def read_scene(document: Document, keep_nodes: str = "") -> Scene:
    """Sort the meshes of the default scene into trees and deforming meshes.

    document: one whose links and sizes were checked.
    keep_nodes: patterns of node names, one a line. Nodes that match, that have extras, or that an animation
        moves are not flattened, so that an application still finds what they draw.

    Raises ModelError for nodes that a scene reaches twice and unusable geometry.
    """
    json = document.json
    nodes = items(json, "nodes")
    world = _world_matrices(json)
    motion = sample_motion(document, world)
    addressable = _moving(json, nodes) | _kept(json, nodes, keep_nodes)
    users: dict[int, list[int]] = {}
    for index in world:
        if nodes[index].get("mesh") is not None:
            item(json, "meshes", nodes[index]["mesh"], label("node", index, nodes[index]))
            users.setdefault(nodes[index]["mesh"], []).append(index)

    trees: list[TreeSource] = []
    deforming: list[DeformingMesh] = []
    flattened: set[int] = set()
    static = _Gathered()
    for mesh, drawn_by in sorted(users.items()):
        primitives = primitives_of(document, mesh)
        if not any(is_triangles(p) for _, p in primitives):
            continue
        skinned = tuple(n for n in drawn_by if nodes[n].get("skin") is not None)
        if skinned:
            deforming.append(DeformingMesh("skinned", tuple(drawn_by), mesh, count_triangles(json, primitives)))
            continue
        if any(p.get("targets") for _, p in primitives):
            deforming.append(DeformingMesh("morphed", tuple(drawn_by), mesh, count_triangles(json, primitives)))
            continue
        gathered = _Gathered()
        for place, primitive in primitives:
            if is_triangles(primitive):
                _read_primitive(document, primitive, place, gathered)
        count = sum(len(k) for k in gathered.kind_of)
        shared = len(drawn_by) > 1 and count * (len(drawn_by) - 1) > SHARED_TRIANGLES
        if shared or any(n in addressable or _is_far(gathered, world[n]) for n in drawn_by):
            source, kinds = _weld(gathered)
            if len(source.surface.triangles):
                trees.append(TreeSource("rigid", tuple(drawn_by), mesh, motion.scale(drawn_by), kinds, source))
            continue
        for node in drawn_by:
            _transform_into(static, gathered, world[node])
            flattened.add(node)
    if static.positions:
        source, kinds = _weld(static)
        if len(source.surface.triangles):
            trees.insert(0, TreeSource("static", (), None, 1.0, kinds, source))
    if not trees and not deforming and not users:
        raise ModelError("there is no mesh in its default scene", remedy="export at least one object")
    low, high = _bounds(document, trees, deforming, users, motion)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and np.abs([low, high]).max() < MAX_EXTENT):
        raise ModelError(
            f"reaches {np.abs([low, high]).max():.3g} m from its origin", remedy="check the scale of its nodes"
        )
    notes = tuple(_left_out(json, users))
    return Scene(tuple(trees), tuple(deforming), frozenset(flattened), world, motion, low, high, notes)


def _left_out(json: Json, users: dict[int, list[int]]) -> list[str]:
    """What the artist should know of what the default scene does not draw."""
    count = len(items(json, "meshes")) - len(users)
    if not count:
        return []
    noun, them = ("mesh is", "it") if count == 1 else ("meshes are", "them")
    return [f"{count:,} {noun} left out: the default scene does not draw {them}"]


def _read_primitive(document: Document, primitive: Json, place: str, into: _Gathered) -> None:
    attributes = read_attributes(document, primitive, place)
    positions = attributes.pop("POSITION").astype(np.float64)
    triangles = read_triangles(document, primitive, len(positions), place)
    known = {"NORMAL", "COLOR_0"} | ({"TANGENT"} if needs_tangents(document, primitive.get("material")) else set())
    kept = {n: v for n, v in attributes.items() if n in known or n.startswith("TEXCOORD_")}
    kind = primitive_kind(document, primitive, {"POSITION": positions, **kept})
    if kind not in into.kinds:
        into.kinds.append(kind)
    used, triangles = in_order_of_use(triangles, len(positions))
    into.positions.append(positions[used])
    into.attributes.append({name: values[used].astype(np.float64) for name, values in kept.items()})
    into.triangles.append(triangles)
    into.kind_of.append(np.full(len(triangles), into.kinds.index(kind), np.int64))


def _is_far(mesh: _Gathered, matrix: FloatArray) -> bool:
    """Whether a node puts a mesh so far out that float32 positions there would lose its shape."""
    if not any(map(len, mesh.positions)):
        return False

    def steps(positions: list[FloatArray]) -> float:
        boxes = np.array([bounding_box(p) for p in positions])
        low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
        return float((high - low).max()) / max(float(np.abs([low, high]).max()) * 2.0**-23, 1e-300)

    there = steps([_moved(p, matrix) for p in mesh.positions])
    return 0 < there < FAR_STEPS and there < 0.5 * steps(mesh.positions)


def _transform_into(into: _Gathered, mesh: _Gathered, matrix: FloatArray) -> None:
    """Append a mesh in asset space: rotated normals, and windings turned where the node mirrors."""
    linear = matrix[:3, :3]
    determinant = float(np.linalg.det(linear))
    # The cofactor matrix carries normals also where the node flattens an axis and has no inverse.
    cofactor = np.stack([np.cross(linear[(k + 1) % 3], linear[(k + 2) % 3]) for k in range(3)])
    cofactor = -cofactor if determinant < 0 else cofactor
    kinds = []
    for kind in mesh.kinds:
        if kind not in into.kinds:
            into.kinds.append(kind)
        kinds.append(into.kinds.index(kind))
    into.kind_of += [np.array(kinds, np.int64)[kind_of] for kind_of in mesh.kind_of]
    into.triangles += [_turned_over(t) if determinant < 0 else t for t in mesh.triangles]
    for positions, attributes in zip(mesh.positions, mesh.attributes, strict=True):
        # Positions are float32 in every file: rounding now keeps all later comparisons exact.
        with np.errstate(over="ignore"):  # what overflows is refused with the bounds
            into.positions.append(_moved(positions, matrix).astype(np.float32).astype(np.float64))
        turned = dict(attributes)
        if "NORMAL" in turned:
            normals = _turned(turned["NORMAL"], cofactor)
            length = np.linalg.norm(normals, axis=1, keepdims=True)
            turned["NORMAL"] = normals / np.where(length > 0, length, 1.0)
        if "TANGENT" in turned:
            along = _turned(turned["TANGENT"][:, :3], linear)
            along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-30)
            side = turned["TANGENT"][:, 3:] * (-1.0 if determinant < 0 else 1.0)
            turned["TANGENT"] = np.concatenate([along, side], axis=1)
        into.attributes.append(turned)


def _turned_over(triangles: IntArray) -> IntArray:
    # What an index of columns gives lies column by column; loops are compiled for rows.
    return np.ascontiguousarray(triangles[:, [0, 2, 1]])


def _moved(positions: FloatArray, matrix: FloatArray) -> FloatArray:
    if (matrix == np.eye(4)).all():
        return positions
    return _turned(positions, matrix[:3, :3]) + matrix[:3, 3]


def _turned(vectors: FloatArray, linear: FloatArray) -> FloatArray:
    """linear · v for each of (n, 3) vectors; term by term, since BLAS rounds differently on different processors."""
    if (linear == np.eye(3)).all():
        return vectors
    x, y, z = (vectors[:, k : k + 1] * linear[:, k] for k in range(3))
    turned: FloatArray = x + y + z
    return turned


def _weld(gathered: _Gathered) -> tuple[Source, tuple[PrimitiveKind, ...]]:
    """One Source out of gathered triangles; those that use one position twice are dropped, and kinds that
    are left without triangles with them."""
    starts = np.cumsum([0, *map(len, gathered.positions)])
    positions, inverse = unique_rows(concatenated(gathered.positions))
    vertices = concatenated([t + start if start else t for t, start in zip(gathered.triangles, starts, strict=False)])
    triangles = inverse[vertices] if len(positions) < starts[-1] else vertices
    kind_of = concatenated(gathered.kind_of)
    good = non_degenerate(triangles)
    attributes: dict[str, FloatArray] = {}
    for name in sorted({name for values in gathered.attributes for name in values}):
        width = max(values[name].shape[1] for values in gathered.attributes if name in values)
        attributes[name] = concatenated(
            [
                _padded(values.get(name), len(own), width)
                for values, own in zip(gathered.attributes, gathered.positions, strict=True)
            ]
        )
    has_uv = "TEXCOORD_0" in attributes
    uv = np.take(attributes.pop("TEXCOORD_0"), vertices, axis=0) if has_uv else np.zeros((len(vertices), 3, 2))
    present = np.bincount(kind_of[good], minlength=len(gathered.kinds)) > 0
    compact = np.cumsum(present) - 1
    source = Source(Surface(positions, triangles, compact[kind_of], uv), vertices, attributes)
    source = source if good.all() else source.part(good)
    return source, tuple(kind for kind, there in zip(gathered.kinds, present, strict=True) if there)


def _padded(values: FloatArray | None, count: int, width: int) -> FloatArray:
    """Values (n, k) of the given width: absent ones are zero, an absent alpha is one."""
    if values is None:
        return np.zeros((count, width))
    if values.shape[1] < width:
        return np.concatenate([values, np.ones((count, width - values.shape[1]))], axis=1)
    return values


def _world_matrices(json: Json) -> dict[int, FloatArray]:
    """World matrices of the nodes of the default scene, in node order."""
    nodes = items(json, "nodes")
    scenes = items(json, "scenes")
    if scenes:
        chosen = json.get("scene", 0)
        scene = item(json, "scenes", chosen, "scene")
        roots = scene.get("nodes", [])
    else:
        children = {c for n in nodes for c in n.get("children", [])}
        roots = [i for i in range(len(nodes)) if i not in children]
    world: dict[int, FloatArray] = {}
    stack: list[tuple[Any, FloatArray, int]] = [(root, np.eye(4), 1) for root in roots]
    while stack:
        index, above, depth = stack.pop()
        node = item(json, "nodes", index, "scene")
        place = label("node", index, node)
        if index in world:
            raise ModelError(
                "is reached twice: nodes form a cycle or share a child", place=place, remedy="export it again"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            world[index] = above @ node_matrix(node, place)
        if not np.abs(world[index]).max() < MAX_EXTENT:  # NaN is not less either
            raise ModelError("is scaled or moved past any real size", place=place, remedy="check its scale")
        if depth > MAX_NODE_DEPTH:
            remedy = "flatten the hierarchy: viewers cannot draw it"
            raise ModelError(f"is more than {MAX_NODE_DEPTH:,} levels deep", place=place, remedy=remedy)
        stack.extend((child, world[index], depth + 1) for child in node.get("children", []))
    return dict(sorted(world.items()))


def _moving(json: Json, nodes: list[Json]) -> set[int]:
    """Nodes that an animation moves, and everything below them."""
    moving: set[int] = set()
    for animation in items(json, "animations"):
        for channel in items(animation, "channels"):
            target = channel["target"]
            if target.get("node") is not None:
                moving.add(target["node"])
            if (node := pointed_at(target, "nodes")) is not None and node < len(nodes):
                moving.add(node)
            if (mesh := pointed_at(target, "meshes")) is not None:
                moving |= {index for index, node in enumerate(nodes) if node.get("mesh") == mesh}
    return _with_descendants(nodes, moving)


def pointed_at(target: Json, key: str) -> int | None:
    """The element of the top-level array `key` that an animation's target points at by KHR_animation_pointer."""
    extensions = target.get("extensions")
    holder = extensions.get(POINTER) if isinstance(extensions, dict) else None
    pointer = holder.get("pointer") if isinstance(holder, dict) else None
    words = pointer.split("/") if isinstance(pointer, str) else []
    return int(words[2]) if len(words) > 3 and words[1] == key and words[2].isdecimal() else None


def _with_descendants(nodes: list[Json], chosen: set[int]) -> set[int]:
    found = set(chosen)
    stack = list(chosen)
    while stack:
        for child in nodes[stack.pop()].get("children", []):
            if child not in found:
                found.add(child)
                stack.append(child)
    return found


def _kept(json: Json, nodes: list[Json], patterns: str) -> set[int]:
    """Nodes that must go on drawing what they draw: those with extras or extensions of their own or of their mesh,
    and, with all below them, those that the artist names or that an extension may hide."""
    wanted = [p for p in patterns.splitlines() if p]
    named = {
        index
        for index, node in enumerate(nodes)
        if VISIBILITY in (node.get("extensions") or {})
        or any(fnmatchcase(str(node.get("name", "")), pattern) for pattern in wanted)
    }
    meshes = items(json, "meshes")
    own = set()
    for index, node in enumerate(nodes):
        mesh = meshes[node["mesh"]] if node.get("mesh") is not None else {}
        if any(h.get("extras") or set(h.get("extensions") or {}) - INDIFFERENT for h in (node, mesh)):
            own.add(index)
    return own | _with_descendants(nodes, named)


def _bounds(
    document: Document,
    trees: list[TreeSource],
    deforming: list[DeformingMesh],
    users: dict[int, list[int]],
    motion: Motion,
) -> tuple[FloatArray, FloatArray]:
    """The box that holds everything in every pose."""
    boxes: list[FloatArray] = []
    kinds = {d.mesh: d.kind for d in deforming}
    for tree in trees:
        positions = tree.source.surface.positions
        if tree.mesh is None:
            boxes += bounding_box(positions)
        else:
            boxes += _swept(positions, [motion.world[node] for node in tree.nodes])
    for mesh, drawn_by in users.items():
        for place, primitive in primitives_of(document, mesh):
            if is_triangles(primitive) and mesh not in kinds:
                continue
            attributes = read_attributes(document, primitive, place)
            positions = attributes["POSITION"].astype(np.float64)
            if len(positions) == 0:
                continue
            if mesh not in kinds:
                boxes += _swept(positions, [motion.world[node] for node in drawn_by])
                continue
            targets = read_targets(document, primitive, len(positions), place)
            deltas = [t.get("POSITION", np.zeros_like(positions)) for t in targets]
            for node in drawn_by:
                drawing = read_mesh_poses(document, node, motion, place)
                body = read_deformable(attributes, deltas, drawing.matrices.shape[1], place)
                for pose in drawing.sampled(len(positions)):
                    posed = body.posed(drawing, pose)
                    boxes += [posed.min(axis=0), posed.max(axis=0)]
    if not boxes:
        raise ModelError("holds no geometry", remedy="export at least one object with vertices")
    return np.min(boxes, axis=0), np.max(boxes, axis=0)


def _swept(points: FloatArray, matrices: Sequence[FloatArray]) -> list[FloatArray]:
    """Lowest and highest corners of boxes around points (n, 3) that (t, 4, 4) matrices of each node move."""
    points = _outermost(points)
    if len(points) * sum(map(len, matrices)) > MANY_POSITIONS:
        # The box around the turned box of a mesh is a little large, but takes eight points a node.
        box = np.stack([points.min(axis=0), points.max(axis=0)])
        points = np.stack(np.meshgrid(*box.T), axis=-1).reshape(-1, 3)
    corners = []
    for each in matrices:
        moved = np.einsum("tij,nj->tni", each[:, :3, :3], points) + each[:, None, :3, 3]
        corners += [moved.min(axis=(0, 1)), moved.max(axis=(0, 1))]
    return corners


def _outermost(points: FloatArray) -> FloatArray:
    """The points that can be outermost under an affine map: those of the convex hull, where there is one."""
    if len(points) < 64:
        return points
    from scipy.spatial import ConvexHull, QhullError  # here, since few models need it and it takes long to load

    try:
        hull: FloatArray = points[ConvexHull(points).vertices]
    except QhullError:  # flat, or thinner than rounding
        return points
    return hull
