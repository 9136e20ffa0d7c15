"""A bounding volume hierarchy of triangles: a binary tree of axis-aligned boxes.

Each node is cut at the median along its longest side, so both halves have the same size. That needs no tuning: the
tree of a scan is as balanced as that of twenty triangles, and a stray vertex far away costs one cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from .compiled import compiled, int64
from .median_split import part_at_median, partition_scratch, sort_along_axes

LEAF = 4  # triangles in a leaf


class BVH(NamedTuple):
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


@compiled
def build_bvh(positions: FloatArray, triangles: IntArray) -> BVH:
    count = len(triangles)
    middles = np.empty((count, 3))
    for t in range(count):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            middles[t, k] = positions[a, k] + positions[b, k] + positions[c, k]
    orders, parting = sort_along_axes(middles), partition_scratch(count)
    room = 2 * (2 * count // LEAF + 2) + 1
    child, parent = np.full(room, -1, np.int32), np.full(room, -1, np.int32)
    first, last, leaf = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(count, np.int32)
    first[0], last[0] = 0, count
    nodes, node = 1, 0
    while node < nodes:  # level by level: parents stand before their children
        low, high = int64(first[node]), int64(last[node])
        if high - low > LEAF:
            half = (low + high) >> 1
            part_at_median(middles, orders, parting, low, half, high)
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
    return BVH(corners, order, boxes, child, parent, first[:nodes].copy(), last[:nodes].copy(), leaf)
