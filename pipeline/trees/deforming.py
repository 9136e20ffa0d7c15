"""Skinned and morphed meshes: a chain of whole meshes, each with its weights and morph targets.

The finest tier has the artist's own vertices. A coarser one is simplified at rest; each of its vertices hangs where
the nearest point of the source hangs, by the weights and deltas around that point. Corners at one position share
them, so that seams of texture or normal never open in motion.
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
from ..mesh.surface import Source, Surface
from ..mesh.topology import unique_rows
from ..mesh.weld import weld_corners
from ..settings import Settings
from .posed_error import PosedSurface, motion_sphere, posed_error
from .region_finish import metres_per_uv
from .regions import IMPROVEMENT, WORTHWHILE, Region, Tree, chain, length_in, plan_tiers, tree_grid
from .rig import Shape, encodable, read_shapes, skin_bytes, skin_sets
from .scene import DeformingMesh, Scene, TreeSource

FEWEST_TRIANGLES = 64  # of a base whose morph targets are heavy


@dataclass(frozen=True)
class _Tier:
    """What a worker returns for one tier."""

    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    body: DeformableVertices
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

    Errors and spheres are in the asset's space for a skinned mesh, in its own for a morphed one, and hold for every
    pose of every animation.
    """
    shapes, place = read_shapes(document, mesh, settings)
    drawings = [read_mesh_poses(document, node, scene.motion, place) for node in mesh.nodes]
    if mesh.kind == "morphed":
        drawings = [replace(d, matrices=np.eye(4)[None, None]) for d in drawings]
    joints = min((d.matrices.shape[1] for d in drawings if d.matrices.shape[1] > 1), default=1)
    origin, body, vertex = _joined(shapes, mesh, scene, joints, place)
    surface = origin.source.surface
    grid = tree_grid(origin, settings)

    count = len(surface.triangles)
    wanted = min(base_triangles, _affordable(shapes, count, settings.base_bytes))
    _, targets = plan_tiers(count, wanted, replace(settings, depth=0))
    coarser = chain(surface, targets)
    rig = _Rig(tuple(shapes), body, vertex)
    tasks = [_TierTask(c, rig, origin, drawings, grid, settings) for c in [None, *coarser]]  # the largest first
    tiers = start_tasks("tiers", finish_tier, tasks).results()[::-1]
    coarsest, finest = (length_in(e, surface, origin.scale) for e in settings.errors)
    tiers = _worthwhile(tiers, coarsest, finest)
    sphere = motion_sphere([tier.body for tier in tiers] + [body], drawings)
    return Tree(origin, grid, _linked(tiers, sphere))


@dataclass(frozen=True)
class _Rig:
    """The source's vertices, all shapes one after the other, and the vertex (m, 3) at each corner."""

    shapes: tuple[Shape, ...]
    body: DeformableVertices
    vertex: IntArray


@dataclass(frozen=True)
class _TierTask:
    """A tier to finish. surface: simplified at rest; None for the source itself."""

    surface: Surface | None
    rig: _Rig
    origin: TreeSource
    drawings: Sequence[MeshPoses]
    grid: Grid
    settings: Settings


def finish_tier(task: _TierTask) -> _Tier:
    """Transfer the attributes, encode the primitives, and measure the error of the decoded tier."""
    surface, rig, origin, grid, settings = task.surface, task.rig, task.origin, task.grid, task.settings
    if surface is None:
        surface = origin.source.surface
        primitives = [
            (k, _encoded(s, encodable(s.attributes), s.triangles, s.targets, grid, settings))
            for k, s in enumerate(rig.shapes)
        ]
    else:
        primitives = _hung(surface, rig, origin, grid, settings)
    decoded = _decoded(primitives)
    source = PosedSurface(rig.body, rig.vertex)
    error = posed_error(source, decoded, task.drawings, grid.step)
    posed = rig.body.posed(task.drawings[0], 0)
    moved = Surface(posed, rig.vertex, origin.source.surface.kinds, origin.source.surface.uv)
    return _Tier(tuple(primitives), decoded.body, error, metres_per_uv(moved, origin.kinds))


