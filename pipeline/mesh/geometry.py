"""Normals, areas, centroids and bounding boxes of triangles."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from .compiled import compiled
from .surface import Surface


def face_normals(positions: FloatArray, triangles: IntArray) -> tuple[FloatArray, FloatArray]:
    """Unit normals (m, 3), zero for triangles without area, and areas (m,)."""
    return _face_normals(np.ascontiguousarray(positions, np.float64), np.ascontiguousarray(triangles, np.int64))


@compiled
def _face_normals(positions: FloatArray, triangles: IntArray) -> tuple[FloatArray, FloatArray]:
    normals, areas = np.empty((len(triangles), 3)), np.empty(len(triangles))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            positions[b, 0] - positions[a, 0],
            positions[b, 1] - positions[a, 1],
            positions[b, 2] - positions[a, 2],
        )
        vx, vy, vz = (
            positions[c, 0] - positions[a, 0],
            positions[c, 1] - positions[a, 1],
            positions[c, 2] - positions[a, 2],
        )
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(x * x + y * y + z * z)
        areas[t] = length * 0.5
        scale = length if length > 0.0 else 1.0
        normals[t, 0], normals[t, 1], normals[t, 2] = x / scale, y / scale, z / scale
    return normals, areas


def centroids(surface: Surface) -> FloatArray:
    """The centroids (m, 3) of all triangles."""
    return _centroids(surface.positions, surface.triangles)


@compiled
def _centroids(positions: FloatArray, triangles: IntArray) -> FloatArray:
    centers = np.empty((len(triangles), 3))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            centers[t, k] = (positions[a, k] + positions[b, k] + positions[c, k]) / 3.0
    return centers


def first_side_lengths(surface: Surface) -> FloatArray:
    """The lengths (m,) of the sides between the first two corners of all triangles."""
    return _first_side_lengths(surface.positions, surface.triangles)


@compiled
def _first_side_lengths(positions: FloatArray, triangles: IntArray) -> FloatArray:
    lengths = np.empty(len(triangles))
    for t in range(len(triangles)):
        squared = 0.0
        for k in range(3):
            difference = positions[triangles[t, 0], k] - positions[triangles[t, 1], k]
            squared += difference * difference
        lengths[t] = np.sqrt(squared)
    return lengths


def bounding_box(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest coordinates (3,) of (n, 3) points; without points, +inf and −inf."""
    return _bounding_box(np.ascontiguousarray(points, np.float64))


@compiled
def _bounding_box(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(len(points)):
        for k in range(3):
            low[k], high[k] = min(low[k], points[i, k]), max(high[k], points[i, k])
    return low, high
