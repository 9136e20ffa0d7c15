"""Metrics for Prometheus, with one registry per relay, so that several relays can run in one process.

The hot path counts in plain integers (`Counts`), and a scrape turns them into series. The number of label values is
bounded, because a scrape of thousands of series would delay the tick.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from .protocol.messages import CloseCode, ErrorCode, Refusal
from .room_labels import OTHER_ROOMS

QUANTILES: Final = (("p05", 0.05), ("p50", 0.50), ("p95", 0.95), ("max", 1.0))
TICK_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.033, 0.066, 0.125, 0.25)
AGE_BUCKETS_S: Final = (0.01, 0.02, 0.033, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
TEXT_FORMAT: Final = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class RoomCensus:
    """The contents of one room. `labelled`: it has one of the bounded number of room labels."""

    name: str
    labelled: bool
    users: int
    objects: int


@dataclass(frozen=True, slots=True)
class RelayState:
    """The state and the limits of the relay."""

    rooms: int
    max_rooms: int
    max_connections: int
    draining: bool


@dataclass(frozen=True, slots=True)
class ReportedBandwidth:
    """The bandwidth of its downloads that a client last reported."""

    client_id: str  # room/pid
    bandwidth_bps: float


@dataclass(slots=True)
class Counts:
    """Running totals, and the latest report of each client."""

    connections: int = 0
    poses: int = 0
    acks: int = 0  # acknowledgements of ticks
    received_bytes: int = 0
    sent_bytes: int = 0
    skipped_ticks: int = 0
    cdn_bytes: int = 0
    observe_age_s: Callable[[float], None] = lambda _: None  # receives a sample of the pose ages
    closes: Counter[CloseCode] = field(default_factory=Counter)
    errors: Counter[ErrorCode] = field(default_factory=Counter)
    denials: Counter[Refusal] = field(default_factory=Counter)
    reported: dict[object, ReportedBandwidth] = field(default_factory=dict)  # by connection


class Metrics:
    def __init__(
        self, census: Callable[[], Iterable[RoomCensus]], state: Callable[[], RelayState], client_series: int = 0
    ) -> None:
        """`census` (the open rooms) and `state` (of the relay) are called at every scrape. The `client_series` slowest
        clients have bandwidth series of their own."""
        self.counts = Counts()
        self._registry = CollectorRegistry()
        self._registry.register(_Series(self.counts, census, state, client_series))
        ProcessCollector(registry=self._registry)  # memory and open files; on Linux only
        self.tick_seconds = self._histogram(
            "tick_seconds", "Time to make one tick of every room and to offer it to every client.", TICK_BUCKETS_S
        )
        self.tick_late_seconds = self._histogram(
            "tick_late_seconds",
            "Delay with which a tick began, caused by other work of the event loop.",
            TICK_BUCKETS_S,
        )
        self.pose_age_seconds = self._histogram(
            "pose_age_seconds",
            "Time from making a tick until its acknowledgement arrives: the age of poses when clients show them, plus "
            "the way back. A sample, of clients that acknowledge ticks.",
            AGE_BUCKETS_S,
        )
        self.counts.observe_age_s = self.pose_age_seconds.observe

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"streamxr_relay_{name}", help_text, buckets=buckets, registry=self._registry)

    def exposition(self) -> bytes:
        """The response to a scrape, of content type `TEXT_FORMAT`."""
        return generate_latest(self._registry)


class _Series(Collector):
    def __init__(
        self,
        counts: Counts,
        census: Callable[[], Iterable[RoomCensus]],
        state: Callable[[], RelayState],
        client_series: int,
    ) -> None:
        self._counts = counts
        self._census = census
        self._state = state
        self._client_series = client_series

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        yield GaugeMetricFamily(
            "streamxr_websocket_connections", "Open WebSocket connections.", value=counts.connections
        )
        yield from self._rooms()
        yield self._bandwidth()

        # This is a counter, but the client library would append `_total` to the name of a declared one.
        yield UnknownMetricFamily(
            "streamxr_data_transferred_bytes",
            "Asset bytes that clients report having downloaded from the CDN.",
            value=counts.cdn_bytes,
        )

        for name, help_text, value in (
            ("poses", "Poses accepted from clients.", counts.poses),
            ("received_bytes", "Payload bytes received from clients.", counts.received_bytes),
            ("sent_bytes", "Payload bytes sent to clients.", counts.sent_bytes),
            (
                "skipped_ticks",
                "Ticks not sent to a client because it had not received earlier ones.",
                counts.skipped_ticks,
            ),
        ):
            yield CounterMetricFamily(f"streamxr_relay_{name}", help_text, value=value)

        closes = CounterMetricFamily(
            "streamxr_relay_closes", "Connections that the relay closed, by WebSocket close code.", labels=["code"]
        )
        for close_code in CloseCode:
            closes.add_metric([str(int(close_code))], counts.closes[close_code])
        yield closes
        errors = CounterMetricFamily(
            "streamxr_relay_errors", "Messages that the relay rejected, by error code.", labels=["code"]
        )
        for error_code in ErrorCode:
            errors.add_metric([error_code], counts.errors[error_code])
        yield errors

        denials = CounterMetricFamily(
            "streamxr_relay_denials", "Operations on shared objects that were denied, by reason.", labels=["reason"]
        )
        for reason in Refusal:
            denials.add_metric([reason], counts.denials[reason])
        yield denials
        yield from self._relay()

    def _relay(self) -> Iterator[Metric]:
        state = self._state()
        # The relay is one thread, so it can use at most one second of CPU time per second.
        yield CounterMetricFamily("streamxr_relay_cpu_seconds", "CPU time used.", value=time.process_time())
        yield GaugeMetricFamily("streamxr_relay_rooms", "Open rooms.", value=state.rooms)
        limit = GaugeMetricFamily("streamxr_relay_limit", "Maximum number of rooms and of connections.", labels=["of"])
        limit.add_metric(["rooms"], state.max_rooms)
        limit.add_metric(["connections"], state.max_connections)
        yield limit
        yield GaugeMetricFamily(
            "streamxr_relay_draining",
            "1 while the relay closes its connections before it stops, otherwise 0.",
            value=state.draining,
        )
        yield InfoMetricFamily("streamxr_relay", "The relay's version.", value={"version": _version()})

    def _bandwidth(self) -> Metric:
        bandwidth = GaugeMetricFamily(
            "streamxr_client_bandwidth_bps",
            "Download bandwidth that clients measure, bits per second: quantiles over all clients (0 without reports), "
            "and, if enabled, the slowest clients, as room/pid.",
            labels=["client_id"],
        )
        reported = self._counts.reported.values()
        ordered = sorted(client.bandwidth_bps for client in reported)
        for name, quantile in QUANTILES:
            bandwidth.add_metric([name], nearest_rank(ordered, quantile))
        for client in heapq.nsmallest(self._client_series, reported, key=lambda client: client.bandwidth_bps):
            bandwidth.add_metric([client.client_id], client.bandwidth_bps)
        return bandwidth

    def _rooms(self) -> Iterator[Metric]:
        users = GaugeMetricFamily(
            "streamxr_room_users",
            "Participants in a room; `other` is the sum of all rooms without a label.",
            labels=["room"],
        )
        objects = GaugeMetricFamily(
            "streamxr_shared_objects_total",
            "Shared objects in a room; `other` is the sum of all rooms without a label.",
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
    """The nearest-rank quantile of sorted values, which is always one of them; 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)]


def _version() -> str:
    try:
        return version("streamxr")
    except PackageNotFoundError:  # runs from a folder that is not installed
        return "unknown"
