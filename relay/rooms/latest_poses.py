"""The newest pose of each participant of a room, and which of them changed since a given time. Pure.

Every change has a serial number. A reader remembers the newest serial it has sent and asks for later changes, so any
number of readers can follow the same poses, each at its own rate.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..protocol.poses import FLOAT32, MAX_AGE_MS, POINT_F32, POINT_MM, RECORD_HEADER

_pack_header = RECORD_HEADER.pack  # bound once: looking up `pack` of an imported name costs 60 ns for each record


class PoseSlot:
    """The newest pose of one participant. `body` is encoded."""

    __slots__ = ("_poses", "at", "body", "flags", "pid", "serial")

    def __init__(self, poses: LatestPoses, pid: int) -> None:
        self._poses = poses
        self.pid = pid
        self.flags = 0
        self.body = b""
        self.at = 0.0  # time of arrival
        self.serial = 0  # of the last change; 0: no pose yet

    def put(self, flags: int, body: bytes, now: float) -> None:
        """Store a new pose: flags and body as `decode_pose_up` returns them."""
        if body != self.body or flags != self.flags:
            poses = self._poses
            if not self.serial:
                poses.show(self)
            self.serial = poses.serial = poses.serial + 1
            self.flags = flags
            self.body = body
        self.at = now

    def record(self, now: float) -> bytes:
        """The record of this pose in a tick that is made at `now`."""
        age_ms = int((now - self.at) * 1000.0)
        return _pack_header(self.pid, self.flags, age_ms if age_ms < MAX_AGE_MS else MAX_AGE_MS) + self.body

    @property
    def ground_position(self) -> tuple[float, float]:
        """x and z of the head, in metres."""
        if self.flags & FLOAT32:
            x, _, z, _ = POINT_F32.unpack_from(self.body)
            return x, z
        x, _, z, _ = POINT_MM.unpack_from(self.body)
        return x * 0.001, z * 0.001


class LatestPoses:
    def __init__(self) -> None:
        self.serial = 0  # of the newest change
        self._slots: dict[int, PoseSlot] = {}  # by pid
        self._shown: dict[int, PoseSlot] = {}  # those of `_slots` that have a pose

    def __len__(self) -> int:
        """Number of participants that have sent a pose."""
        return len(self._shown)

    def __iter__(self) -> Iterator[PoseSlot]:
        """The slots that have a pose."""
        return iter(self._shown.values())

    def slot_of(self, pid: int) -> PoseSlot:
        """The slot for the poses of a participant, until `remove`."""
        slot = self._slots.get(pid)
        if slot is None:
            slot = self._slots[pid] = PoseSlot(self, pid)
        return slot

    def show(self, slot: PoseSlot) -> None:
        """Include a slot with its first pose, unless its participant was removed."""
        if self._slots.get(slot.pid) is slot:
            self._shown[slot.pid] = slot

    def remove(self, pid: int) -> None:
        self._slots.pop(pid, None)
        self._shown.pop(pid, None)

    def changed_since(self, serial: int, now: float) -> list[bytes]:
        """The records of all poses that changed after `serial`."""
        return [slot.record(now) for slot in self._shown.values() if slot.serial > serial]

    def all_records(self, now: float) -> list[bytes]:
        """The records of all poses."""
        return [slot.record(now) for slot in self._shown.values()]
