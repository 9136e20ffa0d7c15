"""The Hausdorff distance between two surfaces, bounded from above to within a tolerance.

For each triangle T of one surface an upper bound of its distance to the other surface S is kept. Any
piecewise affine map f from T into S gives one: |p − f(p)| is convex on each piece, so it is largest at a
corner of a piece. Three maps are tried, by the triangles of S that are nearest to T's corners:

- all the same: T maps into it as a whole;
- two that share an edge e: T is cut where its own edges pass e, and the cut maps into e;
- three in a row, the middle one sharing an edge with each of the others: two such cuts.

Besides, distance to a set is 1-Lipschitz, so no point of T is further from S than a corner's distance plus the way
there, nor than the centroid's. Triangles whose bound exceeds the largest distance seen are split in
four until the bound is tight: the branch and bound of Guthe, Borodin and Klein, Fast and accurate
Hausdorff distance calculation between meshes (2005), with these bounds.

The maps agree on shared edges, so together they map the fine surface continuously onto the coarse one.
Where their images cover a coarse triangle once (by signed area, which is its topological degree), every
point of it is the image of a fine point no further away than the bound. That holds where the maps are
continuous: borders and edges of more than two triangles break it unless both surfaces have them at the same
place, as regions with locked borders do. So the way back needs a search only for triangles that are not covered,
lie at such a break or come near the bound, which is what makes a bound of both directions affordable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import AnyArray, FloatArray, IntArray
from .closest import DEPTH, BoxTree, ClosestPoints, nearest, nearest_of_each
from .compiled import compiled, compiled_inner
from .surface import Surface, edges_of, part

TOLERANCE = 0.05  # of the distance; a tighter bound would change no decision of the viewer
MAX_QUERIES = 8_000_000  # past this the bound is returned as it stands: true, only less tight
# Signed area of the images over a triangle's own. Edges that only one side has split leave slivers between
# their two images, and pieces settled without a map are booked by thirds, so one is not met exactly.
COVERED = (0.8, 1.2)
# A triangle that is covered but for such a sliver may reach further there than any fine point does. It is searched
# too where a corner or the centroid is further away than this share of the forward bound.
SUSPECT = 0.5
Point = FloatArray | tuple[float, float, float]

SPLITS = 40  # of one triangle into four, one below the other: its edges are shorter than rounding by then


@dataclass(frozen=True)
class GeometricError:
    """Distances between two surfaces, in their unit.

    bound: an upper bound of the two-sided Hausdorff distance.
    mean: of the fine surface's vertices to the coarse surface.
    """

    bound: float
    mean: float


def geometric_error(
    fine: Surface, coarse: Surface, floor: float, on_fine: ClosestPoints | None = None
) -> GeometricError:
    """Measure how far a coarse surface is from the fine one that it stands for.

    on_fine: of the fine surface, where the caller has it.

    The bound exceeds the true distance by no more than 5 % or `floor` (the quantisation step: finer than
    that the decoded surface means nothing), unless the work would grow past bounds.
    """
    on_coarse = ClosestPoints(coarse.positions, coarse.triangles)
    on_fine = on_fine or ClosestPoints(fine.positions, fine.triangles)
    forward, mean, coverage = _forward(fine, coarse, on_coarse, floor)
    bare = (coverage < COVERED[0]) | (coverage > COVERED[1]) | _at_breaks(fine, coarse, on_coarse, floor)
    bare |= _seen_from(coarse, on_fine) > SUSPECT * forward
    if not bare.any():
        return GeometricError(forward, mean)
    return GeometricError(max(forward, _back(part(coarse, bare), fine, on_fine, floor, forward)), mean)


def _seen_from(coarse: Surface, on_fine: ClosestPoints) -> FloatArray:
    """(m,) the largest distance to the fine surface of each coarse triangle's corners and centroid."""
    p, t = coarse.positions, coarse.triangles
    corners, middles = on_fine.query(p).distances, on_fine.query(p[t].mean(axis=1)).distances
    a, b, c = corners[t].T
    far: FloatArray = np.maximum.reduce([a, b, c, middles])
    return far


