"""The Hausdorff distance between two surfaces, bounded from above to within a tolerance.

For each triangle T of one surface an upper bound of its distance to the other surface S is kept. Any
piecewise affine map f from T into S gives one: |p − f(p)| is convex on each piece, so it is largest at a
corner of a piece. Three maps are tried, by the triangles of S that are nearest to T's corners:

- all the same: T maps into it as a whole;
- two that share an edge e: T is cut where its own edges pass e, and the cut maps into e;
- three in a row, the middle one sharing an edge with each of the others: two such cuts.

Besides, distance to a set is 1-Lipschitz, so no point of T is further from S than the centroid's distance
plus the way to the furthest corner. Triangles whose bound exceeds the largest distance seen are split in
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
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from .closest import ClosestPoints
from .surface import AnyArray, FloatArray, IntArray, Surface, part

TOLERANCE = 0.05  # of the distance; a tighter bound would change no decision of the viewer
MAX_QUERIES = 8_000_000  # past this the bound is returned as it stands: true, only less tight
# Signed area of the images over a triangle's own. Edges that only one side has split leave slivers between
# their two images, and pieces settled without a map are booked by thirds, so one is not met exactly.
COVERED = (0.8, 1.2)
# A triangle that is covered but for such a sliver may reach further there than any fine point does. It is searched
# too where a corner or the centroid is further away than this share of the forward bound.
SUSPECT = 0.5


@dataclass
class Pieces:
    """Triangles cut from one surface, with what is known of their corners' nearest points on the other.

    corners, feet: (p, 3, 3); distance, nearest: (p, 3).
    """

    corners: FloatArray
    feet: FloatArray
    distance: FloatArray
    nearest: IntArray

    @property
    def furthest(self) -> FloatArray:
        """(p,) distance of the furthest corner. Reducing an axis of three is slow in NumPy; columns are not."""
        a, b, c = self.distance.T
        far: FloatArray = np.maximum(np.maximum(a, b), c)
        return far

    def only(self, chosen: AnyArray) -> Pieces:
        return Pieces(self.corners[chosen], self.feet[chosen], self.distance[chosen], self.nearest[chosen])


@dataclass(frozen=True)
class GeometricError:
    """Distances between two surfaces, in their unit.

    bound: an upper bound of the two-sided Hausdorff distance.
    mean: of the fine surface's vertices to the coarse surface.
    """

    bound: float
    mean: float


def geometric_error(fine: Surface, coarse: Surface, floor: float) -> GeometricError:
    """Measure how far a coarse surface is from the fine one that it stands for.

    The bound exceeds the true distance by no more than 5 % or `floor` (the quantisation step: finer than
    that the decoded surface means nothing), unless the work would grow past bounds.
    """
    forward, mean, coverage = _one_sided(fine, coarse, floor, 0.0)
    bare = (coverage < COVERED[0]) | (coverage > COVERED[1]) | _at_breaks(fine, coarse, floor)
    bare |= _seen_from(coarse, fine) > SUSPECT * forward
    if not bare.any():
        return GeometricError(forward, mean)
    back, _, _ = _one_sided(part(coarse, bare), fine, floor, forward)
    return GeometricError(max(forward, back), mean)


def _seen_from(coarse: Surface, fine: Surface) -> FloatArray:
    """(m,) the largest distance to `fine` of each coarse triangle's corners and centroid."""
    p, t = coarse.positions, coarse.triangles
    found = ClosestPoints(fine.positions, fine.triangles).query(np.concatenate([p, p[t].mean(axis=1)])).distances
    corners, middles = found[: len(p)], found[len(p) :]
    a, b, c = corners[t].T
    far: FloatArray = np.maximum.reduce([a, b, c, middles])
    return far


