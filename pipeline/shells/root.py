"""Choose the root of a static tree by pictures: its own, a shell, or a larger one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..gltf.document import Document, items
from ..gltf.draco import EncodedPrimitive, encode_primitive
from ..mesh.closest import ClosestPoints
from ..mesh.geometric_error import geometric_error
from ..mesh.simplify import simplify
from ..mesh.surface import PrimitiveKind, measurable, stored_kinds
from ..mesh.weld import weld_corners
from ..settings import Settings
from ..trees.region_bounds import SPHERE_MARGIN
from ..trees.region_finish import FinishedRegion, FinishTask, TreeEncoding, decoded_surface, finish_region
from ..trees.tiers import ERROR_GROWTH, MAX_SIZE_RATIO
from ..trees.tree import Region, Tree
from ..views.cameras import Camera, cameras_around
from ..views.difference import Difference, difference
from ..views.drawable import Drawable, drawable_primitives, drawable_source
from ..views.materials import OPAQUE, FlatMaterial, flat_materials
from ..views.shading import draw, visible_triangles
from .bake import Baked
from .material import ShellMaterial, flat_shell_material, shell_material
from .shell import Shell, build_shell

VIEWS, PIXELS = 8, 256  # by which a root is judged
SIGHTS, SIGHT_PIXELS = 24, 384  # by which the source's visible triangles are found
GOOD = 2.0  # ΔE of a root that needs no other
BETTER = 0.9  # the share of the root's ΔE that a shell may have at most
# A root that looks no better than this may have as many triangles as fit into the base, if their ΔE is at most
# MUCH_BETTER of its own: up to MOST_TRIANGLES times those of the setting, and MAX_SIZE_RATIO of those of the next tier,
# which would not be finer else. A base with fewer bytes arrives sooner.
POOR, POOR_OVERLAP = 4.0, 0.95
MUCH_BETTER = 0.8
MOST_TRIANGLES = 4
FILLED = (1.05, 0.98, 0.9)  # shares of the room that guesses aim at: of more triangles, each takes fewer bytes
MIN_SOLID = 0.5  # the share of opaque triangles from which on a shell is tried
ATLAS_PIXELS = 256
MIN_TRIANGLES = 500  # of a shell
Primitives = tuple[tuple[int, EncodedPrimitive], ...]
SHELL_ATTRIBUTES = ("NORMAL", "POSITION", "TEXCOORD_0")


@dataclass(frozen=True)
class Root:
    """A tree with the root that looks best.

    material: of its shell, or None without one. note: for the artist.
    """

    tree: Tree
    material: ShellMaterial | None
    note: str


def best_root(document: Document, tree: Tree, settings: Settings, room: Callable[[], int]) -> Root | None:
    """A tree of several regions with another root; None if its own is as good.

    The candidates are a shell, and a simplified root with more triangles. Triangles with blended or cut-out materials
    stay in the root beside a shell.

    room: gives the bytes that the root may have, so that all else fits into the base.
    """
    root, kinds = tree.regions[0], tree.origin.kinds
    materials = flat_materials(document, [kind.material for kind in tree.kinds])
    source = drawable_source(tree.origin.source, kinds, [materials[i] for i in stored_kinds(kinds)[1]])
    views = _Views(source)
    own = views.compare(drawable_primitives(root.primitives, materials))
    if own.color <= GOOD:
        return None
    best, look = None, own
    shell = _shell_root(tree, source, materials, settings)
    if shell is not None:
        primitives, pictures = shell
        after = views.compare(drawable_primitives(primitives, [*materials, flat_shell_material(pictures)]))
        if after.color <= BETTER * own.color:
            best, look = shell, after
    if look.color > POOR or look.overlap < POOR_OVERLAP:
        larger = _larger_root(tree, settings, room())
        if larger is not None:
            after = views.compare(drawable_primitives(larger.primitives, materials))
            if after.color <= MUCH_BETTER * look.color:
                replaced = _with_root(tree, larger.primitives, larger.error, larger.metres_per_uv)
                count = replaced.regions[0].triangles
                return Root(replaced, None, f"the base has {count:,} triangles: {_comparison(after, own, root)}")
    if best is None:
        return None
    primitives, pictures = best
    error = _error_of_seen(tree, source, primitives)
    kind = PrimitiveKind(len(items(document.json, "materials")), SHELL_ATTRIBUTES)
    shelled = _with_root(tree, primitives, error, None, kind)
    return Root(shelled, shell_material(pictures, settings), f"the base is a shell: {_comparison(look, own, root)}")


def _comparison(after: Difference, own: Difference, root: Region) -> str:
    return (
        f"mean ΔE {after.color:.1f} and {100 * after.overlap:.0f} % of the silhouette, where {root.triangles:,} of the "
        f"model's own triangles have ΔE {own.color:.1f} and {100 * own.overlap:.0f} %"
    )


def _shell_root(
    tree: Tree, source: Drawable, materials: Sequence[FlatMaterial], settings: Settings
) -> tuple[Primitives, Baked] | None:
    """The primitives of a root with a shell for all opaque triangles, and the shell's pictures."""
    root, solid = tree.regions[0], source.mode_mask(OPAQUE)
    if solid.mean() < MIN_SOLID:
        return None
    shell = build_shell(source.part(solid), _triangles(root, materials, settings), ATLAS_PIXELS)
    if shell is None:
        return None
    kept = tuple((kind, p) for kind, p in root.primitives if materials[kind].mode != OPAQUE)
    return (*kept, (len(tree.kinds), _encoded(shell, tree, settings))), shell.pictures


