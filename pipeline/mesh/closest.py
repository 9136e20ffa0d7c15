"""Closest points on a triangle surface.

Neighbouring queries have neighbouring answers, so each search starts from the answer of the previous one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .bvh import BVH, build_bvh
from .compiled import compiled, compiled_inner, int64

STACK_DEPTH = 128  # entries of a search's stack: one for each level, and halves of 2⁶³ triangles have 61


@dataclass(frozen=True)
class Closest:
    """For each query: the nearest triangle (q,), the nearest point on it (q, 3), the distance (q,)."""

    triangles: IntArray
    points: FloatArray
    distances: FloatArray


class ClosestPoints:
    """Answers closest-point queries against one surface."""

    def __init__(self, positions: FloatArray, triangles: IntArray) -> None:
        self.tree = build_bvh(np.ascontiguousarray(positions, np.float64), np.ascontiguousarray(triangles, np.int64))

    def query(self, points: FloatArray) -> Closest:
        """Nearest triangles of the surface for (q, 3) points."""
        return Closest(*_nearest_all(np.ascontiguousarray(points, np.float64), self.tree))

    def beyond(self, points: FloatArray, reach: float) -> BoolArray:
        """Which of (q, 3) points are further than that from the surface: quicker to tell than how far they are."""
        return _beyond(np.ascontiguousarray(points, np.float64), self.tree, reach)


@compiled_inner
def barycentric(point: FloatArray, a: FloatArray, b: FloatArray, c: FloatArray) -> tuple[float, float, float]:
    """Barycentric coordinates of the foot of a point on a triangle's plane; (1, 0, 0) without area."""
    uu, uv, vv, wu, wv = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(3):
        u, v, w = b[k] - a[k], c[k] - a[k], point[k] - a[k]
        uu, uv, vv, wu, wv = uu + u * u, uv + u * v, vv + v * v, wu + w * u, wv + w * v
    area = uu * vv - uv * uv
    if area > 1e-14 * uu * vv:
        beta, gamma = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
        return 1.0 - beta - gamma, beta, gamma
    return 1.0, 0.0, 0.0


@compiled
def weights_within(points: FloatArray, positions: FloatArray, triangles: IntArray, chosen: IntArray) -> FloatArray:
    """Barycentric weights (q, 3), none negative and 1 in sum, of points on chosen triangles of a surface."""
    weights = np.empty((len(points), 3))
    for i in range(len(points)):
        a, b, c = triangles[chosen[i], 0], triangles[chosen[i], 1], triangles[chosen[i], 2]
        x, y, z = barycentric(points[i], positions[a], positions[b], positions[c])
        x, y, z = max(x, 0.0), max(y, 0.0), max(z, 0.0)
        total = x + y + z
        weights[i, 0], weights[i, 1], weights[i, 2] = x / total, y / total, z / total
    return weights