def _at_breaks(fine: Surface, coarse: Surface, floor: float) -> AnyArray:
    """Triangles of `coarse` at a border or a non-manifold edge that is not, within `floor`, one of both."""
    broken = np.zeros(len(coarse.positions), np.bool_)
    for own, other in ((coarse, fine), (fine, coarse)):
        mine, theirs = _break_vertices(own), _break_vertices(other)
        if len(mine) == 0:
            continue
        points = own.positions[mine]
        if len(theirs):
            gap, _ = cKDTree(other.positions[theirs]).query(points)
            mine, points = mine[gap > floor], points[gap > floor]
        if own is coarse:
            broken[mine] = True
        else:
            nearest = ClosestPoints(coarse.positions, coarse.triangles).query(points).triangles
            broken[np.unique(coarse.triangles[nearest])] = True
    # One ring around, since an edge between two vertices at a break may cross other triangles.
    return np.asarray(broken[coarse.triangles].any(axis=1))


def _break_vertices(surface: Surface) -> IntArray:
    """Vertices on edges that do not belong to exactly two triangles."""
    t = surface.triangles
    start, end = t.reshape(-1), t[:, [1, 2, 0]].reshape(-1)
    count = len(surface.positions)
    edges, users = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_counts=True)
    broken = edges[users != 2]
    return np.unique(np.concatenate([broken // count, broken % count]))


def _one_sided(measured: Surface, reference: Surface, floor: float, known: float) -> tuple[float, float, FloatArray]:
    """Upper bound of the largest distance from a point of `measured` to `reference`, the mean one of its
    vertices, and how often the images of `measured` cover each triangle of `reference`.

    `known` is a distance below which the answer does not matter.
    """
    surface = ClosestPoints(reference.positions, reference.triangles)
    coverage = Coverage(surface)
    found = surface.query(measured.positions)
    seen = float(found.distances.max(initial=0.0))
    mean = float(found.distances.mean())
    t = measured.triangles
    pieces = Pieces(measured.positions[t], found.points[t], found.distances[t], found.triangles[t])
    queries = len(measured.positions)
    settled = 0.0
    while len(pieces.corners):
        goal = max(known, seen * (1.0 + TOLERANCE), seen + floor)
        bound = _mapped_bound(pieces, surface, coverage, goal)
        settled = max(settled, float(bound[bound <= goal].max(initial=0.0)))
        left = bound > goal
        pieces, bound = pieces.only(left), bound[left]
        if len(bound) == 0:
            break
        middle = pieces.corners.mean(axis=1)
        reach = np.linalg.norm(pieces.corners - middle[:, None], axis=2).max(axis=1)
        at_middle = surface.query(middle).distances
        queries += len(middle)
        seen = max(seen, float(at_middle.max()))
        goal = max(known, seen * (1.0 + TOLERANCE), seen + floor)
        bound = np.minimum(bound, at_middle + reach)
        settled = max(settled, float(bound[bound <= goal].max(initial=0.0)))
        left = bound > goal
        coverage.add_by_thirds(pieces.only(~left))
        if queries + 3 * int(left.sum()) > MAX_QUERIES:
            return max(settled, float(bound.max())), mean, coverage.share()
        queries += 3 * int(left.sum())
        pieces = _split(pieces.only(left), surface)
        seen = max(seen, float(pieces.distance.max(initial=0.0)))
    return max(settled, seen), mean, coverage.share()


class Coverage:
    """Books the signed area of images on each triangle of a surface."""

    def __init__(self, surface: ClosestPoints) -> None:
        a, b, c = (surface.corners[:, k] for k in range(3))
        cross = np.cross(b - a, c - a)
        length = np.linalg.norm(cross, axis=1)
        self.area = length * 0.5
        self.normal = cross / np.where(length > 0, length, 1.0)[:, None]
        self.booked = np.zeros(len(cross))

    def add(self, triangles: IntArray, *polygon: FloatArray) -> None:
        """Book polygons given by their corners, each (q, 3), on the triangles (q,) they lie in."""
        total = np.zeros((len(triangles), 3))
        for one, next_ in pairwise(polygon[1:]):
            total += np.cross(one - polygon[0], next_ - polygon[0])
        signed = 0.5 * np.einsum("ij,ij->i", total, self.normal[triangles])
        self.booked += np.bincount(triangles, signed, minlength=len(self.booked))

    def add_by_thirds(self, pieces: Pieces) -> None:
        """Book pieces that have no map: a third of their images' area where each corner's foot is."""
        a, b, c = (pieces.feet[:, k] for k in range(3))
        cross = np.cross(b - a, c - a)
        for corner in range(3):
            triangles = pieces.nearest[:, corner]
            signed = np.einsum("ij,ij->i", cross, self.normal[triangles]) / 6.0
            self.booked += np.bincount(triangles, signed, minlength=len(self.booked))

    def share(self) -> FloatArray:
        """Booked area over the triangle's own; one for triangles without area."""
        return np.where(self.area > 0, self.booked / np.where(self.area > 0, self.area, 1.0), 1.0)


def _mapped_bound(pieces: Pieces, surface: ClosestPoints, coverage: Coverage, goal: float) -> FloatArray:
    """The bounds by the maps above, infinite where none of them applies; images within `goal` are booked."""
    bound = np.full(len(pieces.corners), np.inf)
    near = pieces.furthest <= goal  # no map brings a corner nearer than it is
    ab, bc, ca = (pieces.nearest[:, k] == pieces.nearest[:, (k + 1) % 3] for k in range(3))
    same, every, some = np.stack([ab, bc, ca], axis=1), ab & bc, ab | bc | ca
    whole = np.nonzero(near & every)[0]
    bound[whole] = pieces.furthest[whole]
    coverage.add(pieces.nearest[whole, 0], *(pieces.feet[whole, k] for k in range(3)))
    two = np.nonzero(near & some & ~every)[0]
    bound[two] = _cut_once(pieces.only(two), same[two], surface, coverage, goal)
    three = np.nonzero(near & ~some)[0]
    bound[three] = _cut_twice(pieces.only(three), surface, coverage, goal)
    return bound


def _cut_once(pieces: Pieces, same: AnyArray, surface: ClosestPoints, coverage: Coverage, goal: float) -> FloatArray:
    rows = np.arange(len(same))
    pair = np.argmax(same, axis=1)  # corners pair and pair + 1 agree, pair + 2 is alone
    at = [(pair + k) % 3 for k in range(3)]
    a, b, c = (pieces.corners[rows, k] for k in at)
    on_a, on_b, on_c = (pieces.feet[rows, k] for k in at)
    both, alone = pieces.nearest[rows, at[0]], pieces.nearest[rows, at[2]]
    edge, adjacent = _shared_edge(both, alone, surface)
    gap_a, _, x_a = _segment_gap(a, c, edge)
    gap_b, _, x_b = _segment_gap(b, c, edge)
    far = np.maximum(pieces.furthest, np.maximum(gap_a, gap_b))
    bound = np.where(adjacent, far, np.inf)
    good = bound <= goal
    coverage.add(both[good], on_a[good], on_b[good], x_b[good], x_a[good])
    coverage.add(alone[good], x_a[good], x_b[good], on_c[good])
    return bound


def _cut_twice(pieces: Pieces, surface: ClosestPoints, coverage: Coverage, goal: float) -> FloatArray:
    rows = np.arange(len(pieces.corners))
    nearest = pieces.nearest
    touching = np.stack([_shared_edge(nearest[:, k], nearest[:, (k + 1) % 3], surface)[1] for k in range(3)], axis=1)
    # The middle triangle touches both others: it belongs to the corner between two touching pairs.
    middle = np.argmax(touching & np.roll(touching, 1, axis=1), axis=1)
    at = [(middle + k) % 3 for k in range(3)]  # b, c, a in the piece's own winding
    b, c, a = (pieces.corners[rows, k] for k in at)
    on_b, on_c, on_a = (pieces.feet[rows, k] for k in at)
    to_b, to_c, to_a = (nearest[rows, k] for k in at)
    edge_a, touches_a = _shared_edge(to_a, to_b, surface)
    edge_c, touches_c = _shared_edge(to_c, to_b, surface)
    gap_ab, _, x_ab = _segment_gap(a, b, edge_a)
    gap_cb, _, x_cb = _segment_gap(c, b, edge_c)
    gap_1, at_1, x_1 = _segment_gap(a, c, edge_a)
    gap_2, at_2, x_2 = _segment_gap(a, c, edge_c)
    far = np.maximum.reduce([pieces.furthest, gap_ab, gap_cb, gap_1, gap_2])
    bound = np.where(touches_a & touches_c & (at_1 <= at_2), far, np.inf)
    good = bound <= goal
    coverage.add(to_a[good], on_a[good], x_ab[good], x_1[good])
    coverage.add(to_b[good], on_b[good], x_cb[good], x_2[good], x_1[good], x_ab[good])
    coverage.add(to_c[good], on_c[good], x_2[good], x_cb[good])
    return bound


def _shared_edge(left: IntArray, right: IntArray, surface: ClosestPoints) -> tuple[FloatArray, AnyArray]:
    """The edge (q, 2, 3) that triangles `left` and `right` share, and whether they share one."""
    mine, theirs = surface.triangles[left], surface.triangles[right]
    hits = mine[:, :, None] == theirs[:, None, :]
    shared = hits[:, :, 0] | hits[:, :, 1] | hits[:, :, 2]
    lone = np.argmin(shared, axis=1)  # the corner of `left` that is not on the edge
    rows = np.arange(len(left))
    edge = np.stack([surface.corners[left][rows, (lone + k) % 3] for k in (1, 2)], axis=1)
    return edge, (shared[:, 0].astype(np.int8) + shared[:, 1] + shared[:, 2] == 2) & (left != right)


def _segment_gap(start: FloatArray, end: FloatArray, edge: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distance between segments [start, end] and [edge 0, edge 1], where on the first it is (0…1), and the
    nearest point on the second.

    Ericson, Real-Time Collision Detection (2005), section 5.1.9.
    """
    u, v, w = end - start, edge[:, 1] - edge[:, 0], start - edge[:, 0]
    uu, uv, vv = (np.einsum("ij,ij->i", p, q) for p, q in ((u, u), (u, v), (v, v)))
    uw, vw = (np.einsum("ij,ij->i", p, w) for p in (u, v))
    uu, vv = np.maximum(uu, 1e-300), np.maximum(vv, 1e-300)
    determinant = uu * vv - uv * uv
    s = np.where(determinant > 1e-12 * uu * vv, (uv * vw - vv * uw) / np.maximum(determinant, 1e-300), 0.5)
    s = np.clip(s, 0.0, 1.0)
    t = np.clip((uv * s + vw) / vv, 0.0, 1.0)
    s = np.clip((uv * t - uw) / uu, 0.0, 1.0)
    on_edge = edge[:, 0] + t[:, None] * v
    return np.linalg.norm(start + s[:, None] * u - on_edge, axis=1), s, on_edge


def _split(pieces: Pieces, surface: ClosestPoints) -> Pieces:
    """Split every triangle at the middles of its edges into four."""
    middles = (pieces.corners + np.roll(pieces.corners, -1, axis=1)) * 0.5  # of edges 01, 12, 20
    found = surface.query(middles.reshape(-1, 3))
    six = Pieces(
        np.concatenate([pieces.corners, middles], axis=1),
        np.concatenate([pieces.feet, found.points.reshape(-1, 3, 3)], axis=1),
        np.concatenate([pieces.distance, found.distances.reshape(-1, 3)], axis=1),
        np.concatenate([pieces.nearest, found.triangles.reshape(-1, 3)], axis=1),
    )
    quarters = ([0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5])
    return Pieces(
        np.concatenate([six.corners[:, q] for q in quarters]),
        np.concatenate([six.feet[:, q] for q in quarters]),
        np.concatenate([six.distance[:, q] for q in quarters]),
        np.concatenate([six.nearest[:, q] for q in quarters]),
    )