def _larger_root(tree: Tree, settings: Settings, room: int) -> FinishedRegion | None:
    """A simplified root of at most `room` bytes with more triangles; None if no more fit."""
    source, root = tree.origin.source, tree.regions[0]
    encoding = TreeEncoding(tree.origin.kinds, tree.grid, settings)
    next_tier = sum(tree.regions[child].triangles for child in root.children)
    most = min(MOST_TRIANGLES * settings.base_triangles, int(MAX_SIZE_RATIO * next_tier))
    triangles, size = root.triangles, sum(p.bytes for _, p in root.primitives)
    for share in FILLED:
        triangles = min(int(share * room * triangles / size), most)
        if triangles <= root.triangles:
            return None
        surface = simplify(source.surface, triangles)
        region = finish_region(FinishTask(surface, source, encoding, exact=False))
        triangles, size = len(surface.triangles), sum(p.bytes for _, p in region.primitives)
        if size <= room:
            return region
    return None


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


def _error_of_seen(tree: Tree, source: Drawable, primitives: Primitives) -> float:
    """The geometric error by the source's triangles that are seen from outside, in one of SIGHTS views."""
    seen = np.zeros(len(source.triangles), np.bool_)
    for camera in cameras_around(*source.box, SIGHTS):
        seen |= visible_triangles(source, camera, SIGHT_PIXELS)
    surface = tree.origin.source.part(seen).surface
    on_seen = ClosestPoints(surface.positions, surface.triangles)
    decoded = measurable(decoded_surface(primitives))
    return geometric_error(surface, decoded, tree.grid.step, on_seen).bound


def _encoded(shell: Shell, tree: Tree, settings: Settings) -> EncodedPrimitive:
    surface, grid = shell.surface, tree.grid
    low = np.array(grid.origin)
    positions = np.clip(surface.positions, low, low + grid.range)
    corners = {"POSITION": positions[surface.triangles], "NORMAL": shell.normals, "TEXCOORD_0": surface.uv}
    return encode_primitive(*weld_corners(corners), grid, settings, texels=ATLAS_PIXELS)


def _with_root(
    tree: Tree, primitives: Primitives, error: float, metres_per_uv: float | None, kind: PrimitiveKind | None = None
) -> Tree:
    """The tree with other primitives in its root. kind: one that only the root has."""
    root = tree.regions[0]
    positions = np.concatenate([p.attributes["POSITION"].values for _, p in primitives]).astype(np.float64)
    x, y, z, radius = root.sphere
    reach = float(np.linalg.norm(positions - np.array([x, y, z]), axis=1).max()) * SPHERE_MARGIN
    root = replace(
        root,
        primitives=primitives,
        error=max(error, *(tree.regions[c].error * ERROR_GROWTH for c in root.children)),
        sphere=(x, y, z, max(radius, reach)),
        cone=None,
        metres_per_uv=metres_per_uv,
    )
    kinds = (*tree.kinds, kind) if kind else tree.kinds
    return Tree(tree.origin, tree.grid, (root, *tree.regions[1:]), kinds)
