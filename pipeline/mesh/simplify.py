"""Simplify a surface by quadric edge collapse, with any of its vertices locked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .closest import ClosestPoints
from .collapse import collapse
from .compiled import compiled
from .geometry import bounding_box, face_normals
from .quadrics import LINE, OPEN, Mesh
from .surface import Surface, merge, part, without_degenerates
from .topology import edges_of, rows_in, unique_rows

# What a texture's slip of a metre counts against a surface's of a metre.
TEXTURE_WEIGHT = 0.2
# Lines between materials stay exact while their edges number less than this share of the target: beyond,
# the locked lines would leave no triangles for the surfaces between them.
LINE_SHARE = 0.25
# Where the furthest vertex is more than LOST times the mean distance from what a collapse left, another one is made in
# which vertices further than FAR times the mean stay where they are.
LOST = 25.0
FAR = 10.0
ROUNDS = 2  # collapses after the first
TIP = 0.6  # how blunt a vertex may be that stays where it is from the start
MEAN_OF = 4000  # vertices or a few more stand for all of them, to save time
FAR_SHARE = 0.02  # of the target: so many vertices may be kept so at most
MEAN_PRICE = 1.05  # the mean error may grow so much for a smaller largest one
MIN_TRIANGLES = 4  # the fewest triangles of a primitive kind that are worth a collapse


# Barycentric middles of the 16 triangles that a triangle falls into when its edges are cut in four.
SIXTEENTHS: FloatArray = (
    np.array(
        [((3 * i + 1), (3 * j + 1), (10 - 3 * i - 3 * j)) for i in range(4) for j in range(4 - i)]
        + [((3 * i + 2), (3 * j + 2), (8 - 3 * i - 3 * j)) for i in range(3) for j in range(3 - i)]
    )
    / 12.0
)
NO_POSITIONS: FloatArray = np.zeros((0, 3))


def simplify(surface: Surface, target: int, locked: FloatArray = NO_POSITIONS) -> Surface:
    """Reduce `surface` to about `target` triangles.

    locked: (k, 3) positions of vertices that stay where they are, with the edges between them (the border of
        a region). Open edges are only weighed.
    Lines between primitive kinds stay exact when anything is locked, or when the target leaves room for them;
    else they move a little. Each kind keeps at least one triangle, since the base must carry the material of every
    kind.
    """
    if len(surface.triangles) <= target:
        return surface
    lines = _line_vertices(surface)
    if len(locked) or len(lines) <= LINE_SHARE * target:
        locked = np.concatenate([locked, lines])
    result = _collapse(surface, target, locked)
    lost = np.setdiff1d(surface.kinds, result.kinds)
    alone = [part(surface, surface.kinds == kind) for kind in lost]
    return merge([result, *(_once(a, MIN_TRIANGLES, NO_POSITIONS) or a for a in alone)]) if alone else result


def stray_share(source: Surface, tier: Surface) -> float:
    """The share of a tier's area on which it shows another kind than the source does at the nearest point.

    Points whose own kind is nearer than the tier is to the source on average do not count: a line may lie that far
    off as every other point may. Sampled at the middles of 16 parts of each triangle.
    """
    _, area = face_normals(tier.positions, tier.triangles)
    points = np.einsum("pk,mkc->mpc", SIXTEENTHS, tier.positions[tier.triangles]).reshape(-1, 3)
    kinds, weights = (np.repeat(values, len(SIXTEENTHS)) for values in (tier.kinds, area))
    found = ClosestPoints(source.positions, source.triangles).query(points)
    band = float(np.average(found.distances, weights=weights)) if area.any() else 0.0
    other = np.flatnonzero(source.kinds[found.triangles] != kinds)
    wrong = 0.0
    for kind in np.unique(kinds[other]):
        mine = other[kinds[other] == kind]
        own = part(source, source.kinds == kind)
        gap = ClosestPoints(own.positions, own.triangles).query(points[mine]).distances
        wrong += float(weights[mine][gap > max(band, 1e-12)].sum())
    return wrong / float(weights.sum()) if area.any() else 0.0


def least_triangles_for_lines(surface: Surface) -> int:
    """The fewest triangles that leave the lines between kinds exact."""
    return ceil(len(_line_vertices(surface)) / LINE_SHARE)


def _line_vertices(surface: Surface) -> FloatArray:
    """Positions that more than one kind uses."""
    if (surface.kinds == surface.kinds[:1]).all():
        return NO_POSITIONS
    low = np.full(len(surface.positions), np.iinfo(np.int64).max)
    high = np.full(len(surface.positions), -1, np.int64)
    for kind in np.unique(surface.kinds):
        used = np.unique(surface.triangles[surface.kinds == kind])
        low[used] = np.minimum(low[used], kind)
        high[used] = kind
    shared: FloatArray = surface.positions[low < high]
    return shared


def _collapse(surface: Surface, target: int, locked: FloatArray) -> Surface:
    """Reduce a surface with the sharpest tips kept. What a collapse left far behind all the same is locked in another
    one."""
    locked = np.concatenate([locked, _tips(surface, int(FAR_SHARE * target))])
    best = _once(surface, target, locked)
    if best is None:
        return surface
    left = _left_behind(surface, best, target)
    for _ in range(ROUNDS):
        if len(left.far) == 0 or left.largest < LOST * left.mean:
            break
        locked = np.concatenate([locked, left.far])
        again = _once(surface, target, locked)
        if again is None:
            break
        after = _left_behind(surface, again, target)
        if after.largest < left.largest and after.mean < MEAN_PRICE * left.mean:
            best, left = again, after
        else:
            left = replace(left, far=after.far)
    return best


def _tips(surface: Surface, most: int) -> FloatArray:
    """The (k, 3) vertices whose faces look into all directions, the sharpest of them where there are too many.

    The tip of a thin spike has hardly any area and weighs nothing, so the whole spike may vanish.
    """
    bluntness = _bluntness(surface.positions, surface.triangles)
    tips = np.flatnonzero(bluntness < TIP)
    tips = tips[np.argsort(bluntness[tips], kind="stable")[:most]]
    found: FloatArray = surface.positions[tips]
    return found


@compiled
def _bluntness(positions: FloatArray, triangles: IntArray) -> FloatArray:
    """(n,) the length of the sum of the normals around each vertex by area, over the sum of the areas: 1 where it is
    flat, 0.58 at the corner of a cube."""
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
class _LeftBehind:
    """How far a surface's vertices are from what a collapse made of it: the mean and largest distance, and (k, 3) what
    is far, the furthest first."""

    mean: float
    largest: float
    far: FloatArray


def _left_behind(surface: Surface, result: Surface, target: int) -> _LeftBehind:
    """What is far is no nearer to another such vertex than it is itself to the result."""
    on_result = ClosestPoints(result.positions, result.triangles)
    some = surface.positions[:: max(1, len(surface.positions) // MEAN_OF)]
    mean = float(on_result.query(some).distances.mean())
    far = surface.positions[on_result.beyond(surface.positions, FAR * mean)]
    distances = on_result.query(far).distances
    chosen: list[int] = []
    for index in np.argsort(-distances, kind="stable"):
        if len(chosen) >= FAR_SHARE * target:
            break
        gaps = np.linalg.norm(far[chosen] - far[index], axis=1)
        if gaps.min(initial=np.inf) > distances[index]:
            chosen.append(int(index))
    return _LeftBehind(mean, float(distances.max(initial=FAR * mean)), far[chosen])


def _once(surface: Surface, target: int, locked: FloatArray) -> Surface | None:
    """One collapse; None where nothing is left."""
    low, high = bounding_box(surface.positions)
    middle, size = (low + high) * 0.5, float(np.linalg.norm(high - low)) or 1.0
    wedges, first = _wedges(surface)
    corners = surface.uv.reshape(-1, 2)[first]
    textured = bool(np.any(corners != corners[0]))
    offset, stretch = corners.mean(axis=0), _stretch(surface) / size * TEXTURE_WEIGHT if textured else 0.0
    scaled = (corners - offset) * stretch
    mesh = Mesh(
        (surface.positions - middle) / size,
        surface.triangles.astype(np.int32),
        wedges.astype(np.int32),
        scaled.copy() if textured else scaled[:0],
        rows_in(surface.positions, locked),
        _borders(surface, wedges),
    )
    left, moved = collapse(mesh, target)
    if not left.any():
        return None
    positions = np.where(moved[:, None], mesh.positions * size + middle, surface.positions)
    if textured:  # coordinates that did not change come back bit for bit
        corners = np.where(mesh.uv == scaled, corners, mesh.uv / stretch + offset)
    welded, inverse = unique_rows(positions)
    triangles = inverse[mesh.triangles[left]]
    result = without_degenerates(Surface(welded, triangles, surface.kinds[left], corners[mesh.wedges[left]]))
    return part(result, np.ones(len(result.triangles), np.bool_)) if len(result.triangles) else None


def _wedges(surface: Surface) -> tuple[IntArray, IntArray]:
    """The wedge (m, 3) at each corner, and a corner of each wedge: a position with a kind and texture coordinates."""
    if not surface.uv.any() and (surface.kinds == surface.kinds[0]).all():
        return surface.triangles, np.zeros(len(surface.positions), np.int64)
    kinds = np.repeat(surface.kinds, 3)[:, None]
    rows = np.concatenate([surface.triangles.reshape(-1, 1), kinds, surface.uv.reshape(-1, 2)], axis=1)
    distinct, wedges = unique_rows(rows)
    first = np.zeros(len(distinct), np.int64)
    first[wedges[::-1]] = np.arange(len(wedges))[::-1]
    return wedges.reshape(-1, 3), first


def _borders(surface: Surface, wedges: IntArray) -> AnyArray:
    """For each side (m, 3) of each triangle whether it is open (OPEN), a line between wedges or kinds (LINE), or
    neither (0). Sides of more than two triangles are lines."""
    edge, users = edges_of(surface.triangles)
    kinds = np.where(
        users == 1, OPEN, np.where((users > 2) | _parted(surface.triangles, wedges, edge, len(users)), LINE, 0)
    )
    return kinds.astype(np.int8)[edge]


@compiled
def _parted(triangles: IntArray, wedges: IntArray, edge: IntArray, edges: int) -> BoolArray:
    """Which edges have different wedges at one of their ends in different triangles."""
    first, parted = np.full((edges, 2), -1, np.int64), np.zeros(edges, np.bool_)
    for t in range(len(triangles)):
        for k in range(3):
            e, after = edge[t, k], (k + 1) % 3
            turned = triangles[t, k] > triangles[t, after]
            low, high = (wedges[t, after], wedges[t, k]) if turned else (wedges[t, k], wedges[t, after])
            if first[e, 0] < 0:
                first[e, 0], first[e, 1] = low, high
            parted[e] |= first[e, 0] != low or first[e, 1] != high
    return parted


def _stretch(surface: Surface) -> float:
    """Length on the surface over length in texture coordinates, of all triangles."""
    _, area = face_normals(surface.positions, surface.triangles)
    u, v = surface.uv[:, 1] - surface.uv[:, 0], surface.uv[:, 2] - surface.uv[:, 0]
    textured = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * 0.5
    shown = float(area[textured > 0].sum())
    return float(np.sqrt(shown / textured.sum())) if shown > 0 else 1.0
