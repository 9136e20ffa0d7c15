"""Motions of simulated participants: endless loops of encoded bodies, the same for the same seed. Pure.

Packing the quaternions of a thousand participants in Python would need more than one core. So a few closed loops are
computed once, and each participant follows one of them, from its own first step and around its own centre.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..protocol.messages import Quat
from ..protocol.poses import BODY_MM, BOTH_HANDS, pack_quaternion

STEPS_PER_S: Final = 30
LOOP_S: Final = 24  # poses repeat after this time, which is longer than any pose is under way
LOOPS: Final = 24
FLAGS: Final = BOTH_HANDS

MIN_RADIUS_M: Final = 3.0  # from the middle of the room, which holds the exhibits
MAX_RADIUS_M: Final = 28.0  # with the loop around it, still within 16-bit millimetres
RADIUS_PER_ROOT_PARTICIPANT_M: Final = 0.9  # each participant has 2.5 m² on average

_pack_body = BODY_MM.pack
_STRIDES: Final = 40  # in one loop: 1.7 per second

Step = tuple[int, int, int, int, int, int, int, int, int, int, int, int]  # 3 × (x, y, z mm, packed rotation)
Loop = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """The motion of one participant. `start` is the first step in the loop; `x`, `z` are its centre in millimetres."""

    loop: Loop
    start: int
    x: int
    z: int

    def body(self, step: int) -> bytes:
        """The encoded body at a step, which counts from 0 without a limit. Its flags are FLAGS."""
        x, z = self.x, self.z
        s = self.loop[(self.start + step) % len(self.loop)]
        return _pack_body(
            s[0] + x, s[1], s[2] + z, s[3], s[4] + x, s[5], s[6] + z, s[7], s[8] + x, s[9], s[10] + z, s[11]
        )

    def right_hand_mm(self, step: int) -> tuple[int, int, int]:
        s = self.loop[(self.start + step) % len(self.loop)]
        return s[8] + self.x, s[9], s[10] + self.z


def walks(seed: int, rooms: Sequence[int]) -> list[list[Walk]]:
    """A motion for each participant of each room. `rooms` holds the number of participants by room."""
    rng = random.Random(seed)
    loops = [_loop(rng) for _ in range(min(LOOPS, sum(rooms)))]
    return [[_walk(rng, loops, participants) for _ in range(participants)] for participants in rooms]


def _walk(rng: random.Random, loops: list[Loop], participants: int) -> Walk:
    max_radius = min(MIN_RADIUS_M + RADIUS_PER_ROOT_PARTICIPANT_M * math.sqrt(participants), MAX_RADIUS_M)
    radius = math.sqrt(rng.uniform(MIN_RADIUS_M**2, max_radius**2))  # uniform over the area of the ring
    angle = rng.uniform(0.0, math.tau)
    loop = rng.choice(loops)
    return Walk(
        loop,
        start=rng.randrange(len(loop)),
        x=round(1000.0 * radius * math.cos(angle)),
        z=round(1000.0 * radius * math.sin(angle)),
    )


def _loop(rng: random.Random) -> Loop:
    """A closed curve of three harmonics, with head and hands above it. Every component has a period of LOOP_S."""
    height = rng.uniform(1.5, 1.85)
    harmonics = [
        (k, rng.uniform(0.6, 1.3) / k, rng.uniform(0.0, math.tau), rng.uniform(0.6, 1.3) / k) for k in (1, 2, 3)
    ]
    gaze = rng.uniform(0.0, math.tau)
    count = LOOP_S * STEPS_PER_S
    return tuple(_step(math.tau * i / count, harmonics, height, gaze) for i in range(count))


def _step(t: float, harmonics: list[tuple[int, float, float, float]], height: float, gaze: float) -> Step:
    x = sum(a * math.cos(k * t + p) for k, a, p, _ in harmonics)
    z = sum(b * math.sin(k * t + p) for k, _, p, b in harmonics)
    vx = sum(-k * a * math.sin(k * t + p) for k, a, p, _ in harmonics)
    vz = sum(k * b * math.cos(k * t + p) for k, _, p, b in harmonics)
    heading = math.atan2(-vx, -vz)  # the forward axis of a body is its −z
    stride = math.sin(_STRIDES * t)

    head = pack_quaternion(_rotation(heading + 0.7 * math.sin(5 * t + gaze), 0.25 * math.sin(3 * t + gaze) - 0.1))
    hand = pack_quaternion(_rotation(heading, 0.3))
    right = _offset(x, z, heading, 0.26, 0.18 + 0.22 * stride)
    left = _offset(x, z, heading, -0.26, 0.18 - 0.22 * stride)
    return (
        *_mm(x, height + 0.02 * math.cos(2 * _STRIDES * t), z), head,
        *_mm(left[0], height * 0.6, left[1]), hand,
        *_mm(right[0], height * 0.6, right[1]), hand,
    )  # fmt: skip


def _offset(x: float, z: float, heading: float, right: float, forward: float) -> tuple[float, float]:
    """The point at a distance to the right of and in front of a body at x, z."""
    sin, cos = math.sin(heading), math.cos(heading)
    return x + right * cos - forward * sin, z - right * sin - forward * cos


def _rotation(yaw: float, pitch: float) -> Quat:
    """The quaternion of a rotation by `yaw` about y, then by `pitch` about the rotated x axis."""
    sy, cy, sp, cp = math.sin(yaw / 2), math.cos(yaw / 2), math.sin(pitch / 2), math.cos(pitch / 2)
    return (cy * sp, sy * cp, -sy * sp, cy * cp)


def _mm(*metres: float) -> tuple[int, int, int]:
    x, y, z = (round(1000.0 * m) for m in metres)
    return x, y, z
