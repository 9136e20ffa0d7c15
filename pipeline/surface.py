"""The nouns of the mesh stages, and the few array operations that all of them need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
AnyArray = npt.NDArray[Any]


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
    """A surface as the artist made it, with every other attribute on its corners.

    corners: attribute name → (m, 3, k) float64, such as NORMAL, COLOR_0, TEXCOORD_1.
    """

    surface: Surface
    corners: dict[str, FloatArray]

    def part(self, chosen: BoolArray) -> Source:
        """The triangles where `chosen` is true, with unused positions dropped."""
        return Source(part(self.surface, chosen), {name: c[chosen] for name, c in self.corners.items()})


def part(surface: Surface, chosen: BoolArray) -> Surface:
    """The triangles of `surface` where `chosen` is true, with unused positions dropped."""
    used, triangles = np.unique(surface.triangles[chosen], return_inverse=True)
    return Surface(surface.positions[used], triangles.reshape(-1, 3), surface.kinds[chosen], surface.uv[chosen])


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
    """Distinct rows of an (n, k) array, sorted, and for each row the index of its representative.

    −0.0 and 0.0 are one value.
    """
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    rows = rows + rows.dtype.type(0)
    # Sorting by one column after the other (lexsort) is several times faster than np.unique(axis=0).
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = ordered[1:, 0] != ordered[:-1, 0]
    for column in range(1, rows.shape[1]):  # reducing a short axis is slow in NumPy
        new[1:] |= ordered[1:, column] != ordered[:-1, column]
    inverse = np.empty(len(rows), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], inverse


def without_degenerates(surface: Surface) -> Surface:
    """Drop triangles that use one position twice."""
    t = surface.triangles
    good = (t[:, 0] != t[:, 1]) & (t[:, 1] != t[:, 2]) & (t[:, 2] != t[:, 0])
    return surface if good.all() else part(surface, good)


def face_normals(positions: FloatArray, triangles: IntArray) -> tuple[FloatArray, FloatArray]:
    """Unit normals (m, 3), zero for triangles without area, and areas (m,)."""
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    return cross / np.where(length > 0, length, 1.0)[:, None], length * 0.5


def open_edges(triangles: IntArray) -> IntArray:
    """(e, 2) vertex pairs, smaller first, of the edges that belong to one triangle only."""
    start, end = triangles.reshape(-1), triangles[:, [1, 2, 0]].reshape(-1)
    count = int(triangles.max(initial=0)) + 1
    edges, users = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_counts=True)
    alone = edges[users == 1]
    return np.stack([alone // count, alone % count], axis=1)


def rows_in(rows: AnyArray, among: AnyArray) -> BoolArray:
    """Which rows of an (n, k) array occur in an (m, k) array, bit for bit (but for the sign of zero)."""
    if len(among) == 0:
        return np.zeros(len(rows), np.bool_)
    distinct, index = unique_rows(np.concatenate([rows, among]))
    present = np.zeros(len(distinct), np.bool_)
    present[index[len(rows) :]] = True
    found: BoolArray = present[index[: len(rows)]]
    return found
