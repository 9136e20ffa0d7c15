"""The nouns of the mesh stages: surfaces, sources with all attributes, and kinds of primitives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from .topology import in_order_of_use, non_degenerate, unique_rows


@dataclass(frozen=True)
class PrimitiveKind:
    """The kind of a glTF primitive: its material index (or None) and its attribute names, sorted.

    carried: JSON of other properties of the source's primitive, such as material variants; "" if there are none.
    uv_scale: the scale of TEXCOORD_0 in the KHR_texture_transform of the material's pictures.
    deep_colors: whether COLOR_0 is finer than bytes.
    texels: texels of the material's finest picture along one unit of TEXCOORD_0; 0 without pictures.
    merged: the source's material if `material` is one that replaces several. Triangles of such materials are of
        different kinds while they are simplified, and of the same kind in files.
    """

    material: int | None
    attributes: tuple[str, ...]
    carried: str = ""
    uv_scale: float = 1.0
    deep_colors: bool = False
    texels: float = 0.0
    merged: int | None = None

    @property
    def textured(self) -> bool:
        return "TEXCOORD_0" in self.attributes


def stored_kinds(kinds: Sequence[PrimitiveKind]) -> tuple[tuple[PrimitiveKind, ...], IntArray]:
    """The kinds of primitives in files, where merged materials are one, and the place (n,) of each of `kinds` among
    them."""
    place: dict[PrimitiveKind, int] = {}
    places = [place.setdefault(replace(kind, merged=None), len(place)) for kind in kinds]
    return tuple(place), np.array(places, np.int64)


@dataclass(frozen=True)
class Surface:
    """Welded triangles with a primitive kind each and TEXCOORD_0 at their corners: the input of simplification.

    positions: (n, 3) float64, welded: distinct, and each used by a triangle.
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
    """A surface at full detail, with every other attribute at its corners.

    vertices: (m, 3) the vertex at each corner. Vertices that differ only in an attribute share a position.
    attributes: name → (v, k) float64 values of the vertices, such as NORMAL, COLOR_0, TEXCOORD_1.
    """

    surface: Surface
    vertices: IntArray
    attributes: dict[str, FloatArray]

    def corners(self, name: str) -> FloatArray:
        """The values (m, 3, k) of an attribute at the corners of all triangles."""
        return np.take(self.attributes[name], self.vertices, axis=0)

    def part(self, chosen: BoolArray) -> Source:
        """The triangles where the mask `chosen` (m,) is true, without unused positions and vertices."""
        return self._with_surface(part(self.surface, chosen), chosen)

    def take(self, chosen: IntArray) -> Source:
        """The triangles of the indices `chosen`, without unused positions and vertices, the others in the order of
        their first use."""
        surface = self.surface
        if self.vertices is surface.triangles:  # each position has one vertex
            used, vertices = in_order_of_use(surface.triangles[chosen], len(surface.positions))
            taken = Surface(surface.positions[used], vertices, surface.kinds[chosen], surface.uv[chosen])
            return Source(taken, vertices, {name: values[used] for name, values in self.attributes.items()})
        return self._with_surface(take(surface, chosen), chosen)

    def _with_surface(self, surface: Surface, chosen: AnyArray) -> Source:
        """The source of a surface made of the chosen triangles (a mask or indices)."""
        used, vertices = in_order_of_use(self.vertices[chosen], self._vertex_count)
        return Source(surface, vertices, {name: values[used] for name, values in self.attributes.items()})

    @property
    def _vertex_count(self) -> int:
        for values in self.attributes.values():
            return len(values)
        return int(self.vertices.max(initial=-1)) + 1


def part(surface: Surface, chosen: BoolArray) -> Surface:
    """The triangles of `surface` where the mask `chosen` (m,) is true, without unused positions."""
    triangles = surface.triangles[chosen]
    used = np.zeros(len(surface.positions), np.bool_)
    used[triangles] = True
    number = np.cumsum(used) - 1
    return Surface(surface.positions[used], number[triangles], surface.kinds[chosen], surface.uv[chosen])


def take(surface: Surface, chosen: IntArray) -> Surface:
    """The triangles of the indices `chosen`, without unused positions, the others in the order of their first use."""
    used, triangles = in_order_of_use(surface.triangles[chosen], len(surface.positions))
    return Surface(surface.positions[used], triangles, surface.kinds[chosen], surface.uv[chosen])


def merge(parts: Sequence[Surface]) -> Surface:
    """Merge surfaces, and weld positions that are equal bit for bit."""
    offsets = np.cumsum([0, *(len(p.positions) for p in parts)])
    positions, inverse = unique_rows(np.concatenate([p.positions for p in parts]))
    triangles = np.concatenate([p.triangles + o for p, o in zip(parts, offsets, strict=False)])
    return Surface(
        positions,
        inverse[triangles],
        np.concatenate([p.kinds for p in parts]),
        np.concatenate([p.uv for p in parts]),
    )


def measurable(surface: Surface) -> Surface:
    """The surface without triangles that use one position twice; as it is if there are no others, since a distance to
    nothing has no value."""
    lean = without_degenerates(surface)
    return lean if len(lean.triangles) else surface


def without_degenerates(surface: Surface) -> Surface:
    """The surface without triangles that use one position twice."""
    good = non_degenerate(surface.triangles)
    return surface if good.all() else part(surface, good)
