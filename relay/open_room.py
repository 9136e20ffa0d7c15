"""One room that somebody is in: carries the effects of the pure room, and its ticks, to the connections."""

from __future__ import annotations

from .connection import Connection
from .fanout import Fanout
from .frames import text_frame
from .pace import TickPolicy
from .poses import to_tick_ms
from .protocol import Pace, encode_control
from .room import Broadcast, Effect, Room, Send


class OpenRoom:
    """A room that somebody is in, and the connection that each participant has.

    At half the rate every other tick is for every other participant, by pid. So a large room's frames leave in two
    smaller bursts, and nobody's is late because of all the others'.
    """

    def __init__(self, name: str, room: Room, policy: TickPolicy, *, labelled: bool) -> None:
        self.name = name
        self.room = room
        self.labelled = labelled
        self.seats: dict[int, Connection] = {}
        self._policy = policy
        self._fanouts = [Fanout(room.bodies, policy.full_up_to, policy.client_bps) for _ in range(2)]
        self._halved = False
        self._ticks = 0

    def deliver(self, effects: list[Effect]) -> None:
        for effect in effects:
            frame = text_frame(encode_control(effect.message))
            match effect:
                case Send(to=pid):
                    self.seats[pid].post(frame)
                case Broadcast(skip=skip):
                    for pid, connection in self.seats.items():
                        if pid != skip:
                            connection.post(frame)

    def tick(self, now: float, *, pressed: bool = False) -> None:
        """Offer this tick to whoever it is for: the same bytes, or the keyframe to whoever missed one."""
        people = len(self.seats)
        halved = self._policy.halved(people, is_halved=self._halved, pressed=pressed)
        if halved is not self._halved:
            self._set_pace(halved)
        self._ticks += 1
        half = self._ticks & 1 if halved else 0
        fanout = self._fanouts[half]
        ticked = fanout.tick(now, people, self.room.tick_hz)
        tick_ms = to_tick_ms(now)
        for pid, connection in self.seats.items():
            if halved and pid & 1 != half:
                continue
            if connection.missed_tick:
                connection.tick_period_s = 1.0 / self.room.tick_hz
                connection.offer(fanout.keyframe(now), tick_ms, now)
            else:
                frame = ticked.of_pid.get(pid, ticked.shared)
                if frame is not None:
                    connection.offer(frame, tick_ms, now)

    def _set_pace(self, halved: bool) -> None:
        self._halved = halved
        self.room.tick_hz = self._policy.hz // 2 if halved else self._policy.hz
        for connection in self.seats.values():
            connection.missed_tick = True  # the fan-out it moves to has not told it everything
        self.deliver([Broadcast(Pace(self.room.tick_hz))])
