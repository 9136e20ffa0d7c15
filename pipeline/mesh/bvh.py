"""A bounding volume hierarchy of triangles: a binary tree of axis-aligned boxes.

Each node is cut at the median along its longest side, so both halves have the same size. That needs no tuning: the
tree of a scan is as balanced as that of twenty triangles, and a stray vertex far away costs one cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner, int64
from .median_split import part_at_median, partition_scratch, sort_along_axes

LEAF_TRIANGLES = 4


class BVH(NamedTuple):
    """Triangles in the order of the leaves; a triangle's index in that order is its place. Node 0 is the root.

    corners: (m, 9) coordinates by place; order: (m,) the surface's triangle at each place; leaf: (m,) its leaf.
    boxes: (k, 6) smallest and largest coordinates of each node; child: (k,) the first of its two consecutive children,
    or −1; parent: (k,); first, last: (k,) the range of places below it.
    """

    corners: FloatArray
    order: IntArray
    boxes: FloatArray
    child: AnyArray
    parent: AnyArray
    first: AnyArray
    last: AnyArray
    leaf: AnyArray


@compiled
def build_bvh(positions: FloatArray, triangles: IntArray) -> BVH:
    count = len(triangles)
    centers = np.empty((count, 3))  # times three
    for t in range(count):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            centers[t, k] = positions[a, k] + positions[b, k] + positions[c, k]
    orders, scratch = sort_along_axes(centers), partition_scratch(count)
    capacity = 2 * (2 * count // LEAF_TRIANGLES + 2) + 1
    child, parent = np.full(capacity, -1, np.int32), np.full(capacity, -1, np.int32)
    first, last = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    first[0], last[0] = 0, count
    nodes, node = 1, 0
    while node < nodes:  # level by level, so that parents precede their children
        low, high = int64(first[node]), int64(last[node])
        if high - low > LEAF_TRIANGLES:
            half = (low + high) >> 1
            part_at_median(centers, orders, scratch, low, half, high)
            child[node] = nodes
            parent[nodes] = parent[nodes + 1] = node
            first[nodes], last[nodes], first[nodes + 1], last[nodes + 1] = low, half, half, high
            nodes += 2
        node += 1
    child, parent, first, last = child[:nodes].copy(), parent[:nodes].copy(), first[:nodes].copy(), last[:nodes].copy()
    order, corners = orders[0].astype(np.int64), np.empty((count, 9))
    for place in range(count):
        for corner in range(3):
            vertex = triangles[order[place], corner]
            for k in range(3):
                corners[place, 3 * corner + k] = positions[vertex, k]
    tree = BVH(corners, order, np.empty((nodes, 6)), child, parent, first, last, np.empty(count, np.int32))
    for node in range(nodes - 1, -1, -1):
        if child[node] >= 0:
            _enclose_children(tree, node)
        else:
            _enclose_triangles(tree, node)
    return tree


@compiled_inner
def _enclose_children(tree: BVH, node: int) -> None:
    """Set the box of an inner node."""
    boxes, left, right = tree.boxes, tree.child[node], tree.child[node] + 1
    for k in range(3):
        boxes[node, k] = min(boxes[left, k], boxes[right, k])
        boxes[node, 3 + k] = max(boxes[left, 3 + k], boxes[right, 3 + k])


@compiled_inner
def _enclose_triangles(tree: BVH, node: int) -> None:
    """Set the box of a leaf, and the leaf of its triangles."""
    boxes, corners = tree.boxes, tree.corners
    for k in range(3):
        boxes[node, k], boxes[node, 3 + k] = np.inf, -np.inf
    for place in range(tree.first[node], tree.last[node]):
        tree.leaf[place] = node
        for k in range(3):
            x, y, z = corners[place, k], corners[place, 3 + k], corners[place, 6 + k]
            boxes[node, k] = min(boxes[node, k], x, y, z)
            boxes[node, 3 + k] = max(boxes[node, 3 + k], x, y, z)
