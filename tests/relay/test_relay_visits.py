"""What visitors got from streaming reaches /metrics: anonymous, bounded, and each time once."""

from __future__ import annotations

from typing import Any

from relay_server import Client, RunningRelay, eventually, running_relay

FIRST = "streamxr_visit_first_visible_seconds"
DETAIL = "streamxr_visit_full_detail_seconds"


def visit(client: Client, device: str = "phone", **fields: Any) -> None:
    client.send({"type": "visit", "device": device, "stalls": 0, "stalled_ms": 0} | fields)


def arrived(client: Client) -> None:
    """Wait until the relay has handled all messages sent before."""
    client.send({"type": "signal", "to": client.pid, "data": "done"})
    client.receive("signal")


def test_times_and_stalls_are_counted_by_device() -> None:
    with running_relay() as relay, relay.join() as ada, relay.join() as ben:
        visit(ada, "headset", first_ms=800)
        visit(ada, "headset", detail_ms=5_000, stalls=2, stalled_ms=3_500)
        visit(ben, "wristwatch", first_ms=90_000, stalls=1, stalled_ms=1_000)
        arrived(ada)
        arrived(ben)
        assert relay.metric(f'{FIRST}_bucket{{device="headset",le="0.5"}}') == 0
        assert relay.metric(f'{FIRST}_bucket{{device="headset",le="1.0"}}') == 1
        assert relay.metric(f'{DETAIL}_sum{{device="headset"}}') == 5.0
        assert relay.metric('streamxr_visit_stalls_total{device="headset"}') == 2
        assert relay.metric('streamxr_visit_stalled_seconds_total{device="headset"}') == 3.5
        assert relay.metric(f'{FIRST}_bucket{{device="other",le="120.0"}}') == 1
        assert relay.metric(f'{FIRST}_count{{device="phone"}}') == 0
        assert "wristwatch" not in relay.metrics()


def test_one_client_counts_each_time_once() -> None:
    with running_relay() as relay, relay.join() as ada:
        for _ in range(5):
            visit(ada, first_ms=700, detail_ms=900)
        arrived(ada)
        assert relay.metric(f'{FIRST}_count{{device="phone"}}') == 1
        assert relay.metric(f'{DETAIL}_count{{device="phone"}}') == 1


def test_no_visits_counts_nothing() -> None:
    with running_relay(visits=False) as relay, relay.join() as ada:
        visit(ada, first_ms=700, stalls=3, stalled_ms=9_000)
        arrived(ada)
        assert relay.metric(f'{FIRST}_count{{device="phone"}}') == 0
        assert relay.metric('streamxr_visit_stalls_total{device="phone"}') == 0


def test_a_scrape_has_the_same_series_whoever_visits() -> None:
    def series(relay: RunningRelay) -> set[str]:
        lines = (line.rpartition(" ")[0] for line in relay.metrics().splitlines())
        return {name for name in lines if name.startswith("streamxr_visit_")}

    with running_relay() as relay:
        before = series(relay)
        for device in ("headset", "phone", "desktop", "toaster", "fridge"):
            with relay.join() as client:
                visit(client, device, first_ms=1)
        eventually(lambda: relay.metric(f'{FIRST}_count{{device="other"}}') == 2)
        assert series(relay) == before
