"""Token bucket: limits how often one client may do something. Pure; `now` is in seconds of any monotonic clock."""

from __future__ import annotations


class TokenBucket:
    """Holds at most `burst` tokens and gains `rate` of them per second. Starts full."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount` tokens and return True. If there are fewer, take none and return False."""
        tokens = self._tokens + (now - self._at) * self.rate
        if tokens > self.burst:
            tokens = self.burst
        self._at = now
        enough = tokens >= amount
        self._tokens = tokens - amount if enough else tokens
        return enough
