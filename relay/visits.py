"""What visitors got from streaming, as their viewers report it, for Prometheus: anonymous, and with few series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from .exposition import Histogram, family
from .protocol.messages import Device, Visit

BOUNDS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
FIRST: Final = "streamxr_visit_first_visible_seconds"
DETAIL: Final = "streamxr_visit_full_detail_seconds"
FIRST_HELP: Final = "Time from the start of a visit to the first picture, as viewers report it."
DETAIL_HELP: Final = "Time from the start of a visit until nothing more was wanted in view, as viewers report it."


class ReportedTimes:
    """Which times a client has reported. Each counts once, however often it is sent."""

    __slots__ = ("detail", "first")

    def __init__(self) -> None:
        self.first = False
        self.detail = False


class Visits:
    def __init__(self) -> None:
        self._first = {d: Histogram(FIRST, FIRST_HELP, BOUNDS_S, f'device="{d}"') for d in Device}
        self._detail = {d: Histogram(DETAIL, DETAIL_HELP, BOUNDS_S, f'device="{d}"') for d in Device}
        self._stalls: Counter[Device] = Counter()
        self._stalled_s = dict.fromkeys(Device, 0.0)

    def add(self, visit: Visit, reported: ReportedTimes) -> None:
        if visit.first_ms is not None and not reported.first:
            reported.first = True
            self._first[visit.device].observe(visit.first_ms / 1000.0)
        if visit.detail_ms is not None and not reported.detail:
            reported.detail = True
            self._detail[visit.device].observe(visit.detail_ms / 1000.0)
        self._stalls[visit.device] += visit.stalls
        self._stalled_s[visit.device] += visit.stalled_ms / 1000.0

    def text(self) -> Iterator[str]:
        """The families of these series."""
        for name, help_text, histograms in ((FIRST, FIRST_HELP, self._first), (DETAIL, DETAIL_HELP, self._detail)):
            yield family(name, "histogram", help_text, ())
            yield from (histogram.series() for histogram in histograms.values())
        labels = [(f'{{device="{device}"}}', device) for device in Device]
        yield family(
            "streamxr_visit_stalls_total",
            "counter",
            "Silences of at least a second while files were on their way, as viewers report them.",
            [(label, self._stalls[device]) for label, device in labels],
        )
        yield family(
            "streamxr_visit_stalled_seconds_total",
            "counter",
            "Length of these silences in all.",
            [(label, self._stalled_s[device]) for label, device in labels],
        )
