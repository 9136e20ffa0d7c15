"""Give the corners of a simplified surface the source's normals, colours and further UV sets."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .closest import ClosestPoints, weights_within
from .compiled import compiled
from .geometry import face_normals
from .surface import PrimitiveKind, Source, Surface
from .topology import match_rows

# Where the source has hard edges or seams, corners ask it a little inside their triangle, so that each side finds its
# own side of the source; elsewhere all corners at a vertex ask for the same.
INWARD = 0.1
# Corners of one vertex whose normals differ by less share one normal; beyond, the edge is hard.
SMOOTH_COS = float(np.cos(np.radians(35.0)))
# UV sets and colours of one vertex that differ by less are one value, sampled twice.
MAX_VALENCE = 256  # corners at one vertex that are compared with each other
SAME_VALUE = 0.02


def transfer(
    source: Source, surface: Surface, kinds: list[PrimitiveKind], on_source: ClosestPoints
) -> dict[str, FloatArray]:
    """Corner attributes (m, 3, k) for `surface`, taken from the nearest triangle of the same kind.

    A position that the source has too takes one of the source's own values there, so that neighbouring
    regions, which share such positions on their border, are lit alike.
    on_source: of the whole source's surface.
    """
    result = {name: np.zeros((len(surface.triangles), 3, v.shape[1])) for name, v in source.attributes.items()}
    for index, kind in enumerate(kinds):
        names = [name for name in source.attributes if name in kind.attributes]
        mine = surface.kinds == index
        theirs = source.surface.kinds == index
        if not names or not mine.any() or not theirs.any():
            continue
        triangles = surface.triangles[mine]
        if theirs.all():
            found = _sample(source, on_source, surface, triangles, names)
        else:
            own = source.part(theirs)
            nearby = ClosestPoints(own.surface.positions, own.surface.triangles)
            found = _sample(own, nearby, surface, triangles, names)
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


def _sample(
    source: Source, on_source: ClosestPoints, surface: Surface, triangles: IntArray, names: list[str]
) -> dict[str, FloatArray]:
    """Source values at the corners of triangles (m, 3) of a surface as (m, 3, k)."""
    own = source.surface
    points, asked = _points_to_ask(source, surface, triangles)
    closest = on_source.query(points)
    weights = weights_within(closest.points, own.positions, own.triangles, closest.triangles)
    sampled = {}
    for name in names:
        values = _blended(weights, source.vertices, closest.triangles, source.attributes[name])
        sampled[name] = values[asked].reshape(len(triangles), 3, -1)
    return sampled


def _points_to_ask(source: Source, surface: Surface, triangles: IntArray) -> tuple[FloatArray, IntArray]:
    """Points (q, 3), neighbours in sequence, since these have neighbouring answers; and which of them (3m,) each corner
    of triangles (m, 3) of a surface asks at."""
    corners = triangles.reshape(-1)
    if _is_seamless(source.surface.triangles, source.vertices, len(source.surface.positions)):
        used = np.zeros(len(surface.positions), np.bool_)
        used[corners] = True
        return surface.positions[used], (np.cumsum(used) - 1)[corners]
    order = np.argsort(corners, kind="stable")  # by vertex
    asked = np.empty(len(order), np.int64)
    asked[order] = np.arange(len(order))
    places = surface.positions[triangles]
    middle = (places[:, :1] + places[:, 1:2] + places[:, 2:]) / 3.0
    return (places + INWARD * (middle - places)).reshape(-1, 3)[order], asked


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
def _blended(weights: FloatArray, vertices: IntArray, nearest: IntArray, values: FloatArray) -> FloatArray:
    """Values (q, k) at points on triangles `nearest`."""
    width = values.shape[1]
    result = np.empty((len(nearest), width))
    for i in range(len(nearest)):
        a, b, c = vertices[nearest[i], 0], vertices[nearest[i], 1], vertices[nearest[i], 2]
        for k in range(width):
            result[i, k] = weights[i, 0] * values[a, k] + weights[i, 1] * values[b, k] + weights[i, 2] * values[c, k]
    return result


def _settle_normals(
    source: Source, theirs: BoolArray, surface: Surface, triangles: IntArray, normals: FloatArray
) -> FloatArray:
    """Unit corner normals: never behind the face, shared where the surface is smooth, the source's own
    where the position is the source's own."""
    faces, _ = face_normals(surface.positions, triangles)
    vertices = triangles.reshape(-1)
    normals = _facing(_unit(normals, faces, 3), faces)
    normals = _unit(_sum_of_similar(vertices, normals, SMOOTH_COS), faces, 3)
    return _snap_to_source(source, theirs, surface, vertices, normals)


