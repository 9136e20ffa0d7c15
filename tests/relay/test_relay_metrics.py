"""/metrics: all series have their names from the start, and their number is limited."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pose_codec import Body, encode_pose
from prometheus_client.parser import text_string_to_metric_families
from relay_server import eventually, running_relay
from streamxr.relay.exposition import Histogram
from streamxr.relay.metrics import Metrics, RelayState, ReportedBandwidth, RoomCensus
from streamxr.relay.protocol.messages import CloseCode, ErrorCode, Point, Refusal
from streamxr.relay.room_labels import RoomLabels

STATE = RelayState(rooms=0, max_rooms=10, max_connections=20, draining=False)


def series(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_every_series_exists_from_the_start() -> None:
    found = series(Metrics(RoomCensus, lambda: STATE))
    for name in (
        "streamxr_websocket_connections",
        'streamxr_room_users{room="other"}',
        'streamxr_shared_objects_total{room="other"}',
        'streamxr_client_bandwidth_bps{client_id="p50"}',
        "streamxr_data_transferred_bytes",
        "streamxr_relay_skipped_ticks_total",
        "streamxr_relay_tick_seconds_count",
        "streamxr_relay_tick_late_seconds_count",
        "streamxr_relay_pose_age_seconds_count",
        "streamxr_relay_cpu_seconds_total",
        'streamxr_relay_limit{of="connections"}',
        *(f'streamxr_relay_closes_total{{code="{code:d}"}}' for code in CloseCode),
        *(f'streamxr_relay_errors_total{{code="{code}"}}' for code in ErrorCode),
        *(f'streamxr_relay_denials_total{{reason="{reason}"}}' for reason in Refusal),
    ):
        assert name in found, name


@given(st.lists(st.floats(0, 1e12), max_size=30), st.integers(0, 8))
def test_only_the_slowest_clients_have_series(bandwidths: list[float], limit: int) -> None:
    metrics = Metrics(RoomCensus, lambda: STATE, client_series=limit)
    for index, bps in enumerate(bandwidths):
        metrics.counts.reported[index] = ReportedBandwidth(f"hall/{index}", bps)
    clients = [value for name, value in series(metrics).items() if 'client_id="hall/' in name]
    assert sorted(clients) == sorted(bandwidths)[:limit]


@given(st.integers(0, 50))
def test_rooms_without_a_label_are_summed(rooms: int) -> None:
    few, rest = min(rooms, 5), max(rooms - 5, 0)
    census = RoomCensus([(f"room-{n}", 2, 1) for n in range(few)], 2 * rest, rest)
    found = series(Metrics(lambda: census, lambda: STATE))
    users = {name: value for name, value in found.items() if name.startswith("streamxr_room_users")}
    assert len(users) == min(rooms, 5) + 1
    assert sum(users.values()) == 2 * rooms


def test_a_client_that_left_has_no_series() -> None:
    with running_relay(client_series=5) as relay:
        with relay.join() as ada:
            ada.send({"type": "stats", "bandwidth_bps": 5e6, "cdn_bytes": 0})
            name = f'streamxr_client_bandwidth_bps{{client_id="hall/{ada.pid}"}}'
            eventually(lambda: f"{name} 5000000.0" in relay.metrics())
        eventually(lambda: name not in relay.metrics())


def test_the_pose_age_is_the_time_until_the_acknowledgement() -> None:
    with running_relay() as relay, relay.join() as ada, relay.join(name="Ben") as ben:
        x = 0.0

        def has_sample() -> bool:
            nonlocal x
            x += 0.01
            ben.move(x)
            ada.wait_for_pose(ben.pid, x)
            tick_ms = ada.ticks[-1].tick_ms
            time.sleep(0.02)
            ada.socket.send(encode_pose(Body(Point((0.0, 1.6, 0.0), (0.0, 0.0, 0.0, 1.0))), 0, tick_ms))
            return relay.metric("streamxr_relay_pose_age_seconds_count") > 0

        eventually(has_sample)
        assert relay.metric("streamxr_relay_pose_age_seconds_sum") >= 0.019
        assert relay.metric('streamxr_relay_pose_age_seconds_bucket{le="0.01"}') == 0


def test_denials_are_counted_by_reason() -> None:
    with running_relay() as relay, relay.join() as ada:
        ada.send({"type": "grab", "id": 12345})
        ada.receive("denied")
        assert relay.metric('streamxr_relay_denials_total{reason="unknown"}') == 1
        assert relay.metric('streamxr_relay_denials_total{reason="held"}') == 0


def test_a_room_named_other_makes_no_second_series() -> None:
    with running_relay() as relay, relay.join("other"), relay.join("hall"):
        lines = relay.metrics().splitlines()
    names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))
    assert 'streamxr_room_users{room="other"} 1' in lines


def test_labels_of_rooms_are_few_however_many_rooms_come_and_go() -> None:
    labels = RoomLabels(10)
    seen = set()
    for number in range(1000):
        if labels.opened(f"room-{number}", 60.0 * number):
            seen.add(number)
        labels.closed(f"room-{number}", 60.0 * number + 30)
    assert len(seen) == 10
    assert labels.opened("room-3", 70_000.0), "a room that comes back has its label"
    labels.closed("room-3", 70_001.0)
    assert labels.opened("new", 200_000.0), "a day later others get them"


def test_an_open_room_keeps_its_label() -> None:
    labels = RoomLabels(1)
    assert labels.opened("museum", 0.0)
    assert not labels.opened("guest", 10 * 24 * 3600.0)


def test_metrics_are_on_a_port_of_their_own_and_not_among_the_public_paths() -> None:
    with running_relay() as relay:
        assert relay.get("/metrics")[0] == 404
        assert relay.get("/metrics", relay.metrics_port)[0] == 200
        assert relay.get("/readyz", relay.metrics_port)[0] == 404


def test_prometheus_parses_every_line() -> None:
    with running_relay(client_series=1) as relay, relay.join() as ada:
        ada.send({"type": "stats", "bandwidth_bps": 5e6, "cdn_bytes": 7})
        eventually(lambda: relay.metric("streamxr_data_transferred_bytes") == 7)
        text = relay.metrics()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["streamxr_relay_pose_age_seconds"].type == "histogram"
    assert families["streamxr_relay_closes"].type == "counter"
    assert len(families) == sum(line.startswith("# TYPE") for line in text.splitlines())


@given(st.lists(st.floats(0, 10), max_size=40))
def test_buckets_of_a_histogram_count_all_values_up_to_their_bound(values: list[float]) -> None:
    bounds = (0.01, 0.1, 1.0)
    histogram = Histogram("age", "An age.", bounds)
    for value in values:
        histogram.observe(value)
    (family,) = text_string_to_metric_families(histogram.text())
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert found == {str(bound): sum(value <= bound for value in values) for bound in bounds} | {
        "+Inf": len(values),
        "age_count": len(values),
        "age_sum": pytest.approx(sum(values)),
    }
