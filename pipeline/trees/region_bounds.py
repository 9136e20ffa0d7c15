"""What lies around a region and all its descendants: a sphere, and the cone of their normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..gltf.draco import EncodedPrimitive
from ..mesh.compiled import compiled
from ..mesh.geometry import bounding_box, face_normals


@dataclass(frozen=True)
class Shape:
    """What spheres and cones are made of: positions (n, 3) of each primitive and their box, unit normals (m, 3) of the
    triangles that have an area, and the sum of all normals by area."""

    positions: tuple[AnyArray, ...]
    low: FloatArray
    high: FloatArray
    normals: FloatArray
    total: FloatArray

    @classmethod
    def of(cls, primitives: Sequence[tuple[int, EncodedPrimitive]]) -> Shape:
        positions = tuple(p.attributes["POSITION"].values for _, p in primitives)
        faces = [face_normals(x, p.triangles) for x, (_, p) in zip(positions, primitives, strict=True)]
        normals, area = (np.concatenate(parts) for parts in zip(*faces, strict=True))
        low, high = bounding_box(np.concatenate(positions))
        return cls(positions, low, high, normals[area > 0], (normals * area[:, None]).sum(axis=0))


def sphere_around(family: Sequence[Shape]) -> tuple[float, float, float, float]:
    """Centre and radius of a sphere that holds all positions."""
    low = np.min([s.low for s in family], axis=0)
    high = np.max([s.high for s in family], axis=0)
    x, y, z = (float(v) for v in (low + high) * 0.5)
    radius = max(_furthest(positions, x, y, z) for s in family for positions in s.positions)
    return x, y, z, radius * 1.000001


def cone_around(family: Sequence[Shape]) -> tuple[float, float, float, float] | None:
    """The axis of a cone that holds all normals, and the cosine of its half angle; none below a half space."""
    axis = np.sum([s.total for s in family], axis=0)
    length = float(np.linalg.norm(axis))
    if length == 0:
        return None
    x, y, z = (float(v) for v in axis / length)
    cosine = 1.0
    for shape in family:
        cosine = min(cosine, _least_along(shape.normals, x, y, z))
        if cosine <= 0:
            return None
    return x, y, z, cosine * 0.99999


@compiled
def _furthest(points: AnyArray, x: float, y: float, z: float) -> float:
    most = 0.0
    for i in range(len(points)):
        dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
        most = max(most, dx * dx + dy * dy + dz * dz)
    return float(np.sqrt(most))


@compiled
def _least_along(normals: FloatArray, x: float, y: float, z: float) -> float:
    least = 1.0
    for i in range(len(normals)):
        least = min(least, normals[i, 0] * x + normals[i, 1] * y + normals[i, 2] * z)
    return least
