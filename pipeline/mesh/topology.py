"""Edges, borders and vertex use of indexed triangles, and equal rows of arrays, for welding."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner

FEW_SIDES = 32  # sides at one vertex up to which comparing all pairs is faster than sorting


def edges_of(triangles: IntArray) -> tuple[IntArray, IntArray]:
    """The edge number (m, 3) of the side from each corner to the next, and the number of sides (e,) of each edge."""
    edge, side_counts = _edges_of(np.ascontiguousarray(triangles).reshape(-1))
    return edge.reshape(-1, 3), side_counts


@compiled
def _edges_of(corners: IntArray) -> tuple[IntArray, IntArray]:
    sides = len(corners)
    high_ends = np.empty(sides, np.int64)  # the larger vertex of each side; sides are bucketed by the smaller one
    start = np.zeros(corners.max() + 2 if sides else 1, np.int64)
    for side in range(sides):
        start[min(corners[side], corners[side - 2 if side % 3 == 2 else side + 1]) + 1] += 1
    for v in range(len(start) - 1):
        start[v + 1] += start[v]
    place, order = start.copy(), np.empty(sides, np.int64)
    for side in range(sides):
        a, b = corners[side], corners[side - 2 if side % 3 == 2 else side + 1]
        low = min(a, b)
        high_ends[place[low]], order[place[low]] = max(a, b), side
        place[low] += 1
    edge, side_counts, count = np.empty(sides, np.int64), np.zeros(sides, np.int64), 0
    for v in range(len(start) - 1):
        first, end = start[v], start[v + 1]
        if end - first > FEW_SIDES:  # the centre of a fan
            _sort_sides(high_ends, order, first, end)
        for i in range(first, end):
            same = i - 1
            while same >= first and high_ends[same] != high_ends[i] and (end - first <= FEW_SIDES):
                same -= 1
            if same < first or high_ends[same] != high_ends[i]:
                edge[order[i]] = count
                count += 1
            else:
                edge[order[i]] = edge[order[same]]
            side_counts[edge[order[i]]] += 1
    return edge, side_counts[:count].copy()


@compiled_inner
def _sort_sides(high_ends: IntArray, order: IntArray, first: int, end: int) -> None:
    """Sort a range of both arrays by the first one: heapsort, since Numba's own sorts take 4 s to compile."""
    count = end - first
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(high_ends, order, first, root, count)
    for last in range(count - 1, 0, -1):
        _swap(high_ends, order, first, first + last)
        _sift_down(high_ends, order, first, 0, last)


@compiled_inner
def _sift_down(high_ends: IntArray, order: IntArray, first: int, root: int, count: int) -> None:
    """Restore the heap of `count` entries from `first` on, of which only `root` may be smaller than its children."""
    while 2 * root + 1 < count:
        child = 2 * root + 1
        if child + 1 < count and high_ends[first + child] < high_ends[first + child + 1]:
            child += 1
        if high_ends[first + root] >= high_ends[first + child]:
            return
        _swap(high_ends, order, first + root, first + child)
        root = child


@compiled_inner
def _swap(high_ends: IntArray, order: IntArray, i: int, j: int) -> None:
    high_ends[i], high_ends[j] = high_ends[j], high_ends[i]
    order[i], order[j] = order[j], order[i]


def break_vertices(triangles: IntArray, vertex_count: int) -> BoolArray:
    """A mask (vertex_count,) of the ends of breaks: edges that do not belong to exactly two triangles."""
    edge, side_counts = edges_of(triangles)
    sides = (side_counts != 2)[edge]
    at_break = np.zeros(vertex_count, np.bool_)
    at_break[triangles[sides]] = True
    at_break[triangles[:, [1, 2, 0]][sides]] = True
    return at_break


