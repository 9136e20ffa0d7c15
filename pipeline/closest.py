"""Closest points on a triangle surface, by a tree of boxes.

A tree with halves of equal size, cut at the median along the longest side, needs no tuning: it is as deep for a scan as
for twenty triangles, and a stray vertex far away costs one cut. Neighbouring queries have neighbouring answers, so each
search starts from the answer of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import AnyArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner

LEAF = 4  # triangles in a leaf
DEPTH = 128  # entries of a search's stack: one for each level, and halves of 2⁶³ triangles have 61


@dataclass(frozen=True)
class Closest:
    """For each query: the nearest triangle (q,), the nearest point on it (q, 3), the distance (q,)."""

    triangles: IntArray
    points: FloatArray
    distances: FloatArray


class BoxTree(NamedTuple):
    """corners: (m, 9) of the triangles in the order of the leaves; order: (m,) their own numbers.

    boxes: (k, 6) least and largest coordinates; child: (k,) the first of two that follow each other, or −1;
    first, last: (k,) the range of triangles below.
    """

    corners: FloatArray
    order: IntArray
    boxes: FloatArray
    child: AnyArray
    first: AnyArray
    last: AnyArray


class ClosestPoints:
    """Answers closest-point queries against one surface."""

    def __init__(self, positions: FloatArray, triangles: IntArray) -> None:
        self.tree = _grow(np.ascontiguousarray(positions[triangles].reshape(-1, 9), np.float64))

    def query(self, points: FloatArray) -> Closest:
        """Nearest triangles of the surface for (q, 3) points."""
        return Closest(*_nearest_all(np.ascontiguousarray(points, np.float64), self.tree))


def barycentric(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Barycentric coordinates (q, 3) of the feet of points on the planes of triangles (q, 3, 3).

    A triangle without area gives (1, 0, 0).
    """
    u = corners[:, 1] - corners[:, 0]
    v = corners[:, 2] - corners[:, 0]
    w = points - corners[:, 0]
    uu, uv, vv, wu, wv = (np.einsum("ij,ij->i", p, q) for p, q in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    area = uu * vv - uv * uv
    flat = area <= 1e-14 * uu * vv
    area = np.where(flat, 1.0, area)
    beta = np.where(flat, 0.0, (vv * wu - uv * wv) / area)
    gamma = np.where(flat, 0.0, (uu * wv - uv * wu) / area)
    return np.stack([1.0 - beta - gamma, beta, gamma], axis=1)


@compiled_inner
def nearest(
    x: float, y: float, z: float, hint: int, tree: BoxTree, stack: AnyArray, distances: FloatArray
) -> tuple[int, float, float, float, float]:
    """The triangle nearest to a point (its place in `tree.corners`), the squared distance, and the nearest point.

    hint: the place of a triangle that may be near, or −1. stack, distances: room for DEPTH entries each.
    """
    best, who, fx, fy, fz = np.inf, 0, 0.0, 0.0, 0.0
    if hint >= 0:
        who = hint
        fx, fy, fz = closest_on_triangle(x, y, z, tree.corners[hint])
        best = (x - fx) ** 2 + (y - fy) ** 2 + (z - fz) ** 2
    stack[0], distances[0], top = 0, 0.0, 1
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
            px, py, pz = closest_on_triangle(x, y, z, tree.corners[place])
            squared = (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2
            if squared < best:
                best, who, fx, fy, fz = squared, place, px, py, pz
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


@compiled
def _nearest_all(points: FloatArray, tree: BoxTree) -> tuple[IntArray, FloatArray, FloatArray]:
    count = len(points)
    places, feet, lengths = np.empty(count, np.int32), np.empty((count, 3)), np.empty(count)
    nearest_of_each(points, tree, places, feet, lengths, np.empty(DEPTH, np.int32), np.empty(DEPTH))
    return tree.order[places], feet, lengths


@compiled_inner
def nearest_of_each(
    points: FloatArray,
    tree: BoxTree,
    places: AnyArray,
    feet: FloatArray,
    lengths: FloatArray,
    stack: AnyArray,
    distances: FloatArray,
) -> None:
    """As `nearest`, for each of (q, 3) points: place, nearest point and distance."""
    who = -1
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        who, squared, feet[i, 0], feet[i, 1], feet[i, 2] = nearest(x, y, z, who, tree, stack, distances)
        places[i], lengths[i] = who, np.sqrt(squared)


@compiled
def halved(points: FloatArray, levels: int) -> tuple[IntArray, IntArray]:
    """Cut (n, 3) points so many times at the median, each part along its longest side: their order, in which parts
    stand one after the other, and the bounds (2^levels + 1,) of the parts."""
    order, bounds = np.arange(len(points)), np.array([0, len(points)])
    for _ in range(levels):
        finer = np.empty(2 * len(bounds) - 1, np.int64)
        finer[0] = 0
        for i in range(len(bounds) - 1):
            low, high = bounds[i], bounds[i + 1]
            finer[2 * i + 1], finer[2 * i + 2] = (low + high) >> 1, high
            _part_at_median(order, points[:, _longest(order, points, low, high)], low, high, (low + high) >> 1)
        bounds = finer
    return order, bounds


@compiled
def _grow(corners: FloatArray) -> BoxTree:
    count = len(corners)
    middles = np.empty((count, 3))
    for t in range(count):
        for k in range(3):
            middles[t, k] = corners[t, k] + corners[t, 3 + k] + corners[t, 6 + k]
    order = np.arange(count)
    room = 2 * (2 * count // LEAF + 2) + 1
    boxes = np.empty((room, 6))
    child, first, last = np.full(room, -1, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    first[0], last[0] = 0, count
    nodes, node = 1, 0
    while node < nodes:  # level by level: parents stand before their children
        low, high = first[node], last[node]
        if high - low > LEAF:
            half = (low + high) >> 1
            _part_at_median(order, middles[:, _longest(order, middles, low, high)], low, high, half)
            child[node] = nodes
            first[nodes], last[nodes], first[nodes + 1], last[nodes + 1] = low, half, half, high
            nodes += 2
        node += 1
    ordered = np.empty((count, 9))
    for place in range(count):
        ordered[place] = corners[order[place]]
    for node in range(nodes - 1, -1, -1):
        for k in range(3):
            least, largest = np.inf, -np.inf
            if child[node] >= 0:
                one, other = boxes[child[node]], boxes[child[node] + 1]
                least, largest = min(one[k], other[k]), max(one[3 + k], other[3 + k])
            else:
                for place in range(first[node], last[node]):
                    for corner in range(3):
                        least = min(least, ordered[place, 3 * corner + k])
                        largest = max(largest, ordered[place, 3 * corner + k])
            boxes[node, k], boxes[node, 3 + k] = least, largest
    return BoxTree(
        ordered, order, boxes[:nodes].copy(), child[:nodes].copy(), first[:nodes].copy(), last[:nodes].copy()
    )


@compiled_inner
def _longest(order: IntArray, middles: FloatArray, low: int, high: int) -> int:
    """The axis along which the middles of the triangles order[low … high − 1] spread most."""
    axis, widest = 0, -1.0
    for k in range(3):
        least, largest = np.inf, -np.inf
        for place in range(low, high):
            least, largest = min(least, middles[order[place], k]), max(largest, middles[order[place], k])
        if largest - least > widest:
            axis, widest = k, largest - least
    return axis


@compiled_inner
def _part_at_median(order: IntArray, values: FloatArray, low: int, high: int, half: int) -> None:
    """Move the `half − low` smallest of order[low … high − 1] to the front (Hoare's quickselect)."""
    a, b = low, high - 1
    while a < b:
        x, y, z = values[order[a]], values[order[(a + b) >> 1]], values[order[b]]
        pivot = max(min(x, y), min(max(x, y), z))
        i, j = a, b
        while i <= j:
            while values[order[i]] < pivot:
                i += 1
            while values[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if half <= j:
            b = j
        elif half >= i:
            a = i
        else:
            break
