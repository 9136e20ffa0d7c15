"""Tell places that people can stand in, such as rooms, from objects whose inside nobody sees."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..mesh.closest import ClosestPoints
from ..mesh.geometry import face_normals
from ..mesh.rays import first_hits
from ..views.cameras import spread_directions
from ..views.drawable import Drawable

EYE, ELBOW_ROOM, STEP = 1.6, 0.5, 0.7  # metres: above the floor, free around the eye, and how far off the floor may be
PLACES = 6  # on each side of the grid of eyes
RAYS = 64  # from each eye
# From the eye of somebody who stands in a solid, rays hit faces from behind. Walls of a place are seen from their front
# or have materials of two sides.
MAX_BEHIND = 0.1
MIN_ENCLOSED = 0.25  # the share of rays that must meet what is not seen from outside


def can_be_entered(source: Drawable, seen: BoolArray) -> bool:
    """Whether a person who stands in a model with its lengths in metres, Y up, sees much that is not seen from outside.

    seen: a mask (m,) of the triangles that are seen from outside.
    """
    low, high = source.box
    if seen.all() or (high - low < [2 * ELBOW_ROOM, EYE, 2 * ELBOW_ROOM]).any():
        return False
    places = (np.arange(PLACES) + 0.5) / PLACES
    x, z = np.meshgrid(low[0] + places * (high[0] - low[0]), low[2] + places * (high[2] - low[2]), indexing="ij")
    eyes = np.stack([x.ravel(), np.full(x.size, low[1] + EYE), z.ravel()], axis=1)
    on_source = ClosestPoints(source.positions, source.triangles)
    down = np.tile([0.0, -1.0, 0.0], (len(eyes), 1))
    _, drop = first_hits(eyes, down, EYE + STEP, on_source.tree)
    free = on_source.query(eyes).distances >= ELBOW_ROOM
    normals, _ = face_normals(source.positions, source.triangles)
    two_sided = np.array([m.two_sided for m in source.materials])[source.material]
    return any(
        _sees_unseen(eye, on_source, normals, two_sided, seen) for eye in eyes[free & (np.abs(drop - EYE) <= STEP)]
    )


def _sees_unseen(
    eye: FloatArray, on_source: ClosestPoints, normals: FloatArray, two_sided: BoolArray, seen: BoolArray
) -> bool:
    directions = spread_directions(RAYS)
    hit, _ = first_hits(np.tile(eye, (RAYS, 1)), directions, np.inf, on_source.tree)
    met = hit >= 0
    behind = (normals[hit] * directions).sum(axis=1) > 0
    if (met & behind & ~two_sided[hit]).sum() > MAX_BEHIND * RAYS:
        return False
    return bool((met & ~seen[hit]).sum() >= MIN_ENCLOSED * RAYS)
