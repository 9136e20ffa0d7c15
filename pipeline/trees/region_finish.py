"""Finish a region: transfer its attributes, encode its primitives, and measure the error that a decoder will see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..arrays import FloatArray, IntArray
from ..gltf.draco import EncodedPrimitive, Grid, encode_primitive
from ..mesh.attributes import transfer
from ..mesh.closest import ClosestPoints
from ..mesh.geometric_error import GeometricError, geometric_error
from ..mesh.geometry import face_normals
from ..mesh.surface import PrimitiveKind, Source, Surface, measurable, merge, stored_kinds
from ..mesh.topology import unique_rows
from ..mesh.weld import weld_corners
from ..settings import Settings
from .borders import open_edges
from .region_bounds import BoundGeometry


@dataclass(frozen=True)
class TreeEncoding:
    """The encoding that all regions of a tree share. kinds: of the source's triangles."""

    kinds: Sequence[PrimitiveKind]
    grid: Grid
    settings: Settings

    @cached_property
    def stored(self) -> tuple[tuple[PrimitiveKind, ...], IntArray]:
        """The kinds of the primitives in files, and the place of each of `kinds` among them."""
        return stored_kinds(self.kinds)


@dataclass(frozen=True)
class FinishTask:
    """A region to finish.

    source: the piece of the source that this region stands for. exact: whether `surface` is that piece. on_source: the
    closest points of that piece, if the caller has them.
    """

    surface: Surface
    source: Source
    encoding: TreeEncoding
    exact: bool
    on_source: ClosestPoints | None = None


@dataclass(frozen=True)
class FinishedRegion:
    """The result of a FinishTask. Errors are in the tree's units; mean_error is that of the source's vertices.

    open_edges: see borders.py; found here, since the regions of a tier are finished in several processes.
    """

    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    bound_geometry: BoundGeometry
    error: float
    mean_error: float
    metres_per_uv: float | None
    open_edges: FloatArray

    @cached_property
    def decoded(self) -> Surface:
        """The surface that a decoder sees."""
        return decoded_surface(self.primitives)


def finish_region(task: FinishTask) -> FinishedRegion:
    """Transfer the attributes, encode the primitives, and measure the error of the decoded surface."""
    surface, source, encoding = task.surface, task.source, task.encoding
    if task.exact:
        primitives = _encoded(surface, {name: source.corners(name) for name in source.attributes}, encoding)
        decoded = decoded_surface(primitives)
        error = _rounding_error(surface, encoding.grid)
    else:
        on_source = task.on_source or ClosestPoints(source.surface.positions, source.surface.triangles)
        primitives = _encoded(surface, transfer(source, surface, list(encoding.kinds), on_source), encoding)
        decoded = decoded_surface(primitives)
        error = geometric_error(source.surface, measurable(decoded), encoding.grid.step, on_source)
    return FinishedRegion(
        primitives,
        BoundGeometry.of(primitives),
        error.bound,
        error.mean,
        metres_per_uv(surface, encoding.kinds),
        open_edges(decoded),
    )


def metres_per_uv(surface: Surface, kinds: Sequence[PrimitiveKind]) -> float | None:
    """The length on the surface of one unit of texture coordinates, after KHR_texture_transform.

    It is the square root of surface area over texture area, both summed over all textured triangles but those of merged
    materials; None without.
    """
    textured = np.isin(surface.kinds, [i for i, k in enumerate(kinds) if k.textured and k.merged is None])
    _, area = face_normals(surface.positions, surface.triangles[textured])
    uv = surface.uv[textured]
    u, v = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    scale = np.array([k.uv_scale for k in kinds])[surface.kinds[textured]]
    texture_area = float((np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * scale**2).sum()) * 0.5
    total = float(area.sum())
    return float(np.sqrt(total / texture_area)) if texture_area > 1e-12 and total > 0 else None


def _encoded(
    surface: Surface, corners: dict[str, FloatArray], encoding: TreeEncoding
) -> tuple[tuple[int, EncodedPrimitive], ...]:
    """One Draco stream for each stored kind that has triangles.

    corners: attributes (m, 3, k) but positions and TEXCOORD_0.
    """
    grid = encoding.grid
    # The collapse may place a vertex a little outside of the source's box; Draco refuses positions off its grid.
    low = np.array(grid.origin)
    positions = np.clip(surface.positions, low, low + grid.range)
    primitives = []
    stored, place = encoding.stored
    kinds = place[surface.kinds]
    for index, kind in enumerate(stored):
        of_kind = kinds == index
        if not of_kind.any():
            continue
        named: dict[str, FloatArray] = {"POSITION": positions[surface.triangles[of_kind]]}
        for name in kind.attributes:
            if name != "POSITION":
                named[name] = surface.uv[of_kind] if name == "TEXCOORD_0" else corners[name][of_kind]
        primitive = encode_primitive(
            *weld_corners(named), grid, encoding.settings, texels=kind.texels, deep_colors=kind.deep_colors
        )
        primitives.append((index, primitive))
    return tuple(primitives)


def _rounding_error(surface: Surface, grid: Grid) -> GeometricError:
    """The error of an encoded surface whose triangles stay the same.

    Quantisation moves a corner by at most half a step on each axis; float32 arithmetic adds a few units in the last
    place.
    """
    bound = grid.step * 0.5 * 3**0.5 + float(np.abs(surface.positions).max(initial=0.0)) * 2.0**-22
    return GeometricError(bound, grid.step * 0.25)


def decoded_surface(primitives: Sequence[tuple[int, EncodedPrimitive]]) -> Surface:
    """Encoded primitives, each with its kind, as the welded surface that a decoder sees."""
    parts = []
    for kind, primitive in primitives:
        positions, inverse = unique_rows(primitive.attributes["POSITION"].values.astype(np.float64))
        triangles = inverse[primitive.triangles]
        parts.append(
            Surface(positions, triangles, np.full(len(triangles), kind, np.int64), np.zeros((len(triangles), 3, 2)))
        )
    return merge(parts)
