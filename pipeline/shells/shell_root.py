"""A shell as the root of a static tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..gltf.draco import EncodedPrimitive, encode_primitive
from ..mesh.closest import ClosestPoints
from ..mesh.geometric_error import geometric_error
from ..mesh.surface import Surface, measurable
from ..mesh.weld import weld_corners
from ..settings import Settings
from ..trees.coarse import Primitives
from ..trees.region_finish import decoded_surface
from ..trees.tree import Tree
from ..views.drawable import Drawable
from ..views.materials import OPAQUE, FlatMaterial
from .bake import Baked
from .shell import Shell, build_shell

MIN_SOLID = 0.5  # the share of opaque triangles from which on a shell is tried
ATLAS_PIXELS = 256
MIN_TRIANGLES = 500


@dataclass(frozen=True)
class ShellRoot:
    """The primitives of a root with a shell; that of the shell has the kind after the tree's own."""

    primitives: Primitives
    pictures: Baked


def shell_root(tree: Tree, source: Drawable, materials: Sequence[FlatMaterial], settings: Settings) -> ShellRoot | None:
    """A shell for all opaque triangles, beside the root's primitives of other materials. None if there is none."""
    root, solid = tree.regions[0], source.mode_mask(OPAQUE)
    if solid.mean() < MIN_SOLID:
        return None
    replaced = sum(len(p.triangles) for kind, p in root.primitives if materials[kind].mode == OPAQUE)
    triangles = max(MIN_TRIANGLES, min(replaced, settings.base_triangles))
    shell = build_shell(source.part(solid), triangles, ATLAS_PIXELS)
    if shell is None:
        return None
    kept = tuple((kind, p) for kind, p in root.primitives if materials[kind].mode != OPAQUE)
    return ShellRoot((*kept, (len(tree.kinds), _encoded(shell, tree, settings))), shell.pictures)


def error_of_seen(tree: Tree, seen: Surface, primitives: Primitives) -> float:
    """The geometric error of a root by the triangles that are seen from outside."""
    on_seen = ClosestPoints(seen.positions, seen.triangles)
    return geometric_error(seen, measurable(decoded_surface(primitives)), tree.grid.step, on_seen).bound


def _encoded(shell: Shell, tree: Tree, settings: Settings) -> EncodedPrimitive:
    surface, grid = shell.surface, tree.grid
    low = np.array(grid.origin)
    positions = np.clip(surface.positions, low, low + grid.range)
    corners = {"POSITION": positions[surface.triangles], "NORMAL": shell.normals, "TEXCOORD_0": surface.uv}
    return encode_primitive(*weld_corners(corners), grid, settings, texels=ATLAS_PIXELS)
