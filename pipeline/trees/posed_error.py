"""How far a tier of a skinned or morphed mesh is from its source in every pose, and the sphere that holds it.

Points of both are mapped onto each other before anything moves, where limbs are apart: each to the nearest point of
the other surface. In a pose the distance of a point to its image bounds its distance to the posed surface; the points
for which that is the largest so far are asked for their true nearest point. What lies between the points is allowed
for twice: by how much the bound at rest exceeds what they show there, stretched as the matrices stretch, and by the
tolerance that errors have anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..arrays import FloatArray, IntArray
from ..gltf.skinning import DeformableVertices, MeshPoses
from ..mesh.closest import ClosestPoints, weights_within
from ..mesh.geometric_error import TOLERANCE, GeometricError, geometric_error
from ..mesh.surface import Surface, without_degenerates
from ..mesh.topology import unique_rows

POINTS = 20_000  # of a surface that are followed, or its vertices if those are more
FINEST_CUT = 12  # parts of an edge between points
MANY_TARGETS = 6  # morph targets of which every combination is looked at


@dataclass(frozen=True)
class PosedSurface:
    """A body and the triangles (m, 3) between its vertices."""

    body: DeformableVertices
    triangles: IntArray

    def welded(self) -> Surface:
        """The surface at rest, one vertex for each position."""
        positions, inverse = unique_rows(self.body.positions)
        triangles = inverse[self.triangles]
        none = np.zeros(len(triangles), np.int64)
        return without_degenerates(Surface(positions, triangles, none, np.zeros((len(triangles), 3, 2))))


@dataclass(frozen=True)
class _Points:
    """Points of a surface: the vertices (n, s) around each and their weights."""

    vertices: IntArray
    weights: FloatArray

    def of(self, values: FloatArray) -> FloatArray:
        """What values (…, m, 3) of the surface's vertices are at the points."""
        image: FloatArray = np.einsum("ns,...nsj->...nj", self.weights, values[..., self.vertices, :])
        return image


def posed_error(
    source: PosedSurface, tier: PosedSurface, drawings: Sequence[MeshPoses], floor: float
) -> GeometricError:
    """Bound the two-sided distance in the space that the drawings draw in, over all their poses and with every
    morph target applied from zero to one, or as far as an animation does.

    What weights do to the way from a point to its image is affine, so it is longest with each target at an end of its
    range: all such ends are looked at, or, of many targets, each alone, all but one, and all.

    floor: the quantisation step, as for `geometric_error`.
    """
    rest = geometric_error(source.welded(), tier.welded(), floor)
    fine, coarse = _points(source), _points(tier)
    on_tier, on_source = _images(fine, source, tier), _images(coarse, tier, source)
    at_rest = max(
        float(_distances(fine.of(source.body.positions), on_tier.of(tier.body.positions)).max()),
        float(_distances(coarse.of(tier.body.positions), on_source.of(source.body.positions)).max()),
    )
    worst = mean = 0.0
    drawings = [*drawings, *_with_targets(drawings, len(source.body.deltas))]
    for drawing in drawings:
        poses = drawing.sampled(len(fine.weights) + len(coarse.weights))
        for pose in poses:
            ours, theirs = source.body.posed(drawing, pose), tier.body.posed(drawing, pose)
            far, points = _distances(fine.of(ours), on_tier.of(theirs)), fine.of(ours)
            mean += float(far.mean()) / (len(poses) * len(drawings))
            worst = _furthest(worst, far, points, theirs, tier.triangles)
            far, points = _distances(coarse.of(theirs), on_source.of(ours)), coarse.of(theirs)
            worst = _furthest(worst, far, points, ours, source.triangles)
    between = max(0.0, rest.bound - at_rest)
    stretch = max(stretched(d) for d in drawings)
    return GeometricError(worst * (1.0 + TOLERANCE) + stretch * between, mean)


