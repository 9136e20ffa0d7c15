"""The token bucket, and quantiles of reported values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from streamxr.relay.metrics import nearest_rank
from streamxr.relay.rate import TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10.0, burst=3.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.1)
    assert not bucket.take(0.1)


@given(st.lists(st.floats(0.0, 1.0), max_size=200))
def test_never_more_than_the_burst_and_the_rate_are_taken(gaps: list[float]) -> None:
    bucket = TokenBucket(rate=5.0, burst=10.0, now=0.0)
    now = 0.0
    taken = 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
        assert taken <= 10.0 + 5.0 * now + 1e-6


def test_quantiles_are_reported_values() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [nearest_rank(values, q) for q in (0.05, 0.5, 0.95, 1.0)] == [5.0, 50.0, 95.0, 100.0]
    assert nearest_rank([7.0], 0.05) == 7.0
    assert nearest_rank([], 0.5) == 0.0
