"""Choose the tiers of a static tree above its first split by pictures: its own, those without what is not seen from
outside, a shell, or a root with more triangles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..gltf.document import Document, items
from ..jobs.tasks import StartTasks
from ..mesh.closest import ClosestPoints
from ..mesh.geometry import face_normals
from ..mesh.simplify import simplify
from ..mesh.surface import PrimitiveKind, Source, stored_kinds
from ..mesh.topology import connected_parts
from ..settings import Settings
from ..trees.coarse import Primitives, count_coarse, leave_out_coarse, replace_coarse
from ..trees.region_finish import FinishTask, TreeEncoding, finish_region
from ..trees.tiers import MAX_SIZE_RATIO
from ..trees.tree import Tree
from ..views.cameras import cameras_around
from ..views.difference import ComparedPicture, Difference, difference
from ..views.drawable import Drawable, drawable_primitives, drawable_source
from ..views.materials import FlatMaterial, flat_materials
from ..views.shading import draw
from ..views.shared_views import Views, of_views
from ..views.visibility import seen_from_outside
from .bake import Baked
from .inside import can_be_entered
from .material import ShellMaterial, flat_shell_material, shell_material
from .shell_root import error_of_seen, shell_root

VIEWS, PIXELS = 8, 256  # by which a tier is judged
GOOD = 2.0  # ΔE of a root that needs no other
BETTER = 0.9  # the share of the root's ΔE that a shell may have at most
# A root that looks no better than this gets a shell, if that is BETTER: of twelve models, shells were so for roots of
# 5.1 and more, and for none below 4. Else it may have as many triangles as fit into the base, if their ΔE is at most
# MUCH_BETTER of its own: up to MOST_TRIANGLES times those of the setting, and MAX_SIZE_RATIO of those of the next tier,
# which would not be finer else. A base with fewer bytes arrives sooner.
POOR, POOR_OVERLAP = 4.0, 0.95
MUCH_BETTER = 0.8
MOST_TRIANGLES = 4
FILLED = (1.05, 0.98, 0.9)  # shares of the room that guesses aim at: of more triangles, each takes fewer bytes
MIN_UNSEEN = 0.02  # the share of the area that must be unseen before tiers without it are tried
ONE_SURFACE = 0.9  # the share of the area that makes a connected surface all that counts
WORTH_A_TIER = 0.85  # the share of the ΔE of the tier before it that a tier may have at most
SHELL_ATTRIBUTES = ("NORMAL", "POSITION", "TEXCOORD_0")


@dataclass(frozen=True)
class CoarseTiers:
    """A tree with the coarse tiers that look best.

    material: of the shell that is its root, or None without one. note: for the artist; empty if the root is its own.
    """

    tree: Tree
    material: ShellMaterial | None
    note: str


def best_coarse_tiers(
    document: Document, tree: Tree, settings: Settings, room: Callable[[], int], start_tasks: StartTasks
) -> CoarseTiers | None:
    """A static tree of several regions with other coarse tiers; None if its own root is good.

    Coarse tiers leave out triangles that are not seen from outside, where that looks better, unless people can stand
    inside. A root that still looks poor gets a shell, or more triangles; triangles with blended or cut-out materials
    stay beside a shell. Last, a tier that looks hardly better than the one before it is left out.

    room: gives the bytes that the root may have, so that all else fits into the base.
    """
    look, root = _Look(document, tree, start_tasks), tree.regions[0]
    own = look.at(root.primitives)
    if own.color <= GOOD:
        return None
    one_surface = _is_one_surface(tree)
    seen, entered = (tree.origin.source, False) if one_surface else _seen_part(tree, look.source, settings, start_tasks)
    best = _Choice(tree, own, None, "")
    if seen is not tree.origin.source:
        best = _without_unseen(tree, seen, look, settings, start_tasks)
    if best.look.color > POOR and not entered and not one_surface:
        best = _with_shell(best, seen, look, settings) or best
    if best.look.color > POOR or best.look.overlap < POOR_OVERLAP:
        larger = _with_larger_root(tree, seen, look, settings, room())
        best = larger if larger and larger.look.color <= MUCH_BETTER * best.look.color else best
    chosen = _without_poor_tiers(best, look)
    if chosen is tree:
        return None
    note = best.reason and (
        f"{best.reason}: mean ΔE {best.look.color:.1f} and {100 * best.look.overlap:.0f} % of the silhouette, where "
        f"{root.triangles:,} of the model's own triangles have ΔE {own.color:.1f} and {100 * own.overlap:.0f} %"
    )
    return CoarseTiers(chosen, shell_material(best.pictures, settings) if best.pictures else None, note)


@dataclass(frozen=True)
class _Choice:
    """A tree with the look of its root. reason: for the artist, if it is not the tree's own. pictures: of a shell."""

    tree: Tree
    look: Difference
    pictures: Baked | None
    reason: str


class _Look:
    """Pictures of a tree's source, and how different other primitives look."""

    def __init__(self, document: Document, tree: Tree, start_tasks: StartTasks) -> None:
        self.materials = flat_materials(document, [kind.material for kind in tree.kinds])
        self.next_material = len(items(document.json, "materials"))
        kinds = tree.origin.kinds
        of_kinds = [self.materials[i] for i in stored_kinds(kinds)[1]]
        self.source = drawable_source(tree.origin.source, kinds, of_kinds)
        self._cameras = cameras_around(*self.source.box, VIEWS)
        self._pictures = [p for part in of_views(_compared, self.source, self._cameras, start_tasks) for p in part]

    def at(self, primitives: Primitives, *more: FlatMaterial) -> Difference:
        """The difference of primitives of the tree's kinds, and of kinds with `more` materials."""
        candidate = drawable_primitives(primitives, [*self.materials, *more])
        return difference(self._pictures, _compared(Views(candidate, self._cameras)))


