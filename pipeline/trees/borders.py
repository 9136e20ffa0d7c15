"""Compare the borders of regions with those of their children, as a decoder sees them.

Where a region meets another of its tier, its children must have the same edges, bit for bit; where its children meet
children of another region, it must have the same edges. Then no cut through the tree has a crack. Open edges that no
other region shares are holes of the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..arrays import FloatArray
from ..mesh.surface import Surface, without_degenerates
from ..mesh.topology import edges_of, rows_in, unique_rows


class Bordered(Protocol):
    """A region with its surface and its open edges."""

    @property
    def decoded(self) -> Surface:
        """The surface that a decoder sees."""

    @property
    def open_edges(self) -> FloatArray:
        """See the function of this name."""


@dataclass(frozen=True)
class DecodedRegion:
    """A region whose open edges are found when they are first needed."""

    decoded: Surface

    @cached_property
    def open_edges(self) -> FloatArray:
        return open_edges(self.decoded)


def open_edges(decoded: Surface) -> FloatArray:
    """The edges that one triangle uses, as rows (e, 6) of two positions, the lesser first."""
    return _edge_rows(decoded, only_open=True)


def cracked_regions(coarse: Mapping[int, Bordered], fine: Mapping[int, Sequence[Bordered]]) -> list[int]:
    """The regions of a tier whose borders differ from those of their children.

    coarse: each region; fine: its children.
    """
    regions = {index: _Edges((region,)) for index, region in coarse.items()}
    families = {index: _Edges(tuple(children)) for index, children in fine.items()}
    border, border_of_family = _shared(regions), _shared(families)
    return [
        index
        for index in regions
        if not families[index].contain(border[index]) or not regions[index].contain(border_of_family[index])
    ]


@dataclass(frozen=True)
class _Edges:
    """The edges of regions, as rows (e, 6) of two positions, the lesser first."""

    regions: tuple[Bordered, ...]

    @cached_property
    def every(self) -> FloatArray:
        return np.concatenate([_edge_rows(region.decoded, only_open=False) for region in self.regions])

    @cached_property
    def open(self) -> FloatArray:
        """Those that one triangle of a region uses."""
        return np.concatenate([region.open_edges for region in self.regions])

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
