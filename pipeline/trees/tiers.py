"""The tiers of a tree: how many to plan, the chain above the root, and which tiers are worth a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from ..gltf.draco import Grid, choose_grid
from ..mesh.geometry import bounding_box, first_side_lengths
from ..mesh.simplify import least_triangles_for_lines, simplify, stray_share
from ..mesh.split import BRANCHING
from ..mesh.surface import Surface
from ..mesh.topology import rows_in
from ..settings import Settings
from .tree import TreeSource

# A tier is not worth a request if it is larger than this share of the next finer tier, in triangles or bytes.
MAX_SIZE_RATIO = 0.75
# Nor if its mean error exceeds this share of the next coarser tier's. The largest error is no measure: it may be that
# of one thin feature in all tiers.
MAX_ERROR_RATIO = 0.85
# A region's error is at least this many times that of each child, so that errors keep their order.
ERROR_GROWTH = 1.0001
STRAY_SHARE = 0.03  # the largest share of a tier's area that may show another material than the source does
STRAY_GROWTH = 4  # the base may have this many times its target triangles, for exact material lines


@dataclass(frozen=True)
class TierSummary:
    """The measures that decide whether a tier is kept. Errors are in the tree's units."""

    regions: int
    error: float
    mean_error: float
    bytes: int


def plan_tiers(triangles: int, base_triangles: int, settings: Settings) -> tuple[int, list[int]]:
    """The depth of the split into four, and the triangle counts of the chain above the root, fine to coarse."""
    depth = 0
    if triangles > 2 * settings.leaf_triangles:
        depth = max(1, round(np.log(triangles / settings.leaf_triangles) / np.log(BRANCHING)))
    if settings.depth is not None:
        depth = min(depth, settings.depth)
    root = triangles / BRANCHING**depth
    steps = max(0, round(np.log(max(1.0, root / base_triangles)) / np.log(settings.tier_ratio)))
    ratio = (root / base_triangles) ** (1 / steps) if steps else 1.0
    return depth, [max(4, round(root / ratio ** (k + 1))) for k in range(steps)]


def tree_grid(origin: TreeSource, settings: Settings) -> Grid:
    """The quantisation grid of all tiers of a tree."""
    surface = origin.source.surface
    edge = float(np.median(first_side_lengths(surface)))
    finest = length_in_tree(settings.finest_error, surface, origin.scale)
    low, high = bounding_box(surface.positions)
    return choose_grid(low, high, edge, settings.position_bits, finest)


def error_limits(origin: TreeSource, settings: Settings) -> tuple[float, float]:
    """The settings' coarsest and finest error in the tree's units."""
    coarsest, finest = (length_in_tree(e, origin.source.surface, origin.scale) for e in settings.errors)
    return coarsest, finest


def length_in_tree(text: str, surface: Surface, scale: float) -> float:
    """A length of the settings in the units of a tree.

    text: metres, or percent of the surface's diagonal. scale: the factor from the tree's space to the asset's.
    """
    if text.endswith("%"):
        low, high = bounding_box(surface.positions)
        return float(text[:-1]) / 100 * float(np.linalg.norm(high - low))
    return float(text) / scale


def simplify_region(surface: Surface, target: int, locked: FloatArray) -> Surface:
    """Simplify to about `target` triangles with the locked positions (k, 3) kept.

    If the collapse ever lost a locked position, the surface would stay as it is: larger, but without a crack.
    """
    result = simplify(surface, target, locked)
    return result if rows_in(locked, result.positions).all() else surface


def chain(root: Surface, targets: Sequence[int], *, groups: IntArray | None = None) -> list[Surface]:
    """Coarser and coarser versions of the root, without those that are hardly smaller than the one before.

    If a version showed more than STRAY_SHARE of its area in another material, it gets enough triangles for exact
    material lines instead, as long as the base does not grow past STRAY_GROWTH. groups: as for `simplify`.
    """
    versions: list[Surface] = []
    finer = root
    for target in targets:
        coarser = simplify(finer, target, groups=groups)
        exact_target = least_triangles_for_lines(finer)
        lines_move = exact_target > target
        may_grow = len(finer.triangles) <= STRAY_GROWTH * targets[-1]
        if lines_move and may_grow and stray_share(root, coarser) > STRAY_SHARE:
            coarser = simplify(finer, exact_target, groups=groups)
        if len(coarser.triangles) <= MAX_SIZE_RATIO * len(finer.triangles):
            versions.append(coarser)
            finer = coarser
    return versions


def worthwhile_tiers(tiers: Sequence[TierSummary], coarsest: float, finest: float) -> list[int]:
    """The indices of the tiers that are worth their bytes. `tiers` and the result are coarse to fine.

    Tiers of the chain with errors above `coarsest` are left out, and tiers finer than the first within `finest`;
    infinity and zero keep both ends. The first and the last of the others are always kept.
    """
    first = 0
    while tiers[first].error > coarsest and first + 1 < len(tiers) and tiers[first + 1].regions == 1:
        first += 1
    last = max(first, next((i for i, tier in enumerate(tiers) if tier.error <= finest), len(tiers) - 1))
    kept = [first]
    for index in range(first + 1, last):
        better = tiers[index].mean_error <= MAX_ERROR_RATIO * tiers[kept[-1]].mean_error
        if better and tiers[index].bytes <= MAX_SIZE_RATIO * tiers[index + 1].bytes:
            kept.append(index)
    if last > first:
        kept.append(last)
    return kept
