"""Token bucket: how often one client may do something. Pure; `now` in seconds on any monotonic clock."""

from __future__ import annotations


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate` of them each second; it starts full."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take that many tokens. False when there are not enough, and nothing is taken."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True