def open_edges(triangles: IntArray) -> IntArray:
    """(e, 2) vertex pairs, smaller first, of the edges that belong to one triangle only."""
    start, end = triangles.reshape(-1), triangles[:, [1, 2, 0]].reshape(-1)
    count = int(triangles.max(initial=0)) + 1
    edges, side_counts = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_counts=True)
    single = edges[side_counts == 1]
    return np.stack([single // count, single % count], axis=1)


@compiled
def non_degenerate(triangles: IntArray) -> BoolArray:
    """A mask (m,) of the triangles (m, 3) with three different vertices."""
    good = np.empty(len(triangles), np.bool_)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        good[t] = a != b and b != c and c != a
    return good


@compiled
def in_order_of_use(triangles: IntArray, vertex_count: int) -> tuple[IntArray, IntArray]:
    """The vertices that triangles (m, 3) use, in the order of their first use, and the triangles renumbered to them."""
    number, used = np.full(vertex_count, -1, np.int32), np.empty(min(vertex_count, triangles.size), np.int64)
    renumbered, count = np.empty(triangles.shape, np.int64), 0
    for t in range(len(triangles)):
        for k in range(3):
            v = triangles[t, k]
            if number[v] < 0:
                number[v], used[count] = count, v
                count += 1
            renumbered[t, k] = number[v]
    return used[:count].copy(), renumbered


def unique_rows(rows: AnyArray) -> tuple[AnyArray, IntArray]:
    """The distinct rows of an (n, k) array of numbers, in the order of their first occurrence, and the index (n,) of
    each row among them.

    −0.0 and 0.0 are one value.
    """
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    first, index = _first_rows(np.ascontiguousarray(rows, np.float64) + 0.0)
    return (rows + rows.dtype.type(0))[first], index


@compiled
def _first_rows(rows: FloatArray) -> tuple[IntArray, IntArray]:
    """The first row of each value, and the number (n,) of each row's value, by a hash table with open addressing."""
    count = len(rows)
    bits = rows.view(np.uint64)
    slots = np.full(_table_size(count), -1, np.int64)
    first, index = np.empty(count, np.int64), np.empty(count, np.int64)
    distinct = 0
    for i in range(count):
        slot = _find_slot(bits, i, bits, slots)
        if slots[slot] < 0:
            slots[slot], first[distinct], index[i] = i, i, distinct
            distinct += 1
        else:
            index[i] = index[slots[slot]]
    return first[:distinct].copy(), index


@compiled_inner
def _table_size(count: int) -> int:
    size = 4
    while size < 2 * count:
        size *= 2
    return size


@compiled_inner
def _find_slot(bits: AnyArray, i: int, stored: AnyArray, slots: IntArray) -> int:
    """The slot of the row of `stored` that equals row i of `bits`, or else the empty slot for it."""
    width, size = bits.shape[1], len(slots)
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for k in range(width):
        mixed = (mixed ^ bits[i, k]) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(32)
    slot = np.int64(mixed & np.uint64(size - 1))
    while slots[slot] >= 0:
        same = True
        for k in range(width):
            same &= bits[i, k] == stored[slots[slot], k]
        if same:
            break
        slot = (slot + 1) & (size - 1)
    return int(slot)


def rows_in(rows: AnyArray, stored: AnyArray) -> BoolArray:
    """A mask (n,) of the rows of an (n, k) array that occur in an (m, k) array, bit for bit except the sign of zero."""
    return match_rows(rows, stored) >= 0


def match_rows(rows: AnyArray, stored: AnyArray) -> IntArray:
    """For each row of an (n, k) array the first equal row of an (m, k) array, or −1: bit for bit, except the sign of
    zero.

    The hash table holds `stored`, so it is faster if that is the smaller array.
    """
    queries, table = (np.ascontiguousarray(array, np.float64) + 0.0 for array in (rows, stored))
    return _match_rows(queries, table)


@compiled
def _match_rows(rows: FloatArray, stored: FloatArray) -> IntArray:
    bits, stored_bits = rows.view(np.uint64), stored.view(np.uint64)
    slots, found = np.full(_table_size(len(stored)), -1, np.int64), np.empty(len(rows), np.int64)
    for i in range(len(stored)):
        slot = _find_slot(stored_bits, i, stored_bits, slots)
        if slots[slot] < 0:
            slots[slot] = i
    for i in range(len(rows)):
        found[i] = slots[_find_slot(bits, i, stored_bits, slots)]
    return found


@compiled
def connected_parts(triangles: IntArray, vertices: int) -> tuple[IntArray, IntArray]:
    """The number (vertices,) of the connected part of each vertex, and the triangles (parts,) of each part."""
    parent = np.arange(vertices)
    for t in range(len(triangles)):
        for k in range(2):
            a, b = triangles[t, k], triangles[t, k + 1]
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            parent[max(a, b)] = min(a, b)
    number, count = np.empty(vertices, np.int64), 0
    for v in range(vertices):
        if parent[v] == v:
            number[v] = count
            count += 1
        else:
            number[v] = number[parent[v]]
    sizes = np.zeros(count, np.int64)
    for t in range(len(triangles)):
        sizes[number[triangles[t, 0]]] += 1
    return number, sizes
