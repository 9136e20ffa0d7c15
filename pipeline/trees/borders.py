"""Compare the borders of regions with those of their children, as a decoder sees them.

Where a region meets another of its tier, its children must have the same edges, bit for bit; where its children meet
children of another region, it must have the same edges. Then no cut through the tree has a crack. Open edges that no
other region shares are holes of the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..arrays import FloatArray
from ..mesh.surface import Surface, without_degenerates
from ..mesh.topology import edges_of, rows_in, unique_rows


def cracked_regions(coarse: Mapping[int, Surface], fine: Mapping[int, Sequence[Surface]]) -> list[int]:
    """The regions of a tier whose borders differ from those of their children.

    coarse: the decoded surface of each region; fine: those of its children.
    """
    regions = {index: _Edges((surface,)) for index, surface in coarse.items()}
    families = {index: _Edges(tuple(surfaces)) for index, surfaces in fine.items()}
    border, border_of_family = _shared(regions), _shared(families)
    return [
        index
        for index in regions
        if not families[index].contain(border[index]) or not regions[index].contain(border_of_family[index])
    ]


@dataclass(frozen=True)
class _Edges:
    """The edges of surfaces, as rows (e, 6) of two positions, the lesser first."""

    surfaces: tuple[Surface, ...]

    @cached_property
    def every(self) -> FloatArray:
        return np.concatenate([_edge_rows(surface, only_open=False) for surface in self.surfaces])

    @cached_property
    def open(self) -> FloatArray:
        """Those that one triangle of a surface uses."""
        return np.concatenate([_edge_rows(surface, only_open=True) for surface in self.surfaces])

    def contain(self, rows: FloatArray) -> bool:
        missing = rows[~rows_in(rows, self.open)]
        return len(missing) == 0 or bool(rows_in(missing, self.every).all())


def _shared(owners: Mapping[int, _Edges]) -> dict[int, FloatArray]:
    """By owner: its open edges that are open at another owner too."""
    rows = [edges.open for edges in owners.values()]
    owner = np.repeat(np.array(list(owners), np.int64), list(map(len, rows)))
    distinct, index = unique_rows(np.concatenate(rows))
    low = np.full(len(distinct), np.iinfo(np.int64).max)
    high = np.full(len(distinct), -1, np.int64)
    np.minimum.at(low, index, owner)
    np.maximum.at(high, index, owner)
    shared = (low < high)[index]
    return {o: distinct[index[shared & (owner == o)]] for o in owners}


def _edge_rows(surface: Surface, *, only_open: bool) -> FloatArray:
    """The edges of a surface as rows (e, 6); those of several triangles more than once. only_open: those of one."""
    welded = without_degenerates(surface)
    edge, side_counts = edges_of(welded.triangles)
    triangle, side = np.nonzero(side_counts[edge] == 1) if only_open else np.nonzero(edge >= 0)
    ends = np.stack([welded.triangles[triangle, side], welded.triangles[triangle, (side + 1) % 3]], axis=1)
    first, second = welded.positions[ends[:, 0]], welded.positions[ends[:, 1]]
    differs = np.argmax(first != second, axis=1)[:, None]  # the first axis on which they do
    turned = np.take_along_axis(first > second, differs, axis=1)
    return np.concatenate([np.where(turned, second, first), np.where(turned, first, second)], axis=1)
