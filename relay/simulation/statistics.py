"""Measurements of a simulated load: counts, and the ages of poses. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MAX_AGE_MS: Final = 10_000  # larger ages are counted as this


class AgeHistogram:
    """A histogram of ages with bins of 1 ms."""

    def __init__(self) -> None:
        self._bins = [0] * (MAX_AGE_MS + 1)
        self.count = 0

    def add(self, seconds: float) -> None:
        self._bins[min(max(int(seconds * 1000.0), 0), MAX_AGE_MS)] += 1
        self.count += 1

    def quantile_ms(self, quantile: float) -> float | None:
        """The nearest-rank quantile, to the millisecond; None if the histogram is empty."""
        if not self.count:
            return None
        remaining = quantile * self.count
        for ms, count in enumerate(self._bins):
            remaining -= count
            if count and remaining <= 0:
                return float(ms)
        return float(MAX_AGE_MS)

    def move_to(self, other: AgeHistogram) -> None:
        """Add all ages to `other`, and remove them here."""
        if self.count:
            for ms, count in enumerate(self._bins):
                if count:
                    other._bins[ms] += count
            other.count += self.count
            self._bins = [0] * (MAX_AGE_MS + 1)
            self.count = 0


@dataclass(slots=True)
class LoadStatistics:
    """Totals since the start. `ages` are sampled: of one pose in every `sample_every` frames."""

    sample_every: int = 1
    present: int = 0
    joins: int = 0
    poses_sent: int = 0
    poses_received: int = 0
    ticks_received: int = 0
    ticks_missed: int = 0  # estimated from the gaps between received ticks
    thrown: int = 0
    denied: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    losses: Counter[int] = field(default_factory=Counter)  # lost and refused connections, by close code
    last_reason: str = ""
    ages: AgeHistogram = field(default_factory=AgeHistogram)

    def entered(self) -> None:
        self.present += 1
        self.joins += 1

    def lost(self, code: int, reason: str) -> None:
        self.losses[code] += 1
        self.last_reason = reason or self.last_reason
