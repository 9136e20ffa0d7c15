"""One connection's stay in one room, from hello until the socket is gone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from .connection import Connection, RefusalError
from .logs import about
from .metrics import Reported
from .open_room import OpenRoom
from .protocol.messages import (
    ClientMessage,
    CloseCode,
    Delete,
    Denied,
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
from .protocol.moves import Moves
from .rooms.room import Credentials, Effect, RoomFullError, Send
from .tokens import TokenError

if TYPE_CHECKING:
    from .app import Relay

log = logging.getLogger("streamxr.relay")

# How a line ends for somebody who means to leave, or is to stay away. Any other end is a lost line.
GOODBYES: Final = frozenset({1000, 1001, CloseCode.POLICY, CloseCode.TOO_BIG})


class Visit:
    def __init__(self, relay: Relay, connection: Connection, room_name: str) -> None:
        self._relay = relay
        self._connection = connection
        self._room_name = room_name
        self._seat: tuple[OpenRoom, int] | None = None
        self._over = False
        self._log = about(log, room=room_name)

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
            counts.reported[self._connection] = Reported(f"{opened.name}/{pid}", message.bandwidth_bps)
            counts.cdn_bytes += message.cdn_bytes
        elif isinstance(message, Spawn | Grab | Release | Delete) and (reason := _why_not(opened, message)):
            self._deliver(opened, [Send(pid, opened.room.objects.refuse(message, reason))])
        else:
            self._deliver(opened, opened.room.handle(pid, message, self._relay.now()))

    def end(self, code: int) -> None:
        """The socket is gone; `code` is what it was closed with, by either side."""
        self._over = True
        reason = self._connection.close_reason
        what = "never joined" if self._seat is None else "left" if code in GOODBYES else "gone"
        self._log.info("%s%s", what, f": {reason}" if reason else "", extra={"code": int(code)})
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
        self._log.add(participant=pid)
        self._log.info("joined")
        self._connection.place_poses(opened.room.bodies.place_of(pid))
        opened.deliver(effects)

    def _deliver(self, opened: OpenRoom, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect.message, Denied):
                self._relay.metrics.counts.denials[effect.message.reason] += 1
        opened.deliver(effects)


def _why_not(opened: OpenRoom, message: ObjectMessage) -> Refusal | None:
    """Why an operation is refused before the room is asked."""
    if not opened.can_keep:
        return Refusal.STORE
    return Refusal.LIMIT if isinstance(message, Spawn) and not opened.has_place else None
