"""What is made of a document whose pictures are begun: scene → trees → base → files and manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jsonschema  # noqa: F401 loaded here, beside the pictures, and not when the manifest is checked

from . import version
from .asset_pictures import Pictures
from .asset_report import AssetReport, report_rows
from .bundle.animations import animation_glb, may_leave, reaches
from .bundle.base import Base, BaseMesh, build_base
from .bundle.files import Bundle
from .bundle.manifest import describe_animations, describe_bounds, describe_materials, describe_tree
from .errors import ModelError
from .gltf.document import Document, Json, items
from .gltf.glb import refinement_glb
from .gltf.texture_uses import texels_per_uv
from .jobs.tasks import StartTasks
from .pictures.levels import SMALLEST, Level, Pyramid
from .settings import Role, Settings
from .trees.deforming import build_deforming
from .trees.regions import Tree, build_tree
from .trees.scene import Scene, read_scene
from .warm_up import loading

MAX_BASE_BYTES = 500_000
WORTH_A_FILE = 0.1  # of a base over its limit: animations that take less stay in it
MIN_BASE_TRIANGLES = 64  # a small tree of an asset with large ones still has a recognisable base
MANY_BYTES = 500_000  # below, a model needs few of the loops, and seldom other processes
GENERATOR = f"streamxr {version()}"


def assemble(
    document: Document,
    pictures: Pictures | ModelError,
    asset: str,
    bundle: Bundle,
    settings: Settings,
    start_tasks: StartTasks,
    *,
    clean: bool,
) -> AssetReport:
    """Build everything but the pictures, and with them the asset's files.

    pictures: the error, if they could not be begun; it is raised here, after errors in the geometry.
    """
    start_tasks = loading(start_tasks) if document.bytes > MANY_BYTES else start_tasks
    scene = _with_texels(read_scene(document, settings.keep_nodes), document, settings)
    notes = [*document.notes, *scene.notes]
    if clean:
        scene, cleaned = _cleaned(scene)
        notes += cleaned
    if isinstance(pictures, ModelError):
        raise pictures
    notes += pictures.notes

    counts = [len(t.source.surface.triangles) for t in scene.trees] + [m.triangles for m in scene.deforming]
    shares = [max(MIN_BASE_TRIANGLES, round(n / max(1, sum(counts)) * settings.base_triangles)) for n in counts]
    trees = [build_tree(t, share, settings, start_tasks) for t, share in zip(scene.trees, shares, strict=False)]
    trees += [
        build_deforming(document, scene, mesh, share, settings, start_tasks)
        for mesh, share in zip(scene.deforming, shares[len(scene.trees) :], strict=True)
    ]

    pyramids = pictures.pyramids()
    refinements = [_put_refinements(bundle, document, tree) for tree in trees]
    finest = sum(r["bytes"] for tree in refinements for r in tree if r is not None)
    finest += sum(len(p.levels[-1].content) for p in pyramids)
    static = next((t for t in trees if t.origin.mesh is None), None)
    meshes = {t.origin.mesh: _root_mesh(t) for t in trees if t.origin.mesh is not None}

    limit = min(MAX_BASE_BYTES, max(settings.base_bytes, finest // 100))
    root = _root_mesh(static) if static else None
    fitting = _fit_base(document, scene, root, meshes, pyramids, pictures.of_texture, limit, settings)
    base, embedded = fitting.base, fitting.levels
    if len(base.content) > limit:
        notes.append(
            f"the base has {len(base.content):,} bytes, over {limit:,}: its nodes, materials, points and lines leave "
            "no less"
        )

    base_file = bundle.put(base.content, "glb")
    keyframes = _put_keyframes(bundle, document, scene, trees, fitting.without)
    textures = [_put_levels(bundle, p, level) for p, level in zip(pyramids, embedded, strict=True)]
    manifest: Json = {
        "format": "streamxr/manifest",
        "version": 1,
        "generator": GENERATOR,
        "asset": asset,
        "source": {"name": document.name, "sha256": document.sha256, "bytes": document.bytes},
        "settings": settings.as_json(),
        "unit": "metre",
        "up": "y",
        "bounds": describe_bounds(scene),
        "animations": describe_animations(document, keyframes),
        "materials": describe_materials(document, pictures.of_texture),
        "textures": textures,
        "base": {**base_file, "gpuBytes": _base_gpu_bytes(trees, embedded)},
        "trees": [
            describe_tree(t, t.origin.nodes if base.static_node is None or t.origin.nodes else [base.static_node], r)
            for t, r in zip(trees, refinements, strict=True)
        ],
    }
    triangles = sum(r.triangles for t in trees for r in t.regions if not r.children)
    entry = {
        "manifest": bundle.put_manifest(asset, manifest),
        "base": base_file,
        "bounds": describe_bounds(scene),
        "triangles": triangles,
    }
    return AssetReport(asset, document.name, document.bytes, entry, report_rows(manifest), tuple(notes))


def _cleaned(scene: Scene) -> tuple[Scene, list[str]]:
    """The scene with the geometry of its trees repaired, and what was changed."""
    from .mesh.clean import clean  # here, since what it needs takes long to load

    trees, notes = [], []
    for tree in scene.trees:
        source, changes = clean(tree.source)
        trees.append(replace(tree, source=source))
        if changes:
            notes.append(f"cleaned: {', '.join(changes)}")
    return replace(scene, trees=tuple(trees)), notes


def _with_texels(scene: Scene, document: Document, settings: Settings) -> Scene:
    """The scene whose primitive kinds know how fine the pictures on them are."""
    trees = []
    for tree in scene.trees:
        kinds = [replace(k, texels=texels_per_uv(document, k.material, settings)) for k in tree.kinds]
        trees.append(replace(tree, kinds=tuple(kinds)))
    return replace(scene, trees=tuple(trees))


@dataclass(frozen=True)
class _Fitting:
    """A base, the level of each picture in it, and the animations that are left out of it."""

    base: Base
    levels: tuple[Level, ...]
    without: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return len(self.base.content)


def _fit_base(
    document: Document,
    scene: Scene,
    static: BaseMesh | None,
    meshes: dict[int, BaseMesh],
    pyramids: Sequence[Pyramid],
    of_texture: dict[tuple[int, Role], int],
    limit: int,
    settings: Settings,
) -> _Fitting:
    """The base with as much as keeps it within `limit`.

    First go animations that nobody sees before they are asked for, then half of the pictures' width, then all
    animations, then what is left of the pictures. When its geometry alone is over the limit, small pictures would
    only make it ugly too.
    """

    def attempt(pixels: int, without: tuple[int, ...]) -> _Fitting:
        levels = tuple(p.within(pixels) for p in pyramids)
        pictures = [(p.name, level) for p, level in zip(pyramids, levels, strict=True)]
        base = build_base(document, scene, static, meshes, pictures, of_texture, without)
        return _Fitting(base, levels, without)

    widest = settings.base_texture_pixels
    whole = attempt(widest, ())
    if whole.bytes <= limit:
        return whole
    unseen, every = may_leave(document)
    least = attempt(widest, every)
    if whole.bytes - least.bytes < WORTH_A_FILE * whole.bytes:
        unseen, every, least = (), (), whole
    if least.bytes - sum(len(level.content) for level in least.levels) > limit:
        return least
    widths = [widest >> k for k in range(widest.bit_length()) if k == 0 or widest >> k >= SMALLEST]
    steps = [(width, unseen) for width in widths[:2]] + [(width, every) for width in widths]
    fitting = whole
    for step in dict.fromkeys(steps):
        fitting = attempt(*step)
        if fitting.bytes <= limit:
            break
    return fitting


def _root_mesh(tree: Tree) -> BaseMesh:
    root = tree.regions[0]
    kinds = [tree.origin.kinds[k] for k, _ in root.primitives]
    primitives = tuple((kind.material, p) for kind, (_, p) in zip(kinds, root.primitives, strict=True))
    return BaseMesh(primitives, tuple(kind.carried for kind in kinds))


def _put_refinements(bundle: Bundle, document: Document, tree: Tree) -> list[Json | None]:
    names = [str(m.get("name") or f"material {i}") for i, m in enumerate(items(document.json, "materials"))]
    result: list[Json | None] = []
    for region in tree.regions:
        if not region.children:
            result.append(None)
            continue
        children = [tree.regions[c] for c in region.children]
        content = refinement_glb([c.primitives for c in children], tree.origin.kinds, names)
        result.append({**bundle.put(content, "glb"), "gpuBytes": sum(c.gpu_bytes for c in children)})
    return result


def _put_keyframes(
    bundle: Bundle, document: Document, scene: Scene, trees: Sequence[Tree], leaving: Sequence[int]
) -> dict[int, Json]:
    if not leaving:
        return {}
    reach = reaches(document, [tree.origin for tree in trees], scene.motion)
    return {i: {**bundle.put(animation_glb(document, i), "glb"), "reach": reach[i]} for i in leaving}


def _put_levels(bundle: Bundle, pyramid: Pyramid, embedded: Level) -> Json:
    levels = []
    for level in pyramid.levels[pyramid.levels.index(embedded) :]:
        stored = {"uri": None, "bytes": len(level.content)}
        if level is not embedded:
            stored = bundle.put(level.content, level.format)
        levels.append({**stored, "width": level.width, "height": level.height, "gpuBytes": level.gpu_bytes})
    return {"name": pyramid.name, "role": pyramid.role, "levels": levels}


def _base_gpu_bytes(trees: Sequence[Tree], embedded: Sequence[Level]) -> int:
    return sum(t.regions[0].gpu_bytes for t in trees) + sum(level.gpu_bytes for level in embedded)
