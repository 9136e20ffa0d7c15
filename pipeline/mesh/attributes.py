"""Transfer the source's normals, colours and further UV sets to the corners of a simplified surface."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .closest import ClosestPoints, weights_within
from .compiled import compiled
from .geometry import face_normals
from .surface import PrimitiveKind, Source, Surface
from .topology import match_rows

# With hard edges or seams in the source, corners sample it inside their triangle, by this share of the way to the
# centroid: each side of an edge samples its own side of the source, and normals fit the middle of the triangle, which
# is seen, better than its corners. Otherwise all corners of a vertex take one sample.
INWARD = 1 / 3
# Normals of one vertex with at most this angle between them become one normal; larger angles are hard edges.
SMOOTH_COS = float(np.cos(np.radians(25.0)))
# UV coordinates and colours of one vertex that differ by no more are one value, sampled twice.
SAME_VALUE = 0.02
MAX_VALENCE = 256  # corners of one vertex that are compared with each other


def transfer(
    source: Source, surface: Surface, kinds: list[PrimitiveKind], on_source: ClosestPoints
) -> dict[str, FloatArray]:
    """Corner attributes (m, 3, k) for `surface`, by name, sampled at the nearest triangle of the same kind.

    A position that the source also has takes one of the source's normals there, so that neighbouring regions, which
    share such positions on their border, are lit alike.
    on_source: the closest points of the whole source's surface.
    """
    result = {name: np.zeros((len(surface.triangles), 3, v.shape[1])) for name, v in source.attributes.items()}
    vertex_of = match_rows(source.surface.positions, surface.positions) if "NORMAL" in result else None
    for index, kind in enumerate(kinds):
        names = [name for name in source.attributes if name in kind.attributes]
        in_surface = surface.kinds == index
        in_source = source.surface.kinds == index
        if not names or not in_surface.any() or not in_source.any():
            continue
        triangles = surface.triangles[in_surface]
        if in_source.all():
            sampled = _sample(source, on_source, surface, triangles, names)
        else:
            kind_part = source.part(in_source)
            on_part = ClosestPoints(kind_part.surface.positions, kind_part.surface.triangles)
            sampled = _sample(kind_part, on_part, surface, triangles, names)
        vertices = triangles.reshape(-1)
        for name in names:
            values = sampled[name].reshape(len(vertices), -1)
            if name == "NORMAL" and vertex_of is not None:
                values = _settle_normals(source, in_source, surface, triangles, values, vertex_of)
            elif name == "TANGENT":
                values = _settle_tangents(_mean_of_similar(vertices, values, SAME_VALUE))
            else:
                values = _mean_of_similar(vertices, values, SAME_VALUE)
            result[name][in_surface] = values.reshape(-1, 3, values.shape[1])
    return result


def _sample(
    source: Source, on_source: ClosestPoints, surface: Surface, triangles: IntArray, names: list[str]
) -> dict[str, FloatArray]:
    """Source values (m, 3, k), by name, at the corners of triangles (m, 3) of a surface."""
    points, point_of = _sample_points(source, surface, triangles)
    closest = on_source.query(points)
    weights = weights_within(closest.points, source.surface.positions, source.surface.triangles, closest.triangles)
    sampled = {}
    for name in names:
        values = _interpolated(weights, source.vertices, closest.triangles, source.attributes[name])
        sampled[name] = values[point_of].reshape(len(triangles), 3, -1)
    return sampled


def _sample_points(source: Source, surface: Surface, triangles: IntArray) -> tuple[FloatArray, IntArray]:
    """The points (q, 3) to sample for triangles (m, 3) of a surface, and the index (3m,) of each corner's point.

    Neighbours are in sequence, since neighbouring queries are fast.
    """
    corners = triangles.reshape(-1)
    if _is_seamless(source.surface.triangles, source.vertices, len(source.surface.positions)):
        used = np.zeros(len(surface.positions), np.bool_)
        used[corners] = True
        return surface.positions[used], (np.cumsum(used) - 1)[corners]
    order = np.argsort(corners, kind="stable")  # by vertex
    point_of = np.empty(len(order), np.int64)
    point_of[order] = np.arange(len(order))
    positions = surface.positions[triangles]
    center = (positions[:, :1] + positions[:, 1:2] + positions[:, 2:]) / 3.0
    return (positions + INWARD * (center - positions)).reshape(-1, 3)[order], point_of


@compiled
def _is_seamless(triangles: IntArray, corners: IntArray, vertices: int) -> bool:
    """Whether all corners (m, 3) of triangles at one vertex have the same attributes."""
    of_vertex = np.full(vertices, -1, np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            known = of_vertex[triangles[t, k]]
            if known >= 0 and known != corners[t, k]:
                return False
            of_vertex[triangles[t, k]] = corners[t, k]
    return True


@compiled
def _interpolated(weights: FloatArray, vertices: IntArray, nearest: IntArray, values: FloatArray) -> FloatArray:
    """Values (q, k) at points with barycentric weights (q, 3) on the triangles `nearest` (q,)."""
    width = values.shape[1]
    result = np.empty((len(nearest), width))
    for i in range(len(nearest)):
        a, b, c = vertices[nearest[i], 0], vertices[nearest[i], 1], vertices[nearest[i], 2]
        for k in range(width):
            result[i, k] = weights[i, 0] * values[a, k] + weights[i, 1] * values[b, k] + weights[i, 2] * values[c, k]
    return result


def _settle_normals(
    source: Source,
    in_source: BoolArray,
    surface: Surface,
    triangles: IntArray,
    normals: FloatArray,
    vertex_of: IntArray,
) -> FloatArray:
    """Unit corner normals (3m, 3): never behind the face, shared where the surface is smooth, and the source's own at
    the source's own positions. vertex_of: the surface's vertex at each of the source's positions, or −1."""
    faces, _ = face_normals(surface.positions, triangles)
    vertices = triangles.reshape(-1)
    normals = _facing(_unit(normals, faces, 3), faces)
    normals = _unit(_sum_of_similar(vertices, normals, SMOOTH_COS), faces, 3)
    # Where the source has the same position, the most similar of its normals there.
    return _most_similar(
        vertex_of,
        source.surface.triangles,
        source.vertices,
        in_source,
        source.attributes["NORMAL"],
        vertices,
        len(surface.positions),
        normals,
    )


