"""Build an asset from a document whose pictures have been started: scene → trees → base → files and manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jsonschema  # noqa: F401 loaded now, while pictures are encoded, and not when the manifest is checked

from . import version
from .asset_pictures import Pictures, with_palettes
from .asset_report import AssetReport, report_rows
from .bundle.animations import animation_glb, reaches
from .bundle.base_fit import FittedBase, base_limit, fit_base
from .bundle.files import Bundle
from .bundle.manifest import describe_animations, describe_bounds, describe_materials, describe_tree
from .bundle.objects import objects_json
from .errors import ModelError
from .gltf.document import Document, Json, items
from .gltf.glb import refinement_glb
from .gltf.texture_uses import texels_per_uv
from .jobs.tasks import StartTasks
from .pictures.levels import SMALLEST, Level, Pyramid
from .settings import Role, Settings
from .trees.deforming import build_deforming
from .trees.merged_materials import MergedMaterials, merge_materials
from .trees.moving_parts import MovingParts, bind_moving_parts
from .trees.regions import build_tree
from .trees.scene import Scene, read_scene
from .trees.smaller_roots import with_smaller_roots
from .trees.tree import Tree
from .warm_up import loading

MIN_BASE_TRIANGLES = 64  # a small tree beside large ones stays recognisable in the base
MIN_PART_TRIANGLES = 16  # of a moving part, about: a box with bevels
MANY_BYTES = 500_000  # a smaller model needs few of the compiled loops, and seldom a pool
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
    """Build the geometry of an asset and write all its files.

    pictures: the error if they could not be started; it is raised here, after any error of the geometry.
    """
    start_tasks = loading(start_tasks) if document.bytes > MANY_BYTES else start_tasks
    merged = MergedMaterials(document) if settings.keep_materials else merge_materials(document, settings.keep_nodes)
    document, parts = bind_moving_parts(merged.document, settings.keep_nodes)
    merged = replace(merged, document=document)
    scene, notes = _read_scene(merged, parts, settings, clean=clean)
    if isinstance(pictures, ModelError):
        raise pictures
    pictures = with_palettes(pictures, merged.palettes, settings)
    notes += pictures.notes
    trees = _build_trees(document, scene, settings, start_tasks)
    document, trees, pyramids, of_texture = _with_best_coarse_tiers(
        document, scene, trees, pictures, settings, notes, start_tasks
    )

    refinements = [_put_refinements(bundle, document, tree) for tree in trees]
    limit = base_limit(refinements, pyramids, settings)
    fitted = fit_base(document, scene, trees, pyramids, of_texture, limit, settings)
    if fitted.bytes > limit:
        trees = with_smaller_roots(trees, fitted.bytes - limit, settings)
        fitted = fit_base(document, scene, trees, pyramids, of_texture, limit, settings)
    if fitted.bytes > limit:
        notes.append(
            f"the base has {fitted.bytes:,} bytes, over its limit of {limit:,}: its nodes, materials, points and lines "
            "need them"
        )
    base_file = bundle.put(fitted.base.content, "glb")
    keyframes = _put_keyframes(bundle, document, scene, trees, fitted.left_out)
    textures = [_put_levels(bundle, p, embedded) for p, embedded in zip(pyramids, fitted.levels, strict=True)]
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
        "materials": describe_materials(document, of_texture),
        "textures": textures,
        "objects": _put_objects(bundle, document, scene),
        "base": {**base_file, "gpuBytes": _base_gpu_bytes(trees, fitted.levels)},
        "trees": _describe_trees(trees, refinements, fitted),
    }
    entry = {
        "manifest": bundle.put_manifest(asset, manifest),
        "base": base_file,
        "bounds": describe_bounds(scene),
        "triangles": sum(r.triangles for t in trees for r in t.regions if not r.children),
    }
    return AssetReport(asset, document.name, document.bytes, entry, report_rows(manifest), tuple(notes))


def _read_scene(
    merged: MergedMaterials, parts: MovingParts | None, settings: Settings, *, clean: bool
) -> tuple[Scene, list[str]]:
    """The scene with the texel density of its primitive kinds, repaired if `clean`, and the notes for the artist."""
    document = merged.document
    scene = _with_texels(read_scene(document, settings.keep_nodes, merged.primitives, parts), document, settings)
    notes = [*document.notes, *merged.notes, *scene.notes]
    if clean:
        scene, changes = _cleaned(scene)
        notes += changes
    return scene, notes


def _with_texels(scene: Scene, document: Document, settings: Settings) -> Scene:
    """The scene whose primitive kinds hold the resolution of their pictures."""
    trees = []
    for tree in scene.trees:
        kinds = [replace(k, texels=texels_per_uv(document, k.material, settings)) for k in tree.kinds]
        trees.append(replace(tree, kinds=tuple(kinds)))
    return replace(scene, trees=tuple(trees))


def _cleaned(scene: Scene) -> tuple[Scene, list[str]]:
    """The scene with the geometry of its trees repaired, and a note for each tree that changed."""
    from .mesh.clean import clean  # here, since pymeshlab takes long to load

    trees, notes = [], []
    for tree in scene.trees:
        source, changes = clean(tree.source)
        trees.append(replace(tree, source=source))
        if changes:
            notes.append(f"cleaned: {', '.join(changes)}")
    return replace(scene, trees=tuple(trees)), notes


def _build_trees(document: Document, scene: Scene, settings: Settings, start_tasks: StartTasks) -> list[Tree]:
    """Build the region trees, then the chains of deforming meshes; each gets its share of the base's triangles."""
    counts = [len(t.source.surface.triangles) for t in scene.trees] + [m.triangles for m in scene.deforming]
    shares = [max(MIN_BASE_TRIANGLES, round(n / max(1, sum(counts)) * settings.base_triangles)) for n in counts]
    if scene.bound is not None:
        least = min(MIN_PART_TRIANGLES * scene.bound.parts, 2 * settings.base_triangles)
        shares[-1] = max(shares[-1], least)  # the mesh of moving parts is the last one
    trees = [build_tree(t, share, settings, start_tasks) for t, share in zip(scene.trees, shares, strict=False)]
    return trees + [
        build_deforming(document, scene, mesh, share, settings, start_tasks)
        for mesh, share in zip(scene.deforming, shares[len(scene.trees) :], strict=True)
    ]