@compiled_inner
def nearest(
    x: float, y: float, z: float, hint: int, tree: BVH, stack: AnyArray, distances: FloatArray, enough: float
) -> tuple[int, float, float, float, float]:
    """The triangle nearest to a point (its place in `tree.corners`), the squared distance, and the nearest point.

    hint: the place of a triangle that may be near, or −1: from its leaf the search goes up the tree, so that a good one
    spares it most of the way down. stack, distances: (STACK_DEPTH,) each. enough: the squared distance of a triangle
    that will do, although another may be nearer.
    """
    best, who, fx, fy, fz, here = np.inf, 0, 0.0, 0.0, 0.0, 0
    if hint >= 0:
        here = tree.leaf[hint]
        while here > 0 and _box_distance(x, y, z, tree.boxes[here]) > 0.0:
            here = tree.parent[here]
    stack[0], distances[0], top = here, 0.0, 1
    while True:
        while top:
            top -= 1
            node = stack[top]
            if distances[top] >= best:
                continue
            while tree.child[node] >= 0:
                near, far = tree.child[node], tree.child[node] + 1
                to_near, to_far = _box_distance(x, y, z, tree.boxes[near]), _box_distance(x, y, z, tree.boxes[far])
                if to_far < to_near:
                    near, far, to_near, to_far = far, near, to_far, to_near
                if to_far < best:
                    stack[top], distances[top] = far, to_far
                    top += 1
                if to_near >= best:
                    node = -1
                    break
                node = near
            if node < 0:
                continue
            for place in range(tree.first[node], tree.last[node]):
                if _distance_to_box_of(x, y, z, tree.corners[place]) >= best:
                    continue
                px, py, pz = closest_on_triangle(x, y, z, tree.corners[place])
                squared = (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2
                if squared < best:
                    best, who, fx, fy, fz = squared, place, px, py, pz
            if best <= enough:
                return who, best, fx, fy, fz
        # Everything below `here` is searched; next is what stands beside it.
        while here > 0:
            beside = here + 1 if here & 1 else here - 1
            here = tree.parent[here]
            distance = _box_distance(x, y, z, tree.boxes[beside])
            if distance < best:
                stack[0], distances[0], top = beside, distance, 1
                break
        if top == 0:
            return who, best, fx, fy, fz


@compiled_inner
def closest_on_triangle(x: float, y: float, z: float, t: FloatArray) -> tuple[float, float, float]:
    """The point of a triangle (9,) nearest to a point, by the region of its plane that the point projects into.

    Ericson, Real-Time Collision Detection (2005), section 5.1.5.
    """
    abx, aby, abz = t[3] - t[0], t[4] - t[1], t[5] - t[2]
    acx, acy, acz = t[6] - t[0], t[7] - t[1], t[8] - t[2]
    px, py, pz = x - t[0], y - t[1], z - t[2]
    d1, d2 = abx * px + aby * py + abz * pz, acx * px + acy * py + acz * pz
    if d1 <= 0.0 and d2 <= 0.0:
        return t[0], t[1], t[2]
    px, py, pz = x - t[3], y - t[4], z - t[5]
    d3, d4 = abx * px + aby * py + abz * pz, acx * px + acy * py + acz * pz
    if d3 >= 0.0 and d4 <= d3:
        return t[3], t[4], t[5]
    px, py, pz = x - t[6], y - t[7], z - t[8]
    d5, d6 = abx * px + aby * py + abz * pz, acx * px + acy * py + acz * pz
    if d6 >= 0.0 and d5 <= d6:
        return t[6], t[7], t[8]
    vc, vb, va = d1 * d4 - d3 * d2, d5 * d2 - d1 * d6, d3 * d6 - d5 * d4
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        w = d1 / (d1 - d3) if d1 > d3 else 0.0
        return t[0] + w * abx, t[1] + w * aby, t[2] + w * abz
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        w = d2 / (d2 - d6) if d2 > d6 else 0.0
        return t[0] + w * acx, t[1] + w * acy, t[2] + w * acz
    if (va <= 0.0 and d4 >= d3 and d5 >= d6) or va + vb + vc <= 0.0:
        w = (d4 - d3) + (d5 - d6)
        w = min(max((d4 - d3) / w, 0.0), 1.0) if w > 0.0 else 0.0
        return t[3] + w * (t[6] - t[3]), t[4] + w * (t[7] - t[4]), t[5] + w * (t[8] - t[5])
    v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    return t[0] + abx * v + acx * w, t[1] + aby * v + acy * w, t[2] + abz * v + acz * w


@compiled_inner
def _box_distance(x: float, y: float, z: float, box: FloatArray) -> float:
    """Squared distance of a point to a box; zero inside."""
    dx = max(box[0] - x, x - box[3], 0.0)
    dy = max(box[1] - y, y - box[4], 0.0)
    dz = max(box[2] - z, z - box[5], 0.0)
    squared: float = dx * dx + dy * dy + dz * dz
    return squared


@compiled_inner
def _distance_to_box_of(x: float, y: float, z: float, t: FloatArray) -> float:
    """Squared distance of a point to the box of a triangle (9,): a quick lower bound."""
    dx = max(min(t[0], t[3], t[6]) - x, x - max(t[0], t[3], t[6]), 0.0)
    dy = max(min(t[1], t[4], t[7]) - y, y - max(t[1], t[4], t[7]), 0.0)
    dz = max(min(t[2], t[5], t[8]) - z, z - max(t[2], t[5], t[8]), 0.0)
    squared: float = dx * dx + dy * dy + dz * dz
    return squared


@compiled
def _nearest_all(points: FloatArray, tree: BVH) -> tuple[IntArray, FloatArray, FloatArray]:
    count = len(points)
    places, feet, lengths = np.empty(count, np.int32), np.empty((count, 3)), np.empty(count)
    nearest_of_each(points, tree, places, feet, lengths, np.empty(STACK_DEPTH, np.int32), np.empty(STACK_DEPTH))
    return tree.order[places], feet, lengths


@compiled
def _beyond(points: FloatArray, tree: BVH, reach: float) -> BoolArray:
    stack, distances, far, who = (
        np.empty(STACK_DEPTH, np.int32),
        np.empty(STACK_DEPTH),
        np.empty(len(points), np.bool_),
        int64(-1),
    )
    for i in range(len(points)):
        found = nearest(points[i, 0], points[i, 1], points[i, 2], who, tree, stack, distances, reach * reach)
        who, far[i] = found[0], found[1] > reach * reach
    return far


@compiled_inner
def nearest_of_each(
    points: FloatArray,
    tree: BVH,
    places: AnyArray,
    feet: FloatArray,
    lengths: FloatArray,
    stack: AnyArray,
    distances: FloatArray,
) -> None:
    """As `nearest`, for each of (q, 3) points: place, nearest point and distance."""
    who = int64(-1)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        who, squared, feet[i, 0], feet[i, 1], feet[i, 2] = nearest(x, y, z, who, tree, stack, distances, 0.0)
        places[i], lengths[i] = who, np.sqrt(squared)