def _at_breaks(fine: Surface, coarse: Surface, on_coarse: ClosestPoints, floor: float) -> AnyArray:
    """Triangles of `coarse` at a border or a non-manifold edge that is not, within `floor`, one of both."""
    from scipy.spatial import cKDTree  # here, since closed surfaces need none and it takes long to load

    broken = np.zeros(len(coarse.positions), np.bool_)
    breaks = _break_vertices(coarse), _break_vertices(fine)
    for own, mine, other, theirs in ((coarse, breaks[0], fine, breaks[1]), (fine, breaks[1], coarse, breaks[0])):
        if len(mine) == 0:
            continue
        points = own.positions[mine]
        if len(theirs):
            gap, _ = cKDTree(other.positions[theirs]).query(points)
            mine, points = mine[gap > floor], points[gap > floor]
        if own is coarse:
            broken[mine] = True
        else:
            broken[np.unique(coarse.triangles[on_coarse.query(points).triangles])] = True
    # One ring around, since an edge between two vertices at a break may cross other triangles.
    return np.asarray(broken[coarse.triangles].any(axis=1))


def _break_vertices(surface: Surface) -> IntArray:
    """Vertices on edges that do not belong to exactly two triangles."""
    edge, users = edges_of(surface.triangles)
    broken = users[edge] != 2
    return np.unique(np.concatenate([surface.triangles[broken], surface.triangles[:, [1, 2, 0]][broken]]))


def _forward(fine: Surface, coarse: Surface, on_coarse: ClosestPoints, floor: float) -> tuple[float, float, FloatArray]:
    """Upper bound of the largest distance from a point of `fine` to `coarse`, the mean one of its vertices, and how
    often the images of `fine` cover each triangle of `coarse`."""
    tree = on_coarse.tree
    a, b, c = (tree.corners[:, 3 * k : 3 * k + 3] for k in range(3))
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    normals = cross / np.where(length > 0, length, 1.0)[:, None]
    target = _Target(tree, coarse.triangles[tree.order], normals)
    bound, mean, booked = _search(fine.positions, fine.triangles, target, floor, 0.0)
    coverage = np.ones(len(booked))
    coverage[tree.order] = np.where(length > 0, booked / np.where(length > 0, length * 0.5, 1.0), 1.0)
    return bound, mean, coverage


def _back(coarse: Surface, fine: Surface, on_fine: ClosestPoints, floor: float, known: float) -> float:
    """Upper bound of the largest distance from a point of `coarse` to `fine`. `known` is a distance below which the
    answer does not matter."""
    target = _Target(on_fine.tree, fine.triangles[on_fine.tree.order], np.empty((0, 3)))
    bound, _, _ = _search(coarse.positions, coarse.triangles, target, floor, known)
    return float(bound)


class _Target(NamedTuple):
    """The surface that is measured against. triangles: (m, 3) vertices; normals: (m, 3), or none where nothing is to be
    booked; both in the tree's order."""

    tree: BoxTree
    triangles: IntArray
    normals: FloatArray


class _Pieces(NamedTuple):
    """Triangles cut from the measured surface, with what is known of their corners' nearest points on the target.

    corners, feet: (p, 3, 3); distance, nearest: (p, 3).
    """

    corners: FloatArray
    feet: FloatArray
    distance: FloatArray
    nearest: AnyArray


class _Work(NamedTuple):
    """Room for a search. nearby, feet, far: of each vertex; booked: of each triangle of the target; pieces: those of
    one triangle, one below the other; six: corners and middles of the sides of one piece."""

    nearby: AnyArray
    feet: FloatArray
    far: FloatArray
    booked: FloatArray
    pieces: _Pieces
    six: _Pieces
    stack: AnyArray
    distances: FloatArray


@compiled
def _search(
    positions: FloatArray, triangles: IntArray, target: _Target, floor: float, known: float
) -> tuple[float, float, FloatArray]:
    count, room = len(positions), 3 * SPLITS + 4
    work = _Work(
        np.empty(count, np.int32),
        np.empty((count, 3)),
        np.empty(count),
        np.zeros(len(target.normals)),
        _Pieces(np.empty((room, 3, 3)), np.empty((room, 3, 3)), np.empty((room, 3)), np.empty((room, 3), np.int32)),
        _Pieces(np.empty((1, 6, 3)), np.empty((1, 6, 3)), np.empty((1, 6)), np.empty((1, 6), np.int32)),
        np.empty(DEPTH, np.int32),
        np.empty(DEPTH),
    )
    nearest_of_each(positions, target.tree, work.nearby, work.feet, work.far, work.stack, work.distances)
    total = 0.0
    for v in range(count):
        total += work.far[v]
    return _settle_all(positions, triangles, target, floor, known, work), total / max(count, 1), work.booked


