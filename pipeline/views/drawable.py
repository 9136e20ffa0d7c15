"""Triangles with materials, ready to be drawn: those of a tree's source, or of one of its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from ..gltf.draco import EncodedPrimitive
from ..mesh.geometry import bounding_box, face_normals
from ..mesh.surface import PrimitiveKind, Source
from .materials import MASK, FlatMaterial
from .rasterizer import CutOuts


@dataclass(frozen=True)
class Drawable:
    """Triangles to draw.

    positions: (n, 3); triangles: (m, 3); normals: (m, 3, 3) unit normals of the corners; uv: (m, 3, 2);
    colors: (m, 3, 4) linear factors; material: (m,) index into `materials`.
    """

    positions: FloatArray
    triangles: IntArray
    normals: FloatArray
    uv: FloatArray
    colors: FloatArray
    material: IntArray
    materials: tuple[FlatMaterial, ...]

    @property
    def box(self) -> tuple[FloatArray, FloatArray]:
        return bounding_box(self.positions)

    def mode_mask(self, *modes: str) -> BoolArray:
        """A mask (m,) of the triangles whose material has one of these alpha modes."""
        return np.array([m.mode in modes for m in self.materials])[self.material]

    def part(self, chosen: BoolArray) -> Drawable:
        """The triangles of a mask (m,), with only the positions that they use."""
        used, triangles = np.unique(self.triangles[chosen], return_inverse=True)
        return Drawable(
            self.positions[used],
            triangles.reshape(-1, 3),
            self.normals[chosen],
            self.uv[chosen],
            self.colors[chosen],
            self.material[chosen],
            self.materials,
        )

    def cut_out_uv(self, chosen: IntArray, cut_outs: CutOuts) -> FloatArray:
        """The coordinates (k, 3, 2) of the chosen triangles in the alpha pictures; none (0, 3, 2) without pictures."""
        if (cut_outs.tables[:, 0] < 0).all():
            return np.zeros((0, 3, 2))
        samplers = [m.pictures.get("baseColorTexture") for m in self.materials]
        scale = np.array([[1.0, 1.0] if s is None else s.scale for s in samplers])
        offset = np.array([[0.0, 0.0] if s is None else s.offset for s in samplers])
        kinds = self.material[chosen]
        result: FloatArray = self.uv[chosen] * scale[kinds][:, None] + offset[kinds][:, None]
        return result

    def cut_outs(self) -> CutOuts:
        """The alpha pictures of cut-out materials."""
        alpha, tables, start = [np.zeros(1, np.uint8)], [], 1
        for material in self.materials:
            picture = material.pictures.get("baseColorTexture")
            if material.mode != MASK or picture is None or picture.codes.shape[2] < 4:
                tables.append((-1, 0, 0, 0))
                continue
            least = int(np.ceil(material.cutoff * 255 / max(float(material.color[3]), 1e-6)))
            tables.append((start, picture.codes.shape[1], picture.codes.shape[0], least))
            alpha.append(picture.codes[:, :, 3].reshape(-1))
            start += alpha[-1].size
        return CutOuts(np.concatenate(alpha), np.array(tables, np.int64))


def drawable_source(source: Source, kinds: Sequence[PrimitiveKind], materials: Sequence[FlatMaterial]) -> Drawable:
    """A source of these kinds, which have these materials."""
    surface = source.surface
    flat, _ = face_normals(surface.positions, surface.triangles)
    faces = np.broadcast_to(flat[:, None], (len(flat), 3, 3))
    normals = _unit(source.corners("NORMAL"), faces) if "NORMAL" in source.attributes else faces
    colors = np.broadcast_to(np.ones(4), (len(surface.triangles), 3, 4))
    if "COLOR_0" in source.attributes:
        colors = np.ones(colors.shape)
        given = source.corners("COLOR_0")
        has = np.array(["COLOR_0" in kind.attributes for kind in kinds])[surface.kinds]
        colors[has, :, : given.shape[2]] = given[has]
    return Drawable(surface.positions, surface.triangles, normals, surface.uv, colors, surface.kinds, tuple(materials))


def drawable_primitives(
    primitives: Sequence[tuple[int, EncodedPrimitive]], materials: Sequence[FlatMaterial]
) -> Drawable:
    """Encoded primitives as a viewer decodes them, each with its index in `materials`."""
    positions, triangles, normals, uv, colors, material = [], [], [], [], [], []
    first = 0
    for kind, primitive in primitives:
        values = {name: _decoded(a.values, normalized=a.normalized) for name, a in primitive.attributes.items()}
        own, corners = primitive.triangles, values["POSITION"]
        positions.append(corners)
        triangles.append(own + first)
        first += len(corners)
        flat, _ = face_normals(corners, own)
        faces = np.broadcast_to(flat[:, None], (len(flat), 3, 3))
        normals.append(_unit(values["NORMAL"][own], faces) if "NORMAL" in values else faces)
        uv.append(values["TEXCOORD_0"][own] if "TEXCOORD_0" in values else np.zeros((len(own), 3, 2)))
        tint = np.ones((len(own), 3, 4))
        if "COLOR_0" in values:
            tint[:, :, : values["COLOR_0"].shape[1]] = values["COLOR_0"][own]
        colors.append(tint)
        material.append(np.full(len(own), kind, np.int64))
    return Drawable(
        np.concatenate(positions),
        np.concatenate(triangles),
        np.concatenate(normals),
        np.concatenate(uv),
        np.concatenate(colors),
        np.concatenate(material),
        tuple(materials),
    )


def _decoded(values: AnyArray, *, normalized: bool) -> FloatArray:
    result: FloatArray = values.astype(np.float64)
    return result / np.iinfo(values.dtype).max if normalized and values.dtype.kind == "u" else result


def _unit(normals: FloatArray, otherwise: FloatArray) -> FloatArray:
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    result: FloatArray = np.where(length > 1e-6, normals / np.maximum(length, 1e-6), otherwise)
    return result
