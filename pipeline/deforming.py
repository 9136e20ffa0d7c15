"""Skinned and morphed meshes: their full geometry, compressed, with weights and morph targets kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import BaseMesh, DeformingPrimitive
from .document import Document, item, items, label, read_accessor
from .draco import EncodedPrimitive, Grid, choose_grid, encode_primitive
from .errors import ModelError
from .scene import (
    MAX_EXTENT,
    POINTS_AND_LINES,
    SHAPES,
    DeformingMesh,
    Scene,
    read_attributes,
    read_triangles,
    rest_pose,
)
from .settings import Settings
from .surface import AnyArray, FloatArray, IntArray, PrimitiveKind, unique_rows
from .textures import texels_per_uv

# Until animations are sampled, a skinned mesh's sphere is this much larger than its rest pose: an arm at
# rest by the body reaches about half a body height further when stretched.
SKIN_MARGIN = 1.5


@dataclass(frozen=True)
class Deforming:
    """A deforming mesh, compressed. The sphere is in asset space for a skin, in mesh space for a morph."""

    mesh: DeformingMesh
    kinds: tuple[PrimitiveKind, ...]
    base: BaseMesh
    grid: Grid
    sphere: tuple[float, float, float, float]
    triangles: int
    vertices: int
    gpu_bytes: int


def build_deforming(document: Document, scene: Scene, mesh: DeformingMesh, settings: Settings) -> Deforming:
    """Compress every triangle primitive of a deforming mesh, all on one grid."""
    holder = item(document.json, "meshes", mesh.mesh, "meshes")
    place = label("mesh", mesh.mesh, holder)
    shapes = []
    reach: list[FloatArray] = []
    margin = 0.0
    for number, primitive in enumerate(holder["primitives"]):
        if primitive.get("mode", 4) in POINTS_AND_LINES:
            continue
        where = f"{place}, primitive {number}"
        attributes = read_attributes(document, primitive, where)
        # The runtime derives tangents from UV and normal map in the fragment shader, with the same frame.
        attributes = {n: v for n, v in attributes.items() if n != "TANGENT" and _known(n, v)}
        triangles = read_triangles(document, primitive, len(attributes["POSITION"]), where)
        listed = primitive.get("targets", [])
        if not isinstance(listed, list):
            raise ModelError("targets must be an array", place=where)
        targets = [_target(document, t, len(attributes["POSITION"]), where) for t in listed]
        _check_skin(attributes, where)
        shapes.append((primitive.get("material"), *_welded(attributes, targets, triangles)))
        if len(shapes[-1][3]) == 0:
            raise ModelError("has no triangle with an area", place=where, remedy="remove it and export again")
        positions = attributes["POSITION"].astype(np.float64)
        if mesh.kind == "skinned":
            skin = next(s for n in mesh.nodes if (s := items(document.json, "nodes")[n].get("skin")) is not None)
            positions = rest_pose(document, primitive, positions, skin, scene.world, where)
        reach.append(positions)
        moved = sum((np.linalg.norm(t["POSITION"], axis=1) for t in targets if "POSITION" in t), np.zeros(1))
        margin = max(margin, float(moved.max(initial=0.0)))

    everything = np.concatenate([attributes["POSITION"] for _, attributes, _, _ in shapes]).astype(np.float64)
    edge = float(np.median(np.concatenate([_edges(a["POSITION"], t) for _, a, _, t in shapes])))
    grid = choose_grid(everything.min(axis=0), everything.max(axis=0), edge, settings.position_bits)
    kinds, primitives = [], []
    triangles_total = vertices = gpu_bytes = 0
    for material, attributes, targets, triangles in shapes:
        encoded = encode_primitive(
            {k: v.astype(np.float64) for k, v in attributes.items()},
            triangles,
            grid,
            settings,
            texels=texels_per_uv(document, material, settings),
            keep_order=bool(targets),
        )
        kinds.append(PrimitiveKind(material, tuple(sorted(attributes))))
        primitives.append((material, _with_targets(encoded, targets)))
        triangles_total += len(encoded.triangles)
        vertices += encoded.vertices
        gpu_bytes += encoded.gpu_bytes + sum(v.nbytes for t in targets for v in t.values())
    return Deforming(
        mesh,
        tuple(kinds),
        BaseMesh(tuple(primitives)),
        grid,
        _sphere(np.concatenate(reach), SKIN_MARGIN if mesh.kind == "skinned" else 1.0, margin),
        triangles_total,
        vertices,
        gpu_bytes,
    )


def _known(name: str, values: AnyArray) -> bool:
    """Whether glTF knows the attribute, or it is an application's own of a shape that Draco holds."""
    return name.split("_")[0] in SHAPES or (name.startswith("_") and values.shape[1] <= 4)


