"""The error of a tier of a skinned or morphed mesh over all poses, and the sphere that holds it in all poses.

Sample points of both surfaces are mapped onto each other at rest, where limbs are apart: each to the nearest point of
the other surface. In a pose, the distance from a point to its image bounds its distance to the posed surface. Only the
points with the largest bounds so far are searched for their true nearest point. Two margins cover the surface between
the points: the excess of the bound at rest over the distances at the points, stretched as the matrices stretch, and the
tolerance that errors have anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from ..gltf.skinning import DeformableVertices, MeshPoses
from ..mesh.closest import ClosestPoints, weights_within
from ..mesh.compiled import compiled
from ..mesh.geometric_error import TOLERANCE, GeometricError, geometric_error
from ..mesh.surface import Surface, measurable
from ..mesh.topology import unique_rows

SAMPLE_POINTS = 20_000  # of a surface; a surface with more vertices is sampled at its vertices
MAX_EDGE_PARTS = 12  # of a triangle's edge between sample points
MAX_COMBINED_TARGETS = 6  # morph targets; of more, not every combination is tried


@dataclass(frozen=True)
class PosedSurface:
    """Deformable vertices and the triangles (m, 3) between them."""

    vertices: DeformableVertices
    triangles: IntArray

    def welded(self) -> Surface:
        """The surface at rest, with one vertex for each position."""
        positions, inverse = unique_rows(self.vertices.positions)
        triangles = inverse[self.triangles]
        kinds = np.zeros(len(triangles), np.int64)
        return measurable(Surface(positions, triangles, kinds, np.zeros((len(triangles), 3, 2))))


@dataclass(frozen=True)
class _SamplePoints:
    """Points of a surface: the vertices (n, s) around each, and their weights (n, s)."""

    vertices: IntArray
    weights: FloatArray

    def interpolate(self, values: FloatArray) -> FloatArray:
        """Values (n, 3) at the points from values (m, 3) at the surface's vertices."""
        result: FloatArray = np.einsum("ns,nsj->nj", self.weights, values[self.vertices])
        return result

    def part(self, chosen: BoolArray) -> _SamplePoints:
        return _SamplePoints(self.vertices[chosen], self.weights[chosen])


def posed_error(source: PosedSurface, tier: PosedSurface, poses: Sequence[MeshPoses], floor: float) -> GeometricError:
    """Bound the two-sided distance, in the space that the nodes draw into, over all their poses and morph weights.

    Each morph weight ranges from zero to one, or as far as an animation sets it. The vector from a point to its image
    is affine in the weights, so that it is longest with each weight at an end of its range. All combinations of ends
    are tried; of many targets only: none, each alone, all but one, and all.

    poses: of each node that draws the mesh. floor: the quantisation step, as for `geometric_error`.
    """
    rest = geometric_error(source.welded(), tier.welded(), floor)
    fine, coarse = _sample(source), _sample(tier)
    fine_images, coarse_images = _nearest_at_rest(fine, source, tier), _nearest_at_rest(coarse, tier, source)

    def distances(of_source: FloatArray, of_tier: FloatArray) -> tuple[FloatArray, FloatArray]:
        """From the fine and from the coarse points to their images, for posed vertices of both surfaces."""
        return (
            _distances(fine.vertices, fine.weights, of_source, fine_images.vertices, fine_images.weights, of_tier),
            _distances(
                coarse.vertices, coarse.weights, of_tier, coarse_images.vertices, coarse_images.weights, of_source
            ),
        )

    largest_at_rest = max(float(d.max()) for d in distances(source.vertices.positions, tier.vertices.positions))
    largest = mean = 0.0
    poses = [*poses, *_extreme_weights(poses, len(source.vertices.deltas))]
    for node_poses in poses:
        sampled = node_poses.sampled(len(fine.weights) + len(coarse.weights))
        for pose in sampled:
            of_source, of_tier = source.vertices.posed(node_poses, pose), tier.vertices.posed(node_poses, pose)
            to_tier, to_source = distances(of_source, of_tier)
            mean += float(to_tier.mean()) / (len(sampled) * len(poses))
            largest = _largest_distance(largest, to_tier, fine, of_source, of_tier, tier.triangles)
            largest = _largest_distance(largest, to_source, coarse, of_tier, of_source, source.triangles)
    between_points = max(0.0, rest.bound - largest_at_rest)
    stretch = max(_largest_stretch(p) for p in poses)
    return GeometricError(largest * (1.0 + TOLERANCE) + stretch * between_points, mean)


