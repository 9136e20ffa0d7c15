"""Who is told of which poses, in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pose_codec import decode_tick
from streamxr.relay.frames import Frame
from streamxr.relay.protocol.poses import FLOAT32, LEFT_VALID, POINT_F32, POINT_MM
from streamxr.relay.rooms.cells import MAX_CELL_PARTICIPANTS, GroundPosition, divide
from streamxr.relay.rooms.fanout import KEYFRAME_INTERVAL_S, Fanout, TickFrames
from streamxr.relay.rooms.latest_poses import LatestPoses

Make = Callable[[float, float, int], bytes]

HZ = 30
FULL_UP_TO = 150
CLIENT_BPS = 1_500_000


def body(x: float, z: float, step: int = 0) -> bytes:
    return POINT_MM.pack(int(x * 1000), step % 30_000, int(z * 1000), 0xE0080200) + bytes(20)


def far_body(x: float, z: float, step: int = 0) -> bytes:
    return POINT_F32.pack(x, step, z, 0xE0080200) + bytes(32)


def fanout_of(bodies: LatestPoses) -> Fanout:
    return Fanout(bodies, FULL_UP_TO, CLIENT_BPS)


def pids_in(frame: Frame | None) -> list[int]:
    return [record.pid for record in decode_tick(frame.payload).records] if frame else []


def frame_of(ticked: TickFrames, pid: int) -> Frame | None:
    return ticked.by_pid.get(pid, ticked.shared)


# --- full mode


def test_a_tick_holds_only_what_changed() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    bodies.slot_of(1).put(0, body(1, 0), 0.0)
    bodies.slot_of(2).put(0, body(2, 0), 0.0)
    fanout.tick(0.0, 2, HZ)
    bodies.slot_of(1).put(0, body(3, 0), 0.1)
    bodies.slot_of(2).put(0, body(2, 0), 0.1)
    assert pids_in(fanout.tick(0.1, 2, HZ).shared) == [1]
    assert fanout.tick(0.2, 2, HZ).shared is None


def test_a_hand_that_is_lost_is_a_change() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    bodies.slot_of(1).put(LEFT_VALID, body(0, 0), 0.0)
    fanout.tick(0.0, 1, HZ)
    bodies.slot_of(1).put(0, body(0, 0), 0.1)
    frame = fanout.tick(0.1, 1, HZ).shared
    assert frame
    assert [record.flags for record in decode_tick(frame.payload).records] == [0]


def test_once_a_second_a_tick_holds_everyone() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    bodies.slot_of(1).put(0, body(0, 0), 0.0)
    assert pids_in(fanout.tick(0.0, 1, HZ).shared) == [1]
    assert fanout.tick(KEYFRAME_INTERVAL_S - 0.01, 1, HZ).shared is None
    assert pids_in(fanout.tick(KEYFRAME_INTERVAL_S, 1, HZ).shared) == [1]


@pytest.mark.parametrize("people", [1, 1000])
def test_a_quiet_room_still_sends_once_a_second(people: int) -> None:
    fanout = fanout_of(LatestPoses())
    fanout.tick(0.0, people, HZ)
    ticks = [fanout.tick(step / HZ, people, HZ) for step in range(1, HZ + 2)]
    assert sum(ticked.shared is not None for ticked in ticks) == 1


def test_a_record_tells_the_age_of_its_pose() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    bodies.slot_of(1).put(0, body(0, 0), 0.5)
    frame = fanout.tick(0.52, 1, HZ).shared
    assert frame
    tick = decode_tick(frame.payload)
    assert (tick.tick_ms, tick.records[0].age_ms) == (520, 20)
    frame = fanout.tick(9.0, 1, HZ).shared
    assert frame
    assert decode_tick(frame.payload).records[0].age_ms == 255


def test_a_pose_that_comes_in_the_instant_of_a_tick_is_in_the_next() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    fanout.tick(0.0, 1, HZ)
    bodies.slot_of(1).put(0, body(1, 0), 0.0)
    assert pids_in(fanout.tick(0.0, 1, HZ).shared) == [1]


def test_who_left_is_in_no_later_frame() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    bodies.slot_of(1).put(0, body(1, 0), 0.0)
    bodies.remove(1)
    assert pids_in(fanout.tick(0.0, 1, HZ).shared) == []
    assert pids_in(fanout.keyframe(0.0)) == []


# --- cell mode


class Crowd:
    """Many people who all move in every tick, and what each of some onlookers is sent."""

    def __init__(self, people: int, side_m: float, make: Make = body) -> None:
        self.poses = LatestPoses()
        self.fanout = fanout_of(self.poses)
        self.random = random.Random(7)
        self.make = make
        self.flags = FLOAT32 if make is far_body else 0
        self.places = {
            pid: (self.random.uniform(-side_m, side_m) / 2, self.random.uniform(-side_m, side_m) / 2)
            for pid in range(1, people + 1)
        }
        self.steps = count()

    def tick(self, moving: bool = True) -> TickFrames:
        step = next(self.steps)
        now = step / HZ
        if moving:
            for pid, (x, z) in self.places.items():
                self.poses.slot_of(pid).put(self.flags, self.make(x, z, step), now)
        return self.fanout.tick(now, len(self.places), HZ)


@pytest.mark.parametrize(
    ("people", "side_m", "make"),
    [
        (1000, 60.0, body),
        (1000, 2.0, body),
        (1000, 0.0, body),
        (1000, 300.0, far_body),
        (2000, 60.0, body),
        (151, 9.0, body),
    ],
    ids=["spread", "in one spot", "on one point", "in a wide world", "two thousand", "just too many"],
)
def test_no_client_of_a_large_room_is_sent_more_than_its_budget(people: int, side_m: float, make: Make) -> None:
    crowd = Crowd(people, side_m, make)
    for _ in range(7):
        crowd.tick()
    sent: Counter[int] = Counter()
    for _ in range(2 * HZ):
        ticked = crowd.tick()
        for pid in range(1, people + 1, 7):
            frame = frame_of(ticked, pid)
            sent[pid] += len(frame.encoded) if frame else 0
    assert max(sent.values()) * 8 / 2 <= CLIENT_BPS
    assert min(sent.values()) * 8 / 2 >= 0.7 * CLIENT_BPS or people == 151, "the budget is there to be used"


def test_in_a_large_room_the_near_come_at_the_full_rate_and_the_far_at_5_hz() -> None:
    crowd = Crowd(600, 30.0)
    for _ in range(7):
        crowd.tick()
    heard: Counter[int] = Counter()
    x, z = crowd.places[1]
    for _ in range(HZ):
        heard.update(pids_in(frame_of(crowd.tick(), 1)))
    by_distance = sorted(
        crowd.places, key=lambda pid: (crowd.places[pid][0] - x) ** 2 + (crowd.places[pid][1] - z) ** 2
    )
    assert [heard[pid] for pid in by_distance[:5]] == [HZ] * 5
    assert {heard[pid] for pid in by_distance[-100:]} == {5}
    assert len(heard) == 600


def test_whoever_walks_through_all_cells_never_vanishes() -> None:
    crowd = Crowd(400, 30.0)
    for _ in range(7):
        crowd.tick()
    unseen = dict.fromkeys(range(2, 401, 9), 0)
    for step in range(4 * HZ):
        crowd.places[1] = (-15.0 + step / 4, -15.0 + step / 5)
        ticked = crowd.tick()
        for onlooker in unseen:
            unseen[onlooker] = 0 if 1 in pids_in(frame_of(ticked, onlooker)) else unseen[onlooker] + 1
            assert unseen[onlooker] < HZ / 5


def test_when_everyone_stops_everyone_has_seen_the_last_of_everyone() -> None:
    crowd = Crowd(300, 20.0)
    seen: dict[int, dict[int, bytes]] = {pid: {} for pid in range(1, 301, 13)}

    def show(ticked: TickFrames) -> None:
        for onlooker, bodies in seen.items():
            frame = frame_of(ticked, onlooker)
            if frame:
                bodies.update({record.pid: record.body for record in decode_tick(frame.payload).records})

    for _ in range(20):
        for pid in crowd.random.sample(sorted(crowd.places), 40):
            crowd.places[pid] = (crowd.random.uniform(-10, 10), crowd.random.uniform(-10, 10))
        show(crowd.tick())
    for _ in range(7):
        show(crowd.tick(moving=False))
    truth = {slot.pid: slot.body for slot in crowd.poses}
    assert all(bodies == truth for bodies in seen.values())


def test_a_room_that_grows_and_shrinks_starts_over_with_a_keyframe() -> None:
    bodies = LatestPoses()
    fanout = fanout_of(bodies)
    for pid in range(1, 201):
        bodies.slot_of(pid).put(0, body(pid / 10, 0), 0.0)
    fanout.tick(0.0, FULL_UP_TO, HZ)
    for people, in_cells in ((FULL_UP_TO + 1, True), (FULL_UP_TO, True), (FULL_UP_TO // 2, False), (FULL_UP_TO, False)):
        ticked = fanout.tick(0.01, people, HZ)
        assert fanout.in_cells is in_cells
        if people != FULL_UP_TO:
            assert len(pids_in(ticked.shared)) == 200


places = st.tuples(st.floats(-50, 50), st.floats(-50, 50))


@given(st.lists(places, max_size=120), st.floats(0, 20_000))
def test_everyone_is_in_one_cell_and_near_ones_fit(people: list[tuple[float, float]], budget: float) -> None:
    standing = [GroundPosition(pid, x, z, 34) for pid, (x, z) in enumerate(people, 1)]
    cells = divide(standing, budget)
    assert sorted(pid for cell in cells for pid in cell.pids) == [s.pid for s in standing]
    for index, cell in enumerate(cells):
        assert 0 < len(cell.pids) <= MAX_CELL_PARTICIPANTS
        assert sum(34 * len(cells[near].pids) for near in cell.near) <= budget
        assert not cell.near or cell.near[0] == index
        assert len(set(cell.near)) == len(cell.near)
