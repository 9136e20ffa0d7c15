"""Read the primitives of a mesh, with checks: triangles, attributes, morph targets and other properties."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps as json_text
from typing import Any

import numpy as np

from ..arrays import AnyArray, IntArray
from ..errors import ModelError
from ..mesh.surface import PrimitiveKind
from .accessors import read_accessor
from .document import (
    LINE_LOOP,
    LINE_STRIP,
    LINES,
    POINTS,
    TEXTURE_TRANSFORM,
    TRIANGLE_FAN,
    TRIANGLE_STRIP,
    TRIANGLES,
    Document,
    Json,
    integer,
    item,
    items,
    label,
    numbers,
    texture_slots,
)

MAX_EXTENT = 1e9  # metres: float32 has steps of 64 m there, and squares of distances stay finite
MAX_REPEATS = 1e6  # of a picture: float32 coordinates have steps of a sixteenth of the picture there
POINTS_AND_LINES = (POINTS, LINES, LINE_LOOP, LINE_STRIP)
VARIANTS = "KHR_materials_variants"
# Components of each attribute that glTF defines, by its name without the number of the set.
ATTRIBUTE_WIDTHS = {
    "POSITION": (3,),
    "NORMAL": (3,),
    "TANGENT": (4,),
    "TEXCOORD": (2,),
    "COLOR": (3, 4),
    "JOINTS": (4,),
    "WEIGHTS": (4,),
}


def primitives_of(document: Document, mesh: int) -> list[tuple[str, Json]]:
    """The primitives of a mesh, each with its place for errors.

    Raises ModelError for a bad mode, material or material variant.
    """
    holder = item(document.json, "meshes", mesh, "meshes")
    place = label("mesh", mesh, holder)
    primitives = holder.get("primitives")
    if not isinstance(primitives, list) or not all(isinstance(p, dict) for p in primitives):
        raise ModelError("primitives must be an array of objects", place=place)
    result = []
    for index, primitive in enumerate(primitives):
        if primitive.get("mode", TRIANGLES) not in range(POINTS, TRIANGLE_FAN + 1):
            raise ModelError(f"mode {primitive['mode']!r} does not exist", place=f"{place}, primitive {index}")
        if primitive.get("material") is not None:
            item(document.json, "materials", primitive["material"], f"{place}, primitive {index}")
        _check_variants(document, primitive, f"{place}, primitive {index}")
        result.append((f"{place}, primitive {index}" if len(primitives) > 1 else place, primitive))
    return result


def read_triangles(document: Document, primitive: Json, vertices: int, place: str) -> IntArray:
    """The vertex indices (m, 3) of a primitive's triangles, strips and fans expanded.

    vertices: the number of vertices. Raises ModelError if an index is past their end.
    """
    if primitive.get("indices") is None:
        indices = np.arange(vertices, dtype=np.int64)
    else:
        values = read_accessor(document, primitive["indices"], f"{place}, indices")
        if values.shape[1] != 1 or values.dtype.kind != "u":
            raise ModelError("indices must be unsigned scalars", place=place)
        indices = values.reshape(-1).astype(np.int64)
    if len(indices) and int(indices.max()) >= vertices:
        bad = int(np.argmax(indices >= vertices))
        raise ModelError(
            f"index {int(indices[bad]):,} (number {bad:,}) is past the end of its {vertices:,} vertices",
            place=place,
            remedy="the mesh is damaged: export it again",
        )
    mode = primitive.get("mode", TRIANGLES)
    if mode == TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == TRIANGLE_STRIP:  # every other triangle has the reverse winding
        strip = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
        strip[1::2] = strip[1::2][:, [1, 0, 2]]
        return strip
    return np.stack([np.full(len(indices) - 2, indices[0]), indices[1:-1], indices[2:]], axis=1)


def read_attributes(document: Document, primitive: Json, place: str) -> dict[str, AnyArray]:
    """The vertex attributes (n, k) of a primitive; normalised integers and integer colours become floats.

    Raises ModelError if they differ in length, or a width is not that of glTF.
    """
    listed = primitive.get("attributes")
    if not isinstance(listed, dict) or "POSITION" not in listed:
        raise ModelError("has no POSITION", place=place)
    result: dict[str, AnyArray] = {}
    for name in sorted(listed):
        values = read_accessor(document, listed[name], f"{place}, {name}")
        if name == "COLOR_0" and values.dtype.kind == "u":
            values = values.astype(np.float32) / np.iinfo(values.dtype).max
        result[name] = values
    count = len(result["POSITION"])
    for name, values in result.items():
        if len(values) != count:
            raise ModelError(f"{name} has {len(values):,} values for {count:,} vertices", place=place)
        widths = ATTRIBUTE_WIDTHS.get(name.split("_")[0])
        if widths is not None and values.shape[1] not in widths:
            raise ModelError(f"{name} must be a VEC{' or VEC'.join(map(str, widths))}", place=place)
        if name.startswith("TEXCOORD_") and np.abs(values).max(initial=0.0) > MAX_REPEATS:
            problem = f"{name} reaches {np.abs(values).max():.3g}, more repeats than any picture needs"
            raise ModelError(problem, place=place, remedy="unwrap it again")
        if name.startswith("JOINTS_") and values.dtype.kind != "u":
            raise ModelError(f"{name} must be unsigned integers", place=place)
    return result


def read_targets(document: Document, primitive: Json, vertices: int, place: str) -> list[dict[str, AnyArray]]:
    """The morph targets of a primitive: float32 deltas (n, 3) by attribute name, without tangents."""
    listed = primitive.get("targets", [])
    if not isinstance(listed, list):
        raise ModelError("targets must be an array", place=place)
    result = []
    for target in listed:
        if not isinstance(target, dict):
            raise ModelError("a morph target must be an object", place=place)
        deltas = {}
        for name, index in sorted(target.items()):
            if name == "TANGENT":
                continue
            values = read_accessor(document, index, f"{place}, morph target {name}").astype(np.float32)
            if len(values) != vertices or values.shape[1] != ATTRIBUTE_WIDTHS.get(name.split("_")[0], (0,))[0]:
                raise ModelError(f"morph target {name} does not fit its {vertices:,} vertices", place=place)
            if np.abs(values).max(initial=0.0) > MAX_EXTENT:
                raise ModelError(f"morph target {name} moves past any real size", place=place)
            deltas[name] = values
        result.append(deltas)
    return result


def primitive_kind(document: Document, primitive: Json, attributes: dict[str, AnyArray]) -> PrimitiveKind:
    """The kind of a primitive that keeps these attributes."""
    return PrimitiveKind(
        primitive.get("material"),
        tuple(sorted(attributes)),
        carried(primitive),
        _uv_scale(document, primitive.get("material")),
        "COLOR_0" in attributes and deep_colors(attributes["COLOR_0"]),
    )


def carried(primitive: Json) -> str:
    """The properties of a primitive that the pipeline carries along, as JSON or "": extras and extensions."""
    properties = {key: primitive[key] for key in ("extensions", "extras") if primitive.get(key)}
    return json_text(properties, sort_keys=True) if properties else ""


def deep_colors(colors: AnyArray) -> bool:
    """Whether the colours (0…1) are finer than 8 bits."""
    codes = colors.astype(np.float64) * 255
    return bool(np.abs(codes - np.rint(codes)).max(initial=0.0) > 1e-3)


def needs_tangents(document: Document, material: Any) -> bool:
    """Whether a material needs a direction on the surface, and has no normal map whose UV gives it to the viewer."""
    if material is None:
        return False
    holder = item(document.json, "materials", material, "materials")
    clearcoat = (holder.get("extensions") or {}).get("KHR_materials_clearcoat")
    directed = "KHR_materials_anisotropy" in (holder.get("extensions") or {})
    directed |= isinstance(clearcoat, dict) and "clearcoatNormalTexture" in clearcoat
    return directed and "normalTexture" not in holder


def count_triangles(json: Json, primitives: Sequence[tuple[str, Json]]) -> int:
    """The approximate number of triangles, by which trees share the triangles of the base."""
    total = 0
    for place, primitive in primitives:
        if not is_triangles(primitive):
            continue
        attributes = primitive.get("attributes")
        if primitive.get("indices") is not None:
            corners, where = primitive["indices"], f"{place}, indices"
        else:
            corners, where = attributes.get("POSITION") if isinstance(attributes, dict) else None, f"{place}, POSITION"
        count = integer(item(json, "accessors", corners, where), "count", where)
        total += count // 3 if primitive.get("mode", TRIANGLES) == TRIANGLES else max(0, count - 2)
    return total


def is_triangles(primitive: Json) -> bool:
    return primitive.get("mode", TRIANGLES) not in POINTS_AND_LINES


def _check_variants(document: Document, primitive: Json, place: str) -> None:
    extensions = primitive.get("extensions")
    variants = extensions.get(VARIANTS) if isinstance(extensions, dict) else None
    for mapping in items(variants, "mappings", place) if isinstance(variants, dict) else []:
        item(document.json, "materials", mapping.get("material"), f"{place}, {VARIANTS}")


def _uv_scale(document: Document, material: Any) -> float:
    """How often a material repeats its pictures along one unit of TEXCOORD_0 (the root of the area): the least of all
    its pictures, as that picture needs the most texels."""
    if material is None:
        return 1.0
    scales = []
    for _, info in texture_slots(item(document.json, "materials", material, "materials")):
        extensions = info.get("extensions")
        transform = extensions.get(TEXTURE_TRANSFORM) if isinstance(extensions, dict) else None
        scale = transform.get("scale", [1, 1]) if isinstance(transform, dict) else [1, 1]
        u, v = numbers(scale, 2, label("material", material, {}) + f", {TEXTURE_TRANSFORM}, scale")
        scales.append(abs(u * v) ** 0.5)
    return min((s for s in scales if s > 0), default=1.0)
