"""Choose the nodes, pictures and animations of the base, so that it stays within its limit of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..gltf.document import TRIANGLES, Document, Json, items, texture_slots
from ..gltf.primitives import POINTS_AND_LINES
from ..gltf.texture_uses import slot_role
from ..pictures.levels import SMALLEST, Level, Pyramid
from ..settings import Role, Settings
from ..trees.scene import Scene
from ..trees.tree import Tree
from .animations import movable_animations
from .base import Base, BaseMesh, BasePrimitive, build_base

# Share of the base's bytes: nodes and animations that take less stay in it, even if it exceeds its limit.
WORTH_A_FILE = 0.1
MAX_BASE_BYTES = 500_000
BASE_SHARE = 100  # a large model's base may have 1/100 of the bytes of its finest tier
CHEAP = 10_000  # bytes: a colour picture of twice the width is in the base if it has no more


@dataclass(frozen=True)
class FittedBase:
    """A base, the texture level of each pyramid that it embeds, and the animations that it leaves out."""

    base: Base
    levels: tuple[Level, ...]
    left_out: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return len(self.base.content)


def base_limit(refinements: Sequence[Sequence[Json | None]], pyramids: Sequence[Pyramid], settings: Settings) -> int:
    """Bytes that the base may have: the setting, or more for a large model.

    refinements: by tree, the descriptions of its refinement files.
    """
    geometry: int = sum(file["bytes"] for tree in refinements for file in tree if file is not None)
    pictures = sum(len(pyramid.levels[-1].content) for pyramid in pyramids)
    return min(MAX_BASE_BYTES, max(settings.base_bytes, (geometry + pictures) // BASE_SHARE))


Build = Callable[[int, tuple[int, ...]], FittedBase]  # of the width of pictures, and the animations left out


def fit_base(
    document: Document,
    scene: Scene,
    trees: Sequence[Tree],
    pyramids: Sequence[Pyramid],
    of_texture: Mapping[tuple[int, Role], int],
    limit: int,
    settings: Settings,
    *,
    finer_colors: bool = True,
) -> FittedBase:
    """Build the base with as much as fits into `limit` bytes.

    The base first leaves out the nodes that nothing in it needs, if they are a good part of it or if all else then
    fits; the file of objects has them. Then it leaves out animations that play only on request, then halves the width
    of its pictures, then leaves out all animations, then shrinks its pictures further. If its geometry alone exceeds
    the limit, the pictures stay: without them it would be uglier and still too large.

    Pictures of which the base shows nothing have their smallest size; those that only the base shows have twice the
    width of others. So have cheap colour pictures, while all fits.

    of_texture: the index in `pyramids` for each (source texture, role).
    finer_colors: whether cheap colour pictures may be wider than the setting.
    """
    unseen = _unseen_pictures(document, trees, of_texture)
    static = next((_root_mesh(tree) for tree in trees if tree.origin.mesh is None), None)
    meshes = {tree.origin.mesh: _root_mesh(tree) for tree in trees if tree.origin.mesh is not None}

    def build(pixels: int, left_out: tuple[int, ...], *, all_nodes: bool, finer: bool = False) -> FittedBase:
        widths = (SMALLEST if i in unseen else pixels * (1 + p.base_only) for i, p in enumerate(pyramids))
        levels = tuple(_level(p, width, finer=finer) for p, width in zip(pyramids, widths, strict=True))
        pictures = [(pyramid.name, level) for pyramid, level in zip(pyramids, levels, strict=True)]
        base = build_base(document, scene, static, meshes, pictures, of_texture, left_out, all_nodes=all_nodes)
        return FittedBase(base, levels, left_out)

    with_nodes = partial(build, all_nodes=True)
    if finer_colors:
        finest = with_nodes(settings.base_texture_pixels, (), finer=True)
        if finest.bytes <= limit:
            return finest
    complete = with_nodes(settings.base_texture_pixels, ())
    if complete.bytes <= limit:
        return complete
    without_nodes = partial(build, all_nodes=False)
    needed = without_nodes(settings.base_texture_pixels, ())
    if needed.bytes <= limit:
        return needed
    if complete.bytes - needed.bytes >= WORTH_A_FILE * complete.bytes:
        return _leave_out_more(needed, without_nodes, document, limit, settings)
    fitted = _leave_out_more(complete, with_nodes, document, limit, settings)
    if fitted.bytes <= limit:
        return fitted
    smaller = _leave_out_more(needed, without_nodes, document, limit, settings)
    return smaller if smaller.bytes <= limit else fitted


def _level(pyramid: Pyramid, width: int, *, finer: bool) -> Level:
    """The finest level within a width; one of twice the width if that is `finer` and cheap."""
    wide = pyramid.within(2 * width)
    cheap = pyramid.role == "color" and wide.format != "ktx2" and len(wide.content) <= CHEAP
    return wide if finer and cheap else pyramid.within(width)


def _leave_out_more(
    complete: FittedBase, build: Build, document: Document, limit: int, settings: Settings
) -> FittedBase:
    """The first base within the limit that has fewer animations or smaller pictures than `complete`, else the last."""
    widest = settings.base_texture_pixels
    on_request, movable = movable_animations(document)
    without_animations = build(widest, movable)
    if complete.bytes - without_animations.bytes < WORTH_A_FILE * complete.bytes:
        on_request, movable, without_animations = (), (), complete
    if without_animations.bytes - sum(len(level.content) for level in without_animations.levels) > limit:
        return without_animations
    widths = [widest >> k for k in range(widest.bit_length()) if k == 0 or widest >> k >= SMALLEST]
    steps = [(width, on_request) for width in widths[:2]] + [(width, movable) for width in widths]
    fitted = complete
    for width, left_out in dict.fromkeys(steps):
        fitted = build(width, left_out)
        if fitted.bytes <= limit:
            break
    return fitted


def _root_mesh(tree: Tree) -> BaseMesh:
    """The coarsest tier of a tree, as the base draws it: a primitive for each kind."""
    encoded = dict(tree.regions[0].primitives)
    return [BasePrimitive(kind, encoded.get(index)) for index, kind in enumerate(tree.kinds)]


def _unseen_pictures(
    document: Document, trees: Sequence[Tree], of_texture: Mapping[tuple[int, Role], int]
) -> frozenset[int]:
    """The pictures of kinds of which the base has no triangle."""
    shown: set[int | None] = set()
    hidden: set[int | None] = set()
    for mesh in items(document.json, "meshes"):
        shown |= {p.get("material") for p in mesh["primitives"] if p.get("mode", TRIANGLES) in POINTS_AND_LINES}
    for tree in trees:
        in_root = {kind for kind, _ in tree.regions[0].primitives}
        for index, kind in enumerate(tree.kinds):
            (shown if index in in_root else hidden).add(kind.material)
    materials = items(document.json, "materials")

    def pictures(indices: set[int | None]) -> set[int]:
        slots = [s for i in indices if i is not None for s in texture_slots(materials[i])]
        return {of_texture[info["index"], slot_role(slot)] for slot, info in slots}

    return frozenset(pictures(hidden) - pictures(shown))
