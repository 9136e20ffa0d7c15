"""Distances between two surfaces at samples, exact for each sample, without the pipeline's own search."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from streamxr.pipeline.mesh.surface import Surface

Floats = npt.NDArray[np.float64]
FEW = 16
MIN_PIECES = 300  # about the number of triangles into which a surface is cut for the search


def sampled_distance(a: Surface, b: Surface, samples: int = 5_000) -> float:
    """The largest distance, both ways, from the vertices and random points of one surface to the other."""
    return max(float(Target(two).distances(points_of(one, samples)).max()) for one, two in ((a, b), (b, a)))


def points_of(surface: Surface, samples: int, vertices: int | None = None) -> Floats:
    """Vertices and random points of a surface. vertices: how many vertices are chosen at random; None for all."""
    rng = np.random.default_rng(5)
    corners = surface.positions[surface.triangles]
    area = _areas(corners)
    chosen = rng.choice(len(area), samples, p=area / area.sum())
    weights = rng.dirichlet([1, 1, 1], samples)
    positions = surface.positions
    if vertices is not None and len(positions) > vertices:
        positions = positions[rng.choice(len(positions), vertices, replace=False)]
    return np.concatenate([positions, np.einsum("ij,ijk->ik", weights, corners[chosen])])


class Target:
    """A surface to which distances are measured.

    Large triangles are cut into smaller ones with the same points. The nearest triangle of a point then has its
    centroid within the distance to the nearest corner plus the largest distance of a corner from its centroid. All
    triangles within that distance are tried. Of FEW triangles all are tried.
    """

    def __init__(self, surface: Surface) -> None:
        corners = self._whole = surface.positions[surface.triangles]
        if len(corners) <= FEW:
            return
        pieces = max(MIN_PIECES, 2 * len(corners))
        self._corners = _cut(corners, float(2 * np.sqrt(_areas(corners).sum() / pieces)))
        centroids = self._corners.mean(axis=1)
        self._reach = np.linalg.norm(self._corners - centroids[:, None], axis=2).max()
        self._of_corner, self._of_centroid = cKDTree(self._corners.reshape(-1, 3)), cKDTree(centroids)

    def distances(self, points: Floats) -> Floats:
        """The distances (q,) of points (q, 3)."""
        if len(self._whole) <= FEW:
            return np.min([_to_triangles(points, np.broadcast_to(t, (len(points), 3, 3))) for t in self._whole], axis=0)
        nearest_corner, _ = self._of_corner.query(points)
        candidates = self._of_centroid.query_ball_point(points, (nearest_corner + self._reach) * (1 + 1e-9) + 1e-12)
        counts = np.array([len(c) for c in candidates])
        triangle = np.concatenate([np.asarray(c, np.int64) for c in candidates])
        point = np.repeat(np.arange(len(points)), counts)
        best = np.full(len(points), np.inf)
        for part in np.array_split(np.arange(len(point)), len(point) // 500_000 + 1):
            found = _to_triangles(points[point[part]], self._corners[triangle[part]])
            np.minimum.at(best, point[part], found)
        return best


def _cut(corners: Floats, longest: float) -> Floats:
    """The same surface in triangles without an edge over `longest`; triangles are halved at their longest edge."""
    finished = []
    while len(corners):
        edges = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        long = edges.max(axis=1) > longest
        finished.append(corners[~long])
        longest_edge = edges[long].argmax(axis=1)
        rows = np.arange(len(longest_edge))
        a, b, c = (corners[long][rows, (longest_edge + k) % 3] for k in range(3))
        middle = (a + b) * 0.5
        corners = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
    return np.concatenate(finished)


def _areas(corners: Floats) -> Floats:
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) * 0.5


def _to_triangles(points: Floats, corners: Floats) -> Floats:
    """The distance of point i to triangle i: to its plane if the foot is inside, else to its edges."""
    best = np.full(len(points), np.inf)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(normal, axis=1)
    unit = normal / np.where(size > 0, size, 1.0)[:, None]
    inside = size > 0
    for k in range(3):
        start, edge = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
        along = np.einsum("ij,ij->i", points - start, edge) / np.maximum(np.einsum("ij,ij->i", edge, edge), 1e-300)
        foot = start + np.clip(along, 0, 1)[:, None] * edge
        best = np.minimum(best, np.linalg.norm(points - foot, axis=1))
        inside &= np.einsum("ij,ij->i", np.cross(edge, points - start), unit) >= 0
    plane = np.abs(np.einsum("ij,ij->i", points - corners[:, 0], unit))
    return np.where(inside, np.minimum(best, plane), best)
