"""The tick rate of rooms: the full rate in small rooms, half of it in large rooms and under overload. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_UNHALVED_HZ: Final = 30  # rates up to this are never halved
HYSTERESIS: Final = 0.9  # a room returns to the full rate below this share of the limit
OVERRUN_SHARE: Final = 0.5  # of a period: a tick later than this is an overrun
MAX_OVERRUN_SHARE: Final = 0.2  # of recent ticks; above it, the relay is overloaded
SMOOTHING: Final = 0.05  # weight of one tick in the moving average, which so covers about 20 ticks
RECOVERY_S: Final = 30.0  # time for which the relay still counts as overloaded after too many overruns


@dataclass(frozen=True, slots=True)
class TickPolicy:
    """Tick rates by the number of participants: `hz` in small rooms, half of it in larger ones.

    By default no client gets more than 1.5 Mbit/s: 64 participants at 60 Hz are 1.0 Mbit/s, 150 at 30 Hz are 1.2
    Mbit/s, and in larger rooms the cells of `fanout` keep to `client_bps`.
    """

    hz: int = 60
    fast_up_to: int = 64  # participants; larger rooms have half the rate
    full_up_to: int = 150  # participants; larger rooms are sent in cells, see `fanout`
    client_bps: int = 1_500_000

    def half_rate(self, participants: int, *, is_half_rate: bool, overloaded: bool) -> bool:
        """Whether a room with this many participants ticks at half the rate. `is_half_rate`: it does so now."""
        limit = self.fast_up_to * (HYSTERESIS if is_half_rate else 1.0)
        return self.hz > MAX_UNHALVED_HZ and (overloaded or participants > limit)


class OverloadDetector:
    """Detects overload from the delay of ticks: they come late if the event loop has too much to do."""

    def __init__(self) -> None:
        self._overrun_share = 0.0
        self._overloaded_until = 0.0

    def observe(self, late_s: float, period_s: float, now: float) -> bool:
        """Take note of the delay of one tick, and return whether the relay is overloaded."""
        overrun = late_s > OVERRUN_SHARE * period_s
        self._overrun_share += (overrun - self._overrun_share) * SMOOTHING
        if self._overrun_share > MAX_OVERRUN_SHARE:
            self._overloaded_until = now + RECOVERY_S
        return now < self._overloaded_until
