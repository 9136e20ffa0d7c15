"""Finish a region: its attributes, its streams, and the error of what a decoder will see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray
from ..gltf.draco import EncodedPrimitive, Grid, encode_primitive
from ..mesh.attributes import transfer
from ..mesh.closest import ClosestPoints
from ..mesh.geometric_error import GeometricError, geometric_error
from ..mesh.geometry import face_normals
from ..mesh.surface import PrimitiveKind, Source, Surface, merge, without_degenerates
from ..mesh.topology import unique_rows
from ..mesh.weld import weld_corners
from ..settings import Settings
from .region_bounds import Shape


@dataclass(frozen=True)
class TreeEncoding:
    """How all regions of a tree are encoded."""

    kinds: Sequence[PrimitiveKind]
    grid: Grid
    settings: Settings


@dataclass(frozen=True)
class FinishTask:
    """A region to finish.

    source: the piece of the source that this region stands for; exact: whether `surface` is that piece.
    """

    surface: Surface
    source: Source
    encoding: TreeEncoding
    exact: bool


@dataclass(frozen=True)
class Finished:
    """What a worker returns for one region. mean_error: of the source's vertices."""

    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    shape: Shape
    error: float
    mean_error: float
    metres_per_uv: float | None


def finish_region(task: FinishTask) -> Finished:
    """Transfer the attributes, encode the primitives, and measure the error of the decoded surface."""
    surface, source = task.surface, task.source
    kinds, grid, settings = task.encoding.kinds, task.encoding.grid, task.encoding.settings
    on_source = None if task.exact else ClosestPoints(source.surface.positions, source.surface.triangles)
    if on_source:
        corners = transfer(source, surface, list(kinds), on_source)
    else:
        corners = {name: source.corners(name) for name in source.attributes}
    # The collapse may place a vertex a little outside of the source's box; Draco refuses one off its grid.
    low = np.array(grid.origin)
    on_grid = np.clip(surface.positions, low, low + grid.range)
    primitives = []
    for index, kind in enumerate(kinds):
        mine = surface.kinds == index
        if not mine.any():
            continue
        named: dict[str, FloatArray] = {"POSITION": on_grid[surface.triangles[mine]]}
        for name in kind.attributes:
            if name != "POSITION":
                named[name] = surface.uv[mine] if name == "TEXCOORD_0" else corners[name][mine]
        primitive = encode_primitive(
            *weld_corners(named), grid, settings, texels=kind.texels, deep_colors=kind.deep_colors
        )
        primitives.append((index, primitive))
    if on_source is None:
        # Same triangles, each corner moved by rounding alone: half a step on every axis.
        bound = grid.step * 0.5 * 3**0.5 + float(np.abs(surface.positions).max(initial=0.0)) * 2.0**-22
        error = GeometricError(bound, grid.step * 0.25)
    else:
        seen = merge([_decoded_surface(primitive, index) for index, primitive in primitives])
        error = geometric_error(source.surface, without_degenerates(seen), grid.step, on_source)
    finished = tuple(primitives)
    return Finished(finished, Shape.of(finished), error.bound, error.mean, metres_per_uv(surface, kinds))


def _decoded_surface(primitive: EncodedPrimitive, kind: int) -> Surface:
    positions, inverse = unique_rows(primitive.attributes["POSITION"].values.astype(np.float64))
    triangles = inverse[primitive.triangles]
    return Surface(positions, triangles, np.full(len(triangles), kind, np.int64), np.zeros((len(triangles), 3, 2)))


def metres_per_uv(surface: Surface, kinds: Sequence[PrimitiveKind]) -> float | None:
    """Square root of surface area over texture area, of all textured triangles, as the pictures see it."""
    textured = np.isin(surface.kinds, [i for i, k in enumerate(kinds) if k.textured])
    _, area = face_normals(surface.positions, surface.triangles[textured])
    uv = surface.uv[textured]
    u, v = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    scale = np.array([k.uv_scale for k in kinds])[surface.kinds[textured]]
    texture_area = float((np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * scale**2).sum()) * 0.5
    total = float(area.sum())
    return float(np.sqrt(total / texture_area)) if texture_area > 1e-12 and total > 0 else None
