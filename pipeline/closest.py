"""Closest points on a triangle surface, in native code (MeshLab's uniform grid)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymeshlab

from .surface import BoolArray, FloatArray, IntArray

# MeshLab's grid misses the nearest triangle of a few per cent of far points when it has few cells: seen with
# up to 30 triangles, never with 300. Small surfaces are searched triangle by triangle.
SEARCH_ALL_BELOW = 200
FAR_OUT = 10.0  # times the size of a surface without its last percent


@dataclass(frozen=True)
class Closest:
    """For each query: the nearest triangle (q,), the nearest point on it (q, 3), the distance (q,)."""

    triangles: IntArray
    points: FloatArray
    distances: FloatArray


class ClosestPoints:
    """Answers closest-point queries against one surface.

    Of triangles that lie on each other one is enough: they fill the same cells of the grid, and each query there
    would look at all of them. Nor may a stray vertex stretch the grid until all the rest lies in one cell: the few
    triangles that reach far out are searched one by one, and only points out there ask a grid of everything.
    """

    def __init__(self, positions: FloatArray, triangles: IntArray) -> None:
        self.triangles = triangles
        self.corners = positions[triangles]
        self._distinct = _distinct(triangles)
        low, high = _bulk(self.corners[self._distinct])
        stray = _outside(self.corners[self._distinct], low, high).any(axis=1)
        few = 0 < stray.sum() < SEARCH_ALL_BELOW
        self._low: FloatArray = low if few else np.full(3, -np.inf)
        self._high: FloatArray = high if few else np.full(3, np.inf)
        self._stray = self._distinct[stray if few else np.zeros_like(stray)]
        self._near = _Grid(self.corners, self._distinct[~stray] if few else self._distinct)
        self._whole = _Grid(self.corners, self._distinct) if few else self._near

    def query(self, points: FloatArray) -> Closest:
        """Nearest triangles of the surface for (q, 3) points."""
        if len(points) == 0:
            return Closest(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0))
        if len(self._distinct) < SEARCH_ALL_BELOW:
            return self._search_each(self._distinct, points)
        far = _outside(points, self._low, self._high)
        if not far.any():
            return self._search_each(self._stray, points, self._near.query(points))
        found = Closest(np.zeros(len(points), np.int64), np.empty((len(points), 3)), np.empty(len(points)))
        parts = [(far, self._whole.query(points[far]))]
        if not far.all():
            near = points[~far]
            parts.append((~far, self._search_each(self._stray, near, self._near.query(near))))
        for mine, part in parts:
            found.triangles[mine], found.points[mine] = part.triangles, part.points
            found.distances[mine] = part.distances
        return found

    def _search_each(self, triangles: IntArray, points: FloatArray, best: Closest | None = None) -> Closest:
        """The best there is so far, or one of `triangles`."""
        best = best or Closest(np.zeros(len(points), np.int64), points.copy(), np.full(len(points), np.inf))
        for index in triangles:
            candidate = closest_on_triangles(points, np.broadcast_to(self.corners[index], (len(points), 3, 3)))
            distances = np.linalg.norm(points - candidate, axis=1)
            nearer = distances < best.distances
            best.triangles[nearer] = index
            best.points[nearer] = candidate[nearer]
            best.distances[nearer] = distances[nearer]
        return best


class _Grid:
    """MeshLab's grid over some triangles of a surface.

    The triangle of each answer is found by giving the three corners of triangle i the scalar i and
    letting MeshLab interpolate it at the closest point: barycentric weights sum to one, so the scalar
    comes back as i to within rounding.
    """

    def __init__(self, corners: FloatArray, chosen: IntArray) -> None:
        self._chosen = chosen
        self._corners = corners[chosen]
        count = len(chosen)
        self._meshes = pymeshlab.MeshSet(verbose=False)
        mesh = pymeshlab.Mesh(
            vertex_matrix=np.ascontiguousarray(self._corners.reshape(-1, 3)),
            face_matrix=np.arange(3 * count, dtype=np.int32).reshape(-1, 3),
            v_scalar_array=np.repeat(np.arange(count, dtype=np.float64), 3),
        )
        self._meshes.add_mesh(mesh)

    def query(self, points: FloatArray) -> Closest:
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
        triangles = self._chosen[np.clip(np.rint(scalars).astype(np.int64), 0, len(self._chosen) - 1)]
        nearest = np.array(answer.vertex_matrix(), np.float64, order="C")
        meshes.delete_current_mesh()
        return Closest(triangles, nearest, np.linalg.norm(points - nearest, axis=1))

    def _reach(self, points: FloatArray) -> float:
        """More than the distance of any point to the surface: the diagonal of the box around both."""
        low = np.minimum(points.min(axis=0), self._corners.min(axis=(0, 1)))
        high = np.maximum(points.max(axis=0), self._corners.max(axis=(0, 1)))
        return float(np.linalg.norm(high - low)) * 1.01 + 1e-9


def _bulk(corners: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A box FAR_OUT times as large as that around nearly all of triangles (m, 3, 3); endless for a few triangles."""
    if len(corners) < SEARCH_ALL_BELOW:
        return np.full(3, -np.inf), np.full(3, np.inf)
    low, high = np.percentile(corners.reshape(-1, 3), [1, 99], axis=0)
    middle, half = (low + high) * 0.5, float((high - low).max()) * 0.5 * FAR_OUT
    return middle - half, middle + half


def _outside(points: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Which points (…, 3) are outside a box."""
    return np.asarray(((points < low) | (points > high)).any(axis=-1))


def _distinct(triangles: IntArray) -> IntArray:
    """The first triangle of each vertex triple, whatever its winding, in order."""
    rows = np.sort(triangles, axis=1)
    order = np.lexsort(rows.T)
    new = np.ones(len(rows), np.bool_)
    new[1:] = (np.diff(rows[order], axis=0) != 0).any(axis=1)
    return np.sort(order[new])


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
