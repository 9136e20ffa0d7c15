"""One room that somebody is in: carries the effects of the pure room, and its ticks, to the connections."""

from __future__ import annotations

from dataclasses import dataclass, field

from .connection import Connection
from .protocol import encode_control
from .room import Broadcast, Effect, Room, Send


@dataclass(slots=True)
class OpenRoom:
    """A room that somebody is in, and the connection that each participant has."""

    name: str
    room: Room
    labelled: bool
    seats: dict[int, Connection] = field(default_factory=dict)

    def deliver(self, effects: list[Effect]) -> None:
        for effect in effects:
            text = encode_control(effect.message)
            match effect:
                case Send(to=pid):
                    self.seats[pid].send(text)
                case Broadcast(skip=skip):
                    for pid, connection in self.seats.items():
                        if pid != skip:
                            connection.send(text)

    def tick(self, now: float) -> None:
        """Offer everyone this tick's frame: the same bytes, or the keyframe to whoever missed one."""
        frame = self.room.tick(now)
        keyframe: bytes | None = None
        for connection in self.seats.values():
            if connection.missed_tick:
                keyframe = keyframe or self.room.keyframe(now)
                connection.offer(keyframe, now)
            elif frame is not None:
                connection.offer(frame, now)