def _with_best_coarse_tiers(
    document: Document,
    scene: Scene,
    trees: list[Tree],
    pictures: Pictures,
    settings: Settings,
    notes: list[str],
    start_tasks: StartTasks,
) -> tuple[Document, list[Tree], list[Pyramid], dict[tuple[int, Role], int]]:
    """Document, trees, pyramids and `of_texture` with the coarse tiers of the static tree that look best."""
    of_texture = dict(pictures.of_texture)
    of_shells: list[Pyramid] = []

    def pyramids() -> list[Pyramid]:
        """All pictures. Those of the model may still be in progress, so this waits."""
        return [*pictures.pyramids(), *of_shells]

    def room(tree: Tree) -> int:
        """The bytes that the root of a tree may have while the pictures keep half of their width."""
        smaller = replace(settings, base_texture_pixels=max(SMALLEST, settings.base_texture_pixels // 2))
        limit = settings.base_bytes
        base = fit_base(document, scene, trees, pyramids(), of_texture, limit, smaller, finer_colors=False)
        return limit - base.bytes + sum(p.bytes for _, p in tree.regions[0].primitives)

    for number, tree in enumerate(trees):
        if tree.origin.kind != "static" or len(tree.regions) == 1:
            continue
        from .shells.coarse_tiers import best_coarse_tiers  # here, since their libraries take long to load
        from .shells.material import with_material

        if chosen := best_coarse_tiers(document, tree, settings, partial(room, tree), start_tasks):
            notes += [chosen.note] if chosen.note else []
            trees = [*trees[:number], chosen.tree, *trees[number + 1 :]]
            if chosen.material:
                document, own = with_material(document, chosen.material)
                of_texture |= {key: len(pyramids()) + k for k, key in enumerate(own)}
                of_shells += [picture.pyramid for picture in chosen.material.pictures]
    return document, trees, pyramids(), of_texture


def _put_refinements(bundle: Bundle, document: Document, tree: Tree) -> list[Json | None]:
    """Write the refinement of each region: one GLB with its children, None for a leaf."""
    names = [str(m.get("name") or f"material {i}") for i, m in enumerate(items(document.json, "materials"))]
    result: list[Json | None] = []
    for region in tree.regions:
        if not region.children:
            result.append(None)
            continue
        children = [tree.regions[c] for c in region.children]
        content = refinement_glb([c.primitives for c in children], tree.kinds, names)
        result.append({**bundle.put(content, "glb"), "gpuBytes": sum(c.gpu_bytes for c in children)})
    return result


def _put_keyframes(
    bundle: Bundle, document: Document, scene: Scene, trees: Sequence[Tree], animations: Sequence[int]
) -> dict[int, Json]:
    """Write these animations as files of their own; by animation: {uri, bytes, reach}."""
    if not animations:
        return {}
    reach = reaches(document, [tree.origin for tree in trees], scene.motion)
    return {i: {**bundle.put(animation_glb(document, i), "glb"), "reach": reach[i]} for i in animations}


def _put_objects(bundle: Bundle, document: Document, scene: Scene) -> Json | None:
    """Write the list of the source's nodes; {uri, bytes, count}, or None if there is nothing to tell."""
    content = objects_json(document, scene)
    return None if content is None else {**bundle.put(content, "json"), "count": len(scene.source_world)}


def _put_levels(bundle: Bundle, pyramid: Pyramid, embedded: Level) -> Json:
    """Write the levels of a texture that are finer than the one embedded in the base."""
    levels = []
    for level in [embedded] if pyramid.base_only else pyramid.levels[pyramid.levels.index(embedded) :]:
        stored = {"uri": None, "bytes": len(level.content)}
        if level is not embedded:
            stored = bundle.put(level.content, level.format)
        levels.append({**stored, "width": level.width, "height": level.height, "gpuBytes": level.gpu_bytes})
    return {"name": pyramid.name, "role": pyramid.role, "levels": levels}


def _describe_trees(
    trees: Sequence[Tree], refinements: Sequence[Sequence[Json | None]], fitted: FittedBase
) -> list[Json]:
    """The trees of the manifest. The base draws a static tree, which has no source nodes, by a node of its own."""
    described = []
    for tree, files in zip(trees, refinements, strict=True):
        nodes = tree.origin.nodes
        if not nodes and fitted.base.static_node is not None:
            nodes = (fitted.base.static_node,)
        described.append(describe_tree(tree, nodes, files))
    return described


def _base_gpu_bytes(trees: Sequence[Tree], embedded: Sequence[Level]) -> int:
    return sum(t.regions[0].gpu_bytes for t in trees) + sum(level.gpu_bytes for level in embedded)
