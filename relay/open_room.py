"""An open room: passes the effects and ticks of a pure room to the connections of its participants.

Effects are carried out in their order. Where objects are stored, an effect with an object event waits until the event
is on the disk, and all later effects wait behind it. So no client ever learns of an event that a restart could undo.
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

SAVE_INTERVAL_S: Final = 0.15  # short enough that a move is on the disk within 250 ms
MAX_PENDING: Final = 1_000  # batches of effects that wait for the disk; beyond it, object operations are denied


@dataclass(slots=True)
class _PendingEffects:
    effects: list[Effect]
    durable: bool  # nothing in `effects` still has to be written


class OpenRoom:
    """A room with the connections of its participants.

    At half the rate, each tick serves one half of the participants, by the parity of their pid. So the frames of a
    large room leave in two smaller bursts, and each frame waits behind fewer others.
    """

    def __init__(
        self,
        name: str,
        room: Room,
        policy: TickPolicy,
        *,
        labelled: bool,
        maker: str = "",
        store: Store | None = None,
        on_failure: Callable[[OpenRoom], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.room = room
        self.labelled = labelled
        self.maker = maker  # as it is stored
        self.store = store
        self.on_failure = on_failure
        self.connections: dict[int, Connection] = {}  # by pid
        self._policy = policy
        self._fanouts = [Fanout(room.poses, policy.full_up_to, policy.client_bps) for _ in range(2)]  # by half
        self._half_rate = False
        self._ticks = 0
        self._pending: deque[_PendingEffects] = deque()
        self._saved_at = 0.0
        self._failed = False

    @property
    def store_is_ready(self) -> bool:
        """Whether an object event can be written soon. True if nothing is stored."""
        return self.store is None or (len(self._pending) < MAX_PENDING and self.store.writable())

    @property
    def store_has_capacity(self) -> bool:
        """Whether the store has capacity for the objects of this room. True if nothing is stored."""
        return self.store is None or self.store.has_capacity_for(self.name)

    def connect(self, pid: int, connection: Connection) -> None:
        """Give a participant this connection and close their previous one."""
        previous = self.connections.get(pid)
        if previous:
            previous.close(CloseCode.REPLACED, "this participant has a newer connection")
        self.connections[pid] = connection

    def deliver(self, effects: list[Effect]) -> None:
        """Carry out effects, after those that still wait for the disk."""
        broadcasts = [effect.message for effect in effects if isinstance(effect, Broadcast)]
        events = [message for message in broadcasts if isinstance(message, Spawned | Grabbed | Released | Deleted)]
        if self.store and events:
            pending = _PendingEffects(effects, durable=False)
            self._pending.append(pending)
            self.store.write(self.name, self.maker, events, partial(self._written, pending))
        elif self._pending and effects:
            self._pending.append(_PendingEffects(effects, durable=True))
        else:
            self._carry_out(effects)

    def tick(self, now: float, *, overloaded: bool = False) -> None:
        """Advance the room to `now`, save moved objects, and offer this tick to the connections it is for.

        Most of them get the same bytes. A connection that missed a tick gets keyframes instead.
        """
        self.deliver(self.room.advance(now))
        if self.store and now - self._saved_at >= SAVE_INTERVAL_S:
            self._saved_at = now
            self.save_moves()
        participants = len(self.connections)
        if not participants:  # nobody receives a tick; who comes back starts with a keyframe
            return
        half_rate = self._policy.half_rate(participants, is_half_rate=self._half_rate, overloaded=overloaded)
        if half_rate is not self._half_rate:
            self._set_pace(half_rate)
        self._ticks += 1
        half = self._ticks & 1 if half_rate else 0
        fanout = self._fanouts[half]
        tick_ms = to_tick_ms(now)
        frames = fanout.tick(now, participants, self.room.tick_hz)
        moved = self.room.objects.tick(now, tick_ms, half)
        moves = [] if moved is None else [Frame(BINARY, (moved,))]
        by_pid, shared = frames.by_pid, frames.shared
        bursts: dict[Frame | None, Burst] = {}
        keyframes: Burst | None = None
        with ExitStack() as stack:
            for pid, connection in self.connections.items():
                if (half_rate and pid & 1 != half) or not connection.welcomed:
                    continue
                if connection.needs_keyframe:
                    if keyframes is None:
                        keyframes = stack.enter_context(closing(self._keyframes(fanout, now, tick_ms)))
                    connection.tick_period_s = 1.0 / self.room.tick_hz
                    connection.offer(keyframes, tick_ms, now)
                    continue
                frame = by_pid.get(pid, shared)
                burst = bursts.get(frame)
                if burst is None:
                    burst = Burst(moves if frame is None else [*moves, frame])
                    bursts[frame] = stack.enter_context(closing(burst))
                if burst.size:
                    connection.offer(burst, tick_ms, now)

    def save_moves(self) -> None:
        """Write the current poses of the objects that are being moved, if objects are stored."""
        if self.store and (moved := self.room.objects.take_moved()):
            self.store.write_moves(self.name, moved, partial(self._saved, [object_id for object_id, _ in moved]))

    def fail(self, reason: str) -> None:
        """Close all connections. The clients reconnect to the room as it was stored, or to an empty one."""
        if self._failed:
            return
        self._failed = True
        self._pending.clear()
        for connection in self.connections.values():
            connection.close(CloseCode.INTERNAL, reason)
        self.connections.clear()
        self.on_failure(self)

    def _keyframes(self, fanout: Fanout, now: float, tick_ms: int) -> Burst:
        moves = self.room.objects.keyframe(now, tick_ms)
        return Burst([fanout.keyframe(now)] if moves is None else [fanout.keyframe(now), Frame(BINARY, (moves,))])

    def _set_pace(self, half_rate: bool) -> None:
        self._half_rate = half_rate
        self.room.tick_hz = self._policy.hz // 2 if half_rate else self._policy.hz
        for connection in self.connections.values():
            connection.needs_keyframe = True  # the fanout of its new half has not sent it everything
        self.deliver([Broadcast(Pace(self.room.tick_hz))])

    def _written(self, pending: _PendingEffects, durable: bool) -> None:
        if not durable:
            # No client has learnt of the unwritten events, so closing this room undoes them completely.
            self.fail("shared objects cannot be stored")
            return
        pending.durable = True
        # After a failure the queue is empty, so writes that end later change nothing.
        while self._pending and self._pending[0].durable:
            self._carry_out(self._pending.popleft().effects)

    def _saved(self, object_ids: list[int], durable: bool) -> None:
        if not durable:
            self.room.objects.mark_unsaved(object_ids)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            frame = text_frame(encode_control(effect.message))
            match effect:
                case Send(to=pid):
                    connection = self.connections.get(pid)
                    if connection is None:
                        continue  # the connection ended while the effect waited for the disk
                    connection.welcomed |= isinstance(effect.message, Welcome)
                    if connection.welcomed:
                        connection.post(frame)
                case Broadcast(skip=skip):
                    for pid, connection in self.connections.items():
                        if pid != skip and connection.welcomed:
                            connection.post(frame)
