"""One room: who is present and where they are. A pure state machine: no sockets, no clock, no awaits.

Whoever drives it passes `now` (seconds on a monotonic clock that is the relay's own, the same for every
call) and carries out the effects it returns, in order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from .poses import PoseUp, encode_record, encode_tick
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

KEYFRAME_INTERVAL_S: Final = 1.0  # repairs whatever a delta missed, and shows a client that the relay lives
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
    flags: int = 0
    body: bytes | None = None  # wire form; None until the first pose
    posed_at: float = 0.0
    changed: bool = False  # since the last frame

    @property
    def profile(self) -> Profile:
        return Profile(self.pid, self.name, self.color)


class Room:
    def __init__(self, limits: Limits, tick_hz: int) -> None:
        """`limits` and `tick_hz` are what newcomers are told; the seats are counted here."""
        self.limits = limits
        self.tick_hz = tick_hz
        self._present: dict[int, Participant] = {}
        self._fresh_pid = 1  # 0 means nobody
        self._freed: deque[tuple[float, int]] = deque()  # (when, pid), oldest first
        self._keyframe_at = -KEYFRAME_INTERVAL_S

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

    def handle(self, pid: int, message: PoseUp | ClientMessage, now: float) -> list[Effect]:
        """What follows from one message of a participant who is present.

        Raises:
            ProtocolError: code `state`, when the message makes no sense now.
            KeyError: `pid` is not present.
        """
        participant = self._present[pid]
        match message:
            case PoseUp(flags=flags, body=body):
                participant.changed |= participant.flags != flags or participant.body != body
                participant.flags, participant.body, participant.posed_at = flags, body, now
                return []
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
        self._freed.append((now, pid))
        return [Broadcast(Left(pid))]

    def tick(self, now: float) -> bytes | None:
        """The frame of this tick, the same for everyone: what changed since the last, or, once a second,
        the keyframe. None when there is nothing to say."""
        if now - self._keyframe_at >= KEYFRAME_INTERVAL_S:
            self._keyframe_at = now
            frame = self.keyframe(now)
        else:
            changed = [p for p in self._present.values() if p.changed]
            if not changed:
                return None
            frame = _frame(changed, now)
        for participant in self._present.values():
            participant.changed = False
        return frame

    def keyframe(self, now: float) -> bytes:
        """Everyone's pose, for whoever joined or missed a tick. Call it after `tick`, at the same time."""
        return _frame([p for p in self._present.values() if p.body is not None], now)

    def _take_pid(self, now: float) -> int:
        if self._fresh_pid <= MAX_PID:
            pid = self._fresh_pid
            self._fresh_pid += 1
            return pid
        if self._freed and now - self._freed[0][0] >= PID_REUSE_DELAY_S:
            return self._freed.popleft()[1]
        raise RoomFullError(f"{MAX_PID} participants came and went within {PID_REUSE_DELAY_S:.0f} s")


def to_tick_ms(now: float) -> int:
    """The relay's clock on the wire: whole milliseconds modulo 2³² (49.7 days)."""
    return int(now * 1000.0) & 0xFFFFFFFF


def _frame(participants: list[Participant], now: float) -> bytes:
    records = [
        encode_record(p.pid, p.flags, int((now - p.posed_at) * 1000.0), p.body)
        for p in participants
        if p.body is not None
    ]
    return encode_tick(to_tick_ms(now), records)
