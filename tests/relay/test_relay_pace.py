from __future__ import annotations

from streamxr.relay.rooms.pace import RECOVERY_S, OverloadDetector, TickPolicy

PERIOD_S = 1 / 60


def test_a_small_room_ticks_at_the_full_rate_and_a_large_one_at_half() -> None:
    policy = TickPolicy(hz=60, fast_up_to=64)
    assert not policy.half_rate(64, is_half_rate=False, overloaded=False)
    assert policy.half_rate(65, is_half_rate=False, overloaded=False)
    assert policy.half_rate(60, is_half_rate=True, overloaded=False), "somebody at the door must not toggle it"
    assert not policy.half_rate(57, is_half_rate=True, overloaded=False)


def test_a_relay_under_pressure_halves_all() -> None:
    assert TickPolicy(hz=60).half_rate(2, is_half_rate=False, overloaded=True)


def test_a_slow_rate_is_never_halved() -> None:
    assert not TickPolicy(hz=30).half_rate(1000, is_half_rate=False, overloaded=True)


def test_a_single_late_tick_is_no_pressure() -> None:
    pressure = OverloadDetector()
    assert not pressure.observe(1.0, PERIOD_S, 0.0)


def test_many_late_ticks_are_and_it_takes_a_while_to_be_over() -> None:
    pressure = OverloadDetector()
    for step in range(10):
        overloaded = pressure.observe(PERIOD_S, PERIOD_S, step * PERIOD_S)
    assert overloaded
    assert pressure.observe(0.0, PERIOD_S, 1.0)
    for step in range(100):
        overloaded = pressure.observe(0.0, PERIOD_S, 1.0 + step * PERIOD_S)
    assert overloaded
    assert not pressure.observe(0.0, PERIOD_S, 3.0 + RECOVERY_S)


def test_by_default_no_room_of_any_size_sends_a_client_more_than_its_share() -> None:
    policy = TickPolicy()
    for people in range(1, policy.full_up_to + 1):
        hz = policy.hz // 2 if policy.half_rate(people, is_half_rate=False, overloaded=False) else policy.hz
        assert people * 34 * 8 * hz <= policy.client_bps
