"""The first triangle that a ray hits."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from .bvh import BVH
from .compiled import compiled, compiled_inner

STACK_DEPTH = 128  # as for closest points


@compiled
def first_hits(origins: FloatArray, directions: FloatArray, reach: float, tree: BVH) -> tuple[IntArray, FloatArray]:
    """For each ray (q, 3), (q, 3): the surface's triangle that it hits first, or −1, and the length of the way (q,).

    directions: unit vectors. reach: the longest way. Both sides of a triangle are hit.
    """
    hits, lengths = np.full(len(origins), -1, np.int64), np.full(len(origins), np.inf)
    stack = np.empty(STACK_DEPTH, np.int32)
    for i in range(len(origins)):
        best, place = reach, -1
        stack[0], top = 0, 1
        while top:
            top -= 1
            node = stack[top]
            if _box_way(origins[i], directions[i], tree.boxes[node]) > best:
                continue
            if tree.child[node] >= 0:
                near, far = tree.child[node], tree.child[node] + 1
                to_near = _box_way(origins[i], directions[i], tree.boxes[near])
                to_far = _box_way(origins[i], directions[i], tree.boxes[far])
                if to_far < to_near:
                    near, far, to_near, to_far = far, near, to_far, to_near
                if to_far <= best:
                    stack[top] = far
                    top += 1
                if to_near <= best:
                    stack[top] = near
                    top += 1
                continue
            for t in range(tree.first[node], tree.last[node]):
                way = _triangle_way(origins[i], directions[i], tree.corners[t])
                if way < best:
                    best, place = way, t
        if place >= 0:
            hits[i], lengths[i] = tree.order[place], best
    return hits, lengths


@compiled_inner
def _box_way(origin: FloatArray, direction: FloatArray, box: FloatArray) -> float:
    """The length of the way of a ray into a box (6,); infinity if it misses the box."""
    enter, leave = 0.0, np.inf
    for k in range(3):
        if direction[k] == 0.0:
            if origin[k] < box[k] or origin[k] > box[3 + k]:
                return np.inf
            continue
        near, far = (box[k] - origin[k]) / direction[k], (box[3 + k] - origin[k]) / direction[k]
        enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    return enter if enter <= leave else np.inf


@compiled_inner
def _triangle_way(origin: FloatArray, direction: FloatArray, t: FloatArray) -> float:
    """The length of the way of a ray to a triangle (9,); infinity if it misses.

    Möller and Trumbore, Fast, minimum storage ray–triangle intersection (1997).
    """
    ax, ay, az = t[3] - t[0], t[4] - t[1], t[5] - t[2]
    bx, by, bz = t[6] - t[0], t[7] - t[1], t[8] - t[2]
    dx, dy, dz = direction[0], direction[1], direction[2]
    px, py, pz = dy * bz - dz * by, dz * bx - dx * bz, dx * by - dy * bx
    determinant = ax * px + ay * py + az * pz
    if determinant == 0.0:
        return np.inf
    ox, oy, oz = origin[0] - t[0], origin[1] - t[1], origin[2] - t[2]
    u = (ox * px + oy * py + oz * pz) / determinant
    if u < 0.0 or u > 1.0:
        return np.inf
    qx, qy, qz = oy * az - oz * ay, oz * ax - ox * az, ox * ay - oy * ax
    v = (dx * qx + dy * qy + dz * qz) / determinant
    if v < 0.0 or u + v > 1.0:
        return np.inf
    way: float = (bx * qx + by * qy + bz * qz) / determinant
    return way if way >= 0.0 else np.inf
