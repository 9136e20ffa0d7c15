"""How a simulated participant carries an object in the right hand and throws it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .walks import STEPS_PER_S

CARRY_STEPS: Final = 60  # 2 s in the hand
THROW_M_PER_S: Final = 3.0  # horizontally; and 2 upwards
LIFT_M_PER_S: Final = 2.0
GRAVITY_M_PER_S2: Final = 9.81
GROUND_MM: Final = 100

Millimetres = tuple[int, int, int]


@dataclass(slots=True)
class Carry:
    """An object held since step `since`; thrown CARRY_STEPS later, from where the hand then is.

    `release`: where that will be. Throws go towards the middle of the room, so that nothing is lost outside.
    """

    id: int
    epoch: int
    since: int
    release: Millimetres
    landed: bool = False

    def at(self, step: int, hand: Millimetres) -> Millimetres:
        """Where the object is at that step."""
        flying = step - self.since - CARRY_STEPS
        if flying <= 0:
            return hand
        t = flying / STEPS_PER_S
        x, y, z = self.release
        away = max((x * x + z * z) ** 0.5, 1.0)
        run = min(1000.0 * THROW_M_PER_S * t, away)
        up = y + 1000.0 * (LIFT_M_PER_S * t - 0.5 * GRAVITY_M_PER_S2 * t * t)
        self.landed = up <= GROUND_MM
        return round(x - x / away * run), max(round(up), GROUND_MM), round(z - z / away * run)
