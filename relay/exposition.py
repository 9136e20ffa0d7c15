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
    """Counts observations by upper bounds, in ascending order. One thread observes; others may read."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._head = f"# HELP {name} {help_text}\n# TYPE {name} histogram\n"
        self._bounds = bounds
        self._buckets = [f'{name}_bucket{{le="{bound}"}}' for bound in (*bounds, "+Inf")]
        self._counts = [0] * len(self._buckets)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def text(self) -> str:
        totals = list(accumulate(self._counts))
        lines = [f"{bucket} {total}\n" for bucket, total in zip(self._buckets, totals, strict=True)]
        return f"{self._head}{''.join(lines)}{self._name}_count {totals[-1]}\n{self._name}_sum {self._sum!r}\n"
