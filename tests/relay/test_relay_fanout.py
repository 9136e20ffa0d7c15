"""The poses that each client gets, in virtual time."""

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
from streamxr.relay.protocol.poses import FLOAT32, LEFT_VALID, POINT_F32, POINT_MM, RECORD_MM_BYTES
from streamxr.relay.rooms.cells import MAX_CELL_PARTICIPANTS, GroundPosition, divide
from streamxr.relay.rooms.fanout import KEYFRAME_INTERVAL_S, Fanout, TickFrames
from streamxr.relay.rooms.latest_poses import LatestPoses

Encode = Callable[[float, float, int], bytes]

HZ = 30
FULL_UP_TO = 150
CLIENT_BPS = 1_500_000


def body(x: float, z: float, step: int = 0) -> bytes:
    return POINT_MM.pack(int(x * 1000), step % 30_000, int(z * 1000), 0xE0080200) + bytes(20)


def far_body(x: float, z: float, step: int = 0) -> bytes:
    return POINT_F32.pack(x, step, z, 0xE0080200) + bytes(32)


def fanout_of(poses: LatestPoses) -> Fanout:
    return Fanout(poses, FULL_UP_TO, CLIENT_BPS)


def pids_in(frame: Frame | None) -> list[int]:
    return [record.pid for record in decode_tick(frame.payload).records] if frame else []


def frame_of(frames: TickFrames, pid: int) -> Frame | None:
    return frames.by_pid.get(pid, frames.shared)


# --- full mode


def test_a_tick_holds_only_changed_poses() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    poses.slot_of(1).put(0, body(1, 0), 0.0)
    poses.slot_of(2).put(0, body(2, 0), 0.0)
    fanout.tick(0.0, 2, HZ)
    poses.slot_of(1).put(0, body(3, 0), 0.1)
    poses.slot_of(2).put(0, body(2, 0), 0.1)
    assert pids_in(fanout.tick(0.1, 2, HZ).shared) == [1]
    assert fanout.tick(0.2, 2, HZ).shared is None


def test_a_change_of_flags_is_a_change() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    poses.slot_of(1).put(LEFT_VALID, body(0, 0), 0.0)
    fanout.tick(0.0, 1, HZ)
    poses.slot_of(1).put(0, body(0, 0), 0.1)
    frame = fanout.tick(0.1, 1, HZ).shared
    assert frame
    assert [record.flags for record in decode_tick(frame.payload).records] == [0]


def test_once_per_second_a_tick_holds_all_poses() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    poses.slot_of(1).put(0, body(0, 0), 0.0)
    assert pids_in(fanout.tick(0.0, 1, HZ).shared) == [1]
    assert fanout.tick(KEYFRAME_INTERVAL_S - 0.01, 1, HZ).shared is None
    assert pids_in(fanout.tick(KEYFRAME_INTERVAL_S, 1, HZ).shared) == [1]


@pytest.mark.parametrize("participants", [1, 1000])
def test_a_room_without_changes_still_sends_once_per_second(participants: int) -> None:
    fanout = fanout_of(LatestPoses())
    fanout.tick(0.0, participants, HZ)
    ticks = [fanout.tick(step / HZ, participants, HZ) for step in range(1, HZ + 2)]
    assert sum(frames.shared is not None for frames in ticks) == 1


def test_a_record_holds_the_age_of_its_pose() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    poses.slot_of(1).put(0, body(0, 0), 0.5)
    frame = fanout.tick(0.52, 1, HZ).shared
    assert frame
    tick = decode_tick(frame.payload)
    assert (tick.tick_ms, tick.records[0].age_ms) == (520, 20)
    frame = fanout.tick(9.0, 1, HZ).shared
    assert frame
    assert decode_tick(frame.payload).records[0].age_ms == 255


def test_a_pose_that_arrives_at_the_time_of_a_tick_is_in_the_next_one() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    fanout.tick(0.0, 1, HZ)
    poses.slot_of(1).put(0, body(1, 0), 0.0)
    assert pids_in(fanout.tick(0.0, 1, HZ).shared) == [1]


def test_a_removed_participant_is_in_no_later_frame() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    poses.slot_of(1).put(0, body(1, 0), 0.0)
    poses.remove(1)
    assert pids_in(fanout.tick(0.0, 1, HZ).shared) == []
    assert pids_in(fanout.keyframe(0.0)) == []


# --- cell mode


class LargeRoom:
    """Many participants who all move in every tick."""

    def __init__(self, participants: int, side_m: float, encode: Encode = body) -> None:
        """The participants are spread over a square of `side_m`."""
        self.poses = LatestPoses()
        self.fanout = fanout_of(self.poses)
        self.random = random.Random(7)
        self.encode = encode
        self.flags = FLOAT32 if encode is far_body else 0
        self.positions = {
            pid: (self.random.uniform(-side_m, side_m) / 2, self.random.uniform(-side_m, side_m) / 2)
            for pid in range(1, participants + 1)
        }
        self.steps = count()

    def tick(self, *, moving: bool = True) -> TickFrames:
        step = next(self.steps)
        now = step / HZ
        if moving:
            for pid, (x, z) in self.positions.items():
                self.poses.slot_of(pid).put(self.flags, self.encode(x, z, step), now)
        return self.fanout.tick(now, len(self.positions), HZ)