def _hung(
    surface: Surface, rig: _Rig, origin: TreeSource, grid: Grid, settings: Settings
) -> list[tuple[int, EncodedPrimitive]]:
    """The primitives of a simplified surface, hung on the source's joints and morph targets."""
    source = origin.source
    on_source = ClosestPoints(source.surface.positions, source.surface.triangles)
    corners = transfer(source, surface, list(origin.kinds), on_source)
    found = on_source.query(surface.positions)
    around = rig.vertex[found.triangles]
    weights = weights_within(found.points, rig.body.positions, rig.vertex, found.triangles)
    nearest = around[np.arange(len(around)), weights.argmax(axis=1)]
    low = np.array(grid.origin)
    on_grid = np.clip(surface.positions, low, low + grid.range)
    primitives = []
    for index, shape in enumerate(rig.shapes):
        mine = surface.kinds == index
        if not mine.any():
            continue
        triangles = surface.triangles[mine]
        named: dict[str, FloatArray] = {"POSITION": on_grid[triangles], "row": triangles[:, :, None].astype(np.float64)}
        for name in shape.attributes:
            if name == "TEXCOORD_0":
                named[name] = surface.uv[mine]
            elif name in corners:
                named[name] = corners[name][mine]
        attributes, faces = weld_corners(named)
        row = attributes.pop("row")[:, 0].astype(np.int64)
        attributes |= _weights_at(shape, rig.body, around[row], weights[row])
        own = [n for n in shape.attributes if n.startswith("_")]
        if own:
            attributes |= _values_at(own, rig.shapes, nearest[row])
        moves = _targets_at(rig.shapes, around[row], weights[row])
        primitives.append((index, _encoded(shape, attributes, faces, moves, grid, settings)))
    return primitives


def _encoded(
    shape: Shape,
    attributes: dict[str, AnyArray],
    triangles: IntArray,
    targets: Sequence[dict[str, AnyArray]],
    grid: Grid,
    settings: Settings,
) -> EncodedPrimitive:
    kind = shape.kind
    return encode_primitive(
        attributes, triangles, grid, settings, targets, texels=kind.texels, deep_colors=kind.deep_colors
    )


def _weights_at(shape: Shape, body: DeformableVertices, around: IntArray, shares: FloatArray) -> dict[str, FloatArray]:
    """JOINTS and WEIGHTS at points between three vertices each: the heaviest joints of all three."""
    sets = skin_sets(shape.attributes)
    if not sets:
        return {}
    joints = body.joints[around].reshape(len(around), -1)
    weights = (body.weights[around] * shares[:, :, None]).reshape(len(around), -1)
    order = np.argsort(joints, axis=1, kind="stable")
    joints, weights = np.take_along_axis(joints, order, 1), np.take_along_axis(weights, order, 1)
    for k in range(joints.shape[1] - 1, 0, -1):  # equal joints stand side by side: the first gets the sum
        same = joints[:, k] == joints[:, k - 1]
        weights[:, k - 1] += np.where(same, weights[:, k], 0.0)
        weights[:, k] = np.where(same, 0.0, weights[:, k])
    width = 4 * len(sets)
    heavy = np.argsort(-weights, axis=1, kind="stable")[:, :width]
    joints, weights = np.take_along_axis(joints, heavy, 1), np.take_along_axis(weights, heavy, 1)
    short = width - joints.shape[1]
    if short > 0:
        joints, weights = np.pad(joints, ((0, 0), (0, short))), np.pad(weights, ((0, 0), (0, short)))
    return skin_bytes(sets, joints, weights)


def _values_at(names: Sequence[str], shapes: Sequence[Shape], vertices: IntArray) -> dict[str, FloatArray]:
    """An application's own values: whatever they mean, those of a vertex that exists."""
    result = {}
    for name in names:
        width = max(s.attributes[name].shape[1] for s in shapes if name in s.attributes)
        absent = [np.zeros((len(s.attributes["POSITION"]), width)) for s in shapes]
        stacked = np.concatenate([s.attributes.get(name, a) for s, a in zip(shapes, absent, strict=True)])
        result[name] = stacked[vertices].astype(np.float64)
    return result


def _targets_at(shapes: Sequence[Shape], around: IntArray, shares: FloatArray) -> list[dict[str, AnyArray]]:
    """Morph targets' deltas at points between three vertices each."""
    result: list[dict[str, AnyArray]] = []
    for target in range(len(shapes[0].targets)):
        moves: dict[str, AnyArray] = {}
        for name in sorted({n for s in shapes for n in s.targets[target]}):
            stacked = np.concatenate(
                [s.targets[target].get(name, np.zeros((len(s.attributes["POSITION"]), 3))) for s in shapes]
            )
            moves[name] = np.einsum("ns,nsj->nj", shares, stacked[around]).astype(np.float32)
        result.append(moves)
    return result


def _decoded(primitives: Sequence[tuple[int, EncodedPrimitive]]) -> PosedSurface:
    """All primitives as one posed surface, as a decoder will see them."""
    bodies, triangles, offset = [], [], 0
    for _, primitive in primitives:
        attributes = {name: a.values for name, a in primitive.attributes.items()}
        for name in [n for n in attributes if n.startswith("WEIGHTS_")]:
            attributes[name] = attributes[name].astype(np.float64) / 255
        deltas = [t.get("POSITION", np.zeros((primitive.vertices, 3))) for t in primitive.targets]
        bodies.append(read_deformable(attributes, deltas, 1 << 16, "decoded"))
        triangles.append(primitive.triangles + offset)
        offset += primitive.vertices
    return PosedSurface(_stacked(bodies), np.concatenate(triangles))


