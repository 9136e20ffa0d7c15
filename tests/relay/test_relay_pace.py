"""The tick rate of rooms, by size and under overload."""

from __future__ import annotations

from streamxr.relay.protocol.poses import RECORD_MM_BYTES
from streamxr.relay.rooms.pace import RECOVERY_S, OverloadDetector, TickPolicy

PERIOD_S = 1 / 60


def test_a_small_room_ticks_at_the_full_rate_and_a_large_one_at_half() -> None:
    policy = TickPolicy(hz=60, fast_up_to=64)
    assert not policy.half_rate(64, is_half_rate=False, overloaded=False)
    assert policy.half_rate(65, is_half_rate=False, overloaded=False)
    assert policy.half_rate(60, is_half_rate=True, overloaded=False), (
        "one participant who joins and leaves must not toggle the rate"
    )
    assert not policy.half_rate(57, is_half_rate=True, overloaded=False)


def test_an_overloaded_relay_halves_the_rate_of_all_rooms() -> None:
    assert TickPolicy(hz=60).half_rate(2, is_half_rate=False, overloaded=True)


def test_a_slow_rate_is_never_halved() -> None:
    assert not TickPolicy(hz=30).half_rate(1000, is_half_rate=False, overloaded=True)


def test_a_single_late_tick_is_not_overload() -> None:
    detector = OverloadDetector()
    assert not detector.observe(1.0, PERIOD_S, 0.0)


def test_many_late_ticks_are_overload_which_lasts_for_a_while() -> None:
    detector = OverloadDetector()
    for step in range(10):
        overloaded = detector.observe(PERIOD_S, PERIOD_S, step * PERIOD_S)
    assert overloaded
    assert detector.observe(0.0, PERIOD_S, 1.0)
    for step in range(100):
        overloaded = detector.observe(0.0, PERIOD_S, 1.0 + step * PERIOD_S)
    assert overloaded
    assert not detector.observe(0.0, PERIOD_S, 3.0 + RECOVERY_S)


def test_by_default_no_room_in_full_mode_exceeds_the_budget_of_a_client() -> None:
    policy = TickPolicy()
    for participants in range(1, policy.full_up_to + 1):
        hz = policy.hz // 2 if policy.half_rate(participants, is_half_rate=False, overloaded=False) else policy.hz
        assert participants * RECORD_MM_BYTES * 8 * hz <= policy.client_bps
