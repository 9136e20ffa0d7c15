"""The shared objects of one room: who holds which, where they are, in which order things happened. Pure.

Whoever drives it passes `now`, as for the room, and broadcasts the events it returns, in order. Events are
numbered by `rev`; whoever applies them all, in order, from an empty room or from a snapshot, knows what is here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
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

LEASE_S: Final = 5.0  # five of the moves that a holder sends at least
REMEMBERED_EVENTS: Final = 256  # for those who come back; some 40 KB to send
KEYFRAME_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What outlives a room's last participant: its objects, held by nobody, and where its counters stand."""

    rev: int = 0
    last_id: int = 0
    objects: tuple[SharedObject, ...] = ()


@dataclass(slots=True)
class _Object:
    id: int
    asset: str
    scale: float
    pose: Point  # as of the last event; where it was moved to since is `move`
    epoch: int = 0
    owner: int | None = None
    lease_until: float = 0.0
    move: Move | None = None
    moved_at: float = 0.0
    changed: bool = False  # since the last frame

    @property
    def here(self) -> Point:
        return self.pose if self.move is None else _rounded(unpack_point(self.move.flags, self.move.point))

    @property
    def shared(self) -> SharedObject:
        return SharedObject(self.id, self.asset, self.here, self.scale, self.owner, self.epoch)


