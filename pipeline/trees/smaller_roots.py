"""Simplify roots further if they make the base too large: many primitives leave few bytes for triangles."""

from __future__ import annotations

from collections.abc import Sequence

from ..mesh.simplify import simplify
from ..mesh.surface import stored_kinds
from ..settings import Settings
from .coarse import replace_coarse
from .region_finish import FinishTask, TreeEncoding, finish_region
from .tree import Tree

STREAM_BYTES = 100  # about what a stream takes without any triangle
MIN_SHARE = 0.4  # of the triangles of a root; with fewer it would not look like the model
MARGIN = 1.3  # a smaller root has more bytes for each triangle


def with_smaller_roots(trees: Sequence[Tree], excess: int, settings: Settings) -> list[Tree]:
    """The trees with roots that have about `excess` fewer bytes together; shells and deforming meshes stay."""
    sizes = {number: _triangle_bytes(tree) for number, tree in enumerate(trees) if _is_simplified(tree)}
    total = sum(sizes.values())
    if total <= 0:
        return list(trees)
    share = max(MIN_SHARE, 1 - MARGIN * excess / total)
    return [_smaller(tree, share, settings) if number in sizes else tree for number, tree in enumerate(trees)]


def _is_simplified(tree: Tree) -> bool:
    """Whether the root is a coarser version of the tree's own triangles."""
    stored, _ = stored_kinds(tree.origin.kinds)
    return tree.top is not None and len(tree.regions) > 1 and len(tree.kinds) == len(stored)


def _triangle_bytes(tree: Tree) -> int:
    primitives = tree.regions[0].primitives
    return max(0, sum(p.bytes for _, p in primitives) - STREAM_BYTES * len(primitives))


def _smaller(tree: Tree, share: float, settings: Settings) -> Tree:
    root = tree.regions[0]
    surface = simplify(tree.origin.source.surface, int(share * root.triangles))
    encoding = TreeEncoding(tree.origin.kinds, tree.grid, settings)
    region = finish_region(FinishTask(surface, tree.origin.source, encoding, exact=False))
    if sum(p.bytes for _, p in region.primitives) >= sum(p.bytes for _, p in root.primitives):
        return tree
    return replace_coarse(tree, 0, region.primitives, max(root.error, region.error), region.metres_per_uv)
