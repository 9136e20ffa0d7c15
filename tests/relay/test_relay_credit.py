"""Flow control of ticks by acknowledgements, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from streamxr.relay.credit import MAX_CREDIT, MIN_CREDIT, PROBE_S, Credit

PERIOD_S = 1 / 30


def tick_ms(now: float) -> int:
    return int(now * 1000) & 0xFFFFFFFF


def allowed_in_a_row(credit: Credit, now: float) -> int:
    """Number of ticks that are allowed at one time."""
    sent = 0
    while credit.allows(now) and sent < 100:
        sent += 1
        credit.sent(tick_ms(now) + sent, now)
    return sent


def acknowledged_after(round_trip_s: float, start: float = 10.0) -> Credit:
    credit = Credit()
    credit.sent(tick_ms(start), start)
    credit.acknowledge(tick_ms(start), start + round_trip_s, PERIOD_S)
    return credit


def test_credit_covers_the_round_trip_and_two_more_ticks() -> None:
    assert allowed_in_a_row(acknowledged_after(0.0), 10.1) == MIN_CREDIT
    assert allowed_in_a_row(acknowledged_after(0.1), 10.2) == 3 + 2
    assert allowed_in_a_row(acknowledged_after(0.3), 10.4) == 9 + 2
    assert allowed_in_a_row(acknowledged_after(2.0), 12.1) == MAX_CREDIT


def test_credit_uses_the_smallest_round_trip_which_has_no_queueing() -> None:
    credit = acknowledged_after(0.05)
    for second in range(11, 40):
        credit.sent(tick_ms(second), second)
        credit.acknowledge(tick_ms(second), second + 0.9, PERIOD_S)
    assert allowed_in_a_row(credit, 50.0) == 4


def test_an_acknowledgement_covers_all_earlier_ticks() -> None:
    credit = acknowledged_after(0.0)
    for step in range(3):
        credit.sent(20_000 + step, 20.0)
    assert not credit.allows(20.0)
    credit.acknowledge(20_002, 20.1, PERIOD_S)
    assert allowed_in_a_row(credit, 20.2) == MIN_CREDIT


def test_an_acknowledgement_of_a_tick_that_is_not_under_way_is_ignored() -> None:
    credit = Credit()
    credit.sent(1000, 1.0)
    for unknown in (0, 999, 1001, 0xFFFFFFFF):
        credit.acknowledge(unknown, 1.1, PERIOD_S)
    assert credit.silent_for(100.0) == 0.0, "the client has acknowledged nothing yet"
    credit.acknowledge(1000, 1.2, PERIOD_S)
    credit.acknowledge(1000, 1.3, PERIOD_S)
    assert credit.silent_for(100.0) == 0.0, "no acknowledgement is due"


def test_without_credit_one_tick_per_second_is_still_allowed() -> None:
    credit = acknowledged_after(0.0)
    allowed_in_a_row(credit, 20.0)
    assert not credit.allows(20.0 + PROBE_S - 0.01)
    assert credit.allows(20.0 + PROBE_S)


def test_the_clock_may_wrap_around() -> None:
    wrap = 2**32 / 1000
    credit = Credit()
    credit.sent(tick_ms(wrap - 0.01), wrap - 0.01)
    credit.acknowledge(tick_ms(wrap - 0.01), wrap + 0.04, PERIOD_S)
    assert allowed_in_a_row(credit, wrap + 1) == 4


@given(st.lists(st.tuples(st.sampled_from(["sent", "acknowledged"]), st.integers(0, 2**32 - 1)), max_size=60))
def test_any_acknowledgements_are_handled(events: list[tuple[str, int]]) -> None:
    credit = Credit()
    for now, (event, ms) in enumerate(events):
        if event == "sent":
            credit.sent(ms, float(now))
        else:
            credit.acknowledge(ms, float(now), PERIOD_S)
    assert allowed_in_a_row(credit, 1000.0) <= 100