@compiled_inner
def _settle_all(
    positions: FloatArray, triangles: IntArray, target: _Target, floor: float, known: float, work: _Work
) -> float:
    """The bound over all triangles."""
    pieces, far = work.pieces, work.far
    seen, settled, queries = 0.0, 0.0, len(positions)
    for v in range(len(positions)):
        seen = max(seen, far[v])
    for t in range(len(triangles)):
        for k in range(3):
            v = triangles[t, k]
            for axis in range(3):
                pieces.corners[0, k, axis], pieces.feet[0, k, axis] = positions[v, axis], work.feet[v, axis]
            pieces.distance[0, k], pieces.nearest[0, k] = far[v], work.nearby[v]
        top = 1
        while top:
            top -= 1
            goal = max(known, seen * (1.0 + TOLERANCE), seen + floor)
            bound = _mapped_bound(pieces, top, target, work.booked, goal)
            if bound <= goal:
                settled = max(settled, bound)
                continue
            bound = _bound_by_corners(pieces, top)
            if bound > goal:
                x, y, z = _middle(pieces, top)
                found = nearest(x, y, z, pieces.nearest[top, 0], target.tree, work.stack, work.distances)
                queries += 1
                at_middle = np.sqrt(found[1])
                seen = max(seen, at_middle)
                goal = max(known, seen * (1.0 + TOLERANCE), seen + floor)
                bound = _bound_by_middle(pieces, top, at_middle)
            if bound <= goal or queries > MAX_QUERIES or top >= 3 * SPLITS:
                settled = max(settled, bound)
                _book_by_thirds(pieces, top, target, work.booked)
                continue
            seen = _split(pieces, top, target.tree, seen, work)
            queries += 3
            top += 4
    return max(settled, seen)


@compiled_inner
def _split(pieces: _Pieces, piece: int, tree: BoxTree, seen: float, work: _Work) -> float:
    """Put the four quarters of a piece into its place and the next three; returns the largest distance seen."""
    six = work.six
    for k in range(3):
        _copy_corner(pieces, piece, k, six, 0, k)
        for axis in range(3):
            middle = (pieces.corners[piece, k, axis] + pieces.corners[piece, (k + 1) % 3, axis]) * 0.5
            six.corners[0, 3 + k, axis] = middle
        x, y, z = six.corners[0, 3 + k, 0], six.corners[0, 3 + k, 1], six.corners[0, 3 + k, 2]
        found = nearest(x, y, z, pieces.nearest[piece, k], tree, work.stack, work.distances)
        six.nearest[0, 3 + k], six.distance[0, 3 + k] = found[0], np.sqrt(found[1])
        six.feet[0, 3 + k, 0], six.feet[0, 3 + k, 1], six.feet[0, 3 + k, 2] = found[2], found[3], found[4]
        seen = max(seen, six.distance[0, 3 + k])
    for place, quarter in enumerate(((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5))):
        for k in range(3):
            _copy_corner(six, 0, quarter[k], pieces, piece + place, k)
    return seen


@compiled_inner
def _copy_corner(source: _Pieces, piece: int, corner: int, target: _Pieces, place: int, k: int) -> None:
    for axis in range(3):
        target.corners[place, k, axis] = source.corners[piece, corner, axis]
        target.feet[place, k, axis] = source.feet[piece, corner, axis]
    target.distance[place, k] = source.distance[piece, corner]
    target.nearest[place, k] = source.nearest[piece, corner]


@compiled_inner
def _middle(pieces: _Pieces, piece: int) -> tuple[float, float, float]:
    """The centroid of a piece."""
    corners = pieces.corners
    x = (corners[piece, 0, 0] + corners[piece, 1, 0] + corners[piece, 2, 0]) / 3.0
    y = (corners[piece, 0, 1] + corners[piece, 1, 1] + corners[piece, 2, 1]) / 3.0
    z = (corners[piece, 0, 2] + corners[piece, 1, 2] + corners[piece, 2, 2]) / 3.0
    return x, y, z


