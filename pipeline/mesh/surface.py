"""The nouns of the mesh stages, and the few array operations that all of them need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner

FEW_SIDES = 32  # of one vertex: so many are compared with each other rather than sorted


@dataclass(frozen=True)
class PrimitiveKind:
    """What a glTF primitive is made of: a material index (or none) and its attribute names, sorted.

    carried: the JSON of what else the source's primitive says, such as material variants; "" for nothing.
    uv_scale: of the KHR_texture_transform through which the material's pictures see TEXCOORD_0.
    deep_colors: whether COLOR_0 is finer than bytes.
    texels: of its finest picture along one unit of TEXCOORD_0; 0 without pictures.
    """

    material: int | None
    attributes: tuple[str, ...]
    carried: str = ""
    uv_scale: float = 1.0
    deep_colors: bool = False
    texels: float = 0.0

    @property
    def textured(self) -> bool:
        return "TEXCOORD_0" in self.attributes


@dataclass(frozen=True)
class Surface:
    """Welded triangles with a primitive kind and TEXCOORD_0 on their corners: what gets simplified.

    positions: (n, 3) float64, welded: one entry for each distinct position, all of them used.
    triangles: (m, 3) indices into positions.
    kinds: (m,) index of each triangle's PrimitiveKind.
    uv: (m, 3, 2) float64; zero where the kind has no TEXCOORD_0.
    """

    positions: FloatArray
    triangles: IntArray
    kinds: IntArray
    uv: FloatArray


@dataclass(frozen=True)
class Source:
    """A surface as the artist made it, with every other attribute at its corners.

    vertices: (m, 3) the vertex at each corner. Those that differ in an attribute alone share a position.
    attributes: name → (v, k) float64 of each vertex, such as NORMAL, COLOR_0, TEXCOORD_1.
    """

    surface: Surface
    vertices: IntArray
    attributes: dict[str, FloatArray]

    def corners(self, name: str) -> FloatArray:
        """The attribute (m, 3, k) at the corners of all triangles."""
        return np.take(self.attributes[name], self.vertices, axis=0)

    def part(self, chosen: BoolArray) -> Source:
        """The triangles where `chosen` is true, with unused positions and vertices dropped."""
        return self._with(part(self.surface, chosen), chosen)

    def take(self, chosen: IntArray) -> Source:
        """As `part`, of these numbers, with the positions in the order of their use."""
        surface = self.surface
        if self.vertices is surface.triangles:  # no position has two vertices
            used, vertices = in_order_of_use(surface.triangles[chosen], len(surface.positions))
            taken = Surface(surface.positions[used], vertices, surface.kinds[chosen], surface.uv[chosen])
            return Source(taken, vertices, {name: values[used] for name, values in self.attributes.items()})
        return self._with(take(surface, chosen), chosen)

    def _with(self, surface: Surface, chosen: AnyArray) -> Source:
        used, vertices = in_order_of_use(self.vertices[chosen], self._vertex_count)
        return Source(surface, vertices, {name: values[used] for name, values in self.attributes.items()})

    @property
    def _vertex_count(self) -> int:
        for values in self.attributes.values():
            return len(values)
        return int(self.vertices.max(initial=-1)) + 1


def part(surface: Surface, chosen: BoolArray) -> Surface:
    """The triangles of `surface` where `chosen` is true, with unused positions dropped."""
    triangles = surface.triangles[chosen]
    used = np.zeros(len(surface.positions), np.bool_)
    used[triangles] = True
    number = np.cumsum(used) - 1
    return Surface(surface.positions[used], number[triangles], surface.kinds[chosen], surface.uv[chosen])


def take(surface: Surface, chosen: IntArray) -> Surface:
    """The triangles of these numbers, with unused positions dropped and the others in the order of their use."""
    used, triangles = in_order_of_use(surface.triangles[chosen], len(surface.positions))
    return Surface(surface.positions[used], triangles, surface.kinds[chosen], surface.uv[chosen])


def merge(parts: Sequence[Surface]) -> Surface:
    """Join surfaces, welding positions that are equal bit for bit."""
    offsets = np.cumsum([0, *(len(p.positions) for p in parts)])
    positions, inverse = unique_rows(np.concatenate([p.positions for p in parts]))
    triangles = np.concatenate([p.triangles + o for p, o in zip(parts, offsets, strict=False)])
    return Surface(
        positions,
        inverse[triangles],
        np.concatenate([p.kinds for p in parts]),
        np.concatenate([p.uv for p in parts]),
    )


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


def without_degenerates(surface: Surface) -> Surface:
    """Drop triangles that use one position twice."""
    good = proper(surface.triangles)
    return surface if good.all() else part(surface, good)


@compiled
def proper(triangles: IntArray) -> BoolArray:
    """Which triangles (m, 3) use three different positions."""
    good = np.empty(len(triangles), np.bool_)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        good[t] = a != b and b != c and c != a
    return good


def face_normals(positions: FloatArray, triangles: IntArray) -> tuple[FloatArray, FloatArray]:
    """Unit normals (m, 3), zero for triangles without area, and areas (m,)."""
    return _face_normals(np.ascontiguousarray(positions, np.float64), np.ascontiguousarray(triangles, np.int64))


@compiled
def _face_normals(positions: FloatArray, triangles: IntArray) -> tuple[FloatArray, FloatArray]:
    normals, areas = np.empty((len(triangles), 3)), np.empty(len(triangles))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            positions[b, 0] - positions[a, 0],
            positions[b, 1] - positions[a, 1],
            positions[b, 2] - positions[a, 2],
        )
        vx, vy, vz = (
            positions[c, 0] - positions[a, 0],
            positions[c, 1] - positions[a, 1],
            positions[c, 2] - positions[a, 2],
        )
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(x * x + y * y + z * z)
        areas[t] = length * 0.5
        scale = length if length > 0.0 else 1.0
        normals[t, 0], normals[t, 1], normals[t, 2] = x / scale, y / scale, z / scale
    return normals, areas


def centroids(surface: Surface) -> FloatArray:
    """The middles (m, 3) of all triangles."""
    return _centroids(surface.positions, surface.triangles)


@compiled
def _centroids(positions: FloatArray, triangles: IntArray) -> FloatArray:
    middles = np.empty((len(triangles), 3))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            middles[t, k] = (positions[a, k] + positions[b, k] + positions[c, k]) / 3.0
    return middles


def first_sides(surface: Surface) -> FloatArray:
    """The lengths (m,) of the sides between the first two corners of all triangles."""
    return _first_sides(surface.positions, surface.triangles)


@compiled
def _first_sides(positions: FloatArray, triangles: IntArray) -> FloatArray:
    lengths = np.empty(len(triangles))
    for t in range(len(triangles)):
        squared = 0.0
        for k in range(3):
            squared += (positions[triangles[t, 0], k] - positions[triangles[t, 1], k]) ** 2
        lengths[t] = np.sqrt(squared)
    return lengths


def box_of(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least and the largest coordinates (3,) of (n, 3) points; infinite, the wrong way round, without any."""
    return _box_of(np.ascontiguousarray(points, np.float64))


