"""Where everyone in a room is: the newest body of each participant, and what changed since when. Pure.

Every change has a serial number. Whoever sends ticks remembers the newest serial it has sent and asks for what
came after, so any number of audiences may read the same bodies, each at its own pace.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from ..protocol.poses import FLOAT32, MAX_AGE_MS

_RECORD_HEADER = struct.Struct("<HBB")  # pid, flags, age_ms
_HEAD_MM: Final = struct.Struct("<hhh")
_HEAD_F32: Final = struct.Struct("<fff")


class Placed:
    """One participant's newest body, in wire form."""

    __slots__ = ("_bodies", "at", "body", "flags", "pid", "serial")

    def __init__(self, bodies: Bodies, pid: int) -> None:
        self._bodies = bodies
        self.pid = pid
        self.flags = 0
        self.body = b""
        self.at = 0.0  # when it came
        self.serial = 0  # of the last change

    def put(self, flags: int, body: bytes, now: float) -> None:
        """The newest pose: flags and body as `decode_pose_up` returns them."""
        if body != self.body or flags != self.flags:
            bodies = self._bodies
            if not self.serial:
                bodies.show(self)
            self.serial = bodies.serial = bodies.serial + 1
            self.flags = flags
            self.body = body
        self.at = now

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
        self._places: dict[int, Placed] = {}
        self._shown: dict[int, Placed] = {}  # those of them that have a pose

    def __len__(self) -> int:
        """How many have sent a pose."""
        return len(self._shown)

    def __iter__(self) -> Iterator[Placed]:
        return iter(self._shown.values())

    def place_of(self, pid: int) -> Placed:
        """Where that participant's poses go, until `remove`."""
        placed = self._places.get(pid)
        if placed is None:
            placed = self._places[pid] = Placed(self, pid)
        return placed

    def show(self, placed: Placed) -> None:
        """A first pose; of somebody who was removed it is shown to nobody."""
        if self._places.get(placed.pid) is placed:
            self._shown[placed.pid] = placed

    def remove(self, pid: int) -> None:
        self._places.pop(pid, None)
        self._shown.pop(pid, None)

    def changed_since(self, serial: int, now: float) -> list[bytes]:
        """Records of the bodies that changed after `serial`."""
        return [placed.record(now) for placed in self._shown.values() if placed.serial > serial]

    def everyone(self, now: float) -> list[bytes]:
        """Records of all bodies."""
        return [placed.record(now) for placed in self._shown.values()]
