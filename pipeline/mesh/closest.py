"""Closest points on a triangle surface.

Neighbouring queries have neighbouring answers, so each search starts from the answer of the previous one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .bvh import BVH, build_bvh
from .compiled import compiled, compiled_inner, int64

STACK_DEPTH = 128  # one entry for each level suffices, and 2⁶³ triangles have 61 levels

Found = tuple[int, float, float, float, float]


@dataclass(frozen=True)
class Closest:
    """For each query: the nearest triangle (q,), the nearest point on it (q, 3), the distance (q,)."""

    triangles: IntArray
    points: FloatArray
    distances: FloatArray


class ClosestPoints:
    """Answers closest-point queries against one surface: positions (n, 3), triangles (m, 3)."""

    def __init__(self, positions: FloatArray, triangles: IntArray) -> None:
        self.tree = build_bvh(np.ascontiguousarray(positions, np.float64), np.ascontiguousarray(triangles, np.int64))

    def query(self, points: FloatArray) -> Closest:
        """Nearest triangles of the surface for (q, 3) points."""
        return Closest(*_query(np.ascontiguousarray(points, np.float64), self.tree))

    def beyond(self, points: FloatArray, reach: float) -> BoolArray:
        """A mask (q,) of the (q, 3) points further than `reach` from the surface: faster than their distances."""
        return _beyond(np.ascontiguousarray(points, np.float64), self.tree, reach)


@compiled_inner
def barycentric(point: FloatArray, a: FloatArray, b: FloatArray, c: FloatArray) -> tuple[float, float, float]:
    """Barycentric coordinates of a point's projection on a triangle's plane; (1, 0, 0) for a triangle without area."""
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
    """Barycentric weights (q, 3) of points (q, 3) on the chosen triangles (q,) of a surface, clamped to be
    non-negative with a sum of 1."""
    weights = np.empty((len(points), 3))
    for i in range(len(points)):
        a, b, c = triangles[chosen[i], 0], triangles[chosen[i], 1], triangles[chosen[i], 2]
        x, y, z = barycentric(points[i], positions[a], positions[b], positions[c])
        x, y, z = max(x, 0.0), max(y, 0.0), max(z, 0.0)
        total = x + y + z
        weights[i, 0], weights[i, 1], weights[i, 2] = x / total, y / total, z / total
    return weights


class SearchStack(NamedTuple):
    """Nodes still to search, and the squared distances of their boxes: (STACK_DEPTH,) each."""

    nodes: AnyArray
    distances: FloatArray


@compiled
def search_stack() -> SearchStack:
    return SearchStack(np.empty(STACK_DEPTH, np.int32), np.empty(STACK_DEPTH))


@compiled_inner
def nearest(x: float, y: float, z: float, hint: int, tree: BVH, stack: SearchStack, enough: float) -> Found:
    """The place of the triangle nearest to a point in the tree, the squared distance, and the nearest point (x, y, z).

    hint: the place of a triangle that may be near, or −1. The search goes up from its leaf: with a good hint it needs
    few of the nodes below the root. enough: the search ends at a triangle of this squared distance, although another
    may be nearer.
    """
    ancestor = int64(0)
    if hint >= 0:
        ancestor = int64(tree.leaf[hint])
        while ancestor > 0 and _box_distance(x, y, z, tree.boxes[ancestor]) > 0.0:
            ancestor = int64(tree.parent[ancestor])
    found = (int64(0), np.inf, 0.0, 0.0, 0.0)
    subtree, distance = ancestor, 0.0
    while True:
        if distance < found[1]:
            found = _nearest_below(subtree, distance, x, y, z, tree, stack, enough, found)
        if ancestor == 0 or found[1] <= enough:
            return found
        # The nodes below `ancestor` are searched; its sibling is next.
        subtree = ancestor + 1 if ancestor & 1 else ancestor - 1
        ancestor = int64(tree.parent[ancestor])
        distance = _box_distance(x, y, z, tree.boxes[subtree])


@compiled_inner
def _nearest_below(
    root: int,
    root_distance: float,
    x: float,
    y: float,
    z: float,
    tree: BVH,
    stack: SearchStack,
    enough: float,
    found: Found,
) -> Found:
    """The nearest triangle below a node if it is nearer than `found`; else `found`."""
    who, best, fx, fy, fz = found
    stack.nodes[0], stack.distances[0], top = root, root_distance, 1
    while top:
        top -= 1
        node = stack.nodes[top]
        if stack.distances[top] >= best:
            continue
        while tree.child[node] >= 0:
            near, far = tree.child[node], tree.child[node] + 1
            to_near, to_far = _box_distance(x, y, z, tree.boxes[near]), _box_distance(x, y, z, tree.boxes[far])
            if to_far < to_near:
                near, far, to_near, to_far = far, near, to_far, to_near
            if to_far < best:
                stack.nodes[top], stack.distances[top] = far, to_far
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
            dx, dy, dz = x - px, y - py, z - pz
            squared = dx * dx + dy * dy + dz * dz
            if squared < best:
                who, best, fx, fy, fz = place, squared, px, py, pz
        if best <= enough:
            break
    return who, best, fx, fy, fz


@compiled_inner
def closest_on_triangle(x: float, y: float, z: float, t: FloatArray) -> tuple[float, float, float]:
    """The point of a triangle (9,) nearest to a point, by the Voronoi region of the triangle that contains the point.

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
    """Squared distance of a point to a box (6,); zero inside."""
    dx = max(box[0] - x, x - box[3], 0.0)
    dy = max(box[1] - y, y - box[4], 0.0)
    dz = max(box[2] - z, z - box[5], 0.0)
    squared: float = dx * dx + dy * dy + dz * dz
    return squared