@compiled_inner
def _bound_by_corners(pieces: _Pieces, piece: int) -> float:
    """The bound from the corners' distances alone. The medians part the piece into three quadrilaterals, one at each
    corner; no point of it is further from that corner than the centroid or the middle of a side."""
    corners = pieces.corners
    x, y, z = _middle(pieces, piece)
    bound = 0.0
    for k in range(3):
        reach = max(_side(corners, piece, k), _side(corners, piece, (k + 2) % 3)) * 0.5
        dx, dy, dz = corners[piece, k, 0] - x, corners[piece, k, 1] - y, corners[piece, k, 2] - z
        reach = max(reach, np.sqrt(dx * dx + dy * dy + dz * dz))
        bound = max(bound, pieces.distance[piece, k] + reach)
    return bound


@compiled_inner
def _bound_by_middle(pieces: _Pieces, piece: int, at_middle: float) -> float:
    """The bound from the corners' distances and the centroid's: a corner answers for the triangle of the first thirds
    of its sides, the centroid for the hexagon that is left."""
    corners = pieces.corners
    x, y, z = _middle(pieces, piece)
    bound, reach = 0.0, 0.0
    for k in range(3):
        longest = max(_side(corners, piece, k), _side(corners, piece, (k + 2) % 3))
        bound = max(bound, pieces.distance[piece, k] + longest / 3.0)
        for share in (1.0 / 3.0, 2.0 / 3.0):
            squared = 0.0
            for axis, middle in enumerate((x, y, z)):
                start, end = corners[piece, k, axis], corners[piece, (k + 1) % 3, axis]
                squared += (start + (end - start) * share - middle) ** 2
            reach = max(reach, np.sqrt(squared))
    furthest: float = max(bound, at_middle + reach)
    return furthest


@compiled_inner
def _side(corners: FloatArray, piece: int, k: int) -> float:
    """The length of the side from a corner of a piece to the next."""
    j = (k + 1) % 3
    dx = corners[piece, j, 0] - corners[piece, k, 0]
    dy = corners[piece, j, 1] - corners[piece, k, 1]
    dz = corners[piece, j, 2] - corners[piece, k, 2]
    length: float = np.sqrt(dx * dx + dy * dy + dz * dz)
    return length


@compiled_inner
def _mapped_bound(pieces: _Pieces, piece: int, target: _Target, booked: FloatArray, goal: float) -> float:
    """The bound by the maps above, infinite where none of them applies; images within `goal` are booked."""
    near, far = pieces.nearest[piece], pieces.distance[piece]
    furthest: float = max(far[0], far[1], far[2])
    if furthest > goal:  # no map brings a corner nearer than it is
        return np.inf
    a, b, c = pieces.feet[piece]
    if near[0] == near[1] and near[1] == near[2]:
        _book(target, booked, near[0], a, b, c)
        return furthest
    for k in range(3):
        if near[k] == near[(k + 1) % 3]:
            return _cut_once(pieces, piece, k, furthest, target, booked, goal)
    return _cut_twice(pieces, piece, furthest, target, booked, goal)


@compiled_inner
def _cut_once(
    pieces: _Pieces, piece: int, pair: int, furthest: float, target: _Target, booked: FloatArray, goal: float
) -> float:
    """Corners `pair` and the next one have the same nearest triangle, the third another."""
    i, j, k = pair, (pair + 1) % 3, (pair + 2) % 3
    corners, feet = pieces.corners[piece], pieces.feet[piece]
    both, alone = pieces.nearest[piece, i], pieces.nearest[piece, k]
    side = _shared_side(target.triangles[both], target.triangles[alone])
    if side < 0:
        return np.inf
    gap_i, _, x_i = _gap_to_side(corners[i], corners[k], target.tree.corners[both], side)
    gap_j, _, x_j = _gap_to_side(corners[j], corners[k], target.tree.corners[both], side)
    bound = max(furthest, gap_i, gap_j)
    if bound <= goal:
        _book(target, booked, both, feet[i], feet[j], x_j)
        _book(target, booked, both, feet[i], x_j, x_i)
        _book(target, booked, alone, x_i, x_j, feet[k])
    return bound


