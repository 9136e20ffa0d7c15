"""Closest points on a triangle surface, by a tree of boxes.

A tree with halves of equal size, cut at the median along the longest side, needs no tuning: it is as deep for a scan as
for twenty triangles, and a stray vertex far away costs one cut. Neighbouring queries have neighbouring answers, so each
search starts from the answer of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
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
    parent: (k,); first, last: (k,) the range of triangles below; leaf: (m,) the one that a triangle is in.
    """

    corners: FloatArray
    order: IntArray
    boxes: FloatArray
    child: AnyArray
    parent: AnyArray
    first: AnyArray
    last: AnyArray
    leaf: AnyArray


class ClosestPoints:
    """Answers closest-point queries against one surface."""

    def __init__(self, positions: FloatArray, triangles: IntArray) -> None:
        self.tree = _grow(np.ascontiguousarray(positions, np.float64), np.ascontiguousarray(triangles, np.int64))

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
    x: float, y: float, z: float, hint: int, tree: BoxTree, stack: AnyArray, distances: FloatArray, enough: float = 0.0
) -> tuple[int, float, float, float, float]:
    """The triangle nearest to a point (its place in `tree.corners`), the squared distance, and the nearest point.

    hint: the place of a triangle that may be near, or −1: from its leaf the search goes up the tree, so that a good one
    spares it most of the way down. stack, distances: room for DEPTH entries each. enough: the squared distance of a
    triangle that will do, although another may be nearer.
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
def _nearest_all(points: FloatArray, tree: BoxTree) -> tuple[IntArray, FloatArray, FloatArray]:
    count = len(points)
    places, feet, lengths = np.empty(count, np.int32), np.empty((count, 3)), np.empty(count)
    nearest_of_each(points, tree, places, feet, lengths, np.empty(DEPTH, np.int32), np.empty(DEPTH))
    return tree.order[places], feet, lengths


@compiled
def _beyond(points: FloatArray, tree: BoxTree, reach: float) -> BoolArray:
    stack, distances, far, who = np.empty(DEPTH, np.int32), np.empty(DEPTH), np.empty(len(points), np.bool_), -1
    for i in range(len(points)):
        found = nearest(points[i, 0], points[i, 1], points[i, 2], who, tree, stack, distances, reach * reach)
        who, far[i] = found[0], found[1] > reach * reach
    return far


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
    orders, room = _sorted_along_axes(points), _parting_room(len(points))
    bounds = np.array([0, len(points)])
    for _ in range(levels):
        finer = np.empty(2 * len(bounds) - 1, np.int64)
        finer[0] = 0
        for i in range(len(bounds) - 1):
            low, high = bounds[i], bounds[i + 1]
            finer[2 * i + 1], finer[2 * i + 2] = (low + high) >> 1, high
            _part_at(points, orders, room, low, (low + high) >> 1, high)
        bounds = finer
    return orders[0].astype(np.int64), bounds


@compiled
def _grow(positions: FloatArray, triangles: IntArray) -> BoxTree:
    count = len(triangles)
    middles = np.empty((count, 3))
    for t in range(count):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            middles[t, k] = positions[a, k] + positions[b, k] + positions[c, k]
    orders, parting = _sorted_along_axes(middles), _parting_room(count)
    room = 2 * (2 * count // LEAF + 2) + 1
    child, parent = np.full(room, -1, np.int32), np.full(room, -1, np.int32)
    first, last, leaf = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(count, np.int32)
    first[0], last[0] = 0, count
    nodes, node = 1, 0
    while node < nodes:  # level by level: parents stand before their children
        low, high = first[node], last[node]
        if high - low > LEAF:
            half = (low + high) >> 1
            _part_at(middles, orders, parting, low, half, high)
            child[node] = nodes
            parent[nodes] = parent[nodes + 1] = node
            first[nodes], last[nodes], first[nodes + 1], last[nodes + 1] = low, half, half, high
            nodes += 2
        node += 1
    order, corners = orders[0].astype(np.int64), np.empty((count, 9))
    for place in range(count):
        for corner in range(3):
            vertex = triangles[order[place], corner]
            for k in range(3):
                corners[place, 3 * corner + k] = positions[vertex, k]
    boxes = np.empty((nodes, 6))
    for node in range(nodes - 1, -1, -1):
        if child[node] >= 0:
            one, other = child[node], child[node] + 1
            for k in range(3):
                boxes[node, k] = min(boxes[one, k], boxes[other, k])
                boxes[node, 3 + k] = max(boxes[one, 3 + k], boxes[other, 3 + k])
            continue
        for k in range(3):
            boxes[node, k], boxes[node, 3 + k] = np.inf, -np.inf
        for place in range(first[node], last[node]):
            leaf[place] = node
            for k in range(3):
                x, y, z = corners[place, k], corners[place, 3 + k], corners[place, 6 + k]
                boxes[node, k] = min(boxes[node, k], x, y, z)
                boxes[node, 3 + k] = max(boxes[node, 3 + k], x, y, z)
    child, parent = child[:nodes].copy(), parent[:nodes].copy()
    return BoxTree(corners, order, boxes, child, parent, first[:nodes].copy(), last[:nodes].copy(), leaf)


@compiled
def _sorted_along_axes(points: FloatArray) -> AnyArray:
    """The numbers of (n, 3) points in the order of each coordinate (3, n), rounded to float32; equal ones as they come.

    Radix sort, three digits of eleven bits: parts of equal size need no comparisons after that. Each number moves with
    its coordinate, in the lower half of an integer: it is read in sequence, not from wherever the number points.
    """
    count = len(points)
    orders, values = np.empty((3, count), np.int32), np.empty(count, np.float32)
    raw = values.view(np.uint32)
    keys, spare = np.empty(count, np.uint64), np.empty(count, np.uint64)
    for axis in range(3):
        for i in range(count):
            values[i] = points[i, axis]
        starts = np.zeros((3, 2049), np.int64)
        for i in range(count):  # so that unsigned integers sort as floats do
            bits = raw[i] ^ (np.uint32(0xFFFFFFFF) if raw[i] >> np.uint32(31) else np.uint32(0x80000000))
            keys[i] = (np.uint64(bits) << np.uint64(32)) | np.uint64(i)
            for digit in range(3):
                starts[digit, 1 + ((bits >> np.uint32(11 * digit)) & np.uint32(2047))] += 1
        for digit in range(3):
            for value in range(2048):
                starts[digit, value + 1] += starts[digit, value]
            for i in range(count):
                value = (keys[i] >> np.uint64(32 + 11 * digit)) & np.uint64(2047)
                spare[starts[digit, value]] = keys[i]
                starts[digit, value] += 1
            keys, spare = spare, keys
        for i in range(count):
            orders[axis, i] = np.int32(keys[i] & np.uint64(0xFFFFFFFF))
    return orders


class _PartingRoom(NamedTuple):
    """upper: (n,) which points go to the upper part; spare: (n,) those, on their way."""

    upper: AnyArray
    spare: AnyArray


@compiled
def _parting_room(count: int) -> _PartingRoom:
    return _PartingRoom(np.empty(count, np.uint8), np.empty(count, np.int32))


@compiled_inner
def _part_at(points: FloatArray, orders: AnyArray, room: _PartingRoom, low: int, half: int, high: int) -> None:
    """Cut orders[:, low … high − 1] at `half` along the longest side of these points; all three stay sorted."""
    axis, widest = 0, -1.0
    for k in range(3):
        spread = points[orders[k, high - 1], k] - points[orders[k, low], k]
        if spread > widest:
            axis, widest = k, spread
    upper, spare = room
    for place in range(low, high):
        upper[orders[axis, place]] = place >= half
    for k in range(3):
        if k == axis:
            continue
        below, above = low, 0
        for place in range(low, high):  # both are written, one counts: nothing to mispredict
            one = orders[k, place]
            orders[k, below], spare[above] = one, one
            below += 1 - upper[one]
            above += upper[one]
        for i in range(above):
            orders[k, half + i] = spare[i]
