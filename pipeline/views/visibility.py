"""The triangles of a drawable that are seen from outside."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..jobs.tasks import StartTasks, start_locally
from ..mesh.compiled import compiled
from ..mesh.geometry import face_normals
from .cameras import Camera, cameras_around
from .drawable import Drawable
from .materials import MASK, OPAQUE
from .shading import rasterized
from .shared_views import Views, of_views

VIEWS, PIXELS = 24, 384
# A triangle smaller than a pixel may cover no pixel's centre. So a triangle counts as seen, too, if one of its corners
# is at most this far, in pixels, behind what is drawn around it.
DEPTH_TOLERANCE = 1.0


def seen_from_outside(drawable: Drawable, start_tasks: StartTasks = start_locally) -> BoolArray:
    """A mask (m,) of the triangles that can be seen from one of VIEWS directions. Blended triangles always count, and
    hide nothing."""
    if not drawable.mode_mask(OPAQUE, MASK).any():
        return np.ones(len(drawable.triangles), np.bool_)
    shares = of_views(_seen_in, drawable, cameras_around(*drawable.box, VIEWS), start_tasks)
    seen: BoolArray = np.logical_or.reduce(shares)
    return seen


def _seen_in(views: Views) -> BoolArray:
    drawable = views.drawable
    solid = drawable.mode_mask(OPAQUE, MASK)
    seen: BoolArray = ~solid
    normals, _ = face_normals(drawable.positions, drawable.triangles)
    two_sided = np.array([m.two_sided for m in drawable.materials])[drawable.material]
    for camera in views.cameras:
        toward = camera.axes[2]
        faces = normals[:, 0] * toward[0] + normals[:, 1] * toward[1] + normals[:, 2] * toward[2] > 0
        seen |= _seen_by(drawable, camera, solid) & (two_sided | faces)
    return seen


def _seen_by(drawable: Drawable, camera: Camera, solid: BoolArray) -> BoolArray:
    points = camera.project(drawable.positions, PIXELS)
    chosen = np.flatnonzero(solid)
    fragments = rasterized(drawable, points, chosen, np.full((PIXELS, PIXELS), -np.inf))
    corners = _corners_seen(points, fragments.nearness)[drawable.triangles]
    seen: BoolArray = corners[:, 0] | corners[:, 1] | corners[:, 2]
    seen[chosen[fragments.triangle[fragments.triangle >= 0]]] = True
    return seen


@compiled
def _corners_seen(points: FloatArray, nearness: FloatArray) -> BoolArray:
    """A mask (n,) of the projected points (n, 3) that are nearly as near as something drawn in the pixels around, or
    that lie in a pixel without anything."""
    height, width = nearness.shape
    seen = np.empty(len(points), np.bool_)
    for i in range(len(points)):
        column, row = min(max(int(points[i, 0]), 0), width - 1), min(max(int(points[i, 1]), 0), height - 1)
        seen[i] = nearness[row, column] == -np.inf
        for y in range(max(row - 1, 0), min(row + 2, height)):
            for x in range(max(column - 1, 0), min(column + 2, width)):
                near = nearness[y, x]
                seen[i] = seen[i] or (near != -np.inf and points[i, 2] >= near - DEPTH_TOLERANCE)
    return seen
