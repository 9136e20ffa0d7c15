"""How far a tier of a skinned or morphed mesh is from its source in every pose, and the sphere that holds it.

Both are mapped onto each other before anything moves, where limbs are apart: each vertex of one to the nearest
point of the other. In a pose the distance of a vertex to its image bounds its distance to the posed surface; the
vertices for which that is the largest so far are asked for their true nearest point. What a triangle's inside may be
further away than its corners is measured once, at rest, and stretched as the matrices stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .closest import ClosestPoints, barycentric
from .geometric_error import GeometricError, geometric_error
from .pose import Body, Drawing
from .surface import FloatArray, IntArray, Surface, unique_rows, without_degenerates


@dataclass(frozen=True)
class PosedSurface:
    """A body and the triangles (m, 3) between its vertices."""

    body: Body
    triangles: IntArray

    def welded(self) -> Surface:
        """The surface at rest, one vertex for each position."""
        positions, inverse = unique_rows(self.body.positions)
        triangles = inverse[self.triangles]
        none = np.zeros(len(triangles), np.int64)
        return without_degenerates(Surface(positions, triangles, none, np.zeros((len(triangles), 3, 2))))


@dataclass(frozen=True)
class _Images:
    """For each vertex of one surface a point on the other: the vertices (n, 3) around it and their weights."""

    vertices: IntArray
    weights: FloatArray

    def of(self, values: FloatArray) -> FloatArray:
        """Values (…, m, 3) of the other surface's vertices at the images."""
        image: FloatArray = np.einsum("ns,...nsj->...nj", self.weights, values[..., self.vertices, :])
        return image


def posed_error(source: PosedSurface, tier: PosedSurface, drawings: Sequence[Drawing], floor: float) -> GeometricError:
    """Bound the two-sided distance in the space that the drawings draw in, over all their poses and with every
    morph target applied from zero to one, or as far as an animation does.

    floor: the quantisation step, as for `geometric_error`.
    """
    rest = geometric_error(source.welded(), tier.welded(), floor)
    there, back = _images(source, tier), _images(tier, source)
    first = _distances(source.body.positions, there.of(tier.body.positions))
    second = _distances(tier.body.positions, back.of(source.body.positions))
    inside = max(0.0, rest.bound - max(float(first.max()), float(second.max())))
    worst = mean = 0.0
    for drawing in drawings:
        poses = drawing.chosen(len(first) + len(second))
        for pose in poses:
            fine, coarse = source.body.posed(drawing, pose), tier.body.posed(drawing, pose)
            far = _distances(fine, there.of(coarse))
            mean += float(far.mean()) / (len(poses) * len(drawings))
            worst = _furthest(worst, far, fine, coarse, tier.triangles)
            worst = _furthest(worst, _distances(coarse, back.of(fine)), coarse, fine, source.triangles)
    stretch = max(stretched(d) for d in drawings)
    slack = stretch * (inside + max(_morphed(source, tier, there, drawings), _morphed(tier, source, back, drawings)))
    return GeometricError(worst + slack, mean)


def motion_sphere(bodies: Sequence[Body], drawings: Sequence[Drawing]) -> tuple[float, float, float, float]:
    """Centre and radius of a sphere around the bodies in all poses, morph targets applied as for `posed_error`."""
    total = sum(len(body.positions) for body in bodies)
    clouds = [(b, d, pose) for b in bodies for d in drawings for pose in d.chosen(total)]
    boxes = [(p.min(axis=0), p.max(axis=0)) for p in (b.posed(d, pose) for b, d, pose in clouds)]
    centre = (np.min([low for low, _ in boxes], axis=0) + np.max([high for _, high in boxes], axis=0)) * 0.5
    radius = max(float(np.linalg.norm(b.posed(d, pose) - centre, axis=1).max()) for b, d, pose in clouds)
    morphs = max(_reach(b.deltas, drawings) for b in bodies) * max(stretched(d) for d in drawings)
    x, y, z = (float(v) for v in centre)
    return x, y, z, radius + morphs


def stretched(drawing: Drawing) -> float:
    """How much a drawing's matrices stretch the direction they stretch most."""
    return max(float(np.linalg.svd(drawing.matrices[:, :, :3, :3], compute_uv=False).max()), 1e-12)


def _images(surface: PosedSurface, other: PosedSurface) -> _Images:
    found = ClosestPoints(other.body.positions, other.triangles).query(surface.body.positions)
    vertices = other.triangles[found.triangles]
    weights = np.clip(barycentric(found.points, other.body.positions[vertices]), 0.0, 1.0)
    return _Images(vertices, weights / weights.sum(axis=1, keepdims=True))


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


def _morphed(surface: PosedSurface, other: PosedSurface, images: _Images, drawings: Sequence[Drawing]) -> float:
    """How much further apart morph targets can bring vertices and their images than the poses show."""
    if len(surface.body.deltas) == 0:
        return 0.0
    return _reach(surface.body.deltas - images.of(other.body.deltas), drawings)


def _reach(deltas: FloatArray, drawings: Sequence[Drawing]) -> float:
    """The longest sum of deltas (k, n, 3), each applied from zero to one or as far as a drawing does."""
    if len(deltas) == 0:
        return 0.0
    used = np.concatenate([d.weights[:, : len(deltas)] for d in drawings])
    low, high = np.minimum(used.min(axis=0), 0.0), np.maximum(used.max(axis=0), 1.0)
    ends = np.stack([low[:, None, None] * deltas, high[:, None, None] * deltas])
    box = np.maximum(-ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0))
    return float(np.linalg.norm(box, axis=1).max())