def _compared(views: Views) -> list[ComparedPicture]:
    return [ComparedPicture.of(draw(views.drawable, camera, PIXELS)) for camera in views.cameras]


def _is_one_surface(tree: Tree) -> bool:
    """Whether nearly all of a tree is one connected surface of one kind, such as a scan: it hides hardly anything, and
    simplification keeps it better than a shell."""
    surface = tree.origin.source.surface
    if len(tree.kinds) > 1:
        return False
    part_of, sizes = connected_parts(surface.triangles, len(surface.positions))
    _, area = face_normals(surface.positions, surface.triangles)
    areas = np.bincount(part_of[surface.triangles[:, 0]], area, len(sizes))
    return float(areas.max()) >= ONE_SURFACE * float(areas.sum())


def _seen_part(tree: Tree, source: Drawable, settings: Settings, start_tasks: StartTasks) -> tuple[Source, bool]:
    """The part of a tree's source that is seen from outside, and whether people can stand inside, which makes all of
    it count as seen. The source itself if hardly anything is unseen."""
    seen, whole = seen_from_outside(source, start_tasks), tree.origin.source
    _, area = face_normals(source.positions, source.triangles)
    if float(area[~seen].sum()) <= MIN_UNSEEN * float(area.sum()):
        return whole, bool(settings.walk_in)
    entered = can_be_entered(source, seen) if settings.walk_in is None else settings.walk_in
    return (whole if entered else whole.part(seen)), entered


def _without_unseen(tree: Tree, seen: Source, look: _Look, settings: Settings, start_tasks: StartTasks) -> _Choice:
    """The tree with coarse tiers simplified from what is seen, where that looks better."""
    encoding = TreeEncoding(tree.origin.kinds, tree.grid, settings)
    on_seen = ClosestPoints(seen.surface.positions, seen.surface.triangles)
    coarse, surface = count_coarse(tree), seen.surface
    tasks: list[FinishTask] = []
    for index in reversed(range(coarse)):
        surface = simplify(surface, tree.regions[index].triangles)
        tasks.insert(0, FinishTask(surface, seen, encoding, exact=False, on_source=on_seen))
    tree, after, reason = replace(tree, top=tasks[-1].surface), Difference(0.0, 0.0), ""
    built = start_tasks("tiers", finish_region, tasks).results()
    for index in reversed(range(coarse)):
        region, finished = tree.regions[index], built[index]
        own, after = look.at(region.primitives), look.at(finished.primitives)
        if after.color < own.color:
            tree = replace_coarse(tree, index, finished.primitives, finished.error, finished.metres_per_uv)
            reason = "the base leaves out what is not seen from outside"
        else:
            after, reason = own, ""
    return _Choice(tree, after, None, reason)


def _with_shell(best: _Choice, seen: Source, look: _Look, settings: Settings) -> _Choice | None:
    """The tree of the best choice with a shell as its root, if that looks BETTER."""
    tree = best.tree
    shell = shell_root(tree, look.source, look.materials, settings)
    if shell is None:
        return None
    after = look.at(shell.primitives, flat_shell_material(shell.pictures))
    if after.color > BETTER * best.look.color:
        return None
    kind = PrimitiveKind(look.next_material, SHELL_ATTRIBUTES)
    error = error_of_seen(tree, seen.surface, shell.primitives)
    shelled = replace_coarse(tree, 0, shell.primitives, error, None, kind)
    return _Choice(shelled, after, shell.pictures, "the base is a shell")


def _with_larger_root(tree: Tree, seen: Source, look: _Look, settings: Settings, room: int) -> _Choice | None:
    """A simplified root of at most `room` bytes with more triangles; None if no more fit."""
    root = tree.regions[0]
    encoding = TreeEncoding(tree.origin.kinds, tree.grid, settings)
    next_tier = sum(tree.regions[child].triangles for child in root.children)
    most = min(MOST_TRIANGLES * settings.base_triangles, int(MAX_SIZE_RATIO * next_tier))
    triangles, size = root.triangles, sum(p.bytes for _, p in root.primitives)
    # The surface of the first split is quicker, and as good for a scan. Small parts have lost their shape in it.
    fine = seen.surface
    if tree.top is not None and len(tree.top.triangles) > most and _is_one_surface(tree):
        fine = tree.top
    for share in FILLED:
        triangles = min(int(share * room * triangles / size), most)
        if triangles <= root.triangles:
            return None
        surface = simplify(fine, triangles)
        region = finish_region(FinishTask(surface, seen, encoding, exact=False))
        triangles, size = len(surface.triangles), sum(p.bytes for _, p in region.primitives)
        if size <= room:
            larger = replace_coarse(tree, 0, region.primitives, region.error, region.metres_per_uv)
            return _Choice(larger, look.at(region.primitives), None, f"the base has {triangles:,} triangles")
    return None


def _without_poor_tiers(best: _Choice, look: _Look) -> Tree:
    """The tree without coarse tiers that look hardly better than the one before them."""
    tree, before, index = best.tree, best.look.color, 1
    while index < count_coarse(tree):
        color = look.at(tree.regions[index].primitives).color
        if color > WORTH_A_TIER * before:
            tree = leave_out_coarse(tree, index)
        else:
            before, index = color, index + 1
    return tree
