"""Flow control of ticks: how many may be under way to a client that acknowledges them. Pure.

Kernels and proxies buffer megabytes. If ticks fill these buffers, a slow client shows everyone seconds late, although
nothing is lost. So a client acknowledges the newest tick it has received, and gets another one only while fewer than
its credit are unacknowledged. The credit covers the round trip and little more. The *smallest* round trip counts: any
longer one contains queueing, which a larger credit would only increase.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

MIN_CREDIT: Final = 3  # ticks
MAX_CREDIT: Final = 16  # ticks
MARGIN: Final = 2  # ticks beyond the round trip, because acknowledgements come irregularly, with the client's poses
PROBE_S: Final = 1.0  # without credit, one tick is still sent this often, in case an acknowledgement was lost


class Credit:
    """The ticks under way to one client, named by their `tick_ms`. Times are seconds of one clock.

    A client that has never acknowledged a tick has unlimited credit, because it may not implement acknowledgements. The
    buffer of its transport still limits it.
    """

    __slots__ = ("_acknowledged_at", "_acknowledges", "_limit", "_min_round_trip_ms", "_sent_at", "_under_way")

    def __init__(self) -> None:
        self._under_way: deque[int] = deque(maxlen=MAX_CREDIT)
        self._acknowledges = False
        self._acknowledged_at = 0.0
        self._sent_at = 0.0
        self._min_round_trip_ms = math.inf
        self._limit = MIN_CREDIT

    def allows(self, now: float) -> bool:
        return len(self._under_way) < self._limit or not self._acknowledges or now - self._sent_at >= PROBE_S

    def sent(self, tick_ms: int, now: float) -> None:
        self._under_way.append(tick_ms)
        self._sent_at = now

    def acknowledge(self, tick_ms: int, now: float, period_s: float) -> float | None:
        """Take note that the client has received this tick, and with it all earlier ones.

        `period_s` is the time between two ticks. Returns the time since the tick was made, in milliseconds; None if the
        tick is not under way.
        """
        under_way = self._under_way
        if tick_ms not in under_way:
            return None
        while under_way.popleft() != tick_ms:
            pass
        self._acknowledges = True
        self._acknowledged_at = now
        round_trip_ms = (int(now * 1000.0) - tick_ms) & 0xFFFFFFFF
        if round_trip_ms < self._min_round_trip_ms:
            self._min_round_trip_ms = round_trip_ms
            self._limit = min(max(math.ceil(round_trip_ms / 1000.0 / period_s) + MARGIN, MIN_CREDIT), MAX_CREDIT)
        return round_trip_ms

    def silent_for(self, now: float) -> float:
        """Seconds since the last acknowledgement, if the client sends them and one is due; otherwise 0."""
        return now - self._acknowledged_at if self._acknowledges and self._under_way else 0.0
