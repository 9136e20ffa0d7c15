"""What a crowd of simulated participants saw: counts, and how old poses were. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MOST_MS: Final = 10_000  # older is counted as this old


class Ages:
    """A histogram in steps of 1 ms."""

    def __init__(self) -> None:
        self._steps = [0] * (MOST_MS + 1)
        self.count = 0

    def add(self, seconds: float) -> None:
        self._steps[min(max(int(seconds * 1000.0), 0), MOST_MS)] += 1
        self.count += 1

    def quantile_ms(self, quantile: float) -> float | None:
        """The nearest-rank quantile, to the millisecond; None of nothing."""
        if not self.count:
            return None
        left = quantile * self.count
        for ms, count in enumerate(self._steps):
            left -= count
            if count and left <= 0:
                return float(ms)
        return float(MOST_MS)

    def pour_into(self, other: Ages) -> None:
        """Add all to `other`, and be empty."""
        if self.count:
            for ms, count in enumerate(self._steps):
                if count:
                    other._steps[ms] += count
            other.count += self.count
            self._steps = [0] * (MOST_MS + 1)
            self.count = 0


@dataclass(slots=True)
class Tally:
    """Totals since the start. `ages` are those of sampled poses: one of every `sample_every` frames."""

    sample_every: int = 1
    present: int = 0
    joins: int = 0
    poses_sent: int = 0
    poses_received: int = 0
    ticks_received: int = 0
    ticks_missed: int = 0  # that should have come in the gaps between those received
    thrown: int = 0
    denied: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    losses: Counter[int] = field(default_factory=Counter)  # lines lost or refused, by close code
    last_reason: str = ""
    ages: Ages = field(default_factory=Ages)

    def entered(self) -> None:
        self.present += 1
        self.joins += 1

    def lost(self, code: int, reason: str) -> None:
        self.losses[code] += 1
        self.last_reason = reason or self.last_reason