@pytest.mark.parametrize(
    ("participants", "side_m", "encode"),
    [
        (1000, 60.0, body),
        (1000, 2.0, body),
        (1000, 0.0, body),
        (1000, 300.0, far_body),
        (2000, 60.0, body),
        (151, 9.0, body),
    ],
    ids=["spread out", "on 4 m²", "on one point", "on 90,000 m²", "2,000 participants", "just above full mode"],
)
def test_no_client_of_a_large_room_is_sent_more_than_its_budget(
    participants: int, side_m: float, encode: Encode
) -> None:
    room = LargeRoom(participants, side_m, encode)
    for _ in range(7):
        room.tick()
    sent: Counter[int] = Counter()
    for _ in range(2 * HZ):
        frames = room.tick()
        for pid in range(1, participants + 1, 7):
            frame = frame_of(frames, pid)
            sent[pid] += len(frame.encoded) if frame else 0
    assert max(sent.values()) * 8 / 2 <= CLIENT_BPS
    assert min(sent.values()) * 8 / 2 >= 0.7 * CLIENT_BPS or participants == 151, "the budget is used"


def test_a_large_room_sends_near_participants_at_the_full_rate_and_far_ones_at_5_hz() -> None:
    room = LargeRoom(600, 30.0)
    for _ in range(7):
        room.tick()
    received: Counter[int] = Counter()  # records by pid
    x, z = room.positions[1]
    for _ in range(HZ):
        received.update(pids_in(frame_of(room.tick(), 1)))
    by_distance = sorted(
        room.positions, key=lambda pid: (room.positions[pid][0] - x) ** 2 + (room.positions[pid][1] - z) ** 2
    )
    assert [received[pid] for pid in by_distance[:5]] == [HZ] * 5
    assert {received[pid] for pid in by_distance[-100:]} == {5}
    assert len(received) == 600


def test_a_participant_who_walks_through_all_cells_is_always_visible() -> None:
    room = LargeRoom(400, 30.0)
    for _ in range(7):
        room.tick()
    ticks_missing = dict.fromkeys(range(2, 401, 9), 0)  # by observer: ticks since the last record of participant 1
    for step in range(4 * HZ):
        room.positions[1] = (-15.0 + step / 4, -15.0 + step / 5)
        frames = room.tick()
        for observer in ticks_missing:
            ticks_missing[observer] = 0 if 1 in pids_in(frame_of(frames, observer)) else ticks_missing[observer] + 1
            assert ticks_missing[observer] < HZ / 5


def test_when_all_movement_stops_all_clients_have_the_latest_poses() -> None:
    room = LargeRoom(300, 20.0)
    received: dict[int, dict[int, bytes]] = {pid: {} for pid in range(1, 301, 13)}  # bodies by observer and pid

    def show(frames: TickFrames) -> None:
        for observer, bodies in received.items():
            frame = frame_of(frames, observer)
            if frame:
                bodies.update({record.pid: record.body for record in decode_tick(frame.payload).records})

    for _ in range(20):
        for pid in room.random.sample(sorted(room.positions), 40):
            room.positions[pid] = (room.random.uniform(-10, 10), room.random.uniform(-10, 10))
        show(room.tick())
    for _ in range(7):
        show(room.tick(moving=False))
    latest = {slot.pid: slot.body for slot in room.poses}
    assert all(bodies == latest for bodies in received.values())


def test_a_change_of_mode_starts_with_a_keyframe() -> None:
    poses = LatestPoses()
    fanout = fanout_of(poses)
    for pid in range(1, 201):
        poses.slot_of(pid).put(0, body(pid / 10, 0), 0.0)
    fanout.tick(0.0, FULL_UP_TO, HZ)
    for participants, in_cells in (
        (FULL_UP_TO + 1, True),
        (FULL_UP_TO, True),
        (FULL_UP_TO // 2, False),
        (FULL_UP_TO, False),
    ):
        frames = fanout.tick(0.01, participants, HZ)
        assert fanout.in_cells is in_cells
        if participants != FULL_UP_TO:
            assert len(pids_in(frames.shared)) == 200


points = st.tuples(st.floats(-50, 50), st.floats(-50, 50))


@given(st.lists(points, max_size=120), st.floats(0, 20_000))
def test_each_participant_is_in_one_cell_and_the_near_cells_keep_to_the_budget(
    ground: list[tuple[float, float]], budget: float
) -> None:
    positions = [GroundPosition(pid, x, z, RECORD_MM_BYTES) for pid, (x, z) in enumerate(ground, 1)]
    cells = divide(positions, budget)
    assert sorted(pid for cell in cells for pid in cell.pids) == [p.pid for p in positions]
    for index, cell in enumerate(cells):
        assert 0 < len(cell.pids) <= MAX_CELL_PARTICIPANTS
        assert sum(RECORD_MM_BYTES * len(cells[near].pids) for near in cell.near) <= budget
        assert not cell.near or cell.near[0] == index
        assert len(set(cell.near)) == len(cell.near)
