"""Build the chain of a skinned or morphed mesh: each tier is a whole mesh with its own weights and morph targets.

The finest tier has the artist's own vertices. A coarser one is simplified at rest; each of its vertices moves as the
nearest point of the source does, by the weights and deltas interpolated there. Corners at one position share them, so
that seams of texture or normals never open in motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..gltf.document import Document
from ..gltf.draco import EncodedPrimitive, Grid, encode_primitive
from ..gltf.skinning import DeformableVertices, MeshPoses, read_deformable, read_mesh_poses
from ..jobs.tasks import StartTasks
from ..mesh.attributes import transfer
from ..mesh.closest import ClosestPoints, weights_within
from ..mesh.geometric_error import GeometricError
from ..mesh.surface import PrimitiveKind, Surface
from ..mesh.weld import weld_corners
from ..settings import Settings
from .posed_error import PosedSurface, motion_sphere, posed_error
from .region_bounds import SPHERE_MARGIN
from .region_finish import metres_per_uv
from .rig import RestPrimitive, Rig, read_rest_primitives, read_rig, rest_source, stack_rest_attribute, stack_vertices
from .scene import DeformingMesh, Scene
from .skin_weights import blend_skin, quantise_skin, skin_sets
from .tiers import ERROR_GROWTH, TierSummary, chain, error_limits, plan_tiers, tree_grid, worthwhile_tiers
from .tree import Region, Tree, TreeSource

MIN_TRIANGLES = 64  # of a base, however heavy its morph targets
DELTA_BYTES = 14  # about what the base needs for each vertex that a morph target moves
MAX_JOINTS = 1 << 16  # JOINTS are unsigned shorts at most


@dataclass(frozen=True)
class _Tier:
    """The result of a _TierTask."""

    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    vertices: DeformableVertices
    error: GeometricError
    metres_per_uv: float | None


def build_deforming(
    document: Document,
    scene: Scene,
    mesh: DeformingMesh,
    base_triangles: int,
    settings: Settings,
    start_tasks: StartTasks,
) -> Tree:
    """Build the chain of a deforming mesh with a root of about `base_triangles`.

    Errors and spheres hold for every pose of every animation. They are in the asset's space for a skinned mesh, and in
    the mesh's own for a morphed one.
    """
    primitives, place = read_rest_primitives(document, mesh, settings, scene)
    poses = [read_mesh_poses(document, node, scene.motion, place) for node in mesh.nodes]
    if mesh.kind == "morphed":
        poses = [replace(p, matrices=np.eye(4)[None, None]) for p in poses]
    joints = min((p.matrices.shape[1] for p in poses if p.matrices.shape[1] > 1), default=1)
    rig = read_rig(primitives, joints, place)
    scale = 1.0 if mesh.kind == "skinned" else scene.motion.scale(mesh.nodes)
    kinds = tuple(p.kind for p in primitives)
    origin = TreeSource(mesh.kind, mesh.nodes, mesh.mesh, scale, kinds, rest_source(rig))
    grid = tree_grid(origin, settings)

    surface = origin.source.surface
    count = len(surface.triangles)
    root_triangles = min(base_triangles, _affordable_triangles(primitives, count, settings.base_bytes))
    _, chain_targets = plan_tiers(count, root_triangles, replace(settings, depth=0))
    stored, group_of = _stored_kinds(kinds)
    surfaces = [None, *chain(surface, chain_targets, groups=group_of)]  # the largest first, since it takes longest
    tasks = [_TierTask(s, rig, origin, poses, grid, settings) for s in surfaces]
    tiers = start_tasks("tiers", finish_tier, tasks).results()[::-1]
    kept = worthwhile_tiers([_summary(tier) for tier in tiers], *error_limits(origin, settings))
    tiers = [tiers[i] for i in kept]
    sphere = motion_sphere([*(tier.vertices for tier in tiers), rig.vertices], poses)
    return Tree(origin, grid, _linked(tiers, sphere), stored)


def _stored_kinds(kinds: Sequence[PrimitiveKind]) -> tuple[tuple[PrimitiveKind, ...], IntArray]:
    """The kinds of primitives in files, and the place (n,) of each of `kinds` among them; merged ones are joined."""
    stored: list[PrimitiveKind] = []
    place_of: dict[PrimitiveKind, int] = {}
    places = []
    for kind in kinds:
        joined = replace(kind, merged=None)
        if kind.merged is None or joined not in place_of:
            stored.append(joined)
            place = len(stored) - 1
        else:
            place = place_of[joined]
        if kind.merged is not None:
            place_of[joined] = place
        places.append(place)
    return tuple(stored), np.array(places, np.int64)


@dataclass(frozen=True)
class _TierTask:
    """A tier to finish. surface: simplified at rest; None for the source itself."""

    surface: Surface | None
    rig: Rig
    origin: TreeSource
    poses: Sequence[MeshPoses]
    grid: Grid
    settings: Settings


def finish_tier(task: _TierTask) -> _Tier:
    """Transfer the attributes, encode the primitives, and measure the error of the decoded tier."""
    rig, origin, grid = task.rig, task.origin, task.grid
    if task.surface is None:
        parts = [
            (index, _Part(quantise_skin(p.attributes), p.triangles, p.targets))
            for index, p in enumerate(rig.primitives)
        ]
    else:
        parts = _rigged(task.surface, task)
    primitives = _encoded(parts, task)
    decoded = _decoded(primitives)
    error = posed_error(PosedSurface(rig.vertices, rig.corners), decoded, task.poses, grid.step)
    first_pose = rig.vertices.posed(task.poses[0], 0)
    posed_source = Surface(first_pose, rig.corners, origin.source.surface.kinds, origin.source.surface.uv)
    return _Tier(tuple(primitives), decoded.vertices, error, metres_per_uv(posed_source, origin.kinds))


@dataclass(frozen=True)
class _Part:
    """The vertices and triangles of a tier that one primitive of the source has: as in a RestPrimitive."""

    attributes: dict[str, AnyArray]
    triangles: IntArray
    targets: Sequence[dict[str, AnyArray]]


def _rigged(surface: Surface, task: _TierTask) -> list[tuple[int, _Part]]:
    """The parts of a simplified surface, with weights and morph targets interpolated on the source."""
    rig, origin, grid = task.rig, task.origin, task.grid
    source = origin.source
    on_source = ClosestPoints(source.surface.positions, source.surface.triangles)
    corners = transfer(source, surface, list(origin.kinds), on_source)
    nearest = on_source.query(surface.positions)
    around = rig.corners[nearest.triangles]
    shares = weights_within(nearest.points, rig.vertices.positions, rig.corners, nearest.triangles)
    low = np.array(grid.origin)
    positions = np.clip(surface.positions, low, low + grid.range)
    parts = []
    for index, rest in enumerate(rig.primitives):
        of_kind = surface.kinds == index
        if not of_kind.any():
            continue
        triangles = surface.triangles[of_kind]
        named: dict[str, FloatArray] = {
            "POSITION": positions[triangles],
            "row": triangles[:, :, None].astype(np.float64),
        }
        for name in rest.attributes:
            if name == "TEXCOORD_0":
                named[name] = surface.uv[of_kind]
            elif name in corners:
                named[name] = corners[name][of_kind]
        attributes, faces = weld_corners(named)
        row = attributes.pop("row")[:, 0].astype(np.int64)
        attributes |= _rig_attributes(rest, rig, around[row], shares[row])
        targets = _interpolated_targets(rig.primitives, around[row], shares[row])
        parts.append((index, _Part(attributes, faces, targets)))
    return parts


def _encoded(parts: Sequence[tuple[int, _Part]], task: _TierTask) -> list[tuple[int, EncodedPrimitive]]:
    """One primitive for each stored kind that has parts, which are joined."""
    stored, place_of = _stored_kinds(task.origin.kinds)
    primitives = []
    for place, kind in enumerate(stored):
        own = [part for index, part in parts if place_of[index] == place]
        if own:
            part = own[0] if len(own) == 1 else _joined(own)
            encoded = encode_primitive(
                part.attributes,
                part.triangles,
                task.grid,
                task.settings,
                part.targets,
                texels=kind.texels,
                deep_colors=kind.deep_colors,
            )
            primitives.append((place, encoded))
    return primitives


def _joined(parts: Sequence[_Part]) -> _Part:
    """Parts of merged materials as one; these have no morph targets."""
    starts = np.cumsum([0, *(len(p.attributes["POSITION"]) for p in parts)])
    attributes = {name: np.concatenate([p.attributes[name] for p in parts]) for name in parts[0].attributes}
    triangles = np.concatenate([p.triangles + start for p, start in zip(parts, starts, strict=False)])
    return _Part(attributes, triangles, ())


def _rig_attributes(rest: RestPrimitive, rig: Rig, around: IntArray, shares: FloatArray) -> dict[str, AnyArray]:
    """The skin's and the application's attributes at points between three vertices each.

    around: the vertices (n, 3) of each point. shares: their barycentric weights (n, 3).
    An application's values may be codes, so they are not interpolated but taken from the vertex with the largest share.
    """
    result: dict[str, AnyArray] = {}
    if sets := skin_sets(rest.attributes):
        result |= blend_skin(sets, rig.vertices.joints[around], rig.vertices.weights[around], shares)
    nearest = around[np.arange(len(around)), shares.argmax(axis=1)]
    for name in rest.attributes:
        if name.startswith("_"):
            result[name] = stack_rest_attribute(name, rig.primitives)[nearest]
    return result


def _interpolated_targets(
    primitives: Sequence[RestPrimitive], around: IntArray, shares: FloatArray
) -> list[dict[str, AnyArray]]:
    """The deltas (n, 3) of each morph target at points between three vertices each."""
    result: list[dict[str, AnyArray]] = []
    for target in range(len(primitives[0].targets)):
        deltas: dict[str, AnyArray] = {}
        for name in sorted({n for p in primitives for n in p.targets[target]}):
            stacked = np.concatenate([p.targets[target].get(name, np.zeros((p.vertices, 3))) for p in primitives])
            deltas[name] = np.einsum("ns,nsj->nj", shares, stacked[around]).astype(np.float32)
        result.append(deltas)
    return result


def _decoded(primitives: Sequence[tuple[int, EncodedPrimitive]]) -> PosedSurface:
    """All primitives as one posed surface, as a decoder sees them."""
    parts, corners, start = [], [], 0
    for _, primitive in primitives:
        attributes = {name: a.values for name, a in primitive.attributes.items()}
        for name in [n for n in attributes if n.startswith("WEIGHTS_")]:
            attributes[name] = attributes[name].astype(np.float64) / 255
        deltas = [t.get("POSITION", np.zeros((primitive.vertices, 3))) for t in primitive.targets]
        parts.append(read_deformable(attributes, deltas, MAX_JOINTS, "decoded"))
        corners.append(primitive.triangles + start)
        start += primitive.vertices
    return PosedSurface(stack_vertices(parts), np.concatenate(corners))


def _summary(tier: _Tier) -> TierSummary:
    return TierSummary(1, tier.error.bound, tier.error.mean, sum(p.bytes for _, p in tier.primitives))


def _linked(tiers: Sequence[_Tier], sphere: tuple[float, float, float, float]) -> tuple[Region, ...]:
    """One region for each tier, coarse to fine. A region's error is more than that of each finer one."""
    x, y, z, radius = sphere
    regions: list[Region] = []
    error = 0.0
    for number in reversed(range(len(tiers))):
        tier = tiers[number]
        error = max(tier.error.bound, error * ERROR_GROWTH)
        regions.append(
            Region(
                number,
                number - 1 if number else None,
                (number + 1,) if number + 1 < len(tiers) else (),
                tier.primitives,
                (x, y, z, radius * SPHERE_MARGIN),
                None,
                error,
                tier.metres_per_uv,
            )
        )
    return tuple(regions[::-1])


def _affordable_triangles(primitives: Sequence[RestPrimitive], triangles: int, budget: int) -> int:
    """The triangles of a base whose morph targets take half of `budget` bytes."""
    moved = sum(
        int((deltas != 0).any(axis=1).sum()) for p in primitives for target in p.targets for deltas in target.values()
    )
    return max(MIN_TRIANGLES, int(budget / 2 / DELTA_BYTES * triangles / moved)) if moved else triangles