def _settle_tangents(tangents: FloatArray) -> FloatArray:
    """Unit directions, and a handedness of 1 or −1."""
    along = _unit(np.ascontiguousarray(tangents[:, :3]), np.array([[1.0, 0.0, 0.0]]), len(tangents))
    return np.concatenate([along, np.where(tangents[:, 3:] < 0, -1.0, 1.0)], axis=1)


def _snap_to_source(
    source: Source, theirs: BoolArray, surface: Surface, vertices: IntArray, normals: FloatArray
) -> FloatArray:
    """Of the normals that the source has at a corner's position, the one that agrees most with its own; else that."""
    own = source.surface
    place = match_rows(own.positions, surface.positions)
    candidates = source.attributes["NORMAL"]
    return _most_alike(
        place, own.triangles, source.vertices, theirs, candidates, vertices, len(surface.positions), normals
    )


@compiled
def _most_alike(
    place: IntArray,
    triangles: IntArray,
    corners: IntArray,
    theirs: BoolArray,
    candidates: FloatArray,
    vertices: IntArray,
    count: int,
    normals: FloatArray,
) -> FloatArray:
    """place: (n,) the vertex that each of the source's is, or −1; theirs: (m,) which of its triangles are asked;
    corners: (m, 3) the rows of `candidates` (v, 3), normals, at their corners."""
    starts = np.zeros(count + 1, np.int64)
    for t in range(len(triangles)):
        for k in range(3):
            v = place[triangles[t, k]]
            if theirs[t] and v >= 0:
                starts[v + 1] += 1
    for v in range(count):
        starts[v + 1] += starts[v]
    corner_of, filled = np.empty(starts[count], np.int64), starts[:-1].copy()
    for t in range(len(triangles)):
        for k in range(3):
            v = place[triangles[t, k]]
            if theirs[t] and v >= 0:
                corner_of[filled[v]] = corners[t, k]
                filled[v] += 1
    result = normals.copy()
    for corner in range(len(vertices)):
        best = -2.0
        for i in range(starts[vertices[corner]], starts[vertices[corner] + 1]):
            one = corner_of[i]
            x, y, z = candidates[one, 0], candidates[one, 1], candidates[one, 2]
            agreement = x * normals[corner, 0] + y * normals[corner, 1] + z * normals[corner, 2]
            if agreement > best:
                best = agreement
                result[corner, 0], result[corner, 1], result[corner, 2] = x, y, z
    return result


def _sum_of_similar(vertices: IntArray, normals: FloatArray, cosine: float) -> FloatArray:
    """For each corner the sum of the unit normals at its vertex that differ from its own by no more than the angle."""
    total, _ = _sums(vertices, normals, cosine, True)
    return total


def _mean_of_similar(vertices: IntArray, values: FloatArray, tolerance: float) -> FloatArray:
    """For each corner the mean of the values at its vertex that differ from its own by no more than `tolerance`."""
    total, count = _sums(vertices, values, tolerance, False)
    mean: FloatArray = total / count[:, None]
    return mean


@compiled
def _sums(vertices: IntArray, values: FloatArray, limit: float, directions: bool) -> tuple[FloatArray, IntArray]:
    """Sums (n, k) of the values of similar corners at the same vertex, each corner's own among them, and how many
    they are. At a vertex of more than MAX_VALENCE corners, such as the middle of a cap, each looks at the next ones.

    directions: values are similar whose product is at least `limit`; else those that differ by no more than it.
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
            one, first = order[start + i], i if size > MAX_VALENCE else 0
            for step in range(min(size, MAX_VALENCE)):
                other = order[start + (first + step) % size]
                product, gap = 0.0, 0.0
                for k in range(width):
                    product += values[one, k] * values[other, k]
                    gap = max(gap, abs(values[one, k] - values[other, k]))
                if product >= limit if directions else gap <= limit:
                    found[one] += 1
                    for k in range(width):
                        total[one, k] += values[other, k]
    return total, found


@compiled
def _facing(normals: FloatArray, faces: FloatArray) -> FloatArray:
    """Corner normals (3m, 3), those behind their face (m, 3) replaced by its normal; faces without area have none."""
    result = normals.copy()
    for corner in range(len(normals)):
        x, y, z = faces[corner // 3]
        if normals[corner, 0] * x + normals[corner, 1] * y + normals[corner, 2] * z < 0.0:
            result[corner, 0], result[corner, 1], result[corner, 2] = x, y, z
    return result


@compiled
def _unit(vectors: FloatArray, fallback: FloatArray, share: int) -> FloatArray:
    """Vectors (n, 3) of length 1; each of the fallbacks serves `share` of them."""
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
