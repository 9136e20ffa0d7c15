"""Give the corners of a simplified surface the source's normals, colours and further UV sets."""

from __future__ import annotations

import numpy as np

from .closest import ClosestPoints, barycentric
from .surface import FloatArray, IntArray, PrimitiveKind, Source, Surface, face_normals, rows_in, unique_rows

# Corners ask the source a little inside their triangle, so that each side of a hard edge finds its own
# side of the source.
INWARD = 0.1
# Corners of one vertex whose normals differ by less share one normal; beyond, the edge is hard.
SMOOTH_COS = float(np.cos(np.radians(35.0)))
# UV sets and colours of one vertex that differ by less are one value, sampled twice.
MAX_VALENCE = 256  # corners at one vertex that are compared with each other
SAME_VALUE = 0.02


def transfer(
    source: Source, surface: Surface, kinds: list[PrimitiveKind], *, exact: bool = False
) -> dict[str, FloatArray]:
    """Corner attributes (m, 3, k) for `surface`, taken from the nearest triangle of the same kind.

    A position that the source has too takes one of the source's own values there, so that neighbouring
    regions, which share such positions on their border, are lit alike.
    With `exact`, `surface` is the source's own surface and nothing needs to be sought.
    """
    if exact:
        return source.corners
    result = {name: np.zeros((len(surface.triangles), 3, c.shape[2])) for name, c in source.corners.items()}
    for index, kind in enumerate(kinds):
        names = [name for name in source.corners if name in kind.attributes]
        mine = surface.kinds == index
        theirs = source.surface.kinds == index
        if not names or not mine.any() or not theirs.any():
            continue
        triangles = surface.triangles[mine]
        found = _sample(source.part(theirs), surface.positions[triangles], names)
        vertices = triangles.reshape(-1)
        for name in names:
            values = found[name].reshape(len(vertices), -1)
            if name == "NORMAL":
                values = _settle_normals(source, theirs, surface, triangles, values)
            elif name == "TANGENT":
                values = _settle_tangents(_mean_of_similar(vertices, values, SAME_VALUE))
            else:
                values = _mean_of_similar(vertices, values, SAME_VALUE)
            result[name][mine] = values.reshape(-1, 3, values.shape[1])
    return result


def _sample(source: Source, corners: FloatArray, names: list[str]) -> dict[str, FloatArray]:
    """Source values at corners (m, 3, 3) as (m, 3, k)."""
    middle = corners.mean(axis=1, keepdims=True)
    points = (corners + INWARD * (middle - corners)).reshape(-1, 3)
    closest = ClosestPoints(source.surface.positions, source.surface.triangles).query(points)
    nearest = source.surface.positions[source.surface.triangles[closest.triangles]]
    weights = np.clip(barycentric(closest.points, nearest), 0.0, 1.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return {
        name: np.einsum("ij,ijk->ik", weights, source.corners[name][closest.triangles]).reshape(len(corners), 3, -1)
        for name in names
    }


def _settle_normals(
    source: Source, theirs: np.ndarray, surface: Surface, triangles: IntArray, normals: FloatArray
) -> FloatArray:
    """Unit corner normals: never behind the face, shared where the surface is smooth, the source's own
    where the position is the source's own."""
    faces, areas = face_normals(surface.positions, triangles)
    facing = np.repeat(faces, 3, axis=0)
    normals = _unit(normals, facing)
    behind = (np.einsum("ij,ij->i", normals, facing) < 0.0) & (np.repeat(areas, 3) > 0)
    normals = np.where(behind[:, None], facing, normals)
    vertices = triangles.reshape(-1)
    normals = _unit(_sum_of_similar(vertices, normals, SMOOTH_COS), facing)
    return _snap_to_source(source, theirs, surface, vertices, normals)


def _settle_tangents(tangents: FloatArray) -> FloatArray:
    """Unit directions, and a handedness of 1 or −1."""
    along = _unit(tangents[:, :3], np.tile([1.0, 0.0, 0.0], (len(tangents), 1)))
    return np.concatenate([along, np.where(tangents[:, 3:] < 0, -1.0, 1.0)], axis=1)


def _snap_to_source(
    source: Source, theirs: np.ndarray, surface: Surface, vertices: IntArray, normals: FloatArray
) -> FloatArray:
    own = source.surface
    used = np.unique(vertices)
    shared = rows_in(own.positions, surface.positions[used])
    corners = own.triangles[theirs].reshape(-1)
    there = np.flatnonzero(shared[corners])
    rows = np.concatenate(
        [own.positions[corners[there]], source.corners["NORMAL"][theirs].reshape(-1, 3)[there]], axis=1
    )
    distinct, _ = unique_rows(rows)
    # Rank positions of both sides together: equal rank means the same position, bit for bit.
    _, rank = unique_rows(np.concatenate([distinct[:, :3], surface.positions[used]]))
    known = rank[: len(distinct)]
    order = np.argsort(known, kind="stable")
    start = np.searchsorted(known[order], rank[len(distinct) :], side="left")
    stop = np.searchsorted(known[order], rank[len(distinct) :], side="right")
    place = np.searchsorted(used, vertices)
    best = np.full(len(vertices), -2.0)
    result = normals.copy()
    for step in range(int((stop - start).max(initial=0))):
        slot = start[place] + step
        present = np.nonzero(slot < stop[place])[0]
        candidate = distinct[order[slot[present]], 3:]
        agreement = np.einsum("ij,ij->i", candidate, normals[present])
        better = agreement > best[present]
        result[present[better]] = candidate[better]
        best[present] = np.maximum(best[present], agreement)
    return result


def _pairs(vertices: IntArray) -> tuple[IntArray, IntArray]:
    """Every ordered pair of corners at the same vertex, a corner with itself included; at a vertex of more than
    MAX_VALENCE corners, such as the middle of a cap, each with itself and the next ones."""
    order = np.argsort(vertices, kind="stable")
    counts = np.bincount(vertices)
    counts = counts[counts > 0]
    starts = np.cumsum(counts) - counts
    corners = np.repeat(counts, counts)
    group_start = np.repeat(starts, counts)
    first = np.where(corners > MAX_VALENCE, np.arange(len(order)) - group_start, 0)
    sizes = np.minimum(corners, MAX_VALENCE)
    left = np.repeat(order, sizes)
    step = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    right = order[np.repeat(group_start, sizes) + (np.repeat(first, sizes) + step) % np.repeat(corners, sizes)]
    return left, right


def _sum_of_similar(vertices: IntArray, normals: FloatArray, cosine: float) -> FloatArray:
    left, right = _pairs(vertices)
    close = np.einsum("ij,ij->i", normals[left], normals[right]) >= cosine
    return _gather(left[close], normals[right[close]], len(vertices))


def _mean_of_similar(vertices: IntArray, values: FloatArray, tolerance: float) -> FloatArray:
    left, right = _pairs(vertices)
    close = np.abs(values[left] - values[right]).max(axis=1) <= tolerance
    total = _gather(left[close], values[right[close]], len(vertices))
    counts = np.bincount(left[close], minlength=len(vertices))
    mean: FloatArray = total / counts[:, None]
    return mean


def _gather(into: IntArray, values: FloatArray, size: int) -> FloatArray:
    return np.stack([np.bincount(into, values[:, k], minlength=size) for k in range(values.shape[1])], axis=1)


def _unit(vectors: FloatArray, fallback: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: FloatArray = np.where(length > 1e-12, vectors / np.where(length > 0, length, 1.0), fallback)
    return result
