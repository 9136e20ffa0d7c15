"""The shared objects of one room: their holders, their poses, and the order of all events. Pure.

The caller passes `now`, as for the room, and broadcasts the returned events in order. Events are numbered by `rev`. A
client that applies all events in order, starting from an empty room or a snapshot, has the state of the room.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ..protocol.messages import (
    MAX_U32,
    Cause,
    Delete,
    Deleted,
    Denied,
    Grab,
    Grabbed,
    ObjectEvent,
    ObjectMessage,
    Operation,
    Point,
    Quat,
    Refusal,
    Release,
    Released,
    Role,
    SharedObject,
    Spawn,
    Spawned,
)
from ..protocol.moves import Move, encode_moves
from ..protocol.poses import unpack_point

LEASE_S: Final = 5.0  # a holder sends at least five moves in this time
EVENT_HISTORY: Final = 256  # events remembered for clients that return; about 40 KB of messages
KEYFRAME_INTERVAL_S: Final = 1.0
HALVES: Final = (0, 1)  # of a room at half the rate: each gets every second tick


@dataclass(frozen=True, slots=True)
class SavedRoom:
    """The state that outlives the last participant of a room: its objects, without holders, and its counters."""

    rev: int = 0
    last_id: int = 0
    objects: tuple[SharedObject, ...] = ()


@dataclass(slots=True)
class _Object:
    id: int
    asset: str
    scale: float
    pose: Point  # at the last event; `move` is newer
    epoch: int = 0
    owner: int | None = None
    lease_until: float = 0.0
    move: Move | None = None
    moved_at: float = 0.0
    unsent: set[int] = field(default_factory=set)  # halves of the room to which the last move is still to be sent

    @property
    def current_pose(self) -> Point:
        return self.pose if self.move is None else _rounded(unpack_point(self.move.flags, self.move.point))

    @property
    def state(self) -> SharedObject:
        return SharedObject(self.id, self.asset, self.current_pose, self.scale, self.owner, self.epoch)


class SharedObjects:
    def __init__(self, limit: int, saved: SavedRoom | None = None, lease_s: float = LEASE_S) -> None:
        """`limit` is the maximum number of objects, `saved` the state to start from."""
        saved = saved or SavedRoom()
        self.rev = saved.rev
        self._limit = limit
        self._lease_s = lease_s
        self._last_id = saved.last_id
        self._objects = {o.id: _Object(o.id, o.asset, o.scale, o.pose, o.epoch) for o in saved.objects}
        self._held: dict[int, _Object] = {}
        self._unsaved: set[int] = set()  # ids of objects that were moved since `take_moved`
        self._events: deque[ObjectEvent] = deque(maxlen=EVENT_HISTORY)
        self._keyframe_at = dict.fromkeys(HALVES, -math.inf)

    def __len__(self) -> int:
        return len(self._objects)

    def snapshot(self) -> tuple[SharedObject, ...]:
        return tuple(obj.state for obj in self._objects.values())

    def events_since(self, rev: int) -> tuple[ObjectEvent, ...] | None:
        """The events after `rev`; None if not all of them are remembered, or if `rev` is newer than the newest."""
        first = self.rev - len(self._events)
        if not first <= rev <= self.rev:
            return None
        return tuple(event for event in self._events if event.rev > rev)

    def handle(self, pid: int, role: Role, message: ObjectMessage, now: float) -> list[ObjectEvent | Denied]:
        """Carry out an operation of a participant.

        Leases that have expired by `now` end first. The last result is an event for everyone, or a denial for the
        sender.
        """
        return [*self.expire(now), self._carry_out(pid, role, message, now)]

    def refuse(self, message: ObjectMessage, reason: Refusal) -> Denied:
        """The denial of an operation."""
        if isinstance(message, Spawn):
            return Denied("spawn", reason, ref=message.ref)
        op: Operation = "grab" if isinstance(message, Grab) else "release" if isinstance(message, Release) else "delete"
        obj = self._objects.get(message.id)
        return Denied(op, reason, id=message.id, object=obj.state if obj else None)

    def move(self, pid: int, moves: Iterable[Move], now: float) -> None:
        """Apply the moves of objects that `pid` holds, and renew their leases. Ignores all other moves."""
        for move in moves:
            obj = self._held.get(move.id)
            if obj is None or obj.owner != pid or obj.epoch != move.epoch or now >= obj.lease_until:
                continue
            obj.lease_until = now + self._lease_s
            obj.moved_at = now
            if obj.move is None or obj.move.point != move.point or obj.move.flags != move.flags:
                obj.move = move
                obj.unsent.update(HALVES)
                self._unsaved.add(obj.id)

    def expire(self, now: float) -> list[ObjectEvent]:
        """End the leases that have expired."""
        expired = [obj for obj in self._held.values() if now >= obj.lease_until]
        return [self._release(obj, obj.current_pose, Cause.EXPIRED) for obj in expired]

    def leave(self, pid: int) -> list[ObjectEvent]:
        """End the leases of a participant who leaves."""
        held = [obj for obj in self._held.values() if obj.owner == pid]
        return [self._release(obj, obj.current_pose, Cause.LEFT) for obj in held]

    def tick(self, now: float, tick_ms: int, half: int = 0) -> bytes | None:
        """The frame of this tick for one half of the room: objects moved since its last tick, and once per second all
        held objects. `half` is 0 for a room that is not halved.

        None if there are none.
        """
        if now - self._keyframe_at[half] >= KEYFRAME_INTERVAL_S:
            self._keyframe_at[half] = now
            frame = self.keyframe(now, tick_ms)
        else:
            frame = _frame([obj for obj in self._held.values() if half in obj.unsent], now, tick_ms)
        for obj in self._held.values():
            obj.unsent.discard(half)
        return frame

    def keyframe(self, now: float, tick_ms: int) -> bytes | None:
        """A frame with all held objects that were moved, for clients that joined or missed a tick; None without any."""
        return _frame(list(self._held.values()), now, tick_ms)

    def take_moved(self) -> list[tuple[int, Point]]:
        """Ids and poses of the held objects that were moved since the last call."""
        moved = [(object_id, self._objects[object_id].current_pose) for object_id in sorted(self._unsaved)]
        self._unsaved.clear()
        return moved

    def mark_unsaved(self, object_ids: Iterable[int]) -> None:
        """Let the next `take_moved` return these objects again, because they could not be saved."""
        self._unsaved.update(self._objects.keys() & set(object_ids))

    def _carry_out(self, pid: int, role: Role, message: ObjectMessage, now: float) -> ObjectEvent | Denied:
        if role is Role.VIEWER:
            return self.refuse(message, Refusal.ROLE)
        if isinstance(message, Spawn):
            return self._spawn(pid, message)
        obj = self._objects.get(message.id)
        if obj is None:
            return self.refuse(message, Refusal.UNKNOWN)
        held_by_another = obj.owner not in (None, pid)
        match message:
            case Grab():
                if obj.owner == pid or (held_by_another and role is not Role.OWNER):
                    return self.refuse(message, Refusal.HELD)
                return self._grab(obj, pid, now)
            case Release(epoch=epoch, pose=pose):
                if obj.owner != pid or obj.epoch != epoch:
                    return self.refuse(message, Refusal.STALE)
                return self._release(obj, pose, Cause.RELEASED)
            case Delete():
                if held_by_another and role is not Role.OWNER:
                    return self.refuse(message, Refusal.HELD)
                return self._delete(obj)

    def _spawn(self, pid: int, message: Spawn) -> ObjectEvent | Denied:
        if len(self._objects) >= self._limit or self._last_id >= MAX_U32:
            return self.refuse(message, Refusal.LIMIT)
        self._last_id += 1
        obj = _Object(self._last_id, message.asset, message.scale, message.pose)
        self._objects[obj.id] = obj
        return self._record(Spawned(self.rev + 1, obj.id, pid, message.ref, obj.asset, obj.pose, obj.scale))

    def _grab(self, obj: _Object, pid: int, now: float) -> ObjectEvent:
        obj.owner = pid
        obj.epoch += 1
        obj.lease_until = now + self._lease_s
        if obj.move is not None:  # taken from its holder: the last move is sent again, with the new epoch
            obj.unsent.update(HALVES)
        self._held[obj.id] = obj
        return self._record(Grabbed(self.rev + 1, obj.id, pid, obj.epoch, round(self._lease_s * 1000.0)))

    def _release(self, obj: _Object, pose: Point, cause: Cause) -> ObjectEvent:
        obj.pose, obj.move = pose, None
        obj.owner = None
        obj.unsent.clear()
        del self._held[obj.id]
        self._unsaved.discard(obj.id)
        return self._record(Released(self.rev + 1, obj.id, obj.epoch, pose, cause))

    def _delete(self, obj: _Object) -> ObjectEvent:
        del self._objects[obj.id]
        self._held.pop(obj.id, None)
        self._unsaved.discard(obj.id)
        return self._record(Deleted(self.rev + 1, obj.id))

    def _record(self, event: ObjectEvent) -> ObjectEvent:
        """Count an event and remember it."""
        self.rev = event.rev
        self._events.append(event)
        return event


def _frame(objects: list[_Object], now: float, tick_ms: int) -> bytes | None:
    records = [
        Move(obj.id, obj.epoch, obj.move.flags, int((now - obj.moved_at) * 1000.0), obj.move.point)
        for obj in objects
        if obj.move is not None
    ]
    return encode_moves(tick_ms, records) if records else None


def _rounded(point: Point) -> Point:
    """A pose with the precision of control messages: 6 decimals, which are micrometres, keep the JSON short."""
    x, y, z = (round(c, 6) for c in point.p)
    q: Quat = (round(point.q[0], 6), round(point.q[1], 6), round(point.q[2], 6), round(point.q[3], 6))
    return Point((x, y, z), q)
