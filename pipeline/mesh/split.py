"""Cut a source into the leaves of its region tree: nested median splits, as deep as its resolution allows.

A region above the leaves stands for the leaves below it, and the region of level 0 for all. Its border consists of the
positions that it shares with regions of the same level, and their neighbours along open edges that end there.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray
from .compiled import compiled
from .geometry import centroids
from .median_split import split_at_medians
from .surface import Source, Surface
from .topology import edges_of, non_degenerate

BRANCHING = 4  # children of a region: two binary splits
# Border vertices keep the source's resolution in every tier. If they would number more than this share of a region's
# triangles, there are fewer and larger regions.
BORDER_SHARE = 0.25


class SplitPieces:
    """A source cut into its leaves.

    borders: for each level from 1 to `depth`, the positions (k, 3) on the border of each region.
    """

    def __init__(self, source: Source, leaf_of: IntArray, borders: list[list[FloatArray]]) -> None:
        """leaf_of: (m,) the leaf, 0 … 4^depth − 1, of each triangle."""
        self.borders = borders
        self.depth = len(borders)
        self.leaves: int = BRANCHING**self.depth
        self._source = source
        self._order = np.argsort(leaf_of, kind="stable")
        self._bounds = np.searchsorted(leaf_of[self._order], np.arange(self.leaves + 1))

    def at(self, level: int, index: int) -> Source:
        """The part of the source in a region. Level 0 has one region, each further level BRANCHING times as many."""
        return self._source.take(self._triangles(level, index)) if level else self._source

    def _triangles(self, level: int, index: int) -> IntArray:
        leaves = BRANCHING ** (self.depth - level)
        return self._order[self._bounds[index * leaves] : self._bounds[(index + 1) * leaves]]


def split(source: Source, depth: int, cells: IntArray) -> SplitPieces:
    """Split the triangles at the medians of their centroids, each part along its longest axis.

    cells: (n,) a number for each position; positions with the same number become one in every file, as their
        quantisation cell does. Parts of a model that only touch then share a border too.
    The ancestor of a leaf k levels up has the leaf's number shifted right by 2k bits. The result has `depth` levels, or
    fewer if the borders of leaves would exceed BORDER_SHARE.
    """
    surface = source.surface
    leaf = np.zeros(len(surface.triangles), np.int64)
    if depth == 0:
        return SplitPieces(source, leaf, [])
    order, bounds = split_at_medians(centroids(surface), 2 * depth)
    for number, (start, end) in enumerate(pairwise(bounds)):
        leaf[order[start:end]] = number
    regions = [(leaf >> (2 * (depth - level)), BRANCHING**level) for level in range(1, depth + 1)]
    borders = [_borders(surface, cells, region_of, count) for region_of, count in regions]
    while borders and max(map(len, borders[-1])) > BORDER_SHARE * (len(leaf) // len(borders[-1])):
        borders.pop()
        leaf >>= 2
    return SplitPieces(source, leaf, borders)


def _borders(surface: Surface, cells: IntArray, region_of: IntArray, regions: int) -> list[FloatArray]:
    """The border positions of each region: those in cells that other regions use too.

    They include the other end of an open edge of the source that ends at a shared position: otherwise a gap of the
    source beside a border would close in one tier and not in the next.
    """
    triangles, count = cells[surface.triangles], int(cells.max()) + 1
    shared = _in_several_regions(triangles, region_of, count)
    near = _touching(triangles, shared)
    triangles, owner = triangles[near], region_of[near, None]
    whole = non_degenerate(triangles)
    edge, side_counts = edges_of(triangles[whole])
    ends = np.stack([triangles, triangles[:, [1, 2, 0]]], axis=2)
    ending = np.zeros(triangles.shape, np.bool_)
    ending[whole] = side_counts[edge] == 1
    ending &= shared[ends].any(axis=2)
    kept = shared[triangles] | ending | ending[:, [2, 0, 1]]
    used = owner * count + triangles
    kept = np.isin(used, np.unique(used[kept]))  # with other positions of the same cells
    pairs = np.unique((owner * len(surface.positions) + surface.triangles[near])[kept])
    bounds = np.searchsorted(pairs, np.arange(regions + 1) * len(surface.positions))
    return [surface.positions[pairs[a:b] % len(surface.positions)] for a, b in pairwise(bounds)]


@compiled
def _touching(triangles: IntArray, chosen: BoolArray) -> IntArray:
    """The indices (k,) of the triangles that use a chosen vertex."""
    near, count = np.empty(len(triangles), np.int64), 0
    for t in range(len(triangles)):
        near[count] = t
        count += chosen[triangles[t, 0]] or chosen[triangles[t, 1]] or chosen[triangles[t, 2]]
    return near[:count].copy()


@compiled
def _in_several_regions(triangles: IntArray, region_of: IntArray, vertices: int) -> BoolArray:
    """A mask (vertices,) of the vertices that triangles of more than one region use."""
    owner, shared = np.full(vertices, -1, np.int64), np.zeros(vertices, np.bool_)
    for t in range(len(triangles)):
        for k in range(3):
            v = triangles[t, k]
            if owner[v] < 0:
                owner[v] = region_of[t]
            shared[v] |= owner[v] != region_of[t]
    return shared
