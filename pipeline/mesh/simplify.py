"""Simplify a surface by quadric edge collapse, with any of its vertices locked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .aggregates import thinned
from .closest import ClosestPoints
from .collapse import collapse
from .compiled import compiled
from .geometry import bounding_box, face_normals
from .quadrics import LINE, OPEN, CollapseMesh
from .surface import Surface, merge, part, without_degenerates
from .topology import edges_of, rows_in, unique_rows

# A texture that shifts by a metre costs this share of a surface that moves by a metre.
TEXTURE_WEIGHT = 0.2
# Lines between materials stay exact while their vertices number less than this share of the target. More locked
# vertices would leave no triangles for the surfaces between the lines.
LINE_SHARE = 0.25
# If the furthest vertex is more than LOST times the mean distance from the result of a collapse, the collapse is
# repeated with vertices further than FAR times the mean locked.
LOST = 25.0
FAR = 10.0
ROUNDS = 2  # such repetitions at most
TIP = 0.6  # vertices less blunt than this are locked from the start
MEAN_SAMPLES = 4000  # the mean distance is that of about so many vertices, to save time
FAR_SHARE = 0.02  # of the target: the most vertices that are locked as far, or as tips
MEAN_PRICE = 1.05  # factor by which the mean distance may grow for a smaller largest one
MIN_TRIANGLES = 4  # a primitive kind that a collapse removed is simplified to about this number by itself
LOST_SHARE, MIN_LOST = 0.25, 16  # of the target: the most triangles for such kinds; and kinds that always get them


# Barycentric centroids of the 16 triangles into which a triangle falls when its edges are cut in four.
SIXTEENTHS: FloatArray = (
    np.array(
        [((3 * i + 1), (3 * j + 1), (10 - 3 * i - 3 * j)) for i in range(4) for j in range(4 - i)]
        + [((3 * i + 2), (3 * j + 2), (8 - 3 * i - 3 * j)) for i in range(3) for j in range(3 - i)]
    )
    / 12.0
)
NO_POSITIONS: FloatArray = np.zeros((0, 3))


def simplify(
    surface: Surface, target: int, locked: FloatArray = NO_POSITIONS, *, groups: IntArray | None = None
) -> Surface:
    """Reduce `surface` to about `target` triangles.

    locked: (k, 3) positions of vertices that stay where they are, and so do the edges between them (the border of a
        region). Open edges are not locked, only weighted.
    Lines between primitive kinds stay exact if any vertex is locked, or if the target leaves room for them; otherwise
    they move a little. Kinds that a collapse removes get a few triangles back, the largest ones first, within
    LOST_SHARE of the target or MIN_LOST kinds; so does the
    largest kind of each group that has no triangle left. groups: the group (k,) of each kind.
    """
    if len(surface.triangles) <= target:
        return surface
    whole, surface = surface, thinned(surface, target, locked)
    if len(surface.triangles) <= target:
        return surface
    lines = _line_vertices(surface)
    if len(locked) or len(lines) <= LINE_SHARE * target:
        locked = np.concatenate([locked, lines])
    result = _reduce(surface, target, locked)
    most = max(MIN_LOST, int(LOST_SHARE * target / MIN_TRIANGLES))
    lost = [part(whole, whole.kinds == kind) for kind in _lost_kinds(whole, result, most, groups)]
    return merge([result, *(_collapse_once(s, MIN_TRIANGLES, NO_POSITIONS) or s for s in lost)]) if lost else result


def _lost_kinds(whole: Surface, result: Surface, most: int, groups: IntArray | None) -> IntArray:
    """The kinds that a result lacks, in order: the `most` with the largest areas, and the largest one of each group
    that is lost as a whole."""
    lost: IntArray = np.setdiff1d(whole.kinds, result.kinds)
    if len(lost) <= most:
        return lost
    _, area = face_normals(whole.positions, whole.triangles)
    areas = np.bincount(whole.kinds, area)[lost]
    by_area = lost[np.argsort(-areas, kind="stable")]
    chosen = set(by_area[:most].tolist())
    if groups is not None:
        shown = {int(groups[kind]) for kind in [*np.unique(result.kinds).tolist(), *chosen]}
        for kind in by_area.tolist():
            if int(groups[kind]) not in shown:
                shown.add(int(groups[kind]))
                chosen.add(kind)
    return np.array(sorted(chosen), np.int64)


def stray_share(source: Surface, tier: Surface) -> float:
    """The share of a tier's area that shows another kind than the source does at the nearest point.

    Points whose own kind is nearer than the tier's mean distance to the source do not count: a line may be as far off
    as any other point. Sampled at the centroids of 16 parts of each triangle.
    """
    _, area = face_normals(tier.positions, tier.triangles)
    points = np.einsum("pk,mkc->mpc", SIXTEENTHS, tier.positions[tier.triangles]).reshape(-1, 3)
    kinds, weights = (np.repeat(values, len(SIXTEENTHS)) for values in (tier.kinds, area))
    nearest = ClosestPoints(source.positions, source.triangles).query(points)
    band = float(np.average(nearest.distances, weights=weights)) if area.any() else 0.0
    differing = np.flatnonzero(source.kinds[nearest.triangles] != kinds)
    stray = 0.0
    for kind in np.unique(kinds[differing]):
        of_kind = differing[kinds[differing] == kind]
        source_part = part(source, source.kinds == kind)
        gap = ClosestPoints(source_part.positions, source_part.triangles).query(points[of_kind]).distances
        stray += float(weights[of_kind][gap > max(band, 1e-12)].sum())
    return stray / float(weights.sum()) if area.any() else 0.0


def least_triangles_for_lines(surface: Surface) -> int:
    """The fewest triangles at which the lines between kinds stay exact."""
    return ceil(len(_line_vertices(surface)) / LINE_SHARE)


def _line_vertices(surface: Surface) -> FloatArray:
    """The positions (k, 3) that triangles of more than one kind use."""
    if (surface.kinds == surface.kinds[:1]).all():
        return NO_POSITIONS
    low = np.full(len(surface.positions), np.iinfo(np.int64).max)
    high = np.full(len(surface.positions), -1, np.int64)
    corner_kinds = np.repeat(surface.kinds, 3)
    np.minimum.at(low, surface.triangles.reshape(-1), corner_kinds)
    np.maximum.at(high, surface.triangles.reshape(-1), corner_kinds)
    shared: FloatArray = surface.positions[low < high]
    return shared


def _reduce(surface: Surface, target: int, locked: FloatArray) -> Surface:
    """Collapse a surface with the sharpest tips locked; if the result leaves vertices far behind, collapse again with
    these locked too."""
    locked = np.concatenate([locked, _tips(surface, int(FAR_SHARE * target))])
    best = _collapse_once(surface, target, locked)
    if best is None:
        return surface
    distance = _measure(surface, best, target)
    for _ in range(ROUNDS):
        if len(distance.far) == 0 or distance.largest < LOST * distance.mean:
            break
        locked = np.concatenate([locked, distance.far])
        candidate = _collapse_once(surface, target, locked)
        if candidate is None:
            break
        after = _measure(surface, candidate, target)
        if after.largest < distance.largest and after.mean < MEAN_PRICE * distance.mean:
            best, distance = candidate, after
        else:
            distance = replace(distance, far=after.far)
    return best


def _tips(surface: Surface, most: int) -> FloatArray:
    """The positions (k, 3) of tips: vertices whose faces point in all directions, the `most` sharpest of them.

    The tip of a thin spike has hardly any area and so hardly any weight; without a lock the whole spike may vanish.
    """
    bluntness = _bluntness(surface.positions, surface.triangles)
    tips = np.flatnonzero(bluntness < TIP)
    tips = tips[np.argsort(bluntness[tips], kind="stable")[:most]]
    found: FloatArray = surface.positions[tips]
    return found


@compiled
def _bluntness(positions: FloatArray, triangles: IntArray) -> FloatArray:
    """The length (n,) of the sum of the area-weighted normals around each vertex, divided by the sum of the areas: 1
    on a flat surface, 0.58 at the corner of a cube."""
    total, areas = np.zeros((len(positions), 3)), np.zeros(len(positions))
    for t in range(len(triangles)):
        a, b, c = positions[triangles[t, 0]], positions[triangles[t, 1]], positions[triangles[t, 2]]
        ux, uy, uz, vx, vy, vz = b[0] - a[0], b[1] - a[1], b[2] - a[2], c[0] - a[0], c[1] - a[1], c[2] - a[2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        area = np.sqrt(x * x + y * y + z * z)
        for k in range(3):
            v = triangles[t, k]
            total[v, 0] += x
            total[v, 1] += y
            total[v, 2] += z
            areas[v] += area
    blunt = np.ones(len(positions))
    for v in range(len(positions)):
        if areas[v] > 0.0:
            x, y, z = total[v]
            blunt[v] = np.sqrt(x * x + y * y + z * z) / areas[v]
    return blunt


@dataclass(frozen=True)
class _VertexDistance:
    """Distances of a surface's vertices to the result of a collapse: the mean, the largest, and the positions (k, 3) of
    the far vertices to lock, the furthest first."""

    mean: float
    largest: float
    far: FloatArray


def _measure(surface: Surface, result: Surface, target: int) -> _VertexDistance:
    """Measure how far a surface's vertices are from a result.

    Far vertices that are nearer to a further one than to the result are not listed: locking the further one helps both.
    """
    on_result = ClosestPoints(result.positions, result.triangles)
    samples = surface.positions[:: max(1, len(surface.positions) // MEAN_SAMPLES)]
    mean = float(on_result.query(samples).distances.mean())
    far = surface.positions[on_result.beyond(surface.positions, FAR * mean)]
    distances = on_result.query(far).distances
    chosen: list[int] = []
    for index in np.argsort(-distances, kind="stable"):
        if len(chosen) >= FAR_SHARE * target:
            break
        gaps = np.linalg.norm(far[chosen] - far[index], axis=1)
        if gaps.min(initial=np.inf) > distances[index]:
            chosen.append(int(index))
    return _VertexDistance(mean, float(distances.max(initial=FAR * mean)), far[chosen])


def _collapse_once(surface: Surface, target: int, locked: FloatArray) -> Surface | None:
    """The result of one collapse, or None if no triangle is left."""
    low, high = bounding_box(surface.positions)
    center, size = (low + high) * 0.5, float(np.linalg.norm(high - low)) or 1.0
    wedges, first = _wedges(surface)
    corners = surface.uv.reshape(-1, 2)[first]
    textured = bool(np.any(corners != corners[0]))
    offset, stretch = corners.mean(axis=0), _stretch(surface) / size * TEXTURE_WEIGHT if textured else 0.0
    scaled = (corners - offset) * stretch
    mesh = CollapseMesh(
        (surface.positions - center) / size,
        surface.triangles.astype(np.int32),
        wedges.astype(np.int32),
        scaled.copy() if textured else scaled[:0],
        rows_in(surface.positions, locked),
        _borders(surface, wedges),
    )
    left, moved = collapse(mesh, target)
    if not left.any():
        return None
    positions = np.where(moved[:, None], mesh.positions * size + center, surface.positions)
    if textured:  # coordinates that did not change keep their exact bits
        corners = np.where(mesh.uv == scaled, corners, mesh.uv / stretch + offset)
    welded, inverse = unique_rows(positions)
    triangles = inverse[mesh.triangles[left]]
    result = without_degenerates(Surface(welded, triangles, surface.kinds[left], corners[mesh.wedges[left]]))
    return part(result, np.ones(len(result.triangles), np.bool_)) if len(result.triangles) else None


def _wedges(surface: Surface) -> tuple[IntArray, IntArray]:
    """The wedge (m, 3) at each corner, and one corner of each wedge (w,).

    A wedge is a distinct combination of position, kind and texture coordinates.
    """
    if not surface.uv.any() and (surface.kinds == surface.kinds[0]).all():
        return surface.triangles, np.zeros(len(surface.positions), np.int64)
    kinds = np.repeat(surface.kinds, 3)[:, None]
    rows = np.concatenate([surface.triangles.reshape(-1, 1), kinds, surface.uv.reshape(-1, 2)], axis=1)
    distinct, wedges = unique_rows(rows)
    first = np.zeros(len(distinct), np.int64)
    first[wedges[::-1]] = np.arange(len(wedges))[::-1]
    return wedges.reshape(-1, 3), first


def _borders(surface: Surface, wedges: IntArray) -> AnyArray:
    """The border kind (m, 3) of each side of each triangle: OPEN, LINE between wedges or kinds, or 0 for neither. Sides
    of more than two triangles are lines."""
    edge, side_counts = edges_of(surface.triangles)
    on_line = (side_counts > 2) | _have_different_wedges(surface.triangles, wedges, edge, len(side_counts))
    kinds = np.where(side_counts == 1, OPEN, np.where(on_line, LINE, 0))
    return kinds.astype(np.int8)[edge]


@compiled
def _have_different_wedges(triangles: IntArray, wedges: IntArray, edge: IntArray, edges: int) -> BoolArray:
    """A mask (edges,) of the edges with different wedges at one of their ends in different triangles."""
    first, different = np.full((edges, 2), -1, np.int64), np.zeros(edges, np.bool_)
    for t in range(len(triangles)):
        for k in range(3):
            e, after = edge[t, k], (k + 1) % 3
            turned = triangles[t, k] > triangles[t, after]
            low, high = (wedges[t, after], wedges[t, k]) if turned else (wedges[t, k], wedges[t, after])
            if first[e, 0] < 0:
                first[e, 0], first[e, 1] = low, high
            different[e] |= first[e, 0] != low or first[e, 1] != high
    return different


def _stretch(surface: Surface) -> float:
    """Length on the surface per length in texture coordinates, over all triangles."""
    _, area = face_normals(surface.positions, surface.triangles)
    u, v = surface.uv[:, 1] - surface.uv[:, 0], surface.uv[:, 2] - surface.uv[:, 0]
    uv_area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * 0.5
    textured_area = float(area[uv_area > 0].sum())
    return float(np.sqrt(textured_area / uv_area.sum())) if textured_area > 0 else 1.0
