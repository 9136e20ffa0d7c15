"""One connection's stay in one room, from hello until the socket is gone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .connection import Connection, RefusalError
from .moves import Moves
from .open_room import OpenRoom
from .protocol import ClientMessage, CloseCode, ErrorCode, Hello, ProtocolError, Stats
from .room import RoomFullError

if TYPE_CHECKING:
    from .app import Relay


class Visit:
    def __init__(self, relay: Relay, connection: Connection, room_name: str) -> None:
        self._relay = relay
        self._connection = connection
        self._room_name = room_name
        self._seat: tuple[OpenRoom, int] | None = None

    def handle(self, message: ClientMessage | Moves) -> None:
        """Obey one message.

        Raises:
            ProtocolError, RefusalError
        """
        if self._seat is None:
            if not isinstance(message, Hello):
                raise ProtocolError(ErrorCode.STATE, "say hello first")
            self._join(message)
        elif isinstance(message, Stats):
            counts = self._relay.metrics.counts
            counts.bandwidth_bps[self._connection] = message.bandwidth_bps
            counts.cdn_bytes += message.cdn_bytes
        else:
            opened, pid = self._seat
            opened.deliver(opened.room.handle(pid, message, self._relay.now()))

    def end(self) -> None:
        if self._seat:
            opened, pid = self._seat
            del opened.seats[pid]
            opened.deliver(opened.room.leave(pid, self._relay.now()))
            self._relay.close_room_if_empty(opened)

    def _join(self, hello: Hello) -> None:
        opened = self._relay.open_room(self._room_name)
        try:
            pid, effects = opened.room.join(hello, self._relay.now())
        except RoomFullError as full:
            raise RefusalError(CloseCode.LIMIT, str(full)) from None
        opened.seats[pid] = self._connection
        self._seat = (opened, pid)
        self._connection.greeted = True
        self._connection.place_poses(partial(opened.room.bodies.put, pid))
        opened.deliver(effects)
