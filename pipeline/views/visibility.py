"""The triangles of a drawable that are seen from outside."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..jobs.tasks import StartTasks, start_locally
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


def _corners_seen(points: FloatArray, nearness: FloatArray) -> BoolArray:
    """A mask (n,) of the projected points (n, 3) that are nearly as near as something drawn in the pixels around, or
    that lie in a pixel without anything."""
    from scipy import ndimage  # slow to load, and few models need it

    around = ndimage.minimum_filter(np.where(np.isfinite(nearness), nearness, np.inf), 3)
    around[~np.isfinite(nearness)] = -np.inf
    column, row = (np.clip(points[:, k].astype(np.int64), 0, PIXELS - 1) for k in range(2))
    near: BoolArray = points[:, 2] >= around[row, column] - DEPTH_TOLERANCE
    return near
