"""How different the base of a bundle looks from the model, in the pipeline's own pictures, at rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from builds import Built
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.trees.scene import Scene, read_scene
from streamxr.pipeline.views.cameras import cameras_around
from streamxr.pipeline.views.difference import ComparedPicture, Difference, difference
from streamxr.pipeline.views.drawable import Drawable, drawable_source
from streamxr.pipeline.views.materials import flat_materials
from streamxr.pipeline.views.shading import draw

VIEWS, PIXELS = 6, 160


def look(model: Path, built: Built) -> Difference:
    """The mean difference of some views of a model and of the base that was built from it."""
    source = drawable(model)
    base = drawable(built.root / built.manifest["base"]["uri"])
    cameras = cameras_around(*source.box, VIEWS)
    one, other = ([ComparedPicture.of(draw(model, c, PIXELS)) for c in cameras] for model in (source, base))
    return difference(one, other)


def drawable(path: Path) -> Drawable:
    """All triangles of a GLB in asset space, as they are without animations and skins."""
    document = read_model(path)
    json = {key: value for key, value in document.json.items() if key not in ("animations", "skins")}
    json["nodes"] = [{k: v for k, v in node.items() if k not in ("skin", "extras")} for node in json["nodes"]]
    document = replace(document, json=json)
    scene = read_scene(document)
    parts = []
    for tree in scene.trees:
        materials = flat_materials(document, [kind.material for kind in tree.kinds])
        own = drawable_source(tree.source, tree.kinds, materials)
        parts += [_placed(own, scene, node) for node in tree.nodes] or [own]
    return _joined(parts)


def _placed(part: Drawable, scene: Scene, node: int) -> Drawable:
    matrix = scene.world[node]
    normals = part.normals @ np.linalg.inv(matrix[:3, :3])
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    return replace(part, positions=part.positions @ matrix[:3, :3].T + matrix[:3, 3], normals=normals)


def _joined(parts: list[Drawable]) -> Drawable:
    points = np.cumsum([0, *(len(p.positions) for p in parts)])
    materials = np.cumsum([0, *(len(p.materials) for p in parts)])
    return Drawable(
        np.concatenate([p.positions for p in parts]),
        np.concatenate([p.triangles + start for p, start in zip(parts, points, strict=False)]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.uv for p in parts]),
        np.concatenate([p.colors for p in parts]),
        np.concatenate([p.material + start for p, start in zip(parts, materials, strict=False)]),
        tuple(m for p in parts for m in p.materials),
    )
