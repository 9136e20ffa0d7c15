"""Bounds of a region with all its descendants: a sphere, and the cone of their face normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..gltf.draco import EncodedPrimitive
from ..mesh.compiled import compiled
from ..mesh.geometry import bounding_box, face_normals

SPHERE_MARGIN = 1.000001  # the factor by which spheres grow, against floating-point rounding
CONE_MARGIN = 0.99999  # the factor by which the cosines of cones shrink, likewise


@dataclass(frozen=True)
class BoundGeometry:
    """The geometry of one region that its ancestors' bounds must hold.

    positions: (n, 3) of each primitive; low, high: the corners of their box.
    normals: unit normals (m, 3) of the triangles with an area; normal_sum: the sum of all normals, weighted by area.
    """

    positions: tuple[AnyArray, ...]
    low: FloatArray
    high: FloatArray
    normals: FloatArray
    normal_sum: FloatArray

    @classmethod
    def of(cls, primitives: Sequence[tuple[int, EncodedPrimitive]]) -> BoundGeometry:
        positions = tuple(p.attributes["POSITION"].values for _, p in primitives)
        faces = [face_normals(x, p.triangles) for x, (_, p) in zip(positions, primitives, strict=True)]
        normals, area = (np.concatenate(parts) for parts in zip(*faces, strict=True))
        low, high = bounding_box(np.concatenate(positions))
        return cls(positions, low, high, normals[area > 0], (normals * area[:, None]).sum(axis=0))


def bounding_sphere(regions: Sequence[BoundGeometry]) -> tuple[float, float, float, float]:
    """Centre and radius of a sphere that holds all positions."""
    low = np.min([r.low for r in regions], axis=0)
    high = np.max([r.high for r in regions], axis=0)
    x, y, z = (float(v) for v in (low + high) * 0.5)
    radius = max(_largest_distance(positions, x, y, z) for r in regions for positions in r.positions)
    return x, y, z, radius * SPHERE_MARGIN


def normal_cone(regions: Sequence[BoundGeometry]) -> tuple[float, float, float, float] | None:
    """The axis of a cone that holds all normals, and the cosine of its half angle; None from 90° on."""
    axis = np.sum([r.normal_sum for r in regions], axis=0)
    length = float(np.linalg.norm(axis))
    if length == 0:
        return None
    x, y, z = (float(v) for v in axis / length)
    cosine = 1.0
    for region in regions:
        cosine = min(cosine, _smallest_cosine(region.normals, x, y, z))
        if cosine <= 0:
            return None
    return x, y, z, cosine * CONE_MARGIN


@compiled
def _largest_distance(points: AnyArray, x: float, y: float, z: float) -> float:
    largest = 0.0
    for i in range(len(points)):
        dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
        largest = max(largest, dx * dx + dy * dy + dz * dz)
    return float(np.sqrt(largest))


@compiled
def _smallest_cosine(normals: FloatArray, x: float, y: float, z: float) -> float:
    smallest = 1.0
    for i in range(len(normals)):
        smallest = min(smallest, normals[i, 0] * x + normals[i, 1] * y + normals[i, 2] * z)
    return smallest