def _target(document: Document, target: Any, vertices: int, place: str) -> dict[str, AnyArray]:
    if not isinstance(target, dict):
        raise ModelError("a morph target must be an object", place=place)
    result = {}
    for name, index in sorted(target.items()):
        if name == "TANGENT":
            continue
        values = read_accessor(document, index, f"{place}, morph target {name}").astype(np.float32)
        if len(values) != vertices or values.shape[1] != SHAPES.get(name.split("_")[0], (0,))[0]:
            raise ModelError(f"morph target {name} does not fit its {vertices:,} vertices", place=place)
        if np.abs(values).max(initial=0.0) > MAX_EXTENT:
            raise ModelError(f"morph target {name} moves past any real size", place=place)
        result[name] = values
    return result


def _check_skin(attributes: dict[str, AnyArray], place: str) -> None:
    """Quantise weights to bytes that sum to 255 over all sets; drop sets that come without their pair."""
    sets = sorted(
        n.removeprefix("JOINTS_")
        for n in attributes
        if n.startswith("JOINTS_") and f"WEIGHTS_{n.removeprefix('JOINTS_')}" in attributes
    )
    for name in [n for n in attributes if n.startswith(("JOINTS_", "WEIGHTS_")) and n.split("_")[1] not in sets]:
        del attributes[name]
    if not sets:
        return
    if any(attributes[f"{n}_{s}"].shape[1] != 4 for s in sets for n in ("JOINTS", "WEIGHTS")):
        raise ModelError("JOINTS and WEIGHTS must be VEC4", place=place)
    weights = quantise_weights(np.concatenate([attributes[f"WEIGHTS_{s}"] for s in sets], axis=1))
    for number, name in enumerate(sets):
        own = weights[:, 4 * number : 4 * number + 4]
        attributes[f"WEIGHTS_{name}"] = own
        # A joint without weight must be joint 0, says the validator.
        attributes[f"JOINTS_{name}"] = np.where(own > 0, attributes[f"JOINTS_{name}"], 0)


def quantise_weights(weights: AnyArray) -> AnyArray:
    """Weights (n, k) as bytes whose rows sum to 255: rounded down, the rest given to the largest
    remainders. A vertex without weight hangs on its first joint."""
    positive = np.maximum(weights.astype(np.float64), 0.0)
    total = positive.sum(axis=1, keepdims=True)
    first = np.zeros_like(positive)
    first[:, 0] = 1.0
    share = np.where(total > 0, positive / np.where(total > 0, total, 1.0), first) * 255
    floor = np.floor(share + 1e-9)
    missing = np.rint(255 - floor.sum(axis=1)).astype(np.int64)
    rank = np.argsort(np.argsort(-(share - floor), axis=1, kind="stable"), axis=1, kind="stable")
    result: AnyArray = (floor + (rank < missing[:, None])).astype(np.uint8)
    return result


def _welded(
    attributes: dict[str, AnyArray], targets: list[dict[str, AnyArray]], triangles: IntArray
) -> tuple[dict[str, AnyArray], list[dict[str, AnyArray]], IntArray]:
    """Join vertices that agree in everything, and drop the unused ones and triangles that became lines."""
    columns = [*attributes.values(), *(v for t in targets for v in t.values())]
    rows, inverse = unique_rows(np.concatenate([c.astype(np.float64) for c in columns], axis=1))
    triangles = inverse[triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    used, compact = np.unique(triangles, return_inverse=True)
    split = np.split(rows[used], np.cumsum([c.shape[1] for c in columns])[:-1], axis=1)
    restored = iter(s.astype(c.dtype) for s, c in zip(split, columns, strict=True))
    welded = {name: next(restored) for name in attributes}
    return welded, [{name: next(restored) for name in t} for t in targets], compact.reshape(-1, 3)


def _with_targets(
    encoded: EncodedPrimitive, targets: list[dict[str, AnyArray]]
) -> EncodedPrimitive | DeformingPrimitive:
    if not targets or encoded.order is None:
        return encoded
    return DeformingPrimitive(encoded, tuple({k: v[encoded.order] for k, v in t.items()} for t in targets))


def _edges(positions: AnyArray, triangles: IntArray) -> FloatArray:
    p = positions.astype(np.float64)
    length: FloatArray = np.linalg.norm(p[triangles[:, 0]] - p[triangles[:, 1]], axis=1)
    return length


def _sphere(positions: FloatArray, factor: float, margin: float) -> tuple[float, float, float, float]:
    centre = (positions.min(axis=0) + positions.max(axis=0)) * 0.5
    radius = float(np.linalg.norm(positions - centre, axis=1).max()) * factor + margin
    x, y, z = (float(v) for v in centre)
    return x, y, z, radius * 1.000001
