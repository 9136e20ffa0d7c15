"""One room: who is present and where they are. A pure state machine: no sockets, no clock, no awaits.

Whoever drives it passes `now` (seconds on a monotonic clock that is the relay's own, the same for every
call) and carries out the effects it returns, in order.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..protocol.messages import (
    MAX_PID,
    ClientMessage,
    Delete,
    Denied,
    Error,
    ErrorCode,
    Grab,
    Hello,
    Joined,
    Left,
    Limits,
    ObjectEvent,
    Profile,
    ProtocolError,
    Release,
    Role,
    ServerMessage,
    Signal,
    SignalFrom,
    Spawn,
    Stats,
    Update,
    Updated,
    Welcome,
)
from ..protocol.moves import Moves
from ..protocol.poses import to_tick_ms
from ..rate import TokenBucket
from .latest_poses import Bodies
from .objects import Objects

PID_REUSE_DELAY_S: Final = 60.0  # longer than any frame can lie in a buffer: an old pose never moves a new avatar
GRACE_S: Final = 30.0  # for which a seat is kept for somebody whose line is lost
# Characters per second. One sender must not be able to fill a receiver's queue of 512 KiB.
SIGNAL_SENT: Final = 16_384
SIGNAL_RECEIVED: Final = 65_536


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


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a newcomer is, as the relay knows it: from a token, or nobody in particular."""

    role: Role = Role.EDITOR
    sub: str | None = None


ANYBODY: Final = Credentials()


@dataclass(slots=True)
class Participant:
    pid: int
    name: str
    color: str
    key: str  # with which the seat can be taken again; known to its owner alone
    credentials: Credentials
    may_signal: TokenBucket
    may_be_signalled: TokenBucket
    away_since: float | None = None

    @property
    def profile(self) -> Profile:
        return Profile(self.pid, self.name, self.color, self.away_since is not None)

    @property
    def updated(self) -> Updated:
        return Updated(self.pid, self.name, self.color, self.away_since is not None)


def _new_key() -> str:
    return secrets.token_urlsafe(16)


