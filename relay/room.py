"""One room: who is present. Where they are is in its `bodies`. A pure state machine: no sockets, no clock, no awaits.

Whoever drives it passes `now` (seconds on a monotonic clock that is the relay's own, the same for every
call) and carries out the effects it returns, in order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from .bodies import Bodies
from .moves import Moves
from .poses import to_tick_ms
from .protocol import (
    MAX_PID,
    ClientMessage,
    ErrorCode,
    Hello,
    Joined,
    Left,
    Limits,
    Profile,
    ProtocolError,
    Role,
    ServerMessage,
    Update,
    Updated,
    Welcome,
)

PID_REUSE_DELAY_S: Final = 60.0  # longer than any frame can lie in a buffer: an old pose never moves a new avatar


class RoomFullError(Exception):
    """No seat: the room holds as many participants as it may, or every pid was used too recently."""


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: `message` goes to one participant."""

    to: int
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Effect: `message` goes to everyone present but `skip`."""

    message: ServerMessage
    skip: int | None = None


Effect = Send | Broadcast


@dataclass(slots=True)
class Participant:
    pid: int
    name: str
    color: str

    @property
    def profile(self) -> Profile:
        return Profile(self.pid, self.name, self.color)


class Room:
    def __init__(self, limits: Limits, tick_hz: int) -> None:
        """`limits` and `tick_hz` are what newcomers are told; the seats are counted here."""
        self.limits = limits
        self.tick_hz = tick_hz
        self.bodies = Bodies()
        self._present: dict[int, Participant] = {}
        self._fresh_pid = 1  # 0 means nobody
        self._freed: deque[tuple[float, int]] = deque()  # (when, pid), oldest first

    def __len__(self) -> int:
        return len(self._present)

    @property
    def participants(self) -> tuple[Profile, ...]:
        return tuple(participant.profile for participant in self._present.values())

    def join(self, hello: Hello, now: float) -> tuple[int, list[Effect]]:
        """Seat a newcomer: their pid, and the effects that tell them and everyone else.

        Raises:
            RoomFullError
        """
        if len(self._present) >= self.limits.participants:
            raise RoomFullError(f"the room holds {self.limits.participants} participants")
        pid = self._take_pid(now)
        newcomer = Participant(pid, hello.name, hello.color)
        welcome = Welcome(
            pid=pid,
            resume="none",
            role=Role.EDITOR,
            tick_hz=self.tick_hz,
            server_ms=to_tick_ms(now),
            limits=self.limits,
            participants=self.participants,
            incarnation="none",
            rev=0,
            objects=(),
        )
        self._present[pid] = newcomer
        return pid, [Send(pid, welcome), Broadcast(Joined(pid, hello.name, hello.color), skip=pid)]

    def handle(self, pid: int, message: Moves | ClientMessage, now: float) -> list[Effect]:  # noqa: ARG002
        """What follows from one message of a participant who is present.

        Raises:
            ProtocolError: code `state`, when the message makes no sense now.
            KeyError: `pid` is not present.
        """
        participant = self._present[pid]
        match message:
            case Update(name=name, color=color):
                before = participant.profile
                participant.name = name or participant.name
                participant.color = color or participant.color
                if participant.profile == before:
                    return []
                return [Broadcast(Updated(pid, participant.name, participant.color))]
            case Hello():
                raise ProtocolError(ErrorCode.STATE, "hello was already said")
            case _:
                return []

    def leave(self, pid: int, now: float) -> list[Effect]:
        """Free a seat. Leaving twice is no error: a socket may be lost in more than one way."""
        if self._present.pop(pid, None) is None:
            return []
        self.bodies.remove(pid)
        self._freed.append((now, pid))
        return [Broadcast(Left(pid))]

    def _take_pid(self, now: float) -> int:
        if self._fresh_pid <= MAX_PID:
            pid = self._fresh_pid
            self._fresh_pid += 1
            return pid
        if self._freed and now - self._freed[0][0] >= PID_REUSE_DELAY_S:
            return self._freed.popleft()[1]
        raise RoomFullError(f"{MAX_PID} participants came and went within {PID_REUSE_DELAY_S:.0f} s")
