"""What the relay tells Prometheus. One registry per relay, so that several can live in one process.

The hot path counts in plain integers (`Counts`); this module turns them into series when scraped. Label sets
are bounded: a scrape of thousands of series would hold up the tick.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.registry import Collector

from .protocol import CloseCode, ErrorCode

OTHER_ROOMS: Final = "other"
QUANTILES: Final = (("p05", 0.05), ("p50", 0.50), ("p95", 0.95), ("max", 1.0))
TICK_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.033, 0.066, 0.125, 0.25)
TEXT_FORMAT: Final = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class RoomCensus:
    """One room as a scrape sees it. `labelled`: it holds one of the bounded number of room labels."""

    name: str
    labelled: bool
    users: int
    objects: int


@dataclass(slots=True)
class Counts:
    """Running totals, and what each client last reported."""

    connections: int = 0
    poses: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    skipped_ticks: int = 0
    cdn_bytes: int = 0
    closes: Counter[CloseCode] = field(default_factory=Counter)
    errors: Counter[ErrorCode] = field(default_factory=Counter)
    bandwidth_bps: dict[object, float] = field(default_factory=dict)


class Metrics:
    def __init__(self, census: Callable[[], Iterable[RoomCensus]]) -> None:
        """`census` lists the open rooms; it is asked at every scrape."""
        self.counts = Counts()
        self._registry = CollectorRegistry()
        self._registry.register(_Series(self.counts, census))
        self.tick_seconds = Histogram(
            "streamxr_relay_tick_seconds",
            "Time to make one tick of every room and offer it to every client.",
            buckets=TICK_BUCKETS_S,
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes, of content type `TEXT_FORMAT`."""
        return generate_latest(self._registry)


class _Series(Collector):
    def __init__(self, counts: Counts, census: Callable[[], Iterable[RoomCensus]]) -> None:
        self._counts = counts
        self._census = census

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        yield GaugeMetricFamily(
            "streamxr_websocket_connections", "Open WebSocket connections.", value=counts.connections
        )
        yield from self._rooms()

        bandwidth = GaugeMetricFamily(
            "streamxr_client_bandwidth_bps",
            "Bandwidth that clients measure on their downloads, bits per second: quantiles over all of them; "
            "0 when none has reported.",
            labels=["client_id"],
        )
        reported = sorted(counts.bandwidth_bps.values())
        for name, quantile in QUANTILES:
            bandwidth.add_metric([name], nearest_rank(reported, quantile))
        yield bandwidth

        # Counts up, but keeps its name: the client library would append `_total` to a declared counter.
        yield UnknownMetricFamily(
            "streamxr_data_transferred_bytes",
            "Asset bytes that clients report having downloaded from the CDN.",
            value=counts.cdn_bytes,
        )

        for what, help_text, value in (
            ("poses", "Poses accepted from clients.", counts.poses),
            ("received_bytes", "Payload bytes received from clients.", counts.received_bytes),
            ("sent_bytes", "Payload bytes sent to clients.", counts.sent_bytes),
            (
                "skipped_ticks",
                "Ticks not sent to a client because it had not read the one before.",
                counts.skipped_ticks,
            ),
        ):
            yield CounterMetricFamily(f"streamxr_relay_{what}", help_text, value=value)

        closes = CounterMetricFamily(
            "streamxr_relay_closes", "Connections the relay closed, by WebSocket close code.", labels=["code"]
        )
        for close_code in CloseCode:
            closes.add_metric([str(int(close_code))], counts.closes[close_code])
        yield closes
        errors = CounterMetricFamily(
            "streamxr_relay_errors", "Messages that were not obeyed, by error code.", labels=["code"]
        )
        for error_code in ErrorCode:
            errors.add_metric([error_code], counts.errors[error_code])
        yield errors

    def _rooms(self) -> Iterator[Metric]:
        users = GaugeMetricFamily(
            "streamxr_room_users",
            "Participants in a room; rooms beyond the labelled ones are summed as `other`.",
            labels=["room"],
        )
        objects = GaugeMetricFamily(
            "streamxr_shared_objects_total",
            "Shared objects in a room; rooms beyond the labelled ones are summed as `other`.",
            labels=["room"],
        )
        other_users = other_objects = 0
        for room in self._census():
            if room.labelled:
                users.add_metric([room.name], room.users)
                objects.add_metric([room.name], room.objects)
            else:
                other_users += room.users
                other_objects += room.objects
        users.add_metric([OTHER_ROOMS], other_users)
        objects.add_metric([OTHER_ROOMS], other_objects)
        yield users
        yield objects


def nearest_rank(ordered: list[float], quantile: float) -> float:
    """The nearest-rank quantile of sorted values: one of them, never a value in between; 0 of nothing."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)]
