from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from pose_codec import decode_tick
from streamxr.relay.protocol.messages import (
    MAX_PID,
    ErrorCode,
    Hello,
    Joined,
    Left,
    Profile,
    ProtocolError,
    RoomLimits,
    Stats,
    Update,
    Updated,
    Welcome,
)
from streamxr.relay.rooms.fanout import Fanout
from streamxr.relay.rooms.room import PID_REUSE_DELAY_S, Broadcast, Effect, Room, RoomFullError, Send

ADA = Hello(1, "Ada", "#ff8800")
ZOE = Hello(1, "Zoë", "#00ff00")


def a_room(seats: int = 200) -> Room:
    return Room(RoomLimits(seats, objects=500, poses_per_s=90, control_per_s=20, control_bytes=16384), tick_hz=30)


def welcome_of(effects: list[Effect]) -> Welcome:
    (message,) = [effect.message for effect in effects if isinstance(effect, Send)]
    assert isinstance(message, Welcome)
    return message


def test_a_late_joiner_is_told_of_everyone_present() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    _, effects = room.join(ZOE, 1.0)
    assert welcome_of(effects).participants == (Profile(ada, "Ada", "#ff8800"),)


def test_those_present_are_told_of_a_newcomer_and_the_newcomer_is_not() -> None:
    room = a_room()
    room.join(ADA, 0.0)
    zoe, effects = room.join(ZOE, 1.0)
    assert Broadcast(Joined(zoe, "Zoë", "#00ff00"), skip=zoe) in effects


def test_leaving_is_announced_once() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    assert room.leave(ada, 1.0) == [Broadcast(Left(ada))]
    assert room.leave(ada, 2.0) == []


def test_a_change_of_name_is_announced_and_no_change_is_not() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    assert room.handle(ada, Update(name="Ada L."), 1.0) == [Broadcast(Updated(ada, "Ada L.", "#ff8800"))]
    assert room.handle(ada, Update(name="Ada L.", color="#ff8800"), 2.0) == []


def test_hello_is_said_once() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    with pytest.raises(ProtocolError) as refused:
        room.handle(ada, ADA, 1.0)
    assert refused.value.code is ErrorCode.STATE


def test_stats_are_none_of_the_rooms_business() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    assert room.handle(ada, Stats(1e6, 100), 1.0) == []


def test_a_full_room_seats_nobody_until_somebody_leaves() -> None:
    room = a_room(seats=1)
    ada, _ = room.join(ADA, 0.0)
    with pytest.raises(RoomFullError):
        room.join(ZOE, 1.0)
    room.leave(ada, 2.0)
    room.join(ZOE, 3.0)


def test_a_pid_rests_before_it_is_given_again() -> None:
    room = a_room()
    for _ in range(MAX_PID):
        pid, _ = room.join(ADA, 0.0)
        room.leave(pid, 0.0)
    with pytest.raises(RoomFullError):
        room.join(ZOE, PID_REUSE_DELAY_S - 0.001)
    assert room.join(ZOE, PID_REUSE_DELAY_S)[0] == 1


def test_a_room_that_people_walk_in_and_out_of_for_a_day_gives_the_same_few_pids() -> None:
    room = a_room()
    pids = set()
    for second in range(24 * 3600):
        pid, _ = room.join(ADA, float(second))
        room.leave(pid, second + 0.5)
        pids.add(pid)
    assert len(pids) <= PID_REUSE_DELAY_S + 1
    assert len(room._freed) <= PID_REUSE_DELAY_S + 1


class Onlooker:
    """A client's picture of its room, built as docs/protocol.md tells clients to."""

    def __init__(self, room: Room, pid: int) -> None:
        self.room = room
        self.pid = pid
        self.needs_keyframe = True
        self.profiles: dict[int, tuple[str, str]] = {}
        self.poses: dict[int, tuple[int, bytes]] = {}

    def hear(self, message: object) -> None:
        match message:
            case Welcome(participants=participants):
                self.profiles = {p.pid: (p.name, p.color) for p in participants}
            case Joined(pid=pid, name=name, color=color):
                assert pid not in self.profiles, "joined twice"
                self.profiles[pid] = (name, color)
            case Updated(pid=pid, name=name, color=color):
                self.profiles[pid] = (name, color)
            case Left(pid=pid):
                del self.profiles[pid]
                self.poses.pop(pid, None)

    def see(self, frame: bytes) -> None:
        for record in decode_tick(frame).records:
            if record.pid in self.profiles:
                self.poses[record.pid] = (record.flags, record.body)