class Objects:
    def __init__(self, limit: int, kept: Kept | None = None, lease_s: float = LEASE_S) -> None:
        """`limit`: how many there may be at once."""
        kept = kept or Kept()
        self.rev = kept.rev
        self._limit = limit
        self._lease_s = lease_s
        self._last_id = kept.last_id
        self._objects = {o.id: _Object(o.id, o.asset, o.scale, o.pose, o.epoch) for o in kept.objects}
        self._held: dict[int, _Object] = {}
        self._unsaved: set[int] = set()
        self._events: deque[ObjectEvent] = deque(maxlen=REMEMBERED_EVENTS)
        self._keyframe_at = -math.inf

    def __len__(self) -> int:
        return len(self._objects)

    def snapshot(self) -> tuple[SharedObject, ...]:
        return tuple(one.shared for one in self._objects.values())

    def since(self, rev: int) -> tuple[ObjectEvent, ...] | None:
        """The events after `rev`, or None when not all of them are remembered, or `rev` never was."""
        first = self.rev - len(self._events)
        if not first <= rev <= self.rev:
            return None
        return tuple(event for event in self._events if event.rev > rev)

    def handle(self, pid: int, role: Role, message: ObjectMessage, now: float) -> list[ObjectEvent | Denied]:
        """What follows from what a participant asks for: leases that ran out until now end first, then comes an
        event for everyone or a denial for who asked."""
        return [*self.expire(now), self._obey(pid, role, message, now)]

    def refuse(self, message: ObjectMessage, reason: Refusal) -> Denied:
        """The answer to an operation that is not to be carried out."""
        if isinstance(message, Spawn):
            return Denied("spawn", reason, ref=message.ref)
        op: Operation = "grab" if isinstance(message, Grab) else "release" if isinstance(message, Release) else "delete"
        one = self._objects.get(message.id)
        return Denied(op, reason, id=message.id, object=one.shared if one else None)

    def move(self, pid: int, moves: Iterable[Move], now: float) -> None:
        """Take the moves of what `pid` holds, and renew its leases; anything else is passed over."""
        for move in moves:
            one = self._held.get(move.id)
            if one is None or one.owner != pid or one.epoch != move.epoch or now >= one.lease_until:
                continue
            one.lease_until = now + self._lease_s
            one.moved_at = now
            if one.move is None or one.move.point != move.point or one.move.flags != move.flags:
                one.move = move
                one.changed = True
                self._unsaved.add(one.id)

    def expire(self, now: float) -> list[ObjectEvent]:
        """End the leases that ran out."""
        ended = [one for one in self._held.values() if now >= one.lease_until]
        return [self._release(one, one.here, Cause.EXPIRED) for one in ended]

    def leave(self, pid: int) -> list[ObjectEvent]:
        """End the leases of somebody who left."""
        ended = [one for one in self._held.values() if one.owner == pid]
        return [self._release(one, one.here, Cause.LEFT) for one in ended]

    def tick(self, now: float, tick_ms: int) -> bytes | None:
        """The frame of this tick: what moved since the last or, once a second, all that is held. None when
        there is nothing to say."""
        if now - self._keyframe_at >= KEYFRAME_INTERVAL_S:
            self._keyframe_at = now
            frame = self.keyframe(now, tick_ms)
        else:
            frame = _frame([one for one in self._held.values() if one.changed], now, tick_ms)
        for one in self._held.values():
            one.changed = False
        return frame

    def keyframe(self, now: float, tick_ms: int) -> bytes | None:
        """All that is held and was moved, for whoever joined or missed a tick."""
        return _frame(list(self._held.values()), now, tick_ms)

    def take_moved(self) -> list[tuple[int, Point]]:
        """Objects that were moved and not released since this was last asked, and where they are."""
        moved = [(key, self._objects[key].here) for key in sorted(self._unsaved)]
        self._unsaved.clear()
        return moved

    def still_unsaved(self, identities: Iterable[int]) -> None:
        """What `take_moved` gave could not be saved."""
        self._unsaved.update(self._objects.keys() & set(identities))

    def _obey(self, pid: int, role: Role, message: ObjectMessage, now: float) -> ObjectEvent | Denied:
        if role is Role.VIEWER:
            return self.refuse(message, Refusal.ROLE)
        if isinstance(message, Spawn):
            return self._spawn(pid, message)
        one = self._objects.get(message.id)
        if one is None:
            return self.refuse(message, Refusal.UNKNOWN)
        held_by_another = one.owner not in (None, pid)
        match message:
            case Grab():
                if one.owner == pid or (held_by_another and role is not Role.OWNER):
                    return self.refuse(message, Refusal.HELD)
                return self._grab(one, pid, now)
            case Release(epoch=epoch, pose=pose):
                if one.owner != pid or one.epoch != epoch:
                    return self.refuse(message, Refusal.STALE)
                return self._release(one, pose, Cause.RELEASED)
            case Delete():
                if held_by_another and role is not Role.OWNER:
                    return self.refuse(message, Refusal.HELD)
                return self._delete(one)

    def _spawn(self, pid: int, message: Spawn) -> ObjectEvent | Denied:
        if len(self._objects) >= self._limit or self._last_id >= MAX_U32:
            return self.refuse(message, Refusal.LIMIT)
        self._last_id += 1
        one = _Object(self._last_id, message.asset, message.scale, message.pose)
        self._objects[one.id] = one
        return self._note(Spawned(self.rev + 1, one.id, pid, message.ref, one.asset, one.pose, one.scale))

    def _grab(self, one: _Object, pid: int, now: float) -> ObjectEvent:
        one.owner = pid
        one.epoch += 1
        one.lease_until = now + self._lease_s
        one.changed = one.move is not None  # taken from somebody: all are told of the last move once more
        self._held[one.id] = one
        return self._note(Grabbed(self.rev + 1, one.id, pid, one.epoch, round(self._lease_s * 1000.0)))

    def _release(self, one: _Object, pose: Point, cause: Cause) -> ObjectEvent:
        one.pose, one.move = pose, None
        one.owner = None
        one.changed = False
        del self._held[one.id]
        self._unsaved.discard(one.id)
        return self._note(Released(self.rev + 1, one.id, one.epoch, pose, cause))

    def _delete(self, one: _Object) -> ObjectEvent:
        del self._objects[one.id]
        self._held.pop(one.id, None)
        self._unsaved.discard(one.id)
        return self._note(Deleted(self.rev + 1, one.id))

    def _note(self, event: ObjectEvent) -> ObjectEvent:
        self.rev = event.rev
        self._events.append(event)
        return event


def _frame(held: list[_Object], now: float, tick_ms: int) -> bytes | None:
    records = [
        Move(one.id, one.epoch, one.move.flags, int((now - one.moved_at) * 1000.0), one.move.point)
        for one in held
        if one.move is not None
    ]
    return encode_moves(tick_ms, records) if records else None


def _rounded(point: Point) -> Point:
    """As messages say it: micrometres and a rotation to match are enough, and take fewer digits."""
    x, y, z = (round(c, 6) for c in point.p)
    q: Quat = (round(point.q[0], 6), round(point.q[1], 6), round(point.q[2], 6), round(point.q[3], 6))
    return Point((x, y, z), q)
