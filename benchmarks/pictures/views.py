"""The eight cameras from which source and candidates are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, radians, sin, sqrt

Point = tuple[float, float, float]

FIELD_OF_VIEW = 30.0  # degrees
MARGIN = 1.01  # the box's sphere fills the picture but for this factor
# Six directions around the model at three heights, one from below and one from above.
DIRECTIONS: tuple[Point, ...] = (
    *(
        (cos(around) * cos(height), sin(height), sin(around) * cos(height))
        for around, height in ((0.3 + i * pi / 3, (0.35, 0.1, 0.6)[i % 3]) for i in range(6))
    ),
    (0.2, -0.8, 0.5),
    (0.1, 1.0, 0.2),
)


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in the units of a model."""

    low: Point
    high: Point

    @property
    def centre(self) -> Point:
        x, y, z = ((a + b) / 2 for a, b in zip(self.low, self.high, strict=True))
        return x, y, z

    @property
    def radius(self) -> float:
        """The radius of the sphere around the box."""
        return hypot(*(b - a for a, b in zip(self.low, self.high, strict=True))) / 2


@dataclass(frozen=True)
class Camera:
    """A perspective camera with a square picture. fov: degrees; near, far: distances of the clipping planes."""

    position: Point
    target: Point
    up: Point
    fov: float
    near: float
    far: float


def cameras(box: Box, directions: Sequence[Point] = DIRECTIONS) -> list[Camera]:
    """A camera for each direction, so far from the box that the sphere around it fills the picture.

    A sphere of radius r fills a field of view f at the distance r / sin(f / 2). Raises ValueError if the box is empty,
    a point, or not finite.
    """
    radius, centre = box.radius, box.centre
    if not 0 < radius < float("inf"):
        raise ValueError(f"the box from {box.low} to {box.high} has no extent to look at")
    distance = MARGIN * radius / sin(radians(FIELD_OF_VIEW / 2))
    return [_camera(centre, direction, distance, radius) for direction in directions]


def _camera(centre: Point, direction: Point, distance: float, radius: float) -> Camera:
    length = sqrt(sum(d * d for d in direction))
    x, y, z = (c + distance * d / length for c, d in zip(centre, direction, strict=True))
    steep = abs(direction[1]) > 0.9 * length
    # Parts of a candidate that lie outside the box are drawn too, so the clipping planes are far from it.
    return Camera((x, y, z), centre, (0, 0, -1) if steep else (0, 1, 0), FIELD_OF_VIEW, radius / 4, distance * 5)
