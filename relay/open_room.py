"""One room that somebody is in: carries the effects of the pure room, and its ticks, to the connections.

Effects are carried out in the order in which they came about. Where objects are kept, an effect that tells of an
object event waits until that event is on the disk, and whatever came about after it waits too: nobody ever
hears of what a restart could take back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Final

from .connection import Connection
from .frames import BINARY, Burst, Frame, text_frame
from .protocol.control import encode_control
from .protocol.messages import CloseCode, Deleted, Grabbed, Pace, Released, Spawned, Welcome
from .protocol.poses import to_tick_ms
from .rooms.fanout import Fanout
from .rooms.pace import TickPolicy
from .rooms.room import Broadcast, Effect, Room, Send
from .rooms.store import Store

SAVE_INTERVAL_S: Final = 0.15  # so that a move is on the disk within 250 ms
MAX_WAITING: Final = 1_000  # effects behind a slow disk; then operations are denied until it has caught up


@dataclass(slots=True)
class _Waiting:
    effects: list[Effect]
    durable: bool


class OpenRoom:
    """A room that somebody is in, and the connection that each participant has.

    At half the rate every other tick is for every other participant, by pid. So a large room's frames leave in two
    smaller bursts, and nobody's is late because of all the others'.
    """

    def __init__(
        self,
        name: str,
        room: Room,
        policy: TickPolicy,
        *,
        labelled: bool,
        store: Store | None = None,
        on_failure: Callable[[OpenRoom], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.room = room
        self.labelled = labelled
        self.store = store
        self.on_failure = on_failure
        self.seats: dict[int, Connection] = {}
        self._policy = policy
        self._fanouts = [Fanout(room.bodies, policy.full_up_to, policy.client_bps) for _ in range(2)]
        self._moves: list[list[Frame]] = [[], []]  # by half: object moves that it has not been told yet
        self._halved = False
        self._ticks = 0
        self._waiting: deque[_Waiting] = deque()
        self._saved_at = 0.0
        self._failed = False

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

    def tick(self, now: float, *, pressed: bool = False) -> None:
        """Let time pass, save what moved, and offer this tick to whoever it is for: the same bytes, or keyframes
        to whoever missed one."""
        self.deliver(self.room.advance(now))
        if self.store and now - self._saved_at >= SAVE_INTERVAL_S:
            self._saved_at = now
            self.save_moves()
        people = len(self.seats)
        halved = self._policy.halved(people, is_halved=self._halved, pressed=pressed)
        if halved is not self._halved:
            self._set_pace(halved)
        self._ticks += 1
        half = self._ticks & 1 if halved else 0
        fanout = self._fanouts[half]
        tick_ms = to_tick_ms(now)
        ticked = fanout.tick(now, people, self.room.tick_hz)
        moves = self._moves_for(half, now, tick_ms)
        of_pid, shared = ticked.of_pid, ticked.shared
        bursts: dict[Frame | None, Burst] = {}
        keyframes: Burst | None = None
        with ExitStack() as afterwards:
            for pid, connection in self.seats.items():
                if (halved and pid & 1 != half) or not connection.welcomed:
                    continue
                if connection.missed_tick:
                    if keyframes is None:
                        keyframes = afterwards.enter_context(closing(self._keyframes(fanout, now, tick_ms)))
                    connection.tick_period_s = 1.0 / self.room.tick_hz
                    connection.offer(keyframes, tick_ms, now)
                    continue
                frame = of_pid.get(pid, shared)
                burst = bursts.get(frame)
                if burst is None:
                    burst = Burst(moves if frame is None else [*moves, frame])
                    bursts[frame] = afterwards.enter_context(closing(burst))
                if burst.size:
                    connection.offer(burst, tick_ms, now)

    def save_moves(self) -> None:
        """Have written down where objects are that are being moved."""
        if self.store and (moved := self.room.objects.take_moved()):
            self.store.write_moves(self.name, moved, partial(self._saved, [identity for identity, _ in moved]))

    def _moves_for(self, half: int, now: float, tick_ms: int) -> list[Frame]:
        """The frames of object moves since the last tick of this half."""
        moves = self.room.objects.tick(now, tick_ms)
        if moves is not None:
            frame = Frame(BINARY, (moves,))
            for waiting in self._moves if self._halved else self._moves[:1]:
                waiting.append(frame)
        due, self._moves[half] = self._moves[half], []
        return due

    def _keyframes(self, fanout: Fanout, now: float, tick_ms: int) -> Burst:
        moves = self.room.objects.keyframe(now, tick_ms)
        return Burst([fanout.keyframe(now)] if moves is None else [fanout.keyframe(now), Frame(BINARY, (moves,))])

    def _set_pace(self, halved: bool) -> None:
        self._halved = halved
        self._moves = [[], []]
        self.room.tick_hz = self._policy.hz // 2 if halved else self._policy.hz
        for connection in self.seats.values():
            connection.missed_tick = True  # the half it moves to has not told it everything
        self.deliver([Broadcast(Pace(self.room.tick_hz))])

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
            frame = text_frame(encode_control(effect.message))
            match effect:
                case Send(to=pid):
                    connection = self.seats.get(pid)
                    if connection is None:
                        continue  # gone while this waited for the disk
                    connection.welcomed |= isinstance(effect.message, Welcome)
                    if connection.welcomed:
                        connection.post(frame)
                case Broadcast(skip=skip):
                    for pid, connection in self.seats.items():
                        if pid != skip and connection.welcomed:
                            connection.post(frame)
