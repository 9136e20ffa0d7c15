"""Give a static tree a shell as its root, if that looks more like the source than the decimated root does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..gltf.document import Document
from ..gltf.draco import EncodedPrimitive, encode_primitive
from ..mesh.closest import ClosestPoints
from ..mesh.geometric_error import geometric_error
from ..mesh.surface import PrimitiveKind, Source, Surface, without_degenerates
from ..mesh.weld import weld_corners
from ..settings import Settings
from ..trees.region_bounds import SPHERE_MARGIN
from ..trees.region_finish import decoded_surface
from ..trees.tiers import ERROR_GROWTH
from ..trees.tree import Region, Tree
from ..views.cameras import Camera, cameras_around
from ..views.difference import Difference, difference
from ..views.drawable import Drawable, drawable_primitives, drawable_source
from ..views.materials import OPAQUE, FlatMaterial, flat_material
from ..views.shading import draw, visible_triangles
from .material import ShellMaterial, flat_shell_material, shell_material
from .shell import Shell, build_shell

VIEWS, PIXELS = 8, 256  # by which a root is judged
SIGHTS, SIGHT_PIXELS = 24, 384  # by which the source's visible triangles are found
GOOD = 2.0  # ΔE of a root that needs no other
BETTER = 0.9  # the share of the root's ΔE that a shell may have at most
MIN_SOLID = 0.5  # the share of opaque triangles from which on a shell is tried
ATLAS_PIXELS = 256
MIN_TRIANGLES = 500  # of a shell
SHELL_ATTRIBUTES = ("NORMAL", "POSITION", "TEXCOORD_0")


@dataclass(frozen=True)
class ShellRoot:
    """A tree with a shell as its root, and the shell's material.

    before, after: how the decimated root and the shell differ from the source in the same views.
    """

    tree: Tree
    material: ShellMaterial
    before: Difference
    after: Difference


def shell_root(document: Document, tree: Tree, settings: Settings) -> ShellRoot | None:
    """A tree of several regions with a shell as its root; None if its own root looks as good.

    Triangles with blended or cut-out materials stay as they are in the root.
    """
    root, kinds = tree.regions[0], tree.origin.kinds
    materials = [flat_material(document, kind.material) for kind in kinds]
    source = drawable_source(tree.origin.source, materials)
    solid = source.mode_mask(OPAQUE)
    if solid.mean() < MIN_SOLID:
        return None
    views = _Views(source)
    before = views.compare(drawable_primitives(root.primitives, materials))
    if before.color <= GOOD:
        return None
    shell = build_shell(source.part(solid), _triangles(root, materials, settings), ATLAS_PIXELS)
    if shell is None:
        return None
    primitive = _encoded(shell, tree, settings)
    kept = tuple((kind, p) for kind, p in root.primitives if materials[kind].mode != OPAQUE)
    primitives = (*kept, (len(kinds), primitive))
    after = views.compare(drawable_primitives(primitives, [*materials, flat_shell_material(shell.pictures)]))
    if after.color > BETTER * before.color:
        return None
    seen = _visible(tree.origin.source, source)
    material = len(document.json.get("materials", []))
    shelled = _with_root(tree, primitives, PrimitiveKind(material, SHELL_ATTRIBUTES), seen)
    return ShellRoot(shelled, shell_material(shell.pictures, settings), before, after)


def _triangles(root: Region, materials: Sequence[FlatMaterial], settings: Settings) -> int:
    """The triangles of the shell: those that it replaces, at most those of the setting."""
    replaced = sum(len(p.triangles) for kind, p in root.primitives if materials[kind].mode == OPAQUE)
    return max(MIN_TRIANGLES, min(replaced, settings.base_triangles))


class _Views:
    """Cameras around a source, and its pictures."""

    def __init__(self, source: Drawable) -> None:
        self._cameras: list[Camera] = cameras_around(*source.box, VIEWS)
        self._pictures = [draw(source, camera, PIXELS) for camera in self._cameras]

    def compare(self, candidate: Drawable) -> Difference:
        return difference(self._pictures, [draw(candidate, camera, PIXELS) for camera in self._cameras])


def _visible(source: Source, drawable: Drawable) -> Surface:
    """The triangles that are seen from outside, in one of SIGHTS views."""
    seen = np.zeros(len(drawable.triangles), np.bool_)
    for camera in cameras_around(*drawable.box, SIGHTS):
        seen |= visible_triangles(drawable, camera, SIGHT_PIXELS)
    return source.part(seen).surface


def _encoded(shell: Shell, tree: Tree, settings: Settings) -> EncodedPrimitive:
    surface, grid = shell.surface, tree.grid
    low = np.array(grid.origin)
    positions = np.clip(surface.positions, low, low + grid.range)
    corners = {"POSITION": positions[surface.triangles], "NORMAL": shell.normals, "TEXCOORD_0": surface.uv}
    return encode_primitive(*weld_corners(corners), grid, settings, texels=ATLAS_PIXELS)


def _with_root(
    tree: Tree, primitives: tuple[tuple[int, EncodedPrimitive], ...], kind: PrimitiveKind, seen: Surface
) -> Tree:
    """The tree with other primitives in its root.

    seen: the part of the source by which the root's error is measured.
    """
    decoded = decoded_surface(primitives)
    on_seen = ClosestPoints(seen.positions, seen.triangles)
    error = geometric_error(seen, without_degenerates(decoded), tree.grid.step, on_seen).bound
    root = tree.regions[0]
    error = max(error, *(tree.regions[c].error * ERROR_GROWTH for c in root.children))
    x, y, z, radius = root.sphere
    reach = float(np.linalg.norm(decoded.positions - np.array([x, y, z]), axis=1).max()) * SPHERE_MARGIN
    root = replace(
        root, primitives=primitives, error=error, sphere=(x, y, z, max(radius, reach)), cone=None, metres_per_uv=None
    )
    origin = replace(tree.origin, kinds=(*tree.origin.kinds, kind))
    return Tree(origin, tree.grid, (root, *tree.regions[1:]))