@compiled
def _box_of(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(len(points)):
        for k in range(3):
            low[k], high[k] = min(low[k], points[i, k]), max(high[k], points[i, k])
    return low, high


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
            sorting = np.argsort(others[first:end], kind="mergesort")
            others[first:end], order[first:end] = others[first:end][sorting], order[first:end][sorting]
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


@compiled
def at_breaks(triangles: IntArray, vertices: int) -> BoolArray:
    """Which vertices are ends of edges that do not belong to exactly two triangles."""
    start = np.zeros(vertices + 1, np.int32)
    for t in range(len(triangles)):
        for k in range(3):
            start[min(triangles[t, k], triangles[t, (k + 1) % 3]) + 1] += 1
    for v in range(vertices):
        start[v + 1] += start[v]
    place, others = start.copy(), np.empty(3 * len(triangles), np.int32)
    for t in range(len(triangles)):
        for k in range(3):
            a, b = triangles[t, k], triangles[t, (k + 1) % 3]
            low = min(a, b)
            others[place[low]] = max(a, b)
            place[low] += 1
    broken = np.zeros(vertices, np.bool_)
    for v in range(vertices):
        first, end = start[v], start[v + 1]
        if end - first > FEW_SIDES:  # the middle of a fan
            others[first:end] = np.sort(others[first:end])
        for i in range(first, end):
            users, low, high = 0, first, end
            if end - first > FEW_SIDES:
                low, high = max(first, i - 2), min(end, i + 3)
            for j in range(low, high):
                users += others[j] == others[i]
            if users != 2:
                broken[v] = broken[others[i]] = True
    return broken


def open_edges(triangles: IntArray) -> IntArray:
    """(e, 2) vertex pairs, smaller first, of the edges that belong to one triangle only."""
    start, end = triangles.reshape(-1), triangles[:, [1, 2, 0]].reshape(-1)
    count = int(triangles.max(initial=0)) + 1
    edges, users = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_counts=True)
    alone = edges[users == 1]
    return np.stack([alone // count, alone % count], axis=1)


def rows_in(rows: AnyArray, among: AnyArray) -> BoolArray:
    """Which rows of an (n, k) array occur in an (m, k) array, bit for bit (but for the sign of zero)."""
    return matches(rows, among) >= 0


def matches(rows: AnyArray, among: AnyArray) -> IntArray:
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
