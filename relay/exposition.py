"""The text format of Prometheus, and histograms; written without objects for each sample, since a scrape delays a tick.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def family(name: str, kind: str, help_text: str, samples: Iterable[tuple[str, float]]) -> str:
    """One metric family.

    `kind` is counter, gauge, histogram or untyped. A sample is its labels, such as '{code="1011"}' or "", and its
    value. Neither help nor label values may contain a line feed, a backslash or, in labels, a quote.
    """
    lines = [f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"]
    lines += [f"{name}{labels} {value!r}\n" for labels, value in samples]
    return "".join(lines)


def single(name: str, kind: str, help_text: str, value: float) -> str:
    """A family of one sample without labels."""
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{name} {value!r}\n"


class Histogram:
    """Counts observations by upper bounds, in ascending order. One thread observes; others may read.

    labels: further labels of its series, such as 'device="phone"'.
    """

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...], labels: str = "") -> None:
        self._head = f"# HELP {name} {help_text}\n# TYPE {name} histogram\n"
        self._bounds = bounds
        before = f"{labels}," if labels else ""
        self._buckets = [f'{name}_bucket{{{before}le="{bound}"}}' for bound in (*bounds, "+Inf")]
        own = f"{{{labels}}}" if labels else ""
        self._count_name, self._sum_name = f"{name}_count{own}", f"{name}_sum{own}"
        self._counts = [0] * len(self._buckets)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def text(self) -> str:
        return self._head + self.series()

    def series(self) -> str:
        """The series without the head of their family, for a family of several histograms."""
        totals = list(accumulate(self._counts))
        lines = [f"{bucket} {total}\n" for bucket, total in zip(self._buckets, totals, strict=True)]
        return f"{''.join(lines)}{self._count_name} {totals[-1]}\n{self._sum_name} {self._sum!r}\n"