class Room:
    def __init__(
        self,
        limits: Limits,
        tick_hz: int,
        objects: Objects | None = None,
        grace_s: float = GRACE_S,
        new_key: Callable[[], str] = _new_key,
    ) -> None:
        """`limits` and `tick_hz` are what newcomers are told; the seats are counted here. `objects` are those that
        were kept of an earlier life of the room; `new_key` makes texts that nobody can guess and that never
        come twice."""
        self.limits = limits
        self.tick_hz = tick_hz
        self.bodies = Bodies()
        self.incarnation = new_key()
        self.objects = Objects(limits.objects) if objects is None else objects  # an empty one is false
        self._grace_s = grace_s
        self._new_key = new_key
        self._present: dict[int, Participant] = {}
        self._pids: dict[str, int] = {}  # by key
        self._fresh_pid = 1  # 0 means nobody
        self._freed: deque[tuple[float, int]] = deque()  # (when, pid), oldest first

    def __len__(self) -> int:
        """How many have a seat, present or away."""
        return len(self._present)

    @property
    def participants(self) -> tuple[Profile, ...]:
        return tuple(participant.profile for participant in self._present.values())

    def join(self, hello: Hello, now: float, who: Credentials = ANYBODY) -> tuple[int, list[Effect]]:
        """Seat a newcomer, or somebody who comes back: their pid, and the effects that tell everyone.

        Who comes back with the key of a seat, as the same subject, has that seat again, and whatever connection it
        had before is to be closed. A key that opens nothing changes nothing.

        Raises:
            RoomFullError
        """
        # The key is 128 random bits; looking it up in a table tells nothing about how much of it was right.
        known = self._present.get(self._pids.get(hello.resume or "", 0))
        if known and known.credentials.sub == who.sub:
            return known.pid, self._come_back(known, hello, who, now)
        gives_way = self._who_gives_way()
        pid = self._take_pid(now)
        effects = self.leave(gives_way, now) if gives_way else []
        newcomer = Participant(
            pid,
            hello.name,
            hello.color,
            self._new_key(),
            who,
            TokenBucket(SIGNAL_SENT, 4 * SIGNAL_SENT, now),
            TokenBucket(SIGNAL_RECEIVED, 2 * SIGNAL_RECEIVED, now),
        )
        self._present[pid] = newcomer
        self._pids[newcomer.key] = pid
        joined = Broadcast(Joined(pid, hello.name, hello.color), skip=pid)
        return pid, [*effects, *self._welcome(newcomer, hello, now), joined]

    def handle(self, pid: int, message: Moves | ClientMessage, now: float) -> list[Effect]:
        """What follows from one message of a participant who is present.

        Raises:
            ProtocolError: code `state`, when the message makes no sense now; `rate`, when it is one too many.
            KeyError: `pid` is not present.
        """
        participant = self._present[pid]
        match message:
            case Moves(records=records):
                self.objects.move(pid, records, now)
                return []
            case Spawn() | Grab() | Release() | Delete():
                outcomes = self.objects.handle(pid, participant.credentials.role, message, now)
                return [Send(pid, one) if isinstance(one, Denied) else Broadcast(one) for one in outcomes]
            case Update(name=name, color=color):
                before = participant.profile
                participant.name = name or participant.name
                participant.color = color or participant.color
                return [] if participant.profile == before else [Broadcast(participant.updated)]
            case Signal():
                return self._signal(participant, message, now)
            case Hello():
                raise ProtocolError(ErrorCode.STATE, "hello was already said")
            case Stats():
                return []  # measured by the shell, nothing of the room's

    def lose(self, pid: int, now: float) -> list[Effect]:
        """Mark somebody whose line is lost as away; `advance` frees the seat if they do not come back."""
        participant = self._present.get(pid)
        if participant is None or participant.away_since is not None:
            return []
        participant.away_since = now
        return [Broadcast(participant.updated)]

    def leave(self, pid: int, now: float) -> list[Effect]:
        """Free a seat. Leaving twice is no error: a socket may be lost in more than one way."""
        participant = self._present.pop(pid, None)
        if participant is None:
            return []
        del self._pids[participant.key]
        self.bodies.remove(pid)
        self._freed.append((now, pid))
        return [*_broadcasts(self.objects.leave(pid)), Broadcast(Left(pid))]

    def advance(self, now: float) -> list[Effect]:
        """What time alone brings about: leases end, and so do seats of those who are away for too long."""
        effects = _broadcasts(self.objects.expire(now))
        for participant in list(self._present.values()):
            if participant.away_since is not None and now - participant.away_since >= self._grace_s:
                effects += self.leave(participant.pid, now)
        return effects

    def _come_back(self, participant: Participant, hello: Hello, who: Credentials, now: float) -> list[Effect]:
        before = participant.profile
        participant.name, participant.color = hello.name, hello.color
        participant.credentials = who
        participant.away_since = None
        effects = self._welcome(participant, hello, now)
        if participant.profile != before:
            effects.append(Broadcast(participant.updated, skip=participant.pid))
        return effects

    def _welcome(self, participant: Participant, hello: Hello, now: float) -> list[Effect]:
        """The answer to hello: with the object events that were missed, or with a snapshot where they are not
        remembered or belong to another life of the room."""
        missed = None
        if hello.incarnation == self.incarnation and hello.rev is not None:
            missed = self.objects.since(hello.rev)
        welcome = Welcome(
            pid=participant.pid,
            resume=participant.key,
            role=participant.credentials.role,
            tick_hz=self.tick_hz,
            server_ms=to_tick_ms(now),
            limits=self.limits,
            participants=tuple(p.profile for p in self._present.values() if p is not participant),
            incarnation=self.incarnation,
            rev=self.objects.rev if missed is None or hello.rev is None else hello.rev,
            objects=self.objects.snapshot() if missed is None else None,
        )
        return [Send(participant.pid, message) for message in (welcome, *(missed or ()))]

    def _signal(self, sender: Participant, signal: Signal, now: float) -> list[Effect]:
        size = len(signal.data)
        if not sender.may_signal.take(now, size):
            raise ProtocolError(ErrorCode.RATE, f"more than {SIGNAL_SENT} characters of signals per second")
        receiver = self._present.get(signal.to)
        if receiver is None or receiver.away_since is not None:
            # No offence: people leave while they are being signalled to.
            return [Send(sender.pid, Error(ErrorCode.ABSENT, f"participant {signal.to} is not here"))]
        if not receiver.may_be_signalled.take(now, size):
            return [Send(sender.pid, Error(ErrorCode.RATE, f"participant {signal.to} is sent too many signals"))]
        return [Send(receiver.pid, SignalFrom(sender.pid, signal.data))]

    def _who_gives_way(self) -> int | None:
        """In a full room, whoever is away for longest; nobody while there are seats.

        Raises:
            RoomFullError
        """
        if len(self._present) < self.limits.participants:
            return None
        away = [(p.away_since, p.pid) for p in self._present.values() if p.away_since is not None]
        if not away:
            raise RoomFullError(f"the room holds {self.limits.participants} participants")
        return min(away)[1]

    def _take_pid(self, now: float) -> int:
        # Those that have rested first: a room that people walk in and out of for a year remembers a minute of them.
        if self._freed and now - self._freed[0][0] >= PID_REUSE_DELAY_S:
            return self._freed.popleft()[1]
        if self._fresh_pid > MAX_PID:
            raise RoomFullError(f"{MAX_PID} participants came and went within {PID_REUSE_DELAY_S:.0f} s")
        pid = self._fresh_pid
        self._fresh_pid += 1
        return pid


def _broadcasts(events: list[ObjectEvent]) -> list[Effect]:
    return [Broadcast(event) for event in events]
