"""Build the shell of a source: its outside as one lean surface, unwrapped and baked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from ..mesh.closest import ClosestPoints
from ..mesh.geometry import face_normals
from ..mesh.rays import first_hits
from ..mesh.simplify import simplify
from ..mesh.surface import Surface
from ..views.drawable import Drawable
from .atlas import texels_of, unwrap
from .bake import Baked, bake
from .distance_field import THICKNESS, outside_distance
from .surface_nets import surface_net

GRID_STEPS = 160  # along the longest side
THIN = 3.0  # thinner parts keep the thickness of their shell, in steps of the grid
REACH = 3.0  # of the rays that bake, in steps


@dataclass(frozen=True)
class Shell:
    """A shell: one kind of triangle, with texture coordinates. normals: (m, 3, 3) of its corners."""

    surface: Surface
    normals: FloatArray
    pictures: Baked


def build_shell(source: Drawable, triangles: int, pixels: int) -> Shell | None:
    """The shell of a drawable with about this many triangles, and pictures of `pixels` on each side.

    None if nothing is left of it.
    """
    on_source = ClosestPoints(source.positions, source.triangles)
    field = outside_distance(source.positions, source.triangles, on_source, GRID_STEPS)
    positions, faces = surface_net(field)
    positions = _drawn_to_source(positions, faces, field.step, on_source)
    count = len(faces)
    fine = Surface(positions, faces, np.zeros(count, np.int64), np.zeros((count, 3, 2)))
    lean = simplify(fine, triangles)
    if len(lean.triangles) == 0:
        return None
    uv = unwrap(lean, pixels)
    surface = Surface(lean.positions, lean.triangles, lean.kinds, uv)
    normals = corner_normals(surface)
    texels = texels_of(uv, pixels)
    if not texels.covered.any():
        return None
    return Shell(surface, normals, bake(surface, normals, texels, source, on_source, REACH * field.step))


def _drawn_to_source(positions: FloatArray, faces: IntArray, step: float, on_source: ClosestPoints) -> FloatArray:
    """Move vertices onto the source, but those of thin parts, which would lose their thickness and so be invisible from
    their side."""
    nearest = on_source.query(positions)
    normals = vertex_normals(positions, faces)
    # A thin part has its other side within a few steps, and so has its shell.
    on_shell = ClosestPoints(positions, faces)
    hit, _ = first_hits(positions - normals * (0.05 * step), -normals, THIN * step, on_shell.tree)
    thin = hit >= 0
    keep = np.where(thin, 0.5 * THICKNESS, 0.0)[:, None] * step
    offset = positions - nearest.points
    length = np.maximum(nearest.distances, 1e-30)[:, None]
    moved: FloatArray = nearest.points + offset / length * np.minimum(keep, length)
    return np.where(length < 2 * step, moved, positions)


def vertex_normals(positions: FloatArray, triangles: IntArray) -> FloatArray:
    """Unit normals (n, 3), weighted by area."""
    normals, areas = face_normals(positions, triangles)
    total = np.zeros((len(positions), 3))
    for corner in range(3):
        for k in range(3):
            total[:, k] += np.bincount(triangles[:, corner], normals[:, k] * areas, len(positions))
    result: FloatArray = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)
    return result


def corner_normals(surface: Surface) -> FloatArray:
    return vertex_normals(surface.positions, surface.triangles)[surface.triangles]
