"""How simulated people walk and look about: endless loops of bodies in wire form, the same for the same seed. Pure.

Packing quaternions for a thousand people in Python would take more than a core. So a few closed loops are
computed once, and each walker follows one of them from a step and around a spot of their own.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..protocol.messages import Quat
from ..protocol.poses import BOTH_HANDS, pack_quaternion

STEPS_PER_S: Final = 30
LOOP_S: Final = 24  # a step comes again after this long; no pose is under way for that long
LOOPS: Final = 24
FLAGS: Final = BOTH_HANDS

NEAREST_M: Final = 3.0  # from the middle of the room, where things stand to be looked at
FURTHEST_M: Final = 28.0  # with the loop around it, still within 16-bit millimetres
M_PER_ROOT_PERSON: Final = 0.9  # a crowd spreads so that everyone has 2.5 m² of their own

_BODY = struct.Struct("<hhhIhhhIhhhI")
_STRIDES: Final = 40  # in one loop: 1.7 a second

Step = tuple[int, int, int, int, int, int, int, int, int, int, int, int]  # 3 × (x, y, z mm, packed rotation)
Loop = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """One walker's way. `x`, `z`: the spot they walk around, millimetres."""

    loop: Loop
    start: int
    x: int
    z: int

    def body(self, step: int) -> bytes:
        """The body at that step, counted from 0 without end; flags are FLAGS."""
        x, z = self.x, self.z
        s = self.loop[(self.start + step) % len(self.loop)]
        return _BODY.pack(
            s[0] + x, s[1], s[2] + z, s[3], s[4] + x, s[5], s[6] + z, s[7], s[8] + x, s[9], s[10] + z, s[11]
        )

    def right_hand_mm(self, step: int) -> tuple[int, int, int]:
        s = self.loop[(self.start + step) % len(self.loop)]
        return s[8] + self.x, s[9], s[10] + self.z


def walks(seed: int, rooms: Sequence[int]) -> list[list[Walk]]:
    """Ways for so many people in each room; the same for the same arguments."""
    chance = random.Random(seed)
    loops = [_loop(chance) for _ in range(min(LOOPS, sum(rooms)))]
    return [[_walk(chance, loops, people) for _ in range(people)] for people in rooms]


def _walk(chance: random.Random, loops: list[Loop], people: int) -> Walk:
    furthest = min(NEAREST_M + M_PER_ROOT_PERSON * math.sqrt(people), FURTHEST_M)
    radius = math.sqrt(chance.uniform(NEAREST_M**2, furthest**2))  # uniform over the ring's area
    angle = chance.uniform(0.0, math.tau)
    loop = chance.choice(loops)
    return Walk(
        loop,
        start=chance.randrange(len(loop)),
        x=round(1000.0 * radius * math.cos(angle)),
        z=round(1000.0 * radius * math.sin(angle)),
    )


def _loop(chance: random.Random) -> Loop:
    """A closed curve of three harmonics with head and hands above it; every part comes round in LOOP_S."""
    height = chance.uniform(1.5, 1.85)
    harmonics = [
        (k, chance.uniform(0.6, 1.3) / k, chance.uniform(0.0, math.tau), chance.uniform(0.6, 1.3) / k)
        for k in (1, 2, 3)
    ]
    look = chance.uniform(0.0, math.tau)
    count = LOOP_S * STEPS_PER_S
    return tuple(_step(math.tau * i / count, harmonics, height, look) for i in range(count))


def _step(t: float, harmonics: list[tuple[int, float, float, float]], height: float, look: float) -> Step:
    x = sum(a * math.cos(k * t + p) for k, a, p, _ in harmonics)
    z = sum(b * math.sin(k * t + p) for k, _, p, b in harmonics)
    vx = sum(-k * a * math.sin(k * t + p) for k, a, p, _ in harmonics)
    vz = sum(k * b * math.cos(k * t + p) for k, _, p, b in harmonics)
    heading = math.atan2(-vx, -vz)  # bodies look along their −z
    stride = math.sin(_STRIDES * t)

    head = pack_quaternion(_turned(heading + 0.7 * math.sin(5 * t + look), 0.25 * math.sin(3 * t + look) - 0.1))
    hand = pack_quaternion(_turned(heading, 0.3))
    right = _beside(x, z, heading, 0.26, 0.18 + 0.22 * stride)
    left = _beside(x, z, heading, -0.26, 0.18 - 0.22 * stride)
    return (
        *_mm(x, height + 0.02 * math.cos(2 * _STRIDES * t), z), head,
        *_mm(left[0], height * 0.6, left[1]), hand,
        *_mm(right[0], height * 0.6, right[1]), hand,
    )  # fmt: skip


def _beside(x: float, z: float, heading: float, right: float, forward: float) -> tuple[float, float]:
    sin, cos = math.sin(heading), math.cos(heading)
    return x + right * cos - forward * sin, z - right * sin - forward * cos


def _turned(yaw: float, pitch: float) -> Quat:
    """First about y, then about the own x."""
    sy, cy, sp, cp = math.sin(yaw / 2), math.cos(yaw / 2), math.sin(pitch / 2), math.cos(pitch / 2)
    return (cy * sp, sy * cp, -sy * sp, cy * cp)


def _mm(*metres: float) -> tuple[int, int, int]:
    x, y, z = (round(1000.0 * m) for m in metres)
    return x, y, z