def _stacked(bodies: Sequence[DeformableVertices]) -> DeformableVertices:
    width = max(b.joints.shape[1] for b in bodies)
    padding = [((0, 0), (0, width - b.joints.shape[1])) for b in bodies]
    return DeformableVertices(
        np.concatenate([b.positions for b in bodies]),
        np.concatenate([np.pad(b.joints, p) for b, p in zip(bodies, padding, strict=True)]),
        np.concatenate([np.pad(b.weights, p) for b, p in zip(bodies, padding, strict=True)]),
        np.concatenate([b.deltas for b in bodies], axis=1),
    )


def _joined(
    shapes: Sequence[Shape], mesh: DeformingMesh, scene: Scene, joints: int, place: str
) -> tuple[TreeSource, DeformableVertices, IntArray]:
    """All shapes as one surface at rest, their vertices as one body, and the vertex at each corner."""
    bodies, vertex, offset = [], [], 0
    for shape in shapes:
        deltas = [t.get("POSITION", np.zeros_like(shape.attributes["POSITION"])) for t in shape.targets]
        bodies.append(read_deformable(shape.attributes, deltas, joints, place))
        vertex.append(shape.triangles + offset)
        offset += len(shape.attributes["POSITION"])
    body, at = _stacked(bodies), np.concatenate(vertex)
    positions, inverse = unique_rows(body.positions)
    kind_of = np.repeat(np.arange(len(shapes)), [len(s.triangles) for s in shapes])
    carried = sorted({n for s in shapes for n in s.attributes if n != "POSITION" and n.split("_")[0] in CARRIED})
    attributes: dict[str, FloatArray] = {}
    for name in carried:
        width = max(s.attributes[name].shape[1] for s in shapes if name in s.attributes)
        values = [s.attributes.get(name, np.zeros((len(s.attributes["POSITION"]), width))) for s in shapes]
        attributes[name] = np.concatenate([_widened(v, width) for v in values]).astype(np.float64)
    uv = attributes.pop("TEXCOORD_0")[at] if "TEXCOORD_0" in attributes else np.zeros((len(at), 3, 2))
    source = Source(Surface(positions, inverse[at], kind_of, uv), at, attributes)
    scale = 1.0 if mesh.kind == "skinned" else scene.motion.scale(mesh.nodes)
    return TreeSource(mesh.kind, mesh.nodes, mesh.mesh, scale, tuple(s.kind for s in shapes), source), body, at


CARRIED = ("NORMAL", "TANGENT", "TEXCOORD", "COLOR")


def _widened(values: AnyArray, width: int) -> AnyArray:
    """Colours without alpha are opaque."""
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=1)


def _worthwhile(tiers: list[_Tier], coarsest: float, finest: float) -> list[_Tier]:
    """The tiers that earn their bytes, coarse to fine, both ends among them; see `Settings` for the errors."""
    while len(tiers) > 1 and tiers[0].error.bound > coarsest:
        tiers = tiers[1:]
    last = next((i for i, tier in enumerate(tiers) if tier.error.bound <= finest), len(tiers) - 1)
    tiers = tiers[: last + 1]
    sizes = [sum(p.bytes for _, p in tier.primitives) for tier in tiers]
    kept = [0]
    for number in range(1, len(tiers) - 1):
        better = tiers[number].error.mean <= IMPROVEMENT * tiers[kept[-1]].error.mean
        if better and sizes[number] <= WORTHWHILE * sizes[number + 1]:
            kept.append(number)
    if len(tiers) > 1:
        kept.append(len(tiers) - 1)
    return [tiers[number] for number in kept]


def _linked(tiers: Sequence[_Tier], sphere: tuple[float, float, float, float]) -> tuple[Region, ...]:
    x, y, z, radius = sphere
    regions: list[Region] = []
    error = 0.0
    for number in reversed(range(len(tiers))):
        tier = tiers[number]
        error = max(tier.error.bound, error * 1.0001)
        regions.insert(
            0,
            Region(
                number,
                number - 1 if number else None,
                (number + 1,) if number + 1 < len(tiers) else (),
                tier.primitives,
                (x, y, z, radius * 1.000001),
                None,
                error,
                tier.metres_per_uv,
            ),
        )
    return tuple(regions)


def _affordable(shapes: Sequence[Shape], triangles: int, budget: int) -> int:
    """How many triangles a base can have before its morph targets alone take half of the budget."""
    moving = sum(
        int((values != 0).any(axis=1).sum()) for s in shapes for target in s.targets for values in target.values()
    )
    return max(FEWEST_TRIANGLES, int(budget / 2 / 14 * triangles / moving)) if moving else triangles
