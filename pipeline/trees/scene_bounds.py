"""The bounding box of an asset in all its poses, and those of its nodes at rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..arrays import FloatArray
from ..errors import ModelError
from ..gltf.accessors import read_accessor
from ..gltf.animation_sampling import Motion
from ..gltf.document import Document, Json
from ..gltf.primitives import MAX_EXTENT, is_triangles, primitives_of, read_attributes, read_targets
from ..gltf.skinning import read_deformable, read_mesh_poses
from ..mesh.geometry import bounding_box
from .nodes import mesh_users
from .tree import TreeSource

# Positions of one mesh, in all poses of all its nodes, that take about a second to bound.
MAX_EXACT_POSITIONS = 5_000_000
MIN_HULL_POINTS = 64  # with fewer points, a convex hull saves no time
FEW_POSES = 4  # of all nodes together, for which a convex hull saves no time


def scene_bounds(
    document: Document,
    trees: Sequence[TreeSource],
    deforming: Collection[int],
    users: Mapping[int, Sequence[int]],
    motion: Motion,
    bound: Collection[int],
) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest corner (3,) of the box that holds everything in every pose.

    deforming: the skinned and morphed meshes. users: the nodes that draw each mesh. bound: those whose triangles are in
    no tree of their own, but move.
    Raises ModelError if there is no geometry, or if it reaches past MAX_EXTENT.
    """
    corners: list[FloatArray] = []
    for tree in trees:
        positions = tree.source.surface.positions
        if tree.mesh is None:
            corners += bounding_box(positions)
        else:
            corners += _swept_corners(positions, [motion.world[node] for node in tree.nodes])
    for mesh, drawn_by in users.items():
        for place, primitive in primitives_of(document, mesh):
            if mesh in deforming:
                corners += _deformed_corners(document, primitive, drawn_by, motion, place)
            else:
                if not is_triangles(primitive):
                    read_attributes(document, primitive, place)  # nothing else has checked points and lines
                swept = [node for node in drawn_by if node in bound] if is_triangles(primitive) else drawn_by
                positions = _used_positions(document, primitive, place) if swept else np.zeros((0, 3))
                if len(positions):
                    corners += _swept_corners(positions, [motion.world[node] for node in swept])
    if not corners:
        raise ModelError("holds no geometry", remedy="export at least one object with vertices")
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and np.abs([low, high]).max() < MAX_EXTENT):
        raise ModelError(
            f"reaches {np.abs([low, high]).max():.3g} m from its origin", remedy="check the scale of its nodes"
        )
    return low, high


def rest_boxes(
    document: Document, world: Mapping[int, FloatArray], deforming: Collection[int], motion: Motion
) -> dict[int, tuple[FloatArray, FloatArray]]:
    """The lowest and the highest corner (3,) of each node that draws vertices, in the asset's space and its rest pose.

    world: rest matrices (4, 4) by node. deforming: the skinned and morphed meshes.
    """
    boxes: dict[int, tuple[FloatArray, FloatArray]] = {}
    for mesh, nodes in mesh_users(document.json, dict(world)).items():
        parts = []
        for place, primitive in primitives_of(document, mesh):
            if mesh in deforming:
                parts.append(_deformed_corners(document, primitive, nodes, motion, place, most=1))
            else:
                positions = _used_positions(document, primitive, place)
                parts.append(_swept_corners(positions, [world[n][None] for n in nodes]) if len(positions) else [])
        corners = [part for part in parts if part]
        for number, node in enumerate(nodes if corners else ()):
            low = np.min([part[2 * number] for part in corners], axis=0)
            boxes[node] = low, np.max([part[2 * number + 1] for part in corners], axis=0)
    return boxes


def _used_positions(document: Document, primitive: Json, place: str) -> FloatArray:
    """(n, 3) the finite positions that the indices name; several primitives may share one array of vertices."""
    positions = read_accessor(document, primitive["attributes"]["POSITION"], place).astype(np.float64)
    if primitive.get("indices") is not None:
        indices = read_accessor(document, primitive["indices"], place)
        used = np.zeros(len(positions), np.bool_)
        used[indices[indices < len(positions)].astype(np.int64)] = True
        positions = positions[used]
    return positions[np.isfinite(positions).all(axis=1)]


def _deformed_corners(
    document: Document, primitive: Json, nodes: Sequence[int], motion: Motion, place: str, most: int | None = None
) -> list[FloatArray]:
    """The corners of the boxes around a skinned or morphed primitive, one box for each node and pose.

    most: number of poses, the rest pose first.
    """
    attributes = read_attributes(document, primitive, place)
    positions = attributes["POSITION"].astype(np.float64)
    if len(positions) == 0:
        return []
    targets = read_targets(document, primitive, len(positions), place)
    deltas = [t.get("POSITION", np.zeros_like(positions)) for t in targets]
    corners = []
    for node in nodes:
        poses = read_mesh_poses(document, node, motion, place)
        deformable = read_deformable(attributes, deltas, poses.matrices.shape[1], place)
        for pose in poses.sampled(len(positions))[:most]:
            posed = deformable.posed(poses, pose)
            corners += [posed.min(axis=0), posed.max(axis=0)]
    return corners


def _swept_corners(points: FloatArray, matrices: Sequence[FloatArray]) -> list[FloatArray]:
    """The corners of the boxes around points (n, 3), one box for each node with its (t, 4, 4) matrices."""
    points = _outermost(points) if sum(map(len, matrices)) > FEW_POSES else points
    if len(points) * sum(map(len, matrices)) > MAX_EXACT_POSITIONS:
        # The box around the mesh's transformed box is a little too large, but needs only eight points a pose.
        box = np.stack([points.min(axis=0), points.max(axis=0)])
        points = np.stack(np.meshgrid(*box.T), axis=-1).reshape(-1, 3)
    corners = []
    for poses in matrices:
        moved = np.einsum("tij,nj->tni", poses[:, :3, :3], points) + poses[:, None, :3, 3]
        corners += [moved.min(axis=(0, 1)), moved.max(axis=(0, 1))]
    return corners


def _outermost(points: FloatArray) -> FloatArray:
    """The points of the convex hull, the only ones that can be outermost under an affine map; all if there is none."""
    if len(points) < MIN_HULL_POINTS:
        return points
    from scipy.spatial import ConvexHull, QhullError  # slow to load, and few models need it

    try:
        hull: FloatArray = points[ConvexHull(points).vertices]
    except QhullError:  # the points are flat, or thinner than rounding
        return points
    return hull
