"""Where everyone in a room is: the newest body of each participant, and what changed since when. Pure.

Every change has a serial number. Whoever sends ticks remembers the newest serial it has sent and asks for what
came after, so any number of audiences may read the same bodies, each at its own pace.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from .poses import FLOAT32, MAX_AGE_MS

_RECORD_HEADER = struct.Struct("<HBB")  # pid, flags, age_ms
_HEAD_MM: Final = struct.Struct("<hhh")
_HEAD_F32: Final = struct.Struct("<fff")


class Placed:
    """One participant's newest body, in wire form."""

    __slots__ = ("at", "body", "flags", "pid", "serial")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.flags = 0
        self.body = b""
        self.at = 0.0  # when it came
        self.serial = 0  # of the last change

    def record(self, now: float) -> bytes:
        age_ms = int((now - self.at) * 1000.0)
        return _RECORD_HEADER.pack(self.pid, self.flags, age_ms if age_ms < MAX_AGE_MS else MAX_AGE_MS) + self.body

    @property
    def ground(self) -> tuple[float, float]:
        """Where the head is on the ground: x and z in metres."""
        if self.flags & FLOAT32:
            x, _, z = _HEAD_F32.unpack_from(self.body)
            return x, z
        x, _, z = _HEAD_MM.unpack_from(self.body)
        return x * 0.001, z * 0.001


class Bodies:
    def __init__(self) -> None:
        self.serial = 0  # of the newest change
        self._placed: dict[int, Placed] = {}

    def __len__(self) -> int:
        """How many have sent a pose."""
        return len(self._placed)

    def __iter__(self) -> Iterator[Placed]:
        return iter(self._placed.values())

    def put(self, pid: int, flags: int, body: bytes, now: float) -> None:
        """A participant's newest pose: flags and body as `decode_pose_up` returns them."""
        placed = self._placed.get(pid)
        if placed is None:
            placed = self._placed[pid] = Placed(pid)
        if placed.body != body or placed.flags != flags:
            self.serial += 1
            placed.serial = self.serial
            placed.flags = flags
            placed.body = body
        placed.at = now

    def remove(self, pid: int) -> None:
        self._placed.pop(pid, None)

    def changed_since(self, serial: int, now: float) -> list[bytes]:
        """Records of the bodies that changed after `serial`."""
        return [placed.record(now) for placed in self._placed.values() if placed.serial > serial]

    def everyone(self, now: float) -> list[bytes]:
        """Records of all bodies."""
        return [placed.record(now) for placed in self._placed.values()]
