"""Orthographic cameras around a model, evenly spread over all directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray

GOLDEN_ANGLE = np.pi * (3.0 - 5.0**0.5)
MARGIN = 1.05  # width of a picture, relative to the diameter of the model's bounding sphere


@dataclass(frozen=True)
class Camera:
    """An orthographic camera.

    axes: (3, 3) rows to the right, up, and towards the viewer, unit vectors. center: the point (3,) in the middle of
    the picture. width: length on the model from one side of the picture to the other.
    """

    axes: FloatArray
    center: FloatArray
    width: float

    def project(self, points: FloatArray, pixels: int) -> FloatArray:
        """Points (n, 3) as columns and rows of a picture with `pixels` on each side, and their nearness in pixels."""
        x, y, z = (points[:, k : k + 1] - self.center[k] for k in range(3))
        # Term by term, since BLAS rounds differently on different processors.
        turned = x * self.axes[:, 0] + y * self.axes[:, 1] + z * self.axes[:, 2]
        scale = pixels / self.width
        return np.stack(
            [turned[:, 0] * scale + pixels / 2, pixels / 2 - turned[:, 1] * scale, turned[:, 2] * scale], axis=1
        )


def spread_directions(count: int) -> FloatArray:
    """Unit vectors (count, 3) along a Fibonacci spiral, from up to down.

    The spiral: González, Measurement of areas on a sphere using Fibonacci and latitude–longitude lattices, 2010.
    """
    height = 1.0 - (2 * np.arange(count) + 1) / count
    ring, turn = np.sqrt(1.0 - height * height), GOLDEN_ANGLE * np.arange(count)
    return np.stack([np.cos(turn) * ring, height, np.sin(turn) * ring], axis=1)


def cameras_around(low: FloatArray, high: FloatArray, count: int) -> list[Camera]:
    """`count` cameras that frame the box from `low` (3,) to `high` (3,), in evenly spread directions."""
    center = (low + high) * 0.5
    width = MARGIN * (float(np.linalg.norm(high - low)) or 1.0)
    cameras = []
    for toward in spread_directions(count):
        up = np.array([0.0, 1.0, 0.0]) if abs(toward[1]) < 0.99 else np.array([0.0, 0.0, -1.0])
        right = np.cross(up, toward)
        right /= np.linalg.norm(right)
        cameras.append(Camera(np.stack([right, np.cross(toward, right), toward]), center, width))
    return cameras
