"""/metrics: all series have their names from the start, and their number is limited."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from pose_codec import Body, encode_pose
from relay_server import eventually, running_relay
from streamxr.relay.metrics import Metrics, RelayState, ReportedBandwidth, RoomCensus
from streamxr.relay.protocol.messages import CloseCode, ErrorCode, Point, Refusal
from streamxr.relay.room_labels import RoomLabels

STATE = RelayState(rooms=0, max_rooms=10, max_connections=20, draining=False)


def series(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_every_series_exists_from_the_start() -> None:
    found = series(Metrics(list, lambda: STATE))
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
    metrics = Metrics(list, lambda: STATE, client_series=limit)
    for index, bps in enumerate(bandwidths):
        metrics.counts.reported[index] = ReportedBandwidth(f"hall/{index}", bps)
    clients = [value for name, value in series(metrics).items() if 'client_id="hall/' in name]
    assert sorted(clients) == sorted(bandwidths)[:limit]


@given(st.integers(0, 50))
def test_rooms_without_a_label_are_summed(rooms: int) -> None:
    census = [RoomCensus(f"room-{n}", labelled=n < 5, users=2, objects=1) for n in range(rooms)]
    found = series(Metrics(lambda: census, lambda: STATE))
    users = {name: value for name, value in found.items() if name.startswith("streamxr_room_users")}
    assert len(users) == min(rooms, 5) + 1
    assert sum(users.values()) == 2 * rooms


def test_a_client_that_left_has_no_series() -> None:
    with running_relay(client_series=5) as relay:
        with relay.join() as ada:
            ada.send({"type": "stats", "bandwidth_bps": 5e6, "cdn_bytes": 0})
            name = f'streamxr_client_bandwidth_bps{{client_id="hall/{ada.pid}"}}'
            eventually(lambda: f"{name} 5e+06" in relay.get("/metrics")[1])
        eventually(lambda: name not in relay.get("/metrics")[1])


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
        lines = relay.get("/metrics")[1].splitlines()
    names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))
    assert 'streamxr_room_users{room="other"} 1.0' in lines


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
