"""How far apart two surfaces are at samples: exact for each sample, and nothing of the pipeline's own in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import trimesh
from scipy.spatial import cKDTree
from streamxr.pipeline.surface import Surface

Floats = npt.NDArray[np.float64]


def sampled_distance(a: Surface, b: Surface, samples: int = 5_000) -> float:
    """The largest distance, both ways, from the vertices and random points of one surface to the other."""
    return max(furthest(a, b, samples), furthest(b, a, samples))


def furthest(a: Surface, b: Surface, samples: int) -> float:
    """The largest distance from the vertices and random points of `a` to `b`."""
    rng = np.random.default_rng(5)
    corners = a.positions[a.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(area), samples, p=area / area.sum())
    weights = rng.dirichlet([1, 1, 1], samples)
    points = np.concatenate([a.positions, np.einsum("ij,ijk->ik", weights, corners[chosen])])
    return float(distances(points, b.positions[b.triangles]).max())


def distances(points: Floats, corners: Floats) -> Floats:
    """The distance of each point (q, 3) to the nearest of triangles (m, 3, 3).

    A triangle can only be nearest if its centroid is within the distance of the nearest corner plus the largest
    distance of a corner from its centroid; those are tried one by one.
    """
    nearest_corner, _ = cKDTree(corners.reshape(-1, 3)).query(points)
    centroids = corners.mean(axis=1)
    reach = np.linalg.norm(corners - centroids[:, None], axis=2).max()
    candidates = cKDTree(centroids).query_ball_point(points, nearest_corner + reach + 1e-12)
    counts = np.array([len(c) for c in candidates])
    triangle = np.concatenate([np.asarray(c, np.int64) for c in candidates])
    point = np.repeat(np.arange(len(points)), counts)
    best = np.full(len(points), np.inf)
    for part in np.array_split(np.arange(len(point)), len(point) // 500_000 + 1):
        feet = trimesh.triangles.closest_point(corners[triangle[part]], points[point[part]])
        np.minimum.at(best, point[part], np.linalg.norm(feet - points[point[part]], axis=1))
    return best
