"""Participants and poses of the pure room, in virtual time."""

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


def test_a_newcomer_gets_the_profiles_of_all_participants() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    _, effects = room.join(ZOE, 1.0)
    assert welcome_of(effects).participants == (Profile(ada, "Ada", "#ff8800"),)


def test_a_newcomer_is_announced_to_all_others() -> None:
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


def test_a_second_hello_is_an_error() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    with pytest.raises(ProtocolError) as raised:
        room.handle(ada, ADA, 1.0)
    assert raised.value.code is ErrorCode.STATE


def test_stats_have_no_effect_in_the_room() -> None:
    room = a_room()
    ada, _ = room.join(ADA, 0.0)
    assert room.handle(ada, Stats(1e6, 100), 1.0) == []


def test_a_full_room_accepts_a_newcomer_after_a_participant_leaves() -> None:
    room = a_room(seats=1)
    ada, _ = room.join(ADA, 0.0)
    with pytest.raises(RoomFullError):
        room.join(ZOE, 1.0)
    room.leave(ada, 2.0)
    room.join(ZOE, 3.0)


def test_a_pid_is_reused_only_after_a_delay() -> None:
    room = a_room()
    for _ in range(MAX_PID):
        pid, _ = room.join(ADA, 0.0)
        room.leave(pid, 0.0)
    with pytest.raises(RoomFullError):
        room.join(ZOE, PID_REUSE_DELAY_S - 0.001)
    assert room.join(ZOE, PID_REUSE_DELAY_S)[0] == 1


def test_a_room_reuses_a_few_pids_when_participants_join_and_leave_all_day() -> None:
    room = a_room()
    pids = set()
    for second in range(24 * 3600):
        pid, _ = room.join(ADA, float(second))
        room.leave(pid, second + 0.5)
        pids.add(pid)
    assert len(pids) <= PID_REUSE_DELAY_S + 1
    assert len(room._freed) <= PID_REUSE_DELAY_S + 1


class Observer:
    """A client's view of its room, built as docs/protocol.md requires."""

    def __init__(self, room: Room, pid: int) -> None:
        self.room = room
        self.pid = pid
        self.needs_keyframe = True
        self.profiles: dict[int, tuple[str, str]] = {}
        self.poses: dict[int, tuple[int, bytes]] = {}

    def receive(self, message: object) -> None:
        match message:
            case Welcome(participants=participants):
                self.profiles = {p.pid: (p.name, p.color) for p in participants}
            case Joined(pid=pid, name=name, color=color):
                assert pid not in self.profiles, "a participant joins once"
                self.profiles[pid] = (name, color)
            case Updated(pid=pid, name=name, color=color):
                self.profiles[pid] = (name, color)
            case Left(pid=pid):
                del self.profiles[pid]
                self.poses.pop(pid, None)

    def show(self, frame: bytes) -> None:
        for record in decode_tick(frame).records:
            if record.pid in self.profiles:
                self.poses[record.pid] = (record.flags, record.body)


class TwoRooms(RuleBasedStateMachine):
    """Two rooms and the views of their clients, under any order of events and missed ticks."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.rooms = (a_room(seats=4), a_room(seats=4))
        # One of them uses cell mode from three participants on.
        self.fanouts = {
            room: Fanout(room.poses, full_up_to, 100_000) for room, full_up_to in zip(self.rooms, (2, 4), strict=True)
        }
        self.present: dict[Room, dict[int, Observer]] = {room: {} for room in self.rooms}
        self.truth: dict[Observer, tuple[str, str, tuple[int, bytes] | None]] = {}
        self.left_at: dict[tuple[Room, int], float] = {}

    def deliver(self, room: Room, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to=pid):
                    self.present[room][pid].receive(effect.message)
                case Broadcast(skip=skip):
                    for pid, observer in self.present[room].items():
                        if pid != skip:
                            observer.receive(effect.message)

    @rule(target=clients, index=st.sampled_from([0, 1]), name=st.sampled_from(["Ada", "Zoë", "🦊"]))
    def join(self, index: int, name: str) -> object:
        room = self.rooms[index]
        try:
            pid, effects = room.join(Hello(1, name, "#123456"), self.now)
        except RoomFullError:
            assert len(self.present[room]) == 4
            return multiple()
        assert self.now - self.left_at.get((room, pid), -PID_REUSE_DELAY_S) >= PID_REUSE_DELAY_S
        observer = self.present[room][pid] = Observer(room, pid)
        self.truth[observer] = (name, "#123456", None)
        self.deliver(room, effects)
        return observer

    @rule(client=consumes(clients))
    def leave(self, client: Observer) -> None:
        del self.present[client.room][client.pid]
        del self.truth[client]
        self.left_at[client.room, client.pid] = self.now
        self.deliver(client.room, client.room.leave(client.pid, self.now))

    @rule(client=clients, byte=st.integers(0, 3), flags=st.sampled_from([0, 1, 3]))
    def move(self, client: Observer, byte: int, flags: int) -> None:
        name, color, _ = self.truth[client]
        self.truth[client] = (name, color, (flags, bytes([byte]) * 30))
        client.room.poses.slot_of(client.pid).put(flags, bytes([byte]) * 30, self.now)

    @rule(client=clients, name=st.sampled_from([None, "Eve", "Ada"]), color=st.sampled_from([None, "#abcdef"]))
    def rename(self, client: Observer, name: str | None, color: str | None) -> None:
        old_name, old_color, pose = self.truth[client]
        self.truth[client] = (name or old_name, color or old_color, pose)
        self.deliver(client.room, client.room.handle(client.pid, Update(name, color), self.now))

    @rule(elapsed=st.sampled_from([0.0, 0.033, 0.5, 2.0]), stalled=st.sets(st.integers(1, 8)))
    def tick(self, elapsed: float, stalled: set[int]) -> None:
        self.now += elapsed
        for room in self.rooms:
            self.send_tick(room, stalled)

    def send_tick(self, room: Room, stalled: set[int]) -> None:
        fanout = self.fanouts[room]
        frames = fanout.tick(self.now, len(room), hz=30)
        for observer in self.present[room].values():
            if observer.needs_keyframe:
                offered = fanout.keyframe(self.now)
            else:
                offered = frames.by_pid.get(observer.pid, frames.shared)
            if offered is None:
                continue
            observer.needs_keyframe = observer.pid in stalled
            if not observer.needs_keyframe:
                observer.show(offered.payload)

    @invariant()
    def all_clients_know_all_participants(self) -> None:
        for observers in self.present.values():
            names = {pid: self.truth[observer][:2] for pid, observer in observers.items()}
            for observer in observers.values():
                assert {**observer.profiles, observer.pid: names[observer.pid]} == names

    @invariant()
    def poses_belong_to_known_participants(self) -> None:
        for observer in self.truth:
            assert observer.poses.keys() <= observer.profiles.keys() | {observer.pid}

    def teardown(self) -> None:
        """After ticks that reach everyone, for one round of far blocks, all clients have the latest poses."""
        for room, observers in self.present.items():
            for _ in range(12):
                self.now += 1 / 30
                self.send_tick(room, stalled=set())
            for observer in observers.values():
                others = {pid: self.truth[other][2] for pid, other in observers.items() if other is not observer}
                assert {pid: observer.poses.get(pid) for pid in others} == others


TestTwoRooms = TwoRooms.TestCase
TestTwoRooms.settings = settings(max_examples=150, stateful_step_count=40)
