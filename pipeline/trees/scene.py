"""Sort the meshes of a document: static, rigid or deforming, each the source of a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..arrays import FloatArray
from ..errors import ModelError
from ..gltf.animation_sampling import Motion, sample_motion
from ..gltf.document import Document, Json, items
from ..gltf.primitives import count_triangles, is_triangles, primitives_of
from .gather import GatheredPrimitives, gather_primitive, gather_transformed, loses_shape, weld_gathered
from .merged_materials import MergedPrimitives
from .moving_parts import BoundGeometry, MovingParts
from .nodes import Addressable, addressable_nodes, mesh_users, world_matrices
from .scene_bounds import scene_bounds
from .tree import TreeSource

# A mesh that several nodes draw gets a tree of its own if flattening would add more triangles than this, which is
# fewer than a region holds. A smaller one is cheaper in the request for the static tree.
MAX_COPIED_TRIANGLES = 4096
# A node that is not flattened costs a draw call in each frame and 45 bytes of the base. So meshes of at most this many
# triangles are copied, too, the smallest first, while their copies are at most this share of the triangles of all
# meshes.
SMALL_MESH = 512
COPIED_SHARE = 0.25
# If more nodes than this would be left, more such meshes are copied, the smallest first, up to so many triangles: a
# copy of a small mesh takes about the bytes of a node, but not in the base.
MANY_NODES = 256
MAX_COPIES = 1 << 20


@dataclass(frozen=True)
class DeformingMesh:
    """A skinned or morphed mesh. Each of its tiers is a whole mesh."""

    kind: Literal["skinned", "morphed"]
    nodes: tuple[int, ...]
    mesh: int
    triangles: int


@dataclass(frozen=True)
class Scene:
    """The geometry that an asset draws.

    flattened: the nodes whose triangles are in the static tree or that of moving parts.
    addressable: the nodes to which an animation or an application refers. world: rest matrices (4, 4) by node.
    low, high: the corners (3,) of the box around everything in every pose.
    notes: remarks for the artist. merged: the primitives whose materials are replaced.
    moving: the node that draws moving parts, and bound: their geometry; None without them.
    """

    trees: tuple[TreeSource, ...]
    deforming: tuple[DeformingMesh, ...]
    flattened: frozenset[int]
    addressable: Addressable
    world: dict[int, FloatArray]
    motion: Motion
    low: FloatArray
    high: FloatArray
    notes: tuple[str, ...] = ()
    merged: MergedPrimitives = field(default_factory=dict)
    moving: int | None = None
    bound: BoundGeometry | None = None

    @property
    def source_world(self) -> dict[int, FloatArray]:
        """`world` without nodes that the source lacks."""
        return {node: matrix for node, matrix in self.world.items() if node != self.moving}


def read_scene(
    document: Document,
    keep_nodes: str = "",
    merged: MergedPrimitives | None = None,
    parts: MovingParts | None = None,
) -> Scene:
    """Sort the meshes of the default scene into trees and deforming meshes.

    document: one whose links and sizes are checked.
    keep_nodes: patterns of node names, one a line. Nodes that match a pattern, that an animation moves, or that have
        extras (if they are few) are not flattened, so that an application still finds their meshes.
    merged: the primitives whose materials are replaced. parts: the nodes whose meshes become one skinned mesh.

    Raises ModelError for nodes that a scene reaches twice and for unusable geometry.
    """
    json = document.json
    world = world_matrices(json)
    motion = sample_motion(document, world)
    addressable = addressable_nodes(json, world, keep_nodes)
    users = mesh_users(json, world)
    if not users:
        raise ModelError("there is no mesh in its default scene", remedy="export at least one object")

    copied = _meshes_to_copy(document, users, addressable)
    nodes = items(json, "nodes")
    trees: list[TreeSource] = []
    deforming: dict[int, DeformingMesh] = {}
    flattened: set[int] = set()
    static = GatheredPrimitives()
    moving = _MovingGeometry(parts)
    for mesh, drawn_by in sorted(users.items()):
        primitives = primitives_of(document, mesh)
        if not any(is_triangles(p) for _, p in primitives):
            continue
        if kind := _deforming_kind(nodes, primitives, drawn_by):
            deforming[mesh] = DeformingMesh(kind, drawn_by, mesh, count_triangles(json, primitives))
            continue
        gathered = GatheredPrimitives()
        for number, (place, primitive) in enumerate(primitives):
            if is_triangles(primitive):
                gather_primitive(document, primitive, place, gathered, (merged or {}).get((mesh, number)))
        own = moving.bind(gathered, drawn_by, world)
        if not own:
            continue
        if mesh not in copied or any(loses_shape(gathered, world[n]) for n in own):
            trees += _tree_source("rigid", own, mesh, motion.scale(own), gathered)
            continue
        for node in own:
            gather_transformed(static, gathered, world[node])
            flattened.add(node)
    trees = _tree_source("static", (), None, 1.0, static) + trees
    flattened |= moving.nodes
    if parts and moving.nodes:
        count = moving.gathered.triangle_count
        deforming[parts.mesh] = DeformingMesh("skinned", (parts.node,), parts.mesh, count)
    low, high = scene_bounds(document, trees, deforming, users, motion, moving.nodes)
    notes = (
        *_notes_on_unused(json, users),
        *_notes_on_described(len(addressable.described & flattened)),
        *_notes_on_moving(len(moving.nodes)),
    )
    return Scene(
        tuple(trees),
        tuple(deforming.values()),
        frozenset(flattened),
        addressable,
        world,
        motion,
        low,
        high,
        notes,
        merged or {},
        parts.node if parts else None,
        BoundGeometry(moving.gathered, tuple(moving.joints), len(moving.nodes)) if moving.nodes else None,
    )


class _MovingGeometry:
    """Gathers the triangles of moving parts, and the joint that each array of them follows."""

    def __init__(self, parts: MovingParts | None) -> None:
        self.gathered = GatheredPrimitives()
        self.joints: list[int] = []
        self.nodes: set[int] = set()
        self._joint_of = parts.joints if parts else {}

    def bind(self, mesh: GatheredPrimitives, nodes: tuple[int, ...], world: dict[int, FloatArray]) -> tuple[int, ...]:
        """Take the mesh of the nodes to bind; the other nodes."""
        left = []
        for node in nodes:
            if node not in self._joint_of or not mesh.triangle_count or loses_shape(mesh, world[node]):
                left.append(node)
                continue
            gather_transformed(self.gathered, mesh, world[node])
            self.joints += [self._joint_of[node]] * (len(self.gathered.positions) - len(self.joints))
            self.nodes.add(node)
        return tuple(left)


def _meshes_to_copy(document: Document, users: dict[int, tuple[int, ...]], addressable: Addressable) -> frozenset[int]:
    """The meshes whose copies, one for each node, are cheaper than nodes. None that a separate node draws."""
    triangles = {mesh: count_triangles(document.json, primitives_of(document, mesh)) for mesh in users}
    left = COPIED_SHARE * sum(triangles.values())
    copied = set()
    candidates = [mesh for mesh in users if addressable.separate.isdisjoint(users[mesh])]
    for mesh in sorted(candidates, key=lambda mesh: (triangles[mesh], mesh)):
        count = triangles[mesh] * (len(users[mesh]) - 1)
        if count <= MAX_COPIED_TRIANGLES:
            copied.add(mesh)
        elif triangles[mesh] <= SMALL_MESH and count <= left:
            copied.add(mesh)
            left -= count
    nodes = sum(len(users[mesh]) for mesh in candidates if mesh not in copied)
    room = MAX_COPIES
    for mesh in sorted(set(candidates) - copied, key=lambda mesh: (triangles[mesh], mesh)):
        count = triangles[mesh] * (len(users[mesh]) - 1)
        if nodes <= MANY_NODES or triangles[mesh] > SMALL_MESH or count > room:
            break
        copied.add(mesh)
        nodes -= len(users[mesh])
        room -= count
    return frozenset(copied)


def _deforming_kind(
    nodes: list[Json], primitives: list[tuple[str, Json]], drawn_by: tuple[int, ...]
) -> Literal["skinned", "morphed"] | None:
    if any(nodes[n].get("skin") is not None for n in drawn_by):
        return "skinned"
    return "morphed" if any(p.get("targets") for _, p in primitives) else None


def _tree_source(
    kind: Literal["static", "rigid"],
    nodes: tuple[int, ...],
    mesh: int | None,
    scale: float,
    gathered: GatheredPrimitives,
) -> list[TreeSource]:
    """The source of one tree; none if the primitives hold no triangle with an area."""
    if not gathered.positions:
        return []
    source, kinds = weld_gathered(gathered)
    return [TreeSource(kind, nodes, mesh, scale, kinds, source)] if len(source.surface.triangles) else []


def _notes_on_unused(json: Json, users: dict[int, tuple[int, ...]]) -> tuple[str, ...]:
    count = len(items(json, "meshes")) - len(users)
    if not count:
        return ()
    noun, pronoun = ("mesh is", "it") if count == 1 else ("meshes are", "them")
    return (f"{count:,} {noun} left out: the default scene does not draw {pronoun}",)


def _notes_on_moving(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count:,} moving parts are one skinned mesh; --keep-nodes keeps those apart that a page moves or hides",)


def _notes_on_described(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (
        f"{count:,} nodes with extras share one geometry: asset.objects() lists them, and --keep-nodes keeps those "
        "apart that a page moves or hides",
    )
