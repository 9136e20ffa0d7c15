"""One room that somebody is in: carries the effects of the pure room, and its ticks, to the connections.

Effects are carried out in the order in which they came about. Where objects are kept, an effect that tells of an
object event waits until that event is on the disk, and whatever came about after it waits too: nobody ever
hears of what a restart could take back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from .connection import Connection
from .protocol import CloseCode, Deleted, Grabbed, Released, Spawned, Welcome, encode_control
from .room import Broadcast, Effect, Room, Send, to_tick_ms
from .store import Store

SAVE_INTERVAL_S: Final = 0.15  # so that a move is on the disk within 250 ms
MAX_WAITING: Final = 1_000  # effects behind a slow disk; then operations are denied until it has caught up


@dataclass(slots=True)
class _Waiting:
    effects: list[Effect]
    durable: bool


@dataclass(slots=True)
class OpenRoom:
    """A room that somebody is in, and the connection that each participant has."""

    name: str
    room: Room
    labelled: bool
    store: Store | None = None
    on_failure: Callable[[OpenRoom], None] = lambda _: None
    seats: dict[int, Connection] = field(default_factory=dict)
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _saved_at: float = 0.0
    _failed: bool = False

    @property
    def can_keep(self) -> bool:
        """Whether an object event would be made durable soon, or need not be."""
        return self.store is None or (len(self._waiting) < MAX_WAITING and self.store.writable())

    @property
    def has_place(self) -> bool:
        """Whether there is a place to keep the objects of this room in."""
        return self.store is None or self.store.has_place_for(self.name)

    def sit(self, pid: int, connection: Connection) -> None:
        """Give a participant a connection; the one they had is closed."""
        before = self.seats.get(pid)
        if before:
            before.close(CloseCode.REPLACED, "the same participant is here on a newer connection")
        self.seats[pid] = connection

    def deliver(self, effects: list[Effect]) -> None:
        events = [effect.message for effect in effects if isinstance(effect, Broadcast)]
        to_keep = [event for event in events if isinstance(event, Spawned | Grabbed | Released | Deleted)]
        if self.store and to_keep:
            waiting = _Waiting(effects, durable=False)
            self._waiting.append(waiting)
            self.store.write(self.name, to_keep, partial(self._written, waiting))
        elif self._waiting and effects:
            self._waiting.append(_Waiting(effects, durable=True))
        else:
            self._carry(effects)

    def tick(self, now: float) -> None:
        """Let time pass, save what moved, and offer everyone this tick: the same bytes, or keyframes to whoever
        missed one."""
        self.deliver(self.room.advance(now))
        if self.store and now - self._saved_at >= SAVE_INTERVAL_S:
            self._saved_at = now
            self.save_moves()
        tick_ms = to_tick_ms(now)
        frame = self.room.tick(now)
        moves = self.room.objects.tick(now, tick_ms)
        keyframe: bytes | None = None
        for connection in self.seats.values():
            if not connection.welcomed:
                continue
            if connection.missed_tick:
                keyframe = keyframe or self.room.keyframe(now)
                connection.offer(keyframe, self.room.objects.keyframe(now, tick_ms), now)
            elif frame is not None or moves is not None:
                connection.offer(frame, moves, now)

    def save_moves(self) -> None:
        """Have written down where objects are that are being moved."""
        if self.store and (moved := self.room.objects.take_moved()):
            self.store.write_moves(self.name, moved, partial(self._saved, [identity for identity, _ in moved]))

    def fail(self, reason: str) -> None:
        """Send everyone away: they come back to the room as it was kept, or to a fresh one."""
        if self._failed:
            return
        self._failed = True
        self._waiting.clear()
        for connection in self.seats.values():
            connection.close(CloseCode.INTERNAL, reason)
        self.seats.clear()
        self.on_failure(self)

    def _written(self, waiting: _Waiting, durable: bool) -> None:
        if not durable:
            # Nobody has heard of what is not on the disk, so nothing has to be taken back but this room.
            self.fail("shared objects could not be written down")
            return
        waiting.durable = True
        # After a failure the queue is empty, whatever else turns out to be written.
        while self._waiting and self._waiting[0].durable:
            self._carry(self._waiting.popleft().effects)

    def _saved(self, identities: list[int], durable: bool) -> None:
        if not durable:
            self.room.objects.still_unsaved(identities)

    def _carry(self, effects: list[Effect]) -> None:
        for effect in effects:
            text = encode_control(effect.message)
            match effect:
                case Send(to=pid):
                    connection = self.seats.get(pid)
                    if connection is None:
                        continue  # gone while this waited for the disk
                    connection.welcomed |= isinstance(effect.message, Welcome)
                    if connection.welcomed:
                        connection.send(text)
                case Broadcast(skip=skip):
                    for pid, connection in self.seats.items():
                        if pid != skip and connection.welcomed:
                            connection.send(text)
