"""The registry of open rooms: opens, counts, ticks and closes them.

A room opens when its first participant enters and closes when its last seat is free. Where shared objects are stored,
the room opens only after its objects have been read; participants who enter in the meantime wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from .connection import CloseError
from .logs import with_context
from .metrics import RoomCensus
from .open_room import OpenRoom
from .protocol.messages import CloseCode
from .room_labels import RoomLabels
from .room_makers import RoomMakers
from .rooms.objects import SavedRoom, SharedObjects
from .rooms.room import Room
from .rooms.store import Store
from .settings import RelaySettings

log = logging.getLogger("streamxr.relay")

# A room in which nobody is connected is ticked about once in this time, for its leases and seats to expire.
DESERTED_PERIOD_S: Final = 0.5
EXPIRY_INTERVAL_S: Final = 600.0  # between two searches for rooms that nobody has used for too long

OnOpen = Callable[[OpenRoom | None], None]


class OpenRooms:
    """The open rooms of one relay, by name.

    Raises StoreError if the state file of the settings cannot be used.
    """

    def __init__(
        self,
        settings: RelaySettings,
        clock: Callable[[], float],
        observe_write: Callable[[float, bool], None] = lambda _seconds, _succeeded: None,
    ) -> None:
        """observe_write: see Store."""
        self._settings = settings
        self._clock = clock
        self._rooms: dict[str, OpenRoom] = {}
        self._loading: dict[str, list[OnOpen]] = {}  # by name of a room whose objects are being read
        self._labels = RoomLabels(settings.labelled_rooms)
        self._makers = RoomMakers(settings.rooms_per_address)
        self._store: Store | None = None
        if settings.state:
            self._store = Store(settings.state, settings.max_rooms, settings.keep_days, observe_write=observe_write)
        self._expired_at = 0.0
        self._ticks = 0
        self._deserted_ticks = max(1, round(DESERTED_PERIOD_S * settings.tick.hz))
        if self._store:
            for name, kept in self._store.kept.items():
                self._makers.add(name, kept.maker)
            self._forget_expired()

    def __len__(self) -> int:
        return len(self._rooms)

    def enter(self, name: str, maker: str, on_open: OnOpen) -> None:
        """Call `on_open` with the room of that name: at once, or after its stored objects have been read. It gets
        None if they cannot be read.

        maker: the client whose room it becomes if there is none of that name.
        Raises CloseError if the relay, or this client, already has its maximum number of rooms.
        """
        open_room = self._rooms.get(name)
        if open_room:
            on_open(open_room)
        elif name in self._loading:
            self._loading[name].append(on_open)
        else:
            maker = self._store.hashed(maker) if self._store else maker
            self._check_limits(name, maker)
            self._makers.add(name, maker)
            if self._store is None:
                on_open(self._open(name, maker, None))
            else:
                self._loading[name] = [on_open]
                self._store.touch(name)
                self._store.load(name, partial(self._open_loaded, name, maker))

    def close_if_empty(self, open_room: OpenRoom) -> None:
        if len(open_room.room) == 0 and self._rooms.get(open_room.name) is open_room:
            self._remove(open_room)
            if self._store and len(open_room.room.objects) == 0:
                self._store.forget(open_room.name)
                self._makers.remove(open_room.name)

    def tick(self, now: float, *, overloaded: bool) -> None:
        self._ticks += 1
        for number, open_room in enumerate(list(self._rooms.values()), self._ticks):
            if not open_room.connections and number % self._deserted_ticks:
                continue
            try:
                open_room.tick(now, overloaded=overloaded)
                self.close_if_empty(open_room)
            except Exception:
                # A fault in one room must not stop the others. Its participants reconnect to a new room.
                with_context(log, room=open_room.name).exception("the room failed and is closed")
                open_room.fail("the room failed")
        if now - self._expired_at >= EXPIRY_INTERVAL_S:
            self._expired_at = now
            self._forget_expired()

    def census(self) -> RoomCensus:
        census = RoomCensus()
        users = objects = 0
        for name, open_room in self._rooms.items():
            room = open_room.room
            if open_room.labelled:
                census.labelled.append((name, len(room), len(room.objects)))
            else:
                users += len(room)
                objects += len(room.objects)
        census.other_users, census.other_objects = users, objects
        return census

    def save_and_close(self) -> None:
        """Write the latest object poses and close the store."""
        if self._store:
            for open_room in self._rooms.values():
                open_room.save_moves()
            self._store.close()

    def _open_loaded(self, name: str, maker: str, saved: SavedRoom | None) -> None:
        callbacks = self._loading.pop(name)
        open_room = self._open(name, maker, saved) if saved else None
        if open_room is None:
            self._gone(name)
        for on_open in callbacks:
            on_open(open_room)
        if open_room:
            self.close_if_empty(open_room)

    def _open(self, name: str, maker: str, saved: SavedRoom | None) -> OpenRoom:
        labelled = self._labels.opened(name, self._clock())
        limits = self._settings.limits
        objects = SharedObjects(limits.objects, saved)
        room = Room(limits, self._settings.tick.hz, objects, self._settings.grace_s)
        open_room = self._rooms[name] = OpenRoom(
            name, room, self._settings.tick, labelled=labelled, maker=maker, store=self._store, on_failure=self._remove
        )
        return open_room

    def _remove(self, open_room: OpenRoom) -> None:
        # An empty room may fail after it was removed, when another room of the same name is already open.
        if self._rooms.get(open_room.name) is open_room:
            del self._rooms[open_room.name]
            self._labels.closed(open_room.name, self._clock())
            self._gone(open_room.name)

    def _gone(self, name: str) -> None:
        """A room is not open any more. Its maker has one room less, unless it is kept."""
        if self._store is None or name not in self._store.kept:
            self._makers.remove(name)

    def _forget_expired(self) -> None:
        """Delete kept rooms that nobody has used for too long."""
        if self._store is None:
            return
        for name in self._store.expired():
            if name not in self._rooms and name not in self._loading:
                self._store.forget(name)
                self._makers.remove(name)
                with_context(log, room=name).info("forgot a room that was unused for %d days", self._settings.keep_days)

    def _check_limits(self, name: str, maker: str) -> None:
        """Raises CloseError if a room may not open. No seat to which somebody may still return is given up for it."""
        if len(self._rooms) + len(self._loading) >= self._settings.max_rooms:
            raise CloseError(CloseCode.LIMIT, f"this relay has its maximum of {self._settings.max_rooms} rooms")
        if name not in self._makers and not self._makers.may_make_another(maker):
            limit = self._makers.limit
            log.warning("refused a room: its client has made %d; see --rooms-per-address and --trusted-proxy", limit)
            raise CloseError(CloseCode.LIMIT, f"there are {limit} rooms that you have made, as many as allowed")
