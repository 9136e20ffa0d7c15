"""One connection's stay in one room, from hello until the socket is gone."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from .connection import Connection, RefusalError
from .logs import about
from .metrics import Reported
from .moves import Moves
from .open_room import OpenRoom
from .protocol import ClientMessage, CloseCode, Denied, ErrorCode, Hello, ProtocolError, Stats
from .room import RoomFullError

if TYPE_CHECKING:
    from .app import Relay

log = logging.getLogger("streamxr.relay")


class Visit:
    def __init__(self, relay: Relay, connection: Connection, room_name: str) -> None:
        self._relay = relay
        self._connection = connection
        self._room_name = room_name
        self._seat: tuple[OpenRoom, int] | None = None
        self._log = about(log, room=room_name)

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
            opened, pid = self._seat
            counts.reported[self._connection] = Reported(f"{opened.name}/{pid}", message.bandwidth_bps)
            counts.cdn_bytes += message.cdn_bytes
        else:
            opened, pid = self._seat
            effects = opened.room.handle(pid, message, self._relay.now())
            for effect in effects:
                if isinstance(effect.message, Denied):
                    self._relay.metrics.counts.denials[effect.message.reason] += 1
            opened.deliver(effects)

    def end(self) -> None:
        """The socket is gone."""
        connection = self._connection
        what = "left" if self._seat else "never joined"
        self._log.info(
            "%s%s",
            what,
            f": {connection.close_reason}" if connection.close_reason else "",
            extra={"code": int(connection.close_code)},
        )
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
        self._log.add(participant=pid)
        self._log.info("joined")
        self._connection.place_poses(partial(opened.room.bodies.put, pid))
        opened.deliver(effects)