@compiled_inner
def _distance_to_box_of(x: float, y: float, z: float, t: FloatArray) -> float:
    """Squared distance of a point to the bounding box of a triangle (9,): a fast lower bound."""
    dx = max(min(t[0], t[3], t[6]) - x, x - max(t[0], t[3], t[6]), 0.0)
    dy = max(min(t[1], t[4], t[7]) - y, y - max(t[1], t[4], t[7]), 0.0)
    dz = max(min(t[2], t[5], t[8]) - z, z - max(t[2], t[5], t[8]), 0.0)
    squared: float = dx * dx + dy * dy + dz * dz
    return squared


@compiled
def _query(points: FloatArray, tree: BVH) -> tuple[IntArray, FloatArray, FloatArray]:
    count = len(points)
    places, nearest_points, distances = np.empty(count, np.int32), np.empty((count, 3)), np.empty(count)
    nearest_of_each(points, tree, places, nearest_points, distances, search_stack())
    return tree.order[places], nearest_points, distances


@compiled
def _beyond(points: FloatArray, tree: BVH, reach: float) -> BoolArray:
    stack, far, place = search_stack(), np.empty(len(points), np.bool_), int64(-1)
    for i in range(len(points)):
        found = nearest(points[i, 0], points[i, 1], points[i, 2], place, tree, stack, reach * reach)
        place, far[i] = found[0], found[1] > reach * reach
    return far


@compiled_inner
def nearest_of_each(
    points: FloatArray,
    tree: BVH,
    places: AnyArray,
    nearest_points: FloatArray,
    distances: FloatArray,
    stack: SearchStack,
) -> None:
    """Write the place (q,), point (q, 3) and distance (q,) of `nearest` for (q, 3) points."""
    place = int64(-1)
    for i in range(len(points)):
        found = nearest(points[i, 0], points[i, 1], points[i, 2], place, tree, stack, 0.0)
        place, distances[i] = found[0], np.sqrt(found[1])
        places[i] = place
        nearest_points[i, 0], nearest_points[i, 1], nearest_points[i, 2] = found[2], found[3], found[4]
