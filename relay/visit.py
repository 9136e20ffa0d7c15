"""One connection's stay in one room, from hello until the socket is gone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from .connection import Connection, RefusalError
from .moves import Moves
from .open_room import OpenRoom
from .protocol import (
    ClientMessage,
    CloseCode,
    Delete,
    ErrorCode,
    Grab,
    Hello,
    ObjectMessage,
    ProtocolError,
    Refusal,
    Release,
    Spawn,
    Stats,
)
from .room import Credentials, RoomFullError, Send
from .tokens import TokenError

if TYPE_CHECKING:
    from .app import Relay

# How a line ends for somebody who means to leave, or is to stay away. Any other end is a lost line.
GOODBYES: Final = frozenset({1000, 1001, CloseCode.POLICY, CloseCode.TOO_BIG})


class Visit:
    def __init__(self, relay: Relay, connection: Connection, room_name: str) -> None:
        self._relay = relay
        self._connection = connection
        self._room_name = room_name
        self._seat: tuple[OpenRoom, int] | None = None
        self._over = False

    def handle(self, message: ClientMessage | Moves) -> None:
        """Obey one message.

        Raises:
            ProtocolError, RefusalError
        """
        if self._seat is None:
            if not isinstance(message, Hello) or self._connection.greeted:
                raise ProtocolError(ErrorCode.STATE, "say hello, and wait for welcome")
            self._greet(message)
            return
        opened, pid = self._seat
        if isinstance(message, Stats):
            counts = self._relay.metrics.counts
            counts.bandwidth_bps[self._connection] = message.bandwidth_bps
            counts.cdn_bytes += message.cdn_bytes
        elif isinstance(message, Spawn | Grab | Release | Delete) and (reason := _why_not(opened, message)):
            opened.deliver([Send(pid, opened.room.objects.refuse(message, reason))])
        else:
            opened.deliver(opened.room.handle(pid, message, self._relay.now()))

    def end(self, code: int) -> None:
        """The socket is gone; `code` is what it was closed with, by either side."""
        self._over = True
        if self._seat is None:
            return
        opened, pid = self._seat
        if opened.seats.get(pid) is not self._connection:
            return  # somebody newer sits there, or the room is no more
        del opened.seats[pid]
        now = self._relay.now()
        opened.deliver(opened.room.leave(pid, now) if code in GOODBYES else opened.room.lose(pid, now))
        self._relay.close_room_if_empty(opened)

    def _greet(self, hello: Hello) -> None:
        who = self._credentials(hello)
        self._connection.greeted = True
        self._relay.enter_room(self._room_name, lambda opened: self._sit(opened, hello, who))

    def _credentials(self, hello: Hello) -> Credentials:
        tokens = self._relay.tokens
        if tokens is None:
            return Credentials()
        try:
            claims = tokens.check(hello.token or "")
        except TokenError as error:
            raise RefusalError(CloseCode.TOKEN, str(error)) from None
        if claims.room not in ("*", self._room_name):
            raise RefusalError(CloseCode.FORBIDDEN, "this token is for another room")
        return Credentials(claims.role, claims.sub)

    def _sit(self, opened: OpenRoom | None, hello: Hello, who: Credentials) -> None:
        if self._over:
            return  # left while the room was being read
        if opened is None:
            self._connection.close(CloseCode.INTERNAL, "this room's objects cannot be read")
            return
        try:
            pid, effects = opened.room.join(hello, self._relay.now(), who)
        except RoomFullError as full:
            self._connection.close(CloseCode.LIMIT, str(full))
            return
        opened.sit(pid, self._connection)
        self._seat = (opened, pid)
        self._connection.place_poses(partial(opened.room.bodies.put, pid))
        opened.deliver(effects)


def _why_not(opened: OpenRoom, message: ObjectMessage) -> Refusal | None:
    """Why an operation is refused before the room is asked."""
    if not opened.can_keep:
        return Refusal.STORE
    return Refusal.LIMIT if isinstance(message, Spawn) and not opened.has_place else None
