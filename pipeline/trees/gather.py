"""Gather primitives, of one mesh or of many nodes, into the arrays of one Source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray, concatenated
from ..gltf.document import Document, Json
from ..gltf.primitives import needs_tangents, primitive_kind, read_attributes, read_triangles
from ..mesh.geometry import bounding_box
from ..mesh.surface import PrimitiveKind, Source, Surface
from ..mesh.topology import in_order_of_use, non_degenerate, unique_rows
from .merged_materials import MergedMaterial

MIN_EXTENT_STEPS = 256  # float32 steps across a mesh; with fewer, rounding is visible


@dataclass
class GatheredPrimitives:
    """Primitives that become one Source, each with the arrays of the vertices that it uses.

    positions: (n, 3) float64; attributes: (n, k) float64 by name; triangles: (m, 3).
    kind_of: (m,) indices into `kinds`.
    """

    kinds: list[PrimitiveKind] = field(default_factory=list)
    positions: list[FloatArray] = field(default_factory=list)
    attributes: list[dict[str, FloatArray]] = field(default_factory=list)
    triangles: list[IntArray] = field(default_factory=list)
    kind_of: list[IntArray] = field(default_factory=list)
    _index_of: dict[PrimitiveKind, int] = field(default_factory=dict)

    @property
    def triangle_count(self) -> int:
        return sum(map(len, self.triangles))

    def kind_index(self, kind: PrimitiveKind) -> int:
        """The index of a kind, which is added if it is new."""
        index = self._index_of.setdefault(kind, len(self.kinds))
        if index == len(self.kinds):
            self.kinds.append(kind)
        return index


def gather_primitive(
    document: Document, primitive: Json, place: str, into: GatheredPrimitives, merged: MergedMaterial | None = None
) -> None:
    """Append a triangle primitive in the space of its mesh.

    merged: its material if that is replaced by another one. Its vertices have no texture coordinates then but those of
        a palette.

    Raises ModelError if its accessors are broken.
    """
    attributes = read_attributes(document, primitive, place)
    positions = attributes.pop("POSITION").astype(np.float64)
    triangles = read_triangles(document, primitive, len(positions), place)
    used_names = {"NORMAL", "COLOR_0"} | ({"TANGENT"} if needs_tangents(document, primitive.get("material")) else set())
    kept = {n: v for n, v in attributes.items() if n in used_names or n.startswith("TEXCOORD_")}
    if merged is not None:
        kept = merged_attributes(kept, merged, len(positions))
    kind = primitive_kind(document, primitive, {"POSITION": positions, **kept})
    if merged is not None:
        kind = replace(kind, merged=merged.index, deep_colors="COLOR_0" in kept)
    index = into.kind_index(kind)
    used, triangles = in_order_of_use(triangles, len(positions))
    into.positions.append(positions[used])
    into.attributes.append({name: values[used].astype(np.float64) for name, values in kept.items()})
    into.triangles.append(triangles)
    into.kind_of.append(np.full(len(triangles), index, np.int64))


def merged_attributes(attributes: dict[str, AnyArray], merged: MergedMaterial, count: int) -> dict[str, AnyArray]:
    """The attributes of `count` vertices whose material is merged."""
    result = {name: values for name, values in attributes.items() if not name.startswith("TEXCOORD_")}
    if merged.color is not None:
        own = np.clip(result["COLOR_0"][:, :3], 0, 1) if "COLOR_0" in result else np.ones((count, 3))
        result["COLOR_0"] = own * np.array(merged.color)
    if merged.uv is not None:
        result["TEXCOORD_0"] = np.tile(merged.uv, (count, 1))
    return result


def loses_shape(mesh: GatheredPrimitives, matrix: FloatArray) -> bool:
    """Whether a node moves a mesh so far from the origin that float32 positions there lose its shape."""
    if not any(map(len, mesh.positions)):
        return False

    def extent_in_steps(positions: list[FloatArray]) -> float:
        boxes = np.array([bounding_box(p) for p in positions])
        low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
        return float((high - low).max()) / max(float(np.abs([low, high]).max()) * 2.0**-23, 1e-300)

    in_asset = extent_in_steps([_transformed_points(p, matrix) for p in mesh.positions])
    return 0 < in_asset < MIN_EXTENT_STEPS and in_asset < 0.5 * extent_in_steps(mesh.positions)


def gather_transformed(into: GatheredPrimitives, mesh: GatheredPrimitives, matrix: FloatArray) -> None:
    """Append a mesh in asset space: normals and tangents are transformed, and a mirroring matrix flips the winding."""
    linear = matrix[:3, :3]
    determinant = float(np.linalg.det(linear))
    # The cofactor matrix transforms normals even if the matrix flattens an axis and so has no inverse.
    cofactor = np.stack([np.cross(linear[(k + 1) % 3], linear[(k + 2) % 3]) for k in range(3)])
    cofactor = -cofactor if determinant < 0 else cofactor
    kinds = np.array([into.kind_index(kind) for kind in mesh.kinds], np.int64)
    into.kind_of += [kinds[kind_of] for kind_of in mesh.kind_of]
    into.triangles += [_flipped(t) if determinant < 0 else t for t in mesh.triangles]
    for positions, attributes in zip(mesh.positions, mesh.attributes, strict=True):
        # Files hold float32 positions: rounding now keeps all later comparisons exact.
        with np.errstate(over="ignore"):  # an overflow is refused later, with the bounds
            into.positions.append(_transformed_points(positions, matrix).astype(np.float32).astype(np.float64))
        transformed = dict(attributes)
        if "NORMAL" in transformed:
            normals = _transformed_vectors(transformed["NORMAL"], cofactor)
            length = np.linalg.norm(normals, axis=1, keepdims=True)
            transformed["NORMAL"] = normals / np.where(length > 0, length, 1.0)
        if "TANGENT" in transformed:
            tangents = _transformed_vectors(transformed["TANGENT"][:, :3], linear)
            tangents = tangents / np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-30)
            handedness = transformed["TANGENT"][:, 3:] * (-1.0 if determinant < 0 else 1.0)
            transformed["TANGENT"] = np.concatenate([tangents, handedness], axis=1)
        into.attributes.append(transformed)


def weld_gathered(gathered: GatheredPrimitives) -> tuple[Source, tuple[PrimitiveKind, ...]]:
    """One Source of all gathered triangles, and its kinds.

    Triangles that use one position twice are dropped, and so are kinds without triangles.
    """
    counts = [len(p) for p in gathered.positions]
    starts = np.cumsum([0, *counts])
    positions, inverse = unique_rows(concatenated(gathered.positions))
    vertices = concatenated([t + start if start else t for t, start in zip(gathered.triangles, starts, strict=False)])
    triangles = inverse[vertices] if len(positions) < starts[-1] else vertices
    kind_of = concatenated(gathered.kind_of)
    kept = non_degenerate(triangles)
    names = sorted({name for values in gathered.attributes for name in values})
    attributes: dict[str, FloatArray] = {name: stack_attribute(name, gathered.attributes, counts) for name in names}
    has_uv = "TEXCOORD_0" in attributes
    uv = np.take(attributes.pop("TEXCOORD_0"), vertices, axis=0) if has_uv else np.zeros((len(vertices), 3, 2))
    present = np.bincount(kind_of[kept], minlength=len(gathered.kinds)) > 0
    compact = np.cumsum(present) - 1
    source = Source(Surface(positions, triangles, compact[kind_of], uv), vertices, attributes)
    source = source if kept.all() else source.part(kept)
    return source, tuple(kind for kind, has_triangles in zip(gathered.kinds, present, strict=True) if has_triangles)


def stack_attribute(name: str, primitives: Sequence[Mapping[str, AnyArray]], counts: Sequence[int]) -> AnyArray:
    """Values (sum of counts, k) of one attribute of several primitives.

    A primitive without the attribute gets zeros. k is the largest width; columns that a primitive lacks are one, so
    that colours without alpha are opaque.

    primitives: attributes by name; counts: the vertices of each.
    """
    width = max(values[name].shape[1] for values in primitives if name in values)
    return concatenated(
        [_widened(values.get(name), count, width) for values, count in zip(primitives, counts, strict=True)]
    )


def _widened(values: AnyArray | None, count: int, width: int) -> AnyArray:
    if values is None:
        return np.zeros((count, width))
    if values.shape[1] < width:
        return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=1)
    return values


def _flipped(triangles: IntArray) -> IntArray:
    # Selecting columns yields a column-major array; the compiled loops take row-major ones.
    return np.ascontiguousarray(triangles[:, [0, 2, 1]])


def _transformed_points(positions: FloatArray, matrix: FloatArray) -> FloatArray:
    if (matrix == np.eye(4)).all():
        return positions
    return _transformed_vectors(positions, matrix[:3, :3]) + matrix[:3, 3]


def _transformed_vectors(vectors: FloatArray, linear: FloatArray) -> FloatArray:
    """linear · v for each of (n, 3) vectors; term by term, since BLAS rounds differently on different processors."""
    if (linear == np.eye(3)).all():
        return vectors
    x, y, z = (vectors[:, k : k + 1] * linear[:, k] for k in range(3))
    result: FloatArray = x + y + z
    return result
