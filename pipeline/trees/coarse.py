"""The coarse tiers of a built tree: those of one region each, above the first split. They have no border that a crack
could open, so their regions can be replaced or left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..gltf.draco import EncodedPrimitive
from ..mesh.surface import PrimitiveKind
from .region_bounds import SPHERE_MARGIN
from .tiers import ERROR_GROWTH
from .tree import Region, Tree

Primitives = tuple[tuple[int, EncodedPrimitive], ...]


def count_coarse(tree: Tree) -> int:
    """The number of coarse tiers. Their regions are the first ones of the tree; the finest tier is none of them."""
    tiers = [region.tier for region in tree.regions if region.children]
    return next((i for i, tier in enumerate(tiers) if tiers.count(tier) > 1), len(tiers))


def replace_coarse(
    tree: Tree,
    index: int,
    primitives: Primitives,
    error: float,
    metres_per_uv: float | None,
    kind: PrimitiveKind | None = None,
) -> Tree:
    """The tree with other primitives in a coarse region.

    error: in the tree's units. kind: one that only this region has.
    """
    old = tree.regions[index]
    positions = np.concatenate([p.attributes["POSITION"].values for _, p in primitives]).astype(np.float64)
    x, y, z, radius = old.sphere
    reach = float(np.linalg.norm(positions - np.array([x, y, z]), axis=1).max()) * SPHERE_MARGIN
    new = replace(
        old,
        primitives=primitives,
        error=error,
        sphere=(x, y, z, max(radius, reach)),
        cone=None,
        metres_per_uv=metres_per_uv,
    )
    regions = (*tree.regions[:index], new, *tree.regions[index + 1 :])
    return replace(tree, regions=_bounded(regions, index), kinds=(*tree.kinds, kind) if kind else tree.kinds)


def leave_out_coarse(tree: Tree, index: int) -> Tree:
    """The tree without a coarse region other than the root; the coarser one before it gets its children."""

    def place(old: int) -> int:
        return old if old < index else old - 1

    regions = [
        replace(
            region,
            tier=region.tier - (region.tier > tree.regions[index].tier),
            parent=None if region.parent is None else place(region.parent),
            children=tuple(place(child) for child in region.children),
        )
        for region in tree.regions
    ]
    regions[index - 1] = replace(regions[index - 1], children=regions[index].children)
    del regions[index]
    return replace(tree, regions=tuple(regions))


def _bounded(regions: tuple[Region, ...], index: int) -> tuple[Region, ...]:
    """The regions with errors and spheres that hold for all descendants, from region `index` up to the root."""
    result = list(regions)
    for i in reversed(range(index + 1)):
        region, children = result[i], [result[c] for c in result[i].children]
        x, y, z, radius = region.sphere
        reach = [float(np.linalg.norm(np.subtract(c.sphere[:3], (x, y, z)))) + c.sphere[3] for c in children]
        # Spheres of several children may stick out of the sphere around all their vertices.
        radius = max(radius, *reach) if len(children) == 1 else radius
        error = max(region.error, *(c.error * ERROR_GROWTH for c in children))
        result[i] = replace(region, error=error, sphere=(x, y, z, radius))
    return tuple(result)
