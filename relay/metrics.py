"""Metrics for Prometheus, with one registry per relay, so that several relays can run in one process.

The hot path counts in plain integers (`Counts`), and a scrape turns them into series. The number of label values is
bounded, because a scrape of thousands of series would delay the tick.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from .exposition import Histogram, family, single
from .protocol.messages import CloseCode, ErrorCode, Refusal
from .room_labels import OTHER_ROOMS
from .visits import Visits

QUANTILES: Final = (("p05", 0.05), ("p50", 0.50), ("p95", 0.95), ("max", 1.0))
TICK_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.033, 0.066, 0.125, 0.25)
CLOSE_LABELS: Final = [(f'{{code="{code:d}"}}', code) for code in CloseCode]
ERROR_LABELS: Final = [(f'{{code="{code}"}}', code) for code in ErrorCode]
DENIAL_LABELS: Final = [(f'{{reason="{reason}"}}', reason) for reason in Refusal]
STORE_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
AGE_BUCKETS_S: Final = (0.01, 0.02, 0.033, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(slots=True)
class RoomCensus:
    """Participants and objects: `(name, users, objects)` of each room that has a label, and the sums of all others."""

    labelled: list[tuple[str, int, int]] = field(default_factory=list)
    other_users: int = 0
    other_objects: int = 0


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
        self, census: Callable[[], RoomCensus], state: Callable[[], RelayState], client_series: int = 0
    ) -> None:
        """`census` (of the open rooms) and `state` (of the relay) are called at every scrape. The `client_series`
        slowest clients have bandwidth series of their own."""
        self.counts = Counts()
        self._census = census
        self._state = state
        self._client_series = client_series
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)  # memory and open files; on Linux only
        self.tick_seconds = Histogram(
            "streamxr_relay_tick_seconds",
            "Time to make one tick of every room and to offer it to every client.",
            TICK_BUCKETS_S,
        )
        self.tick_late_seconds = Histogram(
            "streamxr_relay_tick_late_seconds",
            "Delay with which a tick began, caused by other work of the event loop.",
            TICK_BUCKETS_S,
        )
        self.pose_age_seconds = Histogram(
            "streamxr_relay_pose_age_seconds",
            "Time from making a tick until its acknowledgement arrives: the age of poses when clients show them, plus "
            "the way back. A sample, of clients that acknowledge ticks.",
            AGE_BUCKETS_S,
        )
        self.counts.observe_age_s = self.pose_age_seconds.observe
        self.visits = Visits()
        self.store_seconds = Histogram(
            "streamxr_relay_store_seconds",
            "Time to write one transaction of shared objects to the disk.",
            STORE_BUCKETS_S,
        )
        self._store_failures = 0
        self._state_folder: Path | None = None

    def observe_write(self, seconds: float, succeeded: bool) -> None:
        """A transaction of the store has ended. Called in the store's thread only."""
        self.store_seconds.observe(seconds)
        self._store_failures += not succeeded

    def watch_disk(self, folder: Path) -> None:
        """Report the free bytes of the disk that holds this folder."""
        self._state_folder = folder

    def exposition(self) -> bytes:
        """The response to a scrape, of type `exposition.CONTENT_TYPE`."""
        histograms = (self.tick_seconds, self.tick_late_seconds, self.pose_age_seconds, self.store_seconds)
        timings = (histogram.text() for histogram in histograms)
        own = "".join((*self._clients(), *self._relay(), *timings, *self.visits.text()))
        return own.encode() + generate_latest(self._process)

    def _clients(self) -> Iterator[str]:
        counts = self.counts
        yield single("streamxr_websocket_connections", "gauge", "Open WebSocket connections.", counts.connections)
        yield from self._rooms()
        yield self._bandwidth()
        # A counter by its meaning; its name, without `_total`, is older than that rule.
        yield single(
            "streamxr_data_transferred_bytes",
            "untyped",
            "Asset bytes that clients report having downloaded from the CDN.",
            counts.cdn_bytes,
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
            yield single(f"streamxr_relay_{name}_total", "counter", help_text, value)
        yield family(
            "streamxr_relay_closes_total",
            "counter",
            "Connections that the relay closed, by WebSocket close code.",
            [(labels, counts.closes[code]) for labels, code in CLOSE_LABELS],
        )
        yield family(
            "streamxr_relay_errors_total",
            "counter",
            "Messages that the relay rejected, by error code.",
            [(labels, counts.errors[code]) for labels, code in ERROR_LABELS],
        )
        yield family(
            "streamxr_relay_denials_total",
            "counter",
            "Operations on shared objects that were denied, by reason.",
            [(labels, counts.denials[reason]) for labels, reason in DENIAL_LABELS],
        )

    def _relay(self) -> Iterator[str]:
        state = self._state()
        # The relay is one thread, so it can use at most one second of CPU time per second.
        yield single("streamxr_relay_cpu_seconds_total", "counter", "CPU time used.", time.process_time())
        yield single("streamxr_relay_rooms", "gauge", "Open rooms.", state.rooms)
        yield family(
            "streamxr_relay_limit",
            "gauge",
            "Maximum number of rooms and of connections.",
            [('{of="rooms"}', state.max_rooms), ('{of="connections"}', state.max_connections)],
        )
        yield single(
            "streamxr_relay_draining",
            "gauge",
            "1 while the relay closes its connections before it stops, otherwise 0.",
            int(state.draining),
        )
        yield single(
            "streamxr_relay_store_failures_total",
            "counter",
            "Transactions of shared objects that could not be written.",
            self._store_failures,
        )
        if self._state_folder is not None:
            with contextlib.suppress(OSError):
                free = shutil.disk_usage(self._state_folder).free
                yield single("streamxr_relay_state_free_bytes", "gauge", "Free bytes on the disk of --state.", free)
        yield family("streamxr_relay_info", "gauge", "The relay's version.", [(f'{{version="{_version()}"}}', 1)])

    def _bandwidth(self) -> str:
        reported = self.counts.reported.values()
        ordered = sorted(client.bandwidth_bps for client in reported)
        samples = [(f'{{client_id="{name}"}}', nearest_rank(ordered, quantile)) for name, quantile in QUANTILES]
        if self._client_series:
            slowest = heapq.nsmallest(self._client_series, reported, key=lambda client: client.bandwidth_bps)
            samples += [(f'{{client_id="{client.client_id}"}}', client.bandwidth_bps) for client in slowest]
        return family(
            "streamxr_client_bandwidth_bps",
            "gauge",
            "Download bandwidth that clients measure, bits per second: quantiles over all clients (0 without reports), "
            "and, if enabled, the slowest clients, as room/pid.",
            samples,
        )

    def _rooms(self) -> Iterator[str]:
        census = self._census()
        # Names of rooms have no character that a label must escape.
        rooms = [(f'{{room="{name}"}}', users, objects) for name, users, objects in census.labelled]
        rooms.append((f'{{room="{OTHER_ROOMS}"}}', census.other_users, census.other_objects))
        yield family(
            "streamxr_room_users",
            "gauge",
            "Participants in a room; `other` is the sum of all rooms without a label.",
            [(labels, users) for labels, users, _ in rooms],
        )
        yield family(
            "streamxr_shared_objects_total",
            "gauge",
            "Shared objects in a room; `other` is the sum of all rooms without a label.",
            [(labels, objects) for labels, _, objects in rooms],
        )


def nearest_rank(ordered: list[float], quantile: float) -> float:
    """The nearest-rank quantile of sorted values, which is always one of them; 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)]


@functools.cache
def _version() -> str:
    try:
        return version("streamxr")
    except PackageNotFoundError:  # runs from a folder that is not installed
        return "unknown"
