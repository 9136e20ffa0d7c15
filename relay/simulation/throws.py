"""How a simulated participant carries an object in the right hand and throws it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .walks import STEPS_PER_S

CARRY_STEPS: Final = 60  # 2 s in the hand
THROW_M_PER_S: Final = 3.0  # horizontal speed of a throw
LIFT_M_PER_S: Final = 2.0  # vertical speed of a throw
GRAVITY_M_PER_S2: Final = 9.81
GROUND_MM: Final = 100

Millimetres = tuple[int, int, int]


@dataclass(slots=True)
class Carry:
    """An object that is held from step `since` and thrown CARRY_STEPS later.

    `release` is the position of the hand at that time. Throws go towards the middle of the room, so that no object
    leaves it.
    """

    id: int
    epoch: int
    since: int
    release: Millimetres
    landed: bool = False

    def at(self, step: int, hand: Millimetres) -> Millimetres:
        """The position of the object at a step. Sets `landed` once it has reached the ground."""
        steps_in_flight = step - self.since - CARRY_STEPS
        if steps_in_flight <= 0:
            return hand
        t = steps_in_flight / STEPS_PER_S
        x, y, z = self.release
        to_middle = max((x * x + z * z) ** 0.5, 1.0)
        distance = min(1000.0 * THROW_M_PER_S * t, to_middle)
        height = y + 1000.0 * (LIFT_M_PER_S * t - 0.5 * GRAVITY_M_PER_S2 * t * t)
        self.landed = height <= GROUND_MM
        return (
            round(x - x / to_middle * distance),
            max(round(height), GROUND_MM),
            round(z - z / to_middle * distance),
        )
