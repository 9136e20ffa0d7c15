"""Closest points on a triangle surface, in native code (MeshLab's uniform grid)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pymeshlab
from scipy.spatial import cKDTree

from .surface import FloatArray, IntArray

# MeshLab's grid misses the nearest triangle of a few per cent of far points when it has few cells: seen with
# up to 30 triangles, never with 300. Small surfaces are searched triangle by triangle.
SEARCH_ALL_BELOW = 200
FEW = 300  # triangles for each point: with more, trees of them are quicker than making the grid
NEAR = 8  # triangles by whose centroids a first distance is found


@dataclass(frozen=True)
class Closest:
    """For each query: the nearest triangle (q,), the nearest point on it (q, 3), the distance (q,)."""

    triangles: IntArray
    points: FloatArray
    distances: FloatArray


class ClosestPoints:
    """Answers closest-point queries against one surface.

    The triangle of each answer is found by giving the three corners of triangle i the scalar i and
    letting MeshLab interpolate it at the closest point: barycentric weights sum to one, so the scalar
    comes back as i to within rounding.
    """

    def __init__(self, positions: FloatArray, triangles: IntArray) -> None:
        self.triangles = triangles
        self.corners = positions[triangles]
        # Of triangles that lie on each other one is enough: they fill the same cells of the grid, and each query
        # there would look at all of them.
        self._distinct = _distinct(triangles)

    @cached_property
    def _meshes(self) -> Any:
        count = len(self._distinct)
        meshes = pymeshlab.MeshSet(verbose=False)
        mesh = pymeshlab.Mesh(
            vertex_matrix=np.ascontiguousarray(self.corners[self._distinct].reshape(-1, 3)),
            face_matrix=np.arange(3 * count, dtype=np.int32).reshape(-1, 3),
            v_scalar_array=np.repeat(np.arange(count, dtype=np.float64), 3),
        )
        meshes.add_mesh(mesh)
        return meshes

    @cached_property
    def _balls(self) -> _Balls:
        return _Balls(self.corners[self._distinct])

    def _search_all(self, points: FloatArray) -> Closest:
        best = Closest(np.zeros(len(points), np.int64), points.copy(), np.full(len(points), np.inf))
        for index in self._distinct:
            candidate = closest_on_triangles(points, np.broadcast_to(self.corners[index], (len(points), 3, 3)))
            distances = np.linalg.norm(points - candidate, axis=1)
            nearer = distances < best.distances
            best.triangles[nearer] = index
            best.points[nearer] = candidate[nearer]
            best.distances[nearer] = distances[nearer]
        return best

    def _reach(self, points: FloatArray) -> float:
        """More than the distance of any point to the surface: the diagonal of the box around both."""
        low = np.minimum(points.min(axis=0), self.corners.min(axis=(0, 1)))
        high = np.maximum(points.max(axis=0), self.corners.max(axis=(0, 1)))
        return float(np.linalg.norm(high - low)) * 1.01 + 1e-9

    def query(self, points: FloatArray) -> Closest:
        """Nearest triangles of the surface for (q, 3) points."""
        if len(points) == 0:
            return Closest(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0))
        if len(self._distinct) < SEARCH_ALL_BELOW:
            return self._search_all(points)
        # MeshLab makes its grid anew for every query, which few points are not worth.
        if len(points) * FEW < len(self._distinct):
            found = self._balls.query(points)
            return Closest(self._distinct[found.triangles], found.points, found.distances)
        meshes = self._meshes
        meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=np.ascontiguousarray(points)))
        meshes.transfer_attributes_per_vertex(
            sourcemesh=0,
            targetmesh=meshes.current_mesh_id(),
            vertexsampling=False,
            geomtransfer=True,
            normaltransfer=False,
            colortransfer=False,
            qualitytransfer=True,
            selectiontransfer=False,
            qualitydistance=False,
            savebarycentric=False,
            upperbound=pymeshlab.PureValue(self._reach(points)),
            onselected=False,
        )
        answer = meshes.current_mesh()
        scalars = np.asarray(answer.vertex_scalar_array())
        triangles = self._distinct[np.clip(np.rint(scalars).astype(np.int64), 0, len(self._distinct) - 1)]
        nearest = np.array(answer.vertex_matrix(), np.float64, order="C")
        meshes.delete_current_mesh()
        return Closest(triangles, nearest, np.linalg.norm(points - nearest, axis=1))


def _distinct(triangles: IntArray) -> IntArray:
    """The first triangle of each vertex triple, whatever its winding, in order."""
    rows = np.sort(triangles, axis=1)
    order = np.lexsort(rows.T)
    new = np.ones(len(rows), np.bool_)
    new[1:] = (np.diff(rows[order], axis=0) != 0).any(axis=1)
    return np.sort(order[new])


class _Balls:
    """Triangles by the ball around each: the nearest one's centroid is within a known distance plus its radius.

    Radii differ by powers of two, so there is a tree for each.
    """

    def __init__(self, corners: FloatArray) -> None:
        self._corners = corners
        self._centroids = (corners[:, 0] + corners[:, 1] + corners[:, 2]) / 3.0
        squared = [_squared(corners[:, k] - self._centroids) for k in range(3)]
        radius = np.sqrt(np.maximum(np.maximum(*squared[:2]), squared[2]))
        power = np.ceil(np.log2(np.maximum(radius, radius.max() * 1e-6 + 1e-300)))
        self._trees = [
            (own, float(radius[own].max()) * 1.0001, cKDTree(self._centroids[own], compact_nodes=False))
            for own in (np.flatnonzero(power == p) for p in np.unique(power))
        ]

    def query(self, points: FloatArray) -> Closest:
        best = Closest(np.zeros(len(points), np.int64), points.copy(), np.full(len(points), np.inf))
        everyone = np.arange(len(points))
        for own, _, tree in self._trees:
            _, near = tree.query(points, k=min(NEAR, len(own)))
            near = near.reshape(len(points), -1)
            self._improve(best, points, np.repeat(everyone, near.shape[1]), own[near.reshape(-1)])
        for own, radius, tree in self._trees:
            found = tree.query_ball_point(points, best.distances + radius, return_sorted=True)
            counts = np.fromiter(map(len, found), np.int64, len(found))
            if counts.any():
                candidates = own[np.concatenate([np.asarray(f, np.int64) for f in found])]
                self._improve(best, points, np.repeat(everyone, counts), candidates)
        return best

    def _improve(self, best: Closest, points: FloatArray, who: IntArray, candidates: IntArray) -> None:
        """Keep for each point `who` the nearest of its candidates, where it is nearer than what is known."""
        feet = closest_on_triangles(points[who], self._corners[candidates])
        far = np.linalg.norm(points[who] - feet, axis=1)
        order = np.lexsort([candidates, far, who])
        first = order[np.flatnonzero(np.diff(who[order], prepend=-1))]
        first = first[far[first] < best.distances[who[first]]]
        best.triangles[who[first]] = candidates[first]
        best.points[who[first]] = feet[first]
        best.distances[who[first]] = far[first]


def closest_on_triangles(points: FloatArray, corners: FloatArray) -> FloatArray:
    """The point of triangle i nearest to point i: (q, 3) points against (q, 3, 3) corners.

    Works for triangles without area too. The regions are those of Ericson, Real-Time Collision
    Detection (2005), section 5.1.5; here the inside and the three edges are tried and the best is kept.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    best = _closest_on_segments(points, a, b)
    distance = _squared(points - best)
    for start, end in ((b, c), (c, a)):
        candidate = _closest_on_segments(points, start, end)
        far = _squared(points - candidate)
        nearer = far < distance
        best[nearer] = candidate[nearer]
        distance = np.minimum(distance, far)
    weights = barycentric(points, corners)
    inside = (weights >= 0).all(axis=1)
    foot = np.einsum("ij,ijk->ik", weights, corners)
    nearer = inside & (_squared(points - foot) < distance)
    best[nearer] = foot[nearer]
    return best


def barycentric(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Barycentric coordinates (q, 3) of the feet of points on the planes of triangles (q, 3, 3).

    A triangle without area gives (1, 0, 0).
    """
    u = corners[:, 1] - corners[:, 0]
    v = corners[:, 2] - corners[:, 0]
    w = points - corners[:, 0]
    uu, uv, vv = _dot(u, u), _dot(u, v), _dot(v, v)
    wu, wv = _dot(w, u), _dot(w, v)
    area = uu * vv - uv * uv
    flat = area <= 1e-14 * uu * vv
    area = np.where(flat, 1.0, area)
    beta = np.where(flat, 0.0, (vv * wu - uv * wv) / area)
    gamma = np.where(flat, 0.0, (uu * wv - uv * wu) / area)
    return np.stack([1.0 - beta - gamma, beta, gamma], axis=1)


def _closest_on_segments(points: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    along = end - start
    length = _dot(along, along)
    t = _dot(points - start, along) / np.where(length > 0, length, 1.0)
    return start + np.clip(t, 0.0, 1.0)[:, None] * along


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    result: FloatArray = np.einsum("ij,ij->i", a, b)
    return result


def _squared(a: FloatArray) -> FloatArray:
    return _dot(a, a)
