"""The vertices of a skinned or morphed mesh as the artist made them, and their weights as files hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import ModelError
from ..gltf.document import Document, Json, item, label
from ..gltf.primitives import (
    POINTS_AND_LINES,
    SHAPES,
    needs_tangents,
    primitive_kind,
    read_attributes,
    read_targets,
    read_triangles,
)
from ..gltf.skinning import read_deformable
from ..gltf.texture_uses import texels_per_uv
from ..mesh.surface import PrimitiveKind
from ..mesh.topology import non_degenerate, unique_rows
from ..settings import Settings
from .scene import DeformingMesh


@dataclass(frozen=True)
class Shape:
    """A primitive as the artist made it, welded where vertices agree in everything.

    attributes: (n, k) each; targets: deltas (n, 3) by attribute; triangles: (m, 3).
    """

    kind: PrimitiveKind
    attributes: dict[str, AnyArray]
    targets: tuple[dict[str, AnyArray], ...]
    triangles: IntArray


def read_shapes(document: Document, mesh: DeformingMesh, settings: Settings) -> tuple[list[Shape], str]:
    """Every triangle primitive of a mesh. Raises ModelError for broken attributes, targets and weights."""
    holder: Json = item(document.json, "meshes", mesh.mesh, "meshes")
    place = label("mesh", mesh.mesh, holder)
    shapes: list[Shape] = []
    for number, primitive in enumerate(holder["primitives"]):
        if primitive.get("mode", 4) in POINTS_AND_LINES:
            continue
        where = f"{place}, primitive {number}"
        attributes = read_attributes(document, primitive, where)
        directed = needs_tangents(document, primitive.get("material"))
        attributes = {n: v for n, v in attributes.items() if _known(n, v) and (n != "TANGENT" or directed)}
        triangles = read_triangles(document, primitive, len(attributes["POSITION"]), where)
        targets = read_targets(document, primitive, len(attributes["POSITION"]), where)
        if shapes and len(targets) != len(shapes[0].targets):
            raise ModelError(
                f"has {len(targets)} morph targets, another primitive {len(shapes[0].targets)}", place=where
            )
        _check_joints(document, attributes, mesh, where)
        _check_sets(attributes, where)
        kind = primitive_kind(document, primitive, attributes)
        kind = replace(kind, texels=texels_per_uv(document, kind.material, settings))
        shape = _welded(kind, attributes, targets, triangles)
        if len(shape.triangles) == 0:
            raise ModelError("has no triangle with an area", place=where, remedy="remove it and export again")
        shapes.append(shape)
    return shapes, place


def encodable(attributes: dict[str, AnyArray]) -> dict[str, FloatArray]:
    """The artist's own attributes as they are encoded."""
    sets = skin_sets(attributes)
    result = {name: values.astype(np.float64) for name, values in attributes.items()}
    if sets:
        joints, weights = (
            np.concatenate([attributes[f"{n}_{s}"] for s in sets], axis=1) for n in ("JOINTS", "WEIGHTS")
        )
        result |= skin_bytes(sets, joints, weights)
    return result


def skin_bytes(sets: Sequence[str], joints: AnyArray, weights: AnyArray) -> dict[str, FloatArray]:
    """Joints and weights (n, 4 per set) as files hold them: weights as bytes; a joint without weight must be
    joint 0, says the validator."""
    small = quantise_weights(weights)
    held = np.where(small > 0, joints, 0)
    return {
        f"{name}_{group}": values[:, 4 * k : 4 * k + 4].astype(np.float64)
        for k, group in enumerate(sets)
        for name, values in (("JOINTS", held), ("WEIGHTS", small))
    }


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


def skin_sets(attributes: dict[str, AnyArray]) -> list[str]:
    """The numbers of the JOINTS and WEIGHTS that come in pairs."""
    names = sorted(n.removeprefix("JOINTS_") for n in attributes if n.startswith("JOINTS_"))
    return [n for n in names if f"WEIGHTS_{n}" in attributes]


def _check_sets(attributes: dict[str, AnyArray], place: str) -> None:
    """Drop JOINTS and WEIGHTS that come without the other."""
    sets = skin_sets(attributes)
    for name in [n for n in attributes if n.startswith(("JOINTS_", "WEIGHTS_")) and n.split("_")[1] not in sets]:
        del attributes[name]
    if any(attributes[f"{n}_{s}"].shape[1] != 4 for s in sets for n in ("JOINTS", "WEIGHTS")):
        raise ModelError("JOINTS and WEIGHTS must be VEC4", place=place)


def _check_joints(document: Document, attributes: dict[str, AnyArray], mesh: DeformingMesh, place: str) -> None:
    for node in mesh.nodes:
        skin = item(document.json, "nodes", node, f"node {node}").get("skin")
        if skin is not None:
            read_deformable(attributes, (), len(item(document.json, "skins", skin, place)["joints"]), place)


def _known(name: str, values: AnyArray) -> bool:
    """Whether glTF knows the attribute, or it is an application's own of a shape that Draco holds."""
    return name.split("_")[0] in SHAPES or (name.startswith("_") and values.shape[1] <= 4)


def _welded(
    kind: PrimitiveKind, attributes: dict[str, AnyArray], targets: Sequence[dict[str, AnyArray]], triangles: IntArray
) -> Shape:
    """Join vertices that agree in everything, and drop the unused ones and triangles that became lines."""
    columns = [*attributes.values(), *(v for t in targets for v in t.values())]
    rows, inverse = unique_rows(np.concatenate([c.astype(np.float64) for c in columns], axis=1))
    triangles = inverse[triangles]
    triangles = triangles[non_degenerate(triangles)]
    used, compact = np.unique(triangles, return_inverse=True)
    split = np.split(rows[used], np.cumsum([c.shape[1] for c in columns])[:-1], axis=1)
    restored = iter(s.astype(c.dtype) for s, c in zip(split, columns, strict=True))
    welded = {name: next(restored) for name in attributes}
    moved = tuple({name: next(restored) for name in t} for t in targets)
    return Shape(kind, welded, moved, compact.reshape(-1, 3))
