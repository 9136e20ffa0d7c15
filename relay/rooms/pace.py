"""How often rooms tick: fast while they are small and the relay keeps up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SLOWEST_HZ: Final = 30  # a rate up to this is not halved
HYSTERESIS: Final = 0.9
LATE_SHARE: Final = 0.5  # of a period: a tick this late is an overrun
MANY_OVERRUNS: Final = 0.2  # share of the last ticks, some 20
SMOOTHING: Final = 0.05
RELIEF_S: Final = 30.0  # how long ticks stay slow after the last time that too many overran


@dataclass(frozen=True, slots=True)
class TickPolicy:
    """`hz` in small rooms, half of it in others. By default no client of any room gets more than 1.5 Mbit/s:
    64 people at 60 Hz are 1.0, 150 at 30 Hz are 1.2, and beyond that cells keep to `client_bps`."""

    hz: int = 60
    fast_up_to: int = 64  # participants
    full_up_to: int = 150  # participants; a larger room is told of in cells (`fanout`)
    client_bps: int = 1_500_000

    def halved(self, people: int, *, is_halved: bool, pressed: bool) -> bool:
        """Whether a room of so many people ticks at half the rate."""
        return self.hz > SLOWEST_HZ and (pressed or people > self.fast_up_to * (HYSTERESIS if is_halved else 1.0))


class Pressure:
    """Whether ticks overrun: they come late because the loop has too much to do."""

    def __init__(self) -> None:
        self._overruns = 0.0
        self._pressed_until = 0.0

    def observe(self, late_s: float, period_s: float, now: float) -> bool:
        """Take note of one tick; whether rooms should tick at half the rate."""
        overrun = late_s > LATE_SHARE * period_s
        self._overruns += (overrun - self._overruns) * SMOOTHING
        if self._overruns > MANY_OVERRUNS:
            self._pressed_until = now + RELIEF_S
        return now < self._pressed_until