def motion_sphere(
    bodies: Sequence[DeformableVertices], drawings: Sequence[MeshPoses]
) -> tuple[float, float, float, float]:
    """Centre and radius of a sphere around the bodies in all poses, morph targets applied as for `posed_error`."""
    total = sum(len(body.positions) for body in bodies)
    clouds = [(b, d, pose) for b in bodies for d in drawings for pose in d.sampled(total)]
    boxes = [(p.min(axis=0), p.max(axis=0)) for p in (b.posed(d, pose) for b, d, pose in clouds)]
    centre = (np.min([low for low, _ in boxes], axis=0) + np.max([high for _, high in boxes], axis=0)) * 0.5
    radius = max(float(np.linalg.norm(b.posed(d, pose) - centre, axis=1).max()) for b, d, pose in clouds)
    morphs = max(_reach(b.deltas, drawings) for b in bodies) * max(stretched(d) for d in drawings)
    x, y, z = (float(v) for v in centre)
    return x, y, z, radius + morphs


def stretched(drawing: MeshPoses) -> float:
    """How much a drawing's matrices stretch the direction they stretch most."""
    return max(float(np.linalg.svd(drawing.matrices[:, :, :3, :3], compute_uv=False).max()), 1e-12)


def _with_targets(drawings: Sequence[MeshPoses], targets: int) -> list[MeshPoses]:
    """The ends of the weights' ranges, as poses."""
    if targets == 0:
        return []
    low, high = _ranges(drawings, targets)
    if targets <= MANY_TARGETS:
        ends = np.array(list(product((0, 1), repeat=targets)))
    else:
        one = np.eye(targets, dtype=np.int64)
        ends = np.concatenate([0 * one[:1], one, 1 - one, 0 * one[:1] + 1])
    return [MeshPoses(drawings[0].matrices[:1], np.where(ends == 1, high, low))]


def _ranges(drawings: Sequence[MeshPoses], targets: int) -> tuple[FloatArray, FloatArray]:
    """The least and the largest weight (k,) of each morph target: zero and one, or what an animation applies."""
    used = np.concatenate([d.weights[:, :targets] for d in drawings])
    return np.minimum(used.min(axis=0), 0.0), np.maximum(used.max(axis=0), 1.0)


def _points(surface: PosedSurface) -> _Points:
    """A triangular grid on every triangle, or, of many triangles, their corners."""
    count = len(surface.triangles)
    parts = int(min((2 * POINTS / count) ** 0.5, FINEST_CUT))
    if parts < 2:
        own = np.unique(surface.triangles)
        return _Points(own[:, None], np.ones((len(own), 1)))
    grid = np.array([(i, j, parts - i - j) for i in range(parts + 1) for j in range(parts + 1 - i)]) / parts
    return _Points(np.repeat(surface.triangles, len(grid), axis=0), np.tile(grid, (count, 1)))


def _images(points: _Points, surface: PosedSurface, other: PosedSurface) -> _Points:
    """The nearest points of the other surface at rest."""
    found = ClosestPoints(other.body.positions, other.triangles).query(points.of(surface.body.positions))
    weights = weights_within(found.points, other.body.positions, other.triangles, found.triangles)
    return _Points(other.triangles[found.triangles], weights)


def _distances(points: FloatArray, images: FloatArray) -> FloatArray:
    length: FloatArray = np.linalg.norm(points - images, axis=1)
    return length


def _furthest(worst: float, far: FloatArray, points: FloatArray, other: FloatArray, triangles: IntArray) -> float:
    """The largest of `worst` and the distances of points to a posed surface, of which `far` are bounds."""
    candidates = far > worst
    if not candidates.any():
        return worst
    true = ClosestPoints(other, triangles).query(points[candidates]).distances
    return max(worst, float(np.minimum(true, far[candidates]).max()))


def _reach(deltas: FloatArray, drawings: Sequence[MeshPoses]) -> float:
    """The longest sum of deltas (k, n, 3), each applied from zero to one or as far as a drawing does."""
    if len(deltas) == 0:
        return 0.0
    low, high = _ranges(drawings, len(deltas))
    ends = np.stack([low[:, None, None] * deltas, high[:, None, None] * deltas])
    box = np.maximum(-ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0))
    return float(np.linalg.norm(box, axis=1).max())
