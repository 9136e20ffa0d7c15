"""Edges, borders and vertex use of indexed triangles, and equal rows of arrays, for welding."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner

FEW_SIDES = 32  # of one vertex: so many are compared with each other rather than sorted


def edges_of(triangles: IntArray) -> tuple[IntArray, IntArray]:
    """The edge (m, 3) of each side, from a corner to the next, by number; and how many sides (e,) each edge has."""
    edge, users = _edges_of(np.ascontiguousarray(triangles).reshape(-1))
    return edge.reshape(-1, 3), users


@compiled
def _edges_of(corners: IntArray) -> tuple[IntArray, IntArray]:
    sides = len(corners)
    others = np.empty(sides, np.int64)  # the end with the larger number; sides are sorted by the other one
    start = np.zeros(corners.max() + 2 if sides else 1, np.int64)
    for side in range(sides):
        start[min(corners[side], corners[side - 2 if side % 3 == 2 else side + 1]) + 1] += 1
    for v in range(len(start) - 1):
        start[v + 1] += start[v]
    place, order = start.copy(), np.empty(sides, np.int64)
    for side in range(sides):
        a, b = corners[side], corners[side - 2 if side % 3 == 2 else side + 1]
        low = min(a, b)
        others[place[low]], order[place[low]] = max(a, b), side
        place[low] += 1
    edge, users, count = np.empty(sides, np.int64), np.zeros(sides, np.int64), 0
    for v in range(len(start) - 1):
        first, end = start[v], start[v + 1]
        if end - first > FEW_SIDES:  # the middle of a fan
            _sort_sides(others, order, first, end)
        for i in range(first, end):
            same = i - 1
            while same >= first and others[same] != others[i] and (end - first <= FEW_SIDES):
                same -= 1
            if same < first or others[same] != others[i]:
                edge[order[i]] = count
                count += 1
            else:
                edge[order[i]] = edge[order[same]]
            users[edge[order[i]]] += 1
    return edge, users[:count].copy()


@compiled_inner
def _sort_sides(others: IntArray, order: IntArray, first: int, end: int) -> None:
    """Sort a range of both arrays by the first one: heapsort, since Numba's own sorts take 4 s to compile."""
    count = end - first
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(others, order, first, root, count)
    for last in range(count - 1, 0, -1):
        _swap(others, order, first, first + last)
        _sift_down(others, order, first, 0, last)


@compiled_inner
def _sift_down(others: IntArray, order: IntArray, first: int, root: int, count: int) -> None:
    """Restore the heap of `count` entries from `first` on, of which only `root` may be smaller than its children."""
    while 2 * root + 1 < count:
        child = 2 * root + 1
        if child + 1 < count and others[first + child] < others[first + child + 1]:
            child += 1
        if others[first + root] >= others[first + child]:
            return
        _swap(others, order, first + root, first + child)
        root = child


@compiled_inner
def _swap(others: IntArray, order: IntArray, i: int, j: int) -> None:
    others[i], others[j] = others[j], others[i]
    order[i], order[j] = order[j], order[i]


def break_vertices(triangles: IntArray, vertices: int) -> BoolArray:
    """Which vertices are ends of edges that do not belong to exactly two triangles."""
    edge, users = edges_of(triangles)
    sides = (users != 2)[edge]
    broken = np.zeros(vertices, np.bool_)
    broken[triangles[sides]] = True
    broken[triangles[:, [1, 2, 0]][sides]] = True
    return broken


def open_edges(triangles: IntArray) -> IntArray:
    """(e, 2) vertex pairs, smaller first, of the edges that belong to one triangle only."""
    start, end = triangles.reshape(-1), triangles[:, [1, 2, 0]].reshape(-1)
    count = int(triangles.max(initial=0)) + 1
    edges, users = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_counts=True)
    alone = edges[users == 1]
    return np.stack([alone // count, alone % count], axis=1)


@compiled
def non_degenerate(triangles: IntArray) -> BoolArray:
    """Which triangles (m, 3) use three different positions."""
    good = np.empty(len(triangles), np.bool_)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        good[t] = a != b and b != c and c != a
    return good


@compiled
def in_order_of_use(triangles: IntArray, vertices: int) -> tuple[IntArray, IntArray]:
    """The vertices that triangles (m, 3) use, in the order of their first use, and the triangles in terms of these."""
    number, used = np.full(vertices, -1, np.int32), np.empty(min(vertices, triangles.size), np.int64)
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
    """Distinct rows of an (n, k) array of numbers, in the order in which they first occur, and for each row the
    index of its representative.

    −0.0 and 0.0 are one value.
    """
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    first, index = _first_rows(np.ascontiguousarray(rows, np.float64) + 0.0)
    return (rows + rows.dtype.type(0))[first], index


@compiled
def _first_rows(rows: FloatArray) -> tuple[IntArray, IntArray]:
    """The first row of each value, and for each row the number of its value: a hash table with open addressing."""
    count = len(rows)
    bits = rows.view(np.uint64)
    slots = np.full(_table_size(count), -1, np.int64)
    first, index = np.empty(count, np.int64), np.empty(count, np.int64)
    distinct = 0
    for i in range(count):
        slot = _slot(bits, i, bits, slots)
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
def _slot(bits: AnyArray, i: int, known: AnyArray, slots: IntArray) -> int:
    """Where a row's equal is in a table of rows of `known`, or would be."""
    width, size = bits.shape[1], len(slots)
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for k in range(width):
        mixed = (mixed ^ bits[i, k]) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(32)
    slot = np.int64(mixed & np.uint64(size - 1))
    while slots[slot] >= 0:
        same = True
        for k in range(width):
            same &= bits[i, k] == known[slots[slot], k]
        if same:
            break
        slot = (slot + 1) & (size - 1)
    return int(slot)


def rows_in(rows: AnyArray, among: AnyArray) -> BoolArray:
    """Which rows of an (n, k) array occur in an (m, k) array, bit for bit (but for the sign of zero)."""
    return match_rows(rows, among) >= 0


def match_rows(rows: AnyArray, among: AnyArray) -> IntArray:
    """For each row of an (n, k) array the first of an (m, k) array that equals it, bit for bit (but for the sign of
    zero), or −1. Quick where `among` is the smaller one."""
    one, other = (np.ascontiguousarray(each, np.float64) + 0.0 for each in (rows, among))
    return _matches(one, other)


@compiled
def _matches(rows: FloatArray, among: FloatArray) -> IntArray:
    size = _table_size(len(among))
    bits, known = rows.view(np.uint64), among.view(np.uint64)
    slots, found = np.full(size, -1, np.int64), np.empty(len(rows), np.int64)
    for i in range(len(among)):
        slot = _slot(known, i, known, slots)
        if slots[slot] < 0:
            slots[slot] = i
    for i in range(len(rows)):
        found[i] = slots[_slot(bits, i, known, slots)]
    return found
