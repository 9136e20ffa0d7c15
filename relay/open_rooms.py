"""The registry of open rooms: opens, counts, ticks and closes them.

A room opens when its first participant enters and closes when its last seat is free. Where shared objects are stored,
the room opens only after its objects have been read; participants who enter in the meantime wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from .connection import CloseError
from .logs import with_context
from .metrics import RoomCensus
from .open_room import OpenRoom
from .protocol.messages import CloseCode
from .room_labels import RoomLabels
from .rooms.objects import SavedRoom, SharedObjects
from .rooms.room import Room
from .rooms.store import Store
from .settings import RelaySettings

log = logging.getLogger("streamxr.relay")

OnOpen = Callable[[OpenRoom | None], None]


class OpenRooms:
    """The open rooms of one relay, by name.

    Raises StoreError if the state file of the settings cannot be used.
    """

    def __init__(self, settings: RelaySettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._rooms: dict[str, OpenRoom] = {}
        self._loading: dict[str, list[OnOpen]] = {}  # by name of a room whose objects are being read
        self._labels = RoomLabels(settings.labelled_rooms)
        self._store = Store(settings.state, settings.max_rooms) if settings.state else None

    def __len__(self) -> int:
        return len(self._rooms)

    def enter(self, name: str, on_open: OnOpen) -> None:
        """Call `on_open` with the room of that name: at once, or after its stored objects have been read. It gets
        None if they cannot be read.

        Raises CloseError if the relay already has its maximum number of rooms.
        """
        open_room = self._rooms.get(name)
        if open_room:
            on_open(open_room)
        elif name in self._loading:
            self._loading[name].append(on_open)
        else:
            self._make_space()
            if self._store is None:
                on_open(self._open(name, None))
            else:
                self._loading[name] = [on_open]
                self._store.load(name, partial(self._open_loaded, name))

    def close_if_empty(self, open_room: OpenRoom) -> None:
        if len(open_room.room) == 0 and self._rooms.get(open_room.name) is open_room:
            self._remove(open_room)
            if self._store and len(open_room.room.objects) == 0:
                self._store.forget(open_room.name)

    def tick(self, now: float, *, overloaded: bool) -> None:
        for open_room in list(self._rooms.values()):
            try:
                open_room.tick(now, overloaded=overloaded)
                self.close_if_empty(open_room)
            except Exception:
                # A fault in one room must not stop the others. Its participants reconnect to a new room.
                with_context(log, room=open_room.name).exception("the room failed and is closed")
                open_room.fail("the room failed")

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

    def _open_loaded(self, name: str, saved: SavedRoom | None) -> None:
        callbacks = self._loading.pop(name)
        open_room = self._open(name, saved) if saved else None
        for on_open in callbacks:
            on_open(open_room)
        if open_room:
            self.close_if_empty(open_room)

    def _open(self, name: str, saved: SavedRoom | None) -> OpenRoom:
        labelled = self._labels.opened(name, self._clock())
        limits = self._settings.limits
        objects = SharedObjects(limits.objects, saved)
        room = Room(limits, self._settings.tick.hz, objects, self._settings.grace_s)
        open_room = self._rooms[name] = OpenRoom(
            name, room, self._settings.tick, labelled=labelled, store=self._store, on_failure=self._remove
        )
        return open_room

    def _remove(self, open_room: OpenRoom) -> None:
        # An empty room may fail after it was removed, when another room of the same name is already open.
        if self._rooms.get(open_room.name) is open_room:
            del self._rooms[open_room.name]
            self._labels.closed(open_room.name, self._clock())

    def _make_space(self) -> None:
        """Close a room without connections if the relay has its maximum number of rooms.

        Raises CloseError if every room has a connection.
        """
        if len(self._rooms) + len(self._loading) < self._settings.max_rooms:
            return
        # Seats of absent participants are worth less than a room for a participant who is connected.
        deserted = next((open_room for open_room in self._rooms.values() if not open_room.connections), None)
        if deserted is None:
            raise CloseError(CloseCode.LIMIT, f"this relay has its maximum of {self._settings.max_rooms} rooms")
        for profile in deserted.room.participants:
            deserted.deliver(deserted.room.leave(profile.pid, self._clock()))
        self.close_if_empty(deserted)