def motion_sphere(parts: Sequence[DeformableVertices], poses: Sequence[MeshPoses]) -> tuple[float, float, float, float]:
    """Centre and radius of a sphere around all vertices in all poses, with morph weights as for `posed_error`."""
    total = sum(len(part.positions) for part in parts)
    posed = [(part, p, pose) for part in parts for p in poses for pose in p.sampled(total)]
    boxes = [(x.min(axis=0), x.max(axis=0)) for x in (part.posed(p, pose) for part, p, pose in posed)]
    centre = (np.min([low for low, _ in boxes], axis=0) + np.max([high for _, high in boxes], axis=0)) * 0.5
    radius = max(float(np.linalg.norm(part.posed(p, pose) - centre, axis=1).max()) for part, p, pose in posed)
    morphed = max(_largest_morph(part.deltas, poses) for part in parts) * max(_largest_stretch(p) for p in poses)
    x, y, z = (float(v) for v in centre)
    return x, y, z, radius + morphed


def _largest_stretch(poses: MeshPoses) -> float:
    """The largest factor by which the matrices stretch any direction."""
    return max(float(np.linalg.svd(poses.matrices[:, :, :3, :3], compute_uv=False).max()), 1e-12)


def _extreme_weights(poses: Sequence[MeshPoses], targets: int) -> list[MeshPoses]:
    """Poses with the morph weights at the ends of their ranges."""
    if targets == 0:
        return []
    low, high = _weight_ranges(poses, targets)
    if targets <= MAX_COMBINED_TARGETS:
        at_high = np.array(list(product((0, 1), repeat=targets)))
    else:
        each = np.eye(targets, dtype=np.int64)
        at_high = np.concatenate([0 * each[:1], each, 1 - each, 0 * each[:1] + 1])
    return [MeshPoses(poses[0].matrices[:1], np.where(at_high == 1, high, low))]


def _weight_ranges(poses: Sequence[MeshPoses], targets: int) -> tuple[FloatArray, FloatArray]:
    """The least and the largest weight (k,) of each morph target: zero and one, or further if an animation goes
    further."""
    animated = np.concatenate([p.weights[:, :targets] for p in poses])
    return np.minimum(animated.min(axis=0), 0.0), np.maximum(animated.max(axis=0), 1.0)


def _sample(surface: PosedSurface) -> _SamplePoints:
    """A triangular grid of points on every triangle; the corners if there are many triangles."""
    count = len(surface.triangles)
    parts = int(min((2 * SAMPLE_POINTS / count) ** 0.5, MAX_EDGE_PARTS))
    if parts < 2:
        used = np.unique(surface.triangles)
        return _SamplePoints(used[:, None], np.ones((len(used), 1)))
    grid = np.array([(i, j, parts - i - j) for i in range(parts + 1) for j in range(parts + 1 - i)]) / parts
    return _SamplePoints(np.repeat(surface.triangles, len(grid), axis=0), np.tile(grid, (count, 1)))


def _nearest_at_rest(points: _SamplePoints, surface: PosedSurface, other: PosedSurface) -> _SamplePoints:
    """The nearest points of the other surface at rest."""
    closest = ClosestPoints(other.vertices.positions, other.triangles)
    found = closest.query(points.interpolate(surface.vertices.positions))
    weights = weights_within(found.points, other.vertices.positions, other.triangles, found.triangles)
    return _SamplePoints(other.triangles[found.triangles], weights)


@compiled
def _distances(
    vertices: IntArray,
    weights: FloatArray,
    values: FloatArray,
    other_vertices: IntArray,
    other_weights: FloatArray,
    other_values: FloatArray,
) -> FloatArray:
    """Distances (n,) between the points of two lists.

    Each point is the sum of weights (n, s) times values (m, 3) at vertices (n, s) of its surface.
    """
    result = np.empty(len(vertices))
    for i in range(len(vertices)):
        squared = 0.0
        for j in range(3):
            gap = 0.0
            for k in range(vertices.shape[1]):
                gap += weights[i, k] * values[vertices[i, k], j]
            for k in range(other_vertices.shape[1]):
                gap -= other_weights[i, k] * other_values[other_vertices[i, k], j]
            squared += gap * gap
        result[i] = np.sqrt(squared)
    return result


def _largest_distance(
    largest: float, bounds: FloatArray, points: _SamplePoints, posed: FloatArray, other: FloatArray, triangles: IntArray
) -> float:
    """The largest of `largest` and of the points' distances to another posed surface, given upper bounds (n,) of these.

    posed: the vertices of the points' surface; other, triangles: the other surface.
    """
    candidates = bounds > largest
    if not candidates.any():
        return largest
    places = points.part(candidates).interpolate(posed)
    exact = ClosestPoints(other, triangles).query(places).distances
    return max(largest, float(np.minimum(exact, bounds[candidates]).max()))


def _largest_morph(deltas: FloatArray, poses: Sequence[MeshPoses]) -> float:
    """The length of the longest sum of deltas (k, n, 3) within the ranges of their weights."""
    if len(deltas) == 0:
        return 0.0
    low, high = _weight_ranges(poses, len(deltas))
    ends = np.stack([low[:, None, None] * deltas, high[:, None, None] * deltas])
    box = np.maximum(-ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0))
    return float(np.linalg.norm(box, axis=1).max())
