"""Decides which rooms have metric series of their own; their number stays bounded as rooms come and go. Pure."""

from __future__ import annotations

import math
from typing import Final

OTHER_ROOMS: Final = "other"  # the label of the sum of all rooms without a label of their own
KEPT_S: Final = 24 * 3600.0  # time for which a closed room keeps its label


class RoomLabels:
    """Gives at most `limit` rooms a label. A closed room keeps its label for KEPT_S, so Prometheus sees at most twice
    as many labels in a day, however many rooms open and close. Times are seconds of one clock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._closed_at: dict[str, float] = {}  # by name of a room with a label; infinity while it is open

    def opened(self, name: str, now: float) -> bool:
        """Take note that a room opens, and return whether it has a label."""
        if name == OTHER_ROOMS:
            return False
        if name not in self._closed_at and len(self._closed_at) >= self._limit:
            self._closed_at = {n: at for n, at in self._closed_at.items() if now - at < KEPT_S}
            if len(self._closed_at) >= self._limit:
                return False
        self._closed_at[name] = math.inf
        return True

    def closed(self, name: str, now: float) -> None:
        if name in self._closed_at:
            self._closed_at[name] = now
