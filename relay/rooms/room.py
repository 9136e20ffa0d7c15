"""One room: its participants, their poses and its shared objects. A pure state machine: no sockets, clocks or awaits.

The caller passes `now`, in seconds of one monotonic clock, and carries out the returned effects in order.
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
    ObjectEvent,
    Profile,
    ProtocolError,
    Release,
    Role,
    RoomLimits,
    ServerMessage,
    Signal,
    SignalFrom,
    Spawn,
    Stats,
    Update,
    Updated,
    Visit,
    Welcome,
)
from ..protocol.moves import Moves
from ..protocol.poses import to_tick_ms
from ..rate import TokenBucket
from .latest_poses import LatestPoses
from .objects import SharedObjects

PID_REUSE_DELAY_S: Final = 60.0  # longer than any frame stays in a buffer, so an old pose never moves a new avatar
GRACE_S: Final = 30.0  # time for which a seat is kept after its connection is lost
# Characters of signals. One sender must not be able to fill a receiver's queue of 512 KiB.
SIGNAL_SENT_PER_S: Final = 16_384
SIGNAL_RECEIVED_PER_S: Final = 65_536


class RoomFullError(Exception):
    """The room has its maximum number of participants, or every pid was used too recently."""


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: send `message` to one participant."""

    to: int
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Effect: send `message` to all participants except `skip`."""

    message: ServerMessage
    skip: int | None = None


Effect = Send | Broadcast


@dataclass(frozen=True, slots=True)
class Credentials:
    """Role and subject of a newcomer, from a join token, and the ticket with which they may come back. The default is
    for relays without tokens."""

    role: Role = Role.EDITOR
    sub: str | None = None
    ticket: str | None = None


ANONYMOUS: Final = Credentials()


@dataclass(slots=True)
class Participant:
    pid: int
    name: str
    color: str
    key: str  # secret with which the participant takes the same seat again
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
        limits: RoomLimits,
        tick_hz: int,
        objects: SharedObjects | None = None,
        grace_s: float = GRACE_S,
        new_key: Callable[[], str] = _new_key,
    ) -> None:
        """`limits` and `tick_hz` are for the welcome message; the room itself enforces only `limits.participants`.
        `objects` restores the saved objects of the room. `new_key` returns unique secrets that cannot be guessed.
        """
        self.limits = limits
        self.tick_hz = tick_hz
        self.poses = LatestPoses()
        self.incarnation = new_key()
        self.objects = SharedObjects(limits.objects) if objects is None else objects  # `or` would drop an empty one
        self._grace_s = grace_s
        self._new_key = new_key
        self._seats: dict[int, Participant] = {}  # by pid, present or away
        self._pids: dict[str, int] = {}  # by key
        self._next_pid = 1  # 0 stands for no participant
        self._freed: deque[tuple[float, int]] = deque()  # (time, pid) of freed seats, oldest first

    def __len__(self) -> int:
        """Number of participants, present or away."""
        return len(self._seats)

    @property
    def participants(self) -> tuple[Profile, ...]:
        return tuple(participant.profile for participant in self._seats.values())

    def join(self, hello: Hello, now: float, credentials: Credentials = ANONYMOUS) -> tuple[int, list[Effect]]:
        """Give a client a seat. Returns its pid and the effects that announce it.

        A client with the key and the subject of a seat gets that seat again; the caller must close the previous
        connection of that seat. A key without a seat has no effect.

        Raises RoomFullError if there is no free seat or pid.
        """
        # The key is 128 random bits, so the timing of the lookup reveals nothing useful about a wrong key.
        participant = self._seats.get(self._pids.get(hello.resume or "", 0))
        if participant and participant.credentials.sub == credentials.sub:
            return participant.pid, self._resume(participant, hello, credentials, now)
        evicted = self._seat_to_evict()
        pid = self._take_pid(now)
        effects = self.leave(evicted, now) if evicted else []
        newcomer = Participant(
            pid,
            hello.name,
            hello.color,
            self._new_key(),
            credentials,
            TokenBucket(SIGNAL_SENT_PER_S, 4 * SIGNAL_SENT_PER_S, now),
            TokenBucket(SIGNAL_RECEIVED_PER_S, 2 * SIGNAL_RECEIVED_PER_S, now),
        )
        self._seats[pid] = newcomer
        self._pids[newcomer.key] = pid
        joined = Broadcast(Joined(pid, hello.name, hello.color), skip=pid)
        return pid, [*effects, *self._welcome(newcomer, hello, now), joined]

    def handle(self, pid: int, message: Moves | ClientMessage, now: float) -> list[Effect]:
        """The effects of one message of a participant.

        Raises ProtocolError with code `state` if the message is not allowed now, or with code `rate` if it exceeds the
        allowed rate, and KeyError if there is no participant `pid`.
        """
        participant = self._seats[pid]
        match message:
            case Moves(records=records):
                self.objects.move(pid, records, now)
                return []
            case Spawn() | Grab() | Release() | Delete():
                outcomes = self.objects.handle(pid, participant.credentials.role, message, now)
                return [Send(pid, each) if isinstance(each, Denied) else Broadcast(each) for each in outcomes]
            case Update(name=name, color=color):
                before = participant.profile
                participant.name = name or participant.name
                participant.color = color or participant.color
                return [] if participant.profile == before else [Broadcast(participant.updated)]
            case Signal():
                return self._signal(participant, message, now)
            case Hello():
                raise ProtocolError(ErrorCode.STATE, "hello was already sent")
            case Stats() | Visit():
                return []  # the session counts them

    def lose(self, pid: int, now: float) -> list[Effect]:
        """Mark a participant as away after a lost connection. `advance` frees the seat if they do not return."""
        participant = self._seats.get(pid)
        if participant is None or participant.away_since is not None:
            return []
        participant.away_since = now
        return [Broadcast(participant.updated)]

    def leave(self, pid: int, now: float) -> list[Effect]:
        """Free a seat. Does nothing for an unknown pid, because a connection may end in more than one way."""
        participant = self._seats.pop(pid, None)
        if participant is None:
            return []
        del self._pids[participant.key]
        self.poses.remove(pid)
        self._freed.append((now, pid))
        return [*_broadcasts(self.objects.leave(pid)), Broadcast(Left(pid))]

    def advance(self, now: float) -> list[Effect]:
        """The effects of time: leases expire, and seats of participants who are away for too long are freed."""
        effects = _broadcasts(self.objects.expire(now))
        for participant in list(self._seats.values()):
            if participant.away_since is not None and now - participant.away_since >= self._grace_s:
                effects += self.leave(participant.pid, now)
        return effects

    def _resume(self, participant: Participant, hello: Hello, credentials: Credentials, now: float) -> list[Effect]:
        before = participant.profile
        participant.name, participant.color = hello.name, hello.color
        participant.credentials = credentials
        participant.away_since = None
        effects = self._welcome(participant, hello, now)
        if participant.profile != before:
            effects.append(Broadcast(participant.updated, skip=participant.pid))
        return effects

    def _welcome(self, participant: Participant, hello: Hello, now: float) -> list[Effect]:
        """The answer to hello, with the object events that the client missed.

        With a snapshot instead, if they are not remembered, or if the client knows another incarnation of the room.
        """
        missed = None
        if hello.incarnation == self.incarnation and hello.rev is not None:
            missed = self.objects.events_since(hello.rev)
        welcome = Welcome(
            pid=participant.pid,
            resume=participant.key,
            role=participant.credentials.role,
            tick_hz=self.tick_hz,
            server_ms=to_tick_ms(now),
            limits=self.limits,
            participants=tuple(p.profile for p in self._seats.values() if p is not participant),
            incarnation=self.incarnation,
            rev=self.objects.rev if missed is None or hello.rev is None else hello.rev,
            objects=self.objects.snapshot() if missed is None else None,
            ticket=participant.credentials.ticket,
        )
        return [Send(participant.pid, message) for message in (welcome, *(missed or ()))]

    def _signal(self, sender: Participant, signal: Signal, now: float) -> list[Effect]:
        size = len(signal.data)
        if not sender.may_signal.take(now, size):
            raise ProtocolError(ErrorCode.RATE, f"more than {SIGNAL_SENT_PER_S} characters of signals per second")
        receiver = self._seats.get(signal.to)
        if receiver is None or receiver.away_since is not None:
            # This is not an offence of the sender: the receiver may have left while the signal was under way.
            return [Send(sender.pid, Error(ErrorCode.ABSENT, f"participant {signal.to} is not present"))]
        if not receiver.may_be_signalled.take(now, size):
            return [Send(sender.pid, Error(ErrorCode.RATE, f"participant {signal.to} receives too many signals"))]
        return [Send(receiver.pid, SignalFrom(sender.pid, signal.data))]

    def _seat_to_evict(self) -> int | None:
        """The pid of the participant who is away for the longest time, if the room is full; None if it is not.

        Raises RoomFullError if the room is full and nobody is away.
        """
        if len(self._seats) < self.limits.participants:
            return None
        away = [(p.away_since, p.pid) for p in self._seats.values() if p.away_since is not None]
        if not away:
            raise RoomFullError(f"the room has its maximum of {self.limits.participants} participants")
        return min(away)[1]

    def _take_pid(self, now: float) -> int:
        # Freed pids are reused first, so that `_freed` stays short in a room that is used for years.
        if self._freed and now - self._freed[0][0] >= PID_REUSE_DELAY_S:
            return self._freed.popleft()[1]
        if self._next_pid > MAX_PID:
            raise RoomFullError(f"{MAX_PID} participants joined and left within {PID_REUSE_DELAY_S:.0f} s")
        pid = self._next_pid
        self._next_pid += 1
        return pid


def _broadcasts(events: list[ObjectEvent]) -> list[Effect]:
    return [Broadcast(event) for event in events]