@compiled_inner
def _cut_twice(pieces: _Pieces, piece: int, furthest: float, target: _Target, booked: FloatArray, goal: float) -> float:
    """All three nearest triangles differ: that of corner b touches the two others."""
    corners, feet, near = pieces.corners[piece], pieces.feet[piece], pieces.nearest[piece]
    for b in range(3):
        a, c = (b + 2) % 3, (b + 1) % 3
        to_a, to_b, to_c = near[a], near[b], near[c]
        side_a = _shared_side(target.triangles[to_a], target.triangles[to_b])
        side_c = _shared_side(target.triangles[to_c], target.triangles[to_b])
        if side_a < 0 or side_c < 0:
            continue
        left, right = target.tree.corners[to_a], target.tree.corners[to_c]
        gap_ab, _, x_ab = _gap_to_side(corners[a], corners[b], left, side_a)
        gap_cb, _, x_cb = _gap_to_side(corners[c], corners[b], right, side_c)
        gap_1, at_1, x_1 = _gap_to_side(corners[a], corners[c], left, side_a)
        gap_2, at_2, x_2 = _gap_to_side(corners[a], corners[c], right, side_c)
        if at_1 > at_2:
            return np.inf
        bound = max(furthest, max(gap_ab, gap_cb), max(gap_1, gap_2))
        if bound <= goal:
            _book(target, booked, to_a, feet[a], x_ab, x_1)
            _book(target, booked, to_b, feet[b], x_cb, x_2)
            _book(target, booked, to_b, feet[b], x_2, x_1)
            _book(target, booked, to_b, feet[b], x_1, x_ab)
            _book(target, booked, to_c, feet[c], x_2, x_cb)
        return bound
    return np.inf


@compiled_inner
def _book_by_thirds(pieces: _Pieces, piece: int, target: _Target, booked: FloatArray) -> None:
    """Book a piece that has no map: a third of its image's area where each corner's foot is."""
    a, b, c = pieces.feet[piece]
    for k in range(3):
        _book(target, booked, pieces.nearest[piece, k], a, b, c, 1.0 / 3.0)


@compiled_inner
def _book(target: _Target, booked: FloatArray, triangle: int, a: Point, b: Point, c: Point, share: float = 1.0) -> None:
    """Book that share of the signed area of an image (a, b, c), as seen along a triangle's unit normal."""
    if len(target.normals) == 0:
        return
    normal = target.normals[triangle]
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    twice = (uy * vz - uz * vy) * normal[0] + (uz * vx - ux * vz) * normal[1] + (ux * vy - uy * vx) * normal[2]
    booked[triangle] += 0.5 * twice * share


@compiled_inner
def _shared_side(left: IntArray, right: IntArray) -> int:
    """The side of `left` (from that corner to the next) that it shares with `right`, or −1."""
    a, b, c = False, False, False
    for k in range(3):
        a, b, c = a or left[0] == right[k], b or left[1] == right[k], c or left[2] == right[k]
    if a and b and not c:
        return 0
    if b and c and not a:
        return 1
    if c and a and not b:
        return 2
    return -1


@compiled_inner
def _gap_to_side(
    start: FloatArray, end: FloatArray, triangle: FloatArray, side: int
) -> tuple[float, float, tuple[float, float, float]]:
    """Distance between the segment [start, end] and a side of a triangle (9,), where on the first it is (0…1), and
    the nearest point on the side.

    Ericson, Real-Time Collision Detection (2005), section 5.1.9.
    """
    left, right = 3 * side, 3 * ((side + 1) % 3)
    lx, ly, lz = triangle[left], triangle[left + 1], triangle[left + 2]
    ux, uy, uz = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    vx, vy, vz = triangle[right] - lx, triangle[right + 1] - ly, triangle[right + 2] - lz
    wx, wy, wz = start[0] - lx, start[1] - ly, start[2] - lz
    uv, uw, vw = ux * vx + uy * vy + uz * vz, ux * wx + uy * wy + uz * wz, vx * wx + vy * wy + vz * wz
    uu, vv = max(ux * ux + uy * uy + uz * uz, 1e-300), max(vx * vx + vy * vy + vz * vz, 1e-300)
    determinant = uu * vv - uv * uv
    s = (uv * vw - vv * uw) / determinant if determinant > 1e-12 * uu * vv else 0.5
    t = min(max((uv * min(max(s, 0.0), 1.0) + vw) / vv, 0.0), 1.0)
    s = min(max((uv * t - uw) / uu, 0.0), 1.0)
    x, y, z = lx + t * vx, ly + t * vy, lz + t * vz
    dx, dy, dz = start[0] + s * ux - x, start[1] + s * uy - y, start[2] + s * uz - z
    return np.sqrt(dx * dx + dy * dy + dz * dz), s, (x, y, z)
