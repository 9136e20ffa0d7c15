"""How many ticks may be under way to a client that tells which it has received. Pure.

Kernels and proxies buffer megabytes. Whoever fills these with poses shows a slow client the past: it sees
everyone seconds late, though nothing is lost. So a client names the newest tick it has, and gets a further
one only while fewer than its credit are unanswered. The credit covers the round trip, and no more; the
*smallest* round trip seen counts, since any other has queueing in it, which a larger credit would only feed.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

LEAST: Final = 3
MOST: Final = 16
SPARE: Final = 2  # ticks beyond the round trip: acknowledgements come with poses, and these come when they come
PROBE_S: Final = 1.0  # out of credit, a tick is still sent this often: an answer that got lost must not end it


class Credit:
    """The ticks under way to one client. Ticks are named by `tick_ms`; times are seconds of one clock.

    A client that has never answered has no limit here: it may be too simple to. Its buffer still limits it.
    """

    __slots__ = ("_answered_at", "_answers", "_limit", "_sent_at", "_smallest_ms", "_under_way")

    def __init__(self) -> None:
        self._under_way: deque[int] = deque(maxlen=MOST)
        self._answers = False
        self._answered_at = 0.0
        self._sent_at = 0.0
        self._smallest_ms = math.inf
        self._limit = LEAST

    def allows(self, now: float) -> bool:
        return len(self._under_way) < self._limit or not self._answers or now - self._sent_at >= PROBE_S

    def sent(self, tick_ms: int, now: float) -> None:
        self._under_way.append(tick_ms)
        self._sent_at = now

    def answer(self, tick_ms: int, now: float, period_s: float) -> float | None:
        """The client has received that tick, and so all before it: how many milliseconds ago it was made. None
        of what is not under way, which is no news.

        `period_s` is the time from one tick to the next.
        """
        under_way = self._under_way
        if tick_ms not in under_way:
            return None
        while under_way.popleft() != tick_ms:
            pass
        self._answers = True
        self._answered_at = now
        round_trip_ms = (int(now * 1000.0) - tick_ms) & 0xFFFFFFFF
        if round_trip_ms < self._smallest_ms:
            self._smallest_ms = round_trip_ms
            self._limit = min(max(math.ceil(round_trip_ms / 1000.0 / period_s) + SPARE, LEAST), MOST)
        return round_trip_ms

    def silent_for(self, now: float) -> float:
        """Seconds since the last answer of a client that used to answer and owes one; 0 for any other."""
        return now - self._answered_at if self._answers and self._under_way else 0.0
