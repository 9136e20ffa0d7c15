"""The session of one client in one room, from its hello to the end of its connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from .addresses import subscriber
from .connection import CloseError, Connection
from .logs import with_context
from .metrics import Counts, ReportedBandwidth
from .open_room import OpenRoom
from .open_rooms import OpenRooms
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
    Visit,
)
from .protocol.moves import Moves
from .rooms.room import Credentials, Effect, RoomFullError, Send
from .tokens import ANY_ROOM, Claims, TokenError, TokenKeys
from .visits import ReportedTimes, Visits

log = logging.getLogger("streamxr.relay")

# Close codes after which the seat is freed at once: the client left on purpose, or may not return. After any other
# code the connection counts as lost, and the seat is kept for a while.
FINAL_CODES: Final = frozenset({1000, 1001, CloseCode.POLICY, CloseCode.TOO_BIG})


class Session:
    def __init__(
        self,
        rooms: OpenRooms,
        connection: Connection,
        room_name: str,
        *,
        address: str,
        tokens: TokenKeys | None,
        counts: Counts,
        visits: Visits | None,
        clock: Callable[[], float],
    ) -> None:
        self._rooms = rooms
        self._connection = connection
        self._room_name = room_name
        self._address = address
        self._tokens = tokens
        self._counts = counts
        self._visits = visits
        self._reported_times = ReportedTimes()
        self._clock = clock
        self._seat: tuple[OpenRoom, int] | None = None  # room and pid
        self._ended = False
        self._log = with_context(log, room=room_name)

    def handle(self, message: ClientMessage | Moves) -> None:
        """Carry out one message.

        Raises ProtocolError if the message is not allowed now, and CloseError if the connection must be closed.
        """
        if self._seat is None:
            if not isinstance(message, Hello) or self._connection.hello_accepted:
                raise ProtocolError(ErrorCode.STATE, "send hello first, then wait for welcome")
            self._start(message)
            return
        open_room, pid = self._seat
        if isinstance(message, Stats):
            self._counts.reported[self._connection] = ReportedBandwidth(
                f"{open_room.name}/{pid}", message.bandwidth_bps
            )
            self._counts.cdn_bytes += message.cdn_bytes
        elif isinstance(message, Visit):
            if self._visits:
                self._visits.add(message, self._reported_times)
        elif isinstance(message, Spawn | Grab | Release | Delete) and (reason := _store_refusal(open_room, message)):
            self._deliver(open_room, [Send(pid, open_room.room.objects.refuse(message, reason))])
        else:
            self._deliver(open_room, open_room.room.handle(pid, message, self._clock()))

    def end(self, code: int) -> None:
        """Free or keep the seat after the connection ended with this close code, sent by either side."""
        self._ended = True
        reason = self._connection.close_reason
        event = "never joined" if self._seat is None else "left" if code in FINAL_CODES else "connection lost"
        self._log.info("%s%s", event, f": {reason}" if reason else "", extra={"code": int(code)})
        if self._seat is None:
            return
        open_room, pid = self._seat
        if open_room.connections.get(pid) is not self._connection:
            return  # a newer connection has the seat, or the room has failed
        del open_room.connections[pid]
        now = self._clock()
        open_room.deliver(open_room.room.leave(pid, now) if code in FINAL_CODES else open_room.room.lose(pid, now))
        if not open_room.connections:
            open_room.save_moves()  # a deserted room is ticked too rarely for that
        self._rooms.close_if_empty(open_room)

    def _start(self, hello: Hello) -> None:
        credentials = self._check_token(hello)
        self._connection.hello_accepted = True
        # A room counts for the subject of the token that made it, or else for the address.
        maker = f"address {subscriber(self._address)}" if credentials.sub is None else f"subject {credentials.sub}"
        self._rooms.enter(self._room_name, maker, lambda open_room: self._join(open_room, hello, credentials))

    def _check_token(self, hello: Hello) -> Credentials:
        if self._tokens is None:
            return Credentials()
        try:
            claims = self._claims(self._tokens, hello)
        except TokenError as error:
            raise CloseError(CloseCode.TOKEN, str(error)) from None
        if claims.room not in (ANY_ROOM, self._room_name):
            raise CloseError(CloseCode.FORBIDDEN, "this join token is for another room")
        return Credentials(claims.role, claims.sub, self._tokens.ticket(claims, self._room_name))

    @staticmethod
    def _claims(tokens: TokenKeys, hello: Hello) -> Claims:
        """The claims of the token, or of the ticket if the token is not valid any more. Raises TokenError."""
        try:
            return tokens.check(hello.token or "")
        except TokenError:
            if hello.ticket is None:
                raise
            return tokens.check_ticket(hello.ticket)

    def _join(self, open_room: OpenRoom | None, hello: Hello, credentials: Credentials) -> None:
        if self._ended:
            return  # the client disconnected while the room was being read
        if open_room is None:
            self._connection.close(CloseCode.INTERNAL, "the stored objects of this room cannot be read")
            return
        try:
            pid, effects = open_room.room.join(hello, self._clock(), credentials)
        except RoomFullError as error:
            self._connection.close(CloseCode.LIMIT, str(error))
            return
        open_room.connect(pid, self._connection)
        self._seat = (open_room, pid)
        self._log.add(participant=pid)
        self._log.info("joined")
        self._connection.accept_poses(open_room.room.poses.slot_of(pid))
        open_room.deliver(effects)

    def _deliver(self, open_room: OpenRoom, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect.message, Denied):
                self._counts.denials[effect.message.reason] += 1
        open_room.deliver(effects)


def _store_refusal(open_room: OpenRoom, message: ObjectMessage) -> Refusal | None:
    """The reason for which the store cannot take this operation; None if it can."""
    if not open_room.store_is_ready:
        return Refusal.STORE
    return Refusal.LIMIT if isinstance(message, Spawn) and not open_room.store_has_capacity else None
