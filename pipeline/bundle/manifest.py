"""The parts of a manifest, as docs/manifest.md specifies them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..gltf.accessors import read_accessor
from ..gltf.document import Document, Json, items, label, name_of, texture_slots
from ..gltf.draco import Grid
from ..gltf.texture_uses import slot_role
from ..mesh.surface import PrimitiveKind
from ..settings import Role
from ..trees.scene import Scene
from ..trees.tree import Region, Tree
from .animations import animation_name


def describe_tree(tree: Tree, nodes: Sequence[int], refinements: Sequence[Json | None]) -> Json:
    """A tree. nodes: the base nodes that draw it; refinements: {uri, bytes, gpuBytes} by region, None for leaves."""
    return {
        "kind": tree.origin.kind,
        "space": "asset" if tree.origin.kind in ("static", "skinned") else "mesh",
        "nodes": list(nodes),
        "scale": _rounded_up(tree.origin.scale),
        "grid": _grid(tree.grid),
        "primitives": [_kind(k) for k in tree.kinds],
        "regions": [_region(r, refinement) for r, refinement in zip(tree.regions, refinements, strict=True)],
    }


def describe_materials(document: Document, of_texture: dict[tuple[int, Role], int]) -> list[Json]:
    """Materials in source order, with the textures that they use."""
    result = []
    for index, material in enumerate(items(document.json, "materials")):
        used = {of_texture[info["index"], slot_role(slot)] for slot, info in texture_slots(material)}
        alpha = material.get("alphaMode", "OPAQUE")
        result.append(
            {
                "name": name_of(material, f"material {index}"),
                "textures": sorted(used),
                "doubleSided": material.get("doubleSided") is True,
                "alphaMode": alpha if alpha in ("OPAQUE", "MASK", "BLEND") else "OPAQUE",
            }
        )
    return result


def describe_animations(document: Document, files: dict[int, Json]) -> list[Json]:
    """Animations in source order, with their duration in seconds.

    files: {uri, bytes, reach} of each animation that is a file of its own, with reach in the units of each tree.
    """
    result = []
    for index, animation in enumerate(items(document.json, "animations")):
        end = 0.0
        for sampler in animation.get("samplers", []):
            times = read_accessor(document, sampler.get("input"), label("animation", index, animation))
            end = max(end, float(times.max(initial=0.0)))
        file = files.get(index)
        keyframes = file and {**file, "reach": [_rounded_up(distance) for distance in file["reach"]]}
        result.append({"name": animation_name(document, index), "duration": end, "keyframes": keyframes})
    return result


def describe_bounds(scene: Scene) -> Json:
    """The bounding box of the asset, in its space, over all sampled poses."""
    return {"min": [_rounded(v) for v in scene.low], "max": [_rounded(v) for v in scene.high]}


def _region(region: Region, refinement: Json | None) -> Json:
    return {
        "parent": region.parent,
        "children": list(region.children),
        "tier": region.tier,
        "sphere": _sphere(region.sphere),
        "cone": None if region.cone is None else [_rounded(v) for v in region.cone],
        "primitives": [k for k, _ in region.primitives],
        "triangles": region.triangles,
        "vertices": region.vertices,
        "error": _rounded_up(region.error),
        "metresPerUv": None if region.metres_per_uv is None else _rounded(region.metres_per_uv),
        "gpuBytes": region.gpu_bytes,
        "refinement": refinement,
    }


def _kind(kind: PrimitiveKind) -> Json:
    return {"material": kind.material, "attributes": list(kind.attributes)}


def _grid(grid: Grid) -> Json:
    # Draco stores float32: the shortest decimal form that reads back as the same float32.
    return {
        "origin": [float(str(np.float32(v))) for v in grid.origin],
        "range": float(str(np.float32(grid.range))),
        "bits": grid.bits,
    }


def _sphere(sphere: tuple[float, float, float, float]) -> list[float]:
    """A sphere of rounded numbers that contains the given one: the radius grows by the shift of the centre."""
    x, y, z, radius = sphere
    centre = [_rounded(x), _rounded(y), _rounded(z)]
    moved = float(np.linalg.norm(np.array(centre) - np.array([x, y, z])))
    return [*centre, _rounded_up(radius + moved)]


def _rounded(value: Any) -> float:
    """To seven significant digits, the precision of float32."""
    return float(f"{float(value):.7g}")


def _rounded_up(value: float) -> float:
    """To seven significant digits, upwards: a bound stays a bound, and errors keep their order."""
    return float(f"{value * (1 + 6e-7):.7g}")
