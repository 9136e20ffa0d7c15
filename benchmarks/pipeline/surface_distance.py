"""The distance between two surfaces, measured by a tool that is independent of the pipeline.

Both surfaces are sampled evenly by area, and MeshLab's distance filter (the Metro of Cignoni, Rocchini and Scopigno,
1998) measures from each sample to the other surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pymeshlab

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SAMPLES = 400_000  # in each direction; the mean varies by 0.3 % between runs
MIN_TRIANGLES = 2000  # smaller surfaces are subdivided first: with a few dozen triangles MeshLab misses the nearest


@dataclass(frozen=True)
class Distance:
    """The distance of a surface from its source, in percent of the source's diagonal.

    mean: the average of the area-weighted means of both directions.
    largest: of all samples and vertices, in both directions.
    """

    mean: float
    largest: float


def distance(source: Floats, tier: Floats, samples: int = SAMPLES) -> Distance:
    """The distance between two surfaces given as triangles (m, 3, 3)."""
    diagonal = float(np.linalg.norm(np.ptp(source.reshape(-1, 3), axis=0)))
    means, largest = [], 0.0
    for measured, reference in ((source, tier), (tier, source)):
        points, _ = sample(measured, samples)
        of_samples = distances(points, reference)
        of_vertices = distances(np.unique(measured.reshape(-1, 3), axis=0), reference)
        means.append(float(of_samples.mean()))
        largest = max(largest, float(of_samples.max()), float(of_vertices.max()))
    return Distance(sum(means) / 2 / diagonal * 100, largest / diagonal * 100)


def sample(corners: Floats, count: int, seed: int = 5) -> tuple[Floats, Ints]:
    """Points (count, 3) spread evenly by area over triangles (m, 3, 3), and the triangle of each."""
    rng = np.random.default_rng(seed)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Stratified: one sample in each of `count` equal parts of the area.
    total = np.cumsum(area)
    chosen = np.searchsorted(total, (np.arange(count) + rng.random(count)) / count * total[-1], side="right")
    chosen = np.minimum(chosen, len(area) - 1)
    root, along = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - root, root * (1 - along), root * along], axis=1)
    return np.einsum("ij,ijk->ik", weights, corners[chosen]), chosen


def distances(points: Floats, corners: Floats) -> Floats:
    """The distance from each point (q, 3) to the nearest of triangles (m, 3, 3)."""
    while len(corners) < MIN_TRIANGLES:
        corners = subdivided(corners)
    both = np.concatenate([points, corners.reshape(-1, 3)])
    reach = float(np.linalg.norm(np.ptp(both, axis=0)))  # the largest possible distance
    meshes = pymeshlab.MeshSet(verbose=False)
    faces = np.arange(len(corners) * 3, dtype=np.int32).reshape(-1, 3)
    meshes.add_mesh(pymeshlab.Mesh(np.ascontiguousarray(corners.reshape(-1, 3)), faces))
    meshes.add_mesh(pymeshlab.Mesh(np.ascontiguousarray(points)))
    meshes.compute_scalar_by_distance_from_another_mesh_per_vertex(
        measuremesh=1, refmesh=0, signeddist=False, maxdist=pymeshlab.PureValue(reach)
    )
    return np.abs(np.asarray(meshes.mesh(1).vertex_scalar_array(), np.float64))


def subdivided(corners: Floats) -> Floats:
    """The same surface with each triangle divided into four."""
    a, b, c = (corners[:, k] for k in range(3))
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