class TwoRooms(RuleBasedStateMachine):
    """Two rooms and what their clients make of them, through any order of events and missed ticks."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.rooms = (a_room(seats=4), a_room(seats=4))
        # One of them is told of in cells as soon as three are in it.
        self.fanouts = {room: Fanout(room.poses, most, 100_000) for room, most in zip(self.rooms, (2, 4), strict=True)}
        self.present: dict[Room, dict[int, Onlooker]] = {room: {} for room in self.rooms}
        self.truth: dict[Onlooker, tuple[str, str, tuple[int, bytes] | None]] = {}
        self.left_at: dict[tuple[Room, int], float] = {}

    def deliver(self, room: Room, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to=pid):
                    self.present[room][pid].hear(effect.message)
                case Broadcast(skip=skip):
                    for pid, onlooker in self.present[room].items():
                        if pid != skip:
                            onlooker.hear(effect.message)

    @rule(target=clients, which=st.sampled_from([0, 1]), name=st.sampled_from(["Ada", "Zoë", "🦊"]))
    def join(self, which: int, name: str) -> object:
        room = self.rooms[which]
        try:
            pid, effects = room.join(Hello(1, name, "#123456"), self.now)
        except RoomFullError:
            assert len(self.present[room]) == 4
            return multiple()
        assert self.now - self.left_at.get((room, pid), -PID_REUSE_DELAY_S) >= PID_REUSE_DELAY_S
        onlooker = self.present[room][pid] = Onlooker(room, pid)
        self.truth[onlooker] = (name, "#123456", None)
        self.deliver(room, effects)
        return onlooker

    @rule(client=consumes(clients))
    def leave(self, client: Onlooker) -> None:
        del self.present[client.room][client.pid]
        del self.truth[client]
        self.left_at[client.room, client.pid] = self.now
        self.deliver(client.room, client.room.leave(client.pid, self.now))

    @rule(client=clients, byte=st.integers(0, 3), flags=st.sampled_from([0, 1, 3]))
    def move(self, client: Onlooker, byte: int, flags: int) -> None:
        name, color, _ = self.truth[client]
        self.truth[client] = (name, color, (flags, bytes([byte]) * 30))
        client.room.poses.slot_of(client.pid).put(flags, bytes([byte]) * 30, self.now)

    @rule(client=clients, name=st.sampled_from([None, "Eve", "Ada"]), color=st.sampled_from([None, "#abcdef"]))
    def rename(self, client: Onlooker, name: str | None, color: str | None) -> None:
        old_name, old_color, posed = self.truth[client]
        self.truth[client] = (name or old_name, color or old_color, posed)
        self.deliver(client.room, client.room.handle(client.pid, Update(name, color), self.now))

    @rule(elapsed=st.sampled_from([0.0, 0.033, 0.5, 2.0]), stalled=st.sets(st.integers(1, 8)))
    def tick(self, elapsed: float, stalled: set[int]) -> None:
        self.now += elapsed
        for room in self.rooms:
            self.show(room, stalled)

    def show(self, room: Room, stalled: set[int]) -> None:
        fanout = self.fanouts[room]
        ticked = fanout.tick(self.now, len(room), hz=30)
        for onlooker in self.present[room].values():
            if onlooker.needs_keyframe:
                offered = fanout.keyframe(self.now)
            else:
                offered = ticked.by_pid.get(onlooker.pid, ticked.shared)
            if offered is None:
                continue
            onlooker.needs_keyframe = onlooker.pid in stalled
            if not onlooker.needs_keyframe:
                onlooker.see(offered.payload)

    @invariant()
    def everyone_knows_who_is_present(self) -> None:
        for seats in self.present.values():
            names = {pid: self.truth[onlooker][:2] for pid, onlooker in seats.items()}
            for onlooker in seats.values():
                assert {**onlooker.profiles, onlooker.pid: names[onlooker.pid]} == names

    @invariant()
    def nobody_sees_a_ghost(self) -> None:
        for onlooker in self.truth:
            assert onlooker.poses.keys() <= onlooker.profiles.keys() | {onlooker.pid}

    def teardown(self) -> None:
        """Ticks that reach everyone, one round of the far ones, and everyone sees the truth."""
        for room, seats in self.present.items():
            for _ in range(12):
                self.now += 1 / 30
                self.show(room, stalled=set())
            for onlooker in seats.values():
                others = {pid: self.truth[other][2] for pid, other in seats.items() if other is not onlooker}
                assert {pid: onlooker.poses.get(pid) for pid in others} == others


TestTwoRooms = TwoRooms.TestCase
TestTwoRooms.settings = settings(max_examples=150, stateful_step_count=40)