def _settle_tangents(tangents: FloatArray) -> FloatArray:
    """Unit directions, and a handedness of 1 or −1."""
    along = _unit(np.ascontiguousarray(tangents[:, :3]), np.array([[1.0, 0.0, 0.0]]), len(tangents))
    return np.concatenate([along, np.where(tangents[:, 3:] < 0, -1.0, 1.0)], axis=1)


@compiled
def _most_similar(
    vertex_of: IntArray,
    triangles: IntArray,
    corners: IntArray,
    in_source: BoolArray,
    candidates: FloatArray,
    vertices: IntArray,
    count: int,
    normals: FloatArray,
) -> FloatArray:
    """Normals (3m, 3) with each replaced by the most similar candidate at its vertex, if there is one.

    vertex_of: (n,) the surface's vertex at each of the source's positions, or −1; triangles: (m, 3) positions of the
    source's triangles; corners: (m, 3) rows of `candidates` (v, 3) at their corners; in_source: (m,) triangles that
    offer candidates; vertices: (3m,) the surface's vertex, below `count`, at each corner to replace.
    """
    starts = np.zeros(count + 1, np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            v = vertex_of[triangles[t, k]]
            if in_source[t] and v >= 0:
                starts[v + 1] += 1
    for v in range(count):
        starts[v + 1] += starts[v]
    candidate_of, filled = np.empty(starts[count], np.int64), starts[:-1].copy()
    for t in range(len(triangles)):
        for k in range(3):
            v = vertex_of[triangles[t, k]]
            if in_source[t] and v >= 0:
                candidate_of[filled[v]] = corners[t, k]
                filled[v] += 1
    result = normals.copy()
    for corner in range(len(vertices)):
        best = -2.0
        for i in range(starts[vertices[corner]], starts[vertices[corner] + 1]):
            candidate = candidate_of[i]
            x, y, z = candidates[candidate, 0], candidates[candidate, 1], candidates[candidate, 2]
            agreement = x * normals[corner, 0] + y * normals[corner, 1] + z * normals[corner, 2]
            if agreement > best:
                best = agreement
                result[corner, 0], result[corner, 1], result[corner, 2] = x, y, z
    return result


def _sum_of_similar(vertices: IntArray, normals: FloatArray, cosine: float) -> FloatArray:
    """For each corner the sum of the unit normals at its vertex within the angle of `cosine` from its own."""
    total, _ = _sums(vertices, normals, cosine, True)
    return total


def _mean_of_similar(vertices: IntArray, values: FloatArray, tolerance: float) -> FloatArray:
    """For each corner the mean of the values at its vertex that differ from its own by no more than `tolerance`."""
    total, count = _sums(vertices, values, tolerance, False)
    mean: FloatArray = total / count[:, None]
    return mean


@compiled
def _sums(vertices: IntArray, values: FloatArray, limit: float, directions: bool) -> tuple[FloatArray, IntArray]:
    """For each corner the sum (n, k) of the similar values at its vertex, its own included, and their number (n,).

    A vertex with more than MAX_VALENCE corners, such as the centre of a cap, compares each with only the next ones.
    directions: if true, values with a dot product of at least `limit` are similar; else values that differ by no more
    than `limit` in each component.
    """
    count, width = values.shape
    starts = np.zeros(vertices.max() + 2, np.int64)
    for corner in range(count):
        starts[vertices[corner] + 1] += 1
    for v in range(len(starts) - 1):
        starts[v + 1] += starts[v]
    order, place = np.empty(count, np.int64), starts[:-1].copy()
    for corner in range(count):
        order[place[vertices[corner]]] = corner
        place[vertices[corner]] += 1
    total, found = np.zeros((count, width)), np.zeros(count, np.int64)
    for v in range(len(starts) - 1):
        start, size = starts[v], starts[v + 1] - starts[v]
        for i in range(size):
            corner, first = order[start + i], i if size > MAX_VALENCE else 0
            for step in range(min(size, MAX_VALENCE)):
                other = order[start + (first + step) % size]
                product, gap = 0.0, 0.0
                for k in range(width):
                    product += values[corner, k] * values[other, k]
                    gap = max(gap, abs(values[corner, k] - values[other, k]))
                if product >= limit if directions else gap <= limit:
                    found[corner] += 1
                    for k in range(width):
                        total[corner, k] += values[other, k]
    return total, found


@compiled
def _facing(normals: FloatArray, faces: FloatArray) -> FloatArray:
    """Corner normals (3m, 3), with those behind their face replaced by the face's normal (m, 3), zero without area."""
    result = normals.copy()
    for corner in range(len(normals)):
        x, y, z = faces[corner // 3]
        if normals[corner, 0] * x + normals[corner, 1] * y + normals[corner, 2] * z < 0.0:
            result[corner, 0], result[corner, 1], result[corner, 2] = x, y, z
    return result


@compiled
def _unit(vectors: FloatArray, fallback: FloatArray, share: int) -> FloatArray:
    """Vectors (n, 3) scaled to length 1, or their fallback if they have no length. Each fallback (n / share, 3) belongs
    to `share` consecutive vectors."""
    result = np.empty(vectors.shape)
    for i in range(len(vectors)):
        x, y, z = vectors[i]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 1e-12:
            x, y, z = x / length, y / length, z / length
        else:
            x, y, z = fallback[i // share]
        result[i, 0], result[i, 1], result[i, 2] = x, y, z
    return result
