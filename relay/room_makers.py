"""Counts the rooms that each client has made, so that one client cannot fill the relay. Pure.

A room counts from its first participant until it is neither open nor kept: also while everybody in it is away, and
while its objects are only in the store.
"""

from __future__ import annotations

from collections import Counter


class RoomMakers:
    def __init__(self, limit: int) -> None:
        """`limit` is the number of rooms per maker; 0 means no limit."""
        self.limit = limit
        self._maker_of: dict[str, str] = {}
        self._rooms: Counter[str] = Counter()

    def __contains__(self, room: str) -> bool:
        return room in self._maker_of

    def may_make_another(self, maker: str) -> bool:
        return self.limit == 0 or self._rooms[maker] < self.limit

    def add(self, room: str, maker: str) -> None:
        """Count a room for the client that made it. "" stands for an unknown client, which has no limit."""
        if room in self._maker_of:
            return
        self._maker_of[room] = maker
        if maker:
            self._rooms[maker] += 1

    def remove(self, room: str) -> None:
        """A room is neither open nor kept any more."""
        maker = self._maker_of.pop(room, "")
        if maker:
            self._rooms[maker] -= 1
            if self._rooms[maker] <= 0:
                del self._rooms[maker]
