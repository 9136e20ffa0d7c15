"""All clients end up with the same state, after any order of events, delays, losses and returns."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from pose_codec import pack_point
from replica import Replica, comparable
from streamxr.relay.protocol.messages import (
    ClientMessage,
    Delete,
    Grab,
    Grabbed,
    ObjectEvent,
    Point,
    ProtocolError,
    Release,
    Role,
    RoomLimits,
    Signal,
    Spawn,
    Spawned,
    Update,
    Welcome,
)
from streamxr.relay.protocol.moves import Move, Moves
from streamxr.relay.protocol.poses import to_tick_ms
from streamxr.relay.rooms.objects import LEASE_S, SavedRoom, SharedObjects
from streamxr.relay.rooms.room import (
    PID_REUSE_DELAY_S,
    Broadcast,
    Credentials,
    Effect,
    Room,
    RoomFullError,
    Send,
)

SEATS = 4
LIMITS = RoomLimits(SEATS, objects=3, poses_per_s=90, control_per_s=20, control_bytes=16384)
POSE = Point((0.5, 1.25, -2.0), (0.0, 0.6, 0.0, 0.8))


@dataclass
class World:
    """One room and its connected clients. All names and assets in it start with its tag."""

    tag: str
    room: Room
    connected: dict[int, Replica] = field(default_factory=dict)
    left_at: dict[int, float] = field(default_factory=dict)
    owners: dict[tuple[int, int], int] = field(default_factory=dict)  # (object, epoch): pid
    keys: dict[str, int] = field(default_factory=dict)
    last_rev: int = 0
    last_id: int = 0


class RelayMachine(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.keys = map(str, itertools.count(1))
        self.worlds = [World(tag, Room(LIMITS, 30, None, new_key=self.next_key)) for tag in ("a", "b")]
        self.home: dict[Replica, World] = {}

    def next_key(self) -> str:
        return f"key-{next(self.keys)}"

    def carry_out(self, world: World, effects: list[Effect]) -> None:
        for effect in effects:
            message = effect.message
            self.check_secrecy(world, effect)
            if isinstance(message, Grabbed) and isinstance(effect, Broadcast):
                assert (message.id, message.epoch) not in world.owners, "each epoch has one owner"
                world.owners[message.id, message.epoch] = message.owner
            if isinstance(message, ObjectEvent) and isinstance(effect, Broadcast):
                assert message.rev == world.last_rev + 1, "rev increases by one"
                world.last_rev = message.rev
            if isinstance(message, Spawned) and isinstance(effect, Broadcast):
                assert message.id > world.last_id, "an id is never reused"
                world.last_id = message.id
            match effect:
                case Send(to=pid):
                    if isinstance(message, Welcome):
                        world.keys[message.resume] = pid
                        world.connected[pid].welcomed = True
                    world.connected[pid].controls.append(message)
                case Broadcast(skip=skip):
                    for pid, replica in world.connected.items():
                        if pid != skip and replica.welcomed:
                            replica.controls.append(message)

    def check_secrecy(self, world: World, effect: Effect) -> None:
        if isinstance(effect.message, Welcome):
            assert isinstance(effect, Send), "the key of a seat is sent to one client"
        else:
            assert "key-" not in repr(effect.message)
        other = self.worlds[1 - self.worlds.index(world)].tag
        assert f"{other}-" not in repr(effect.message), "rooms are separate"

    def send(self, client: Replica, message: ClientMessage | Moves) -> None:
        world = self.home[client]
        if world.connected.get(client.pid) is client:
            self.carry_out(world, world.room.handle(client.pid, message, self.now))

    def connect(self, client: Replica, world: World, role: Role = Role.EDITOR) -> bool:
        before = len(world.room)
        try:
            pid, effects = world.room.join(client.hello(), self.now, Credentials(role, client.name))
        except RoomFullError:
            assert len(world.connected) == SEATS
            assert len(world.room) == before
            return False
        if pid in world.connected:
            world.connected.pop(pid).lose_connection()
        dropped = [old for old, replica in world.connected.items() if replica is client]
        client.lose_connection()
        for old in dropped:
            del world.connected[old]
        world.connected[pid] = client
        client.pid = pid
        self.carry_out(world, effects)
        for old in dropped:
            self.carry_out(world, world.room.lose(old, self.now))
        return True

    @rule(target=clients, index=st.sampled_from([0, 1]), role=st.sampled_from(list(Role)))
    def join(self, index: int, role: Role) -> object:
        world = self.worlds[index]
        client = Replica(f"{world.tag}-{next(self.keys)}")
        self.home[client] = world
        seated = {p.pid for p in world.room.participants}
        if not self.connect(client, world, role):
            return multiple()
        assert client.pid not in seated
        assert self.now - world.left_at.get(client.pid, -PID_REUSE_DELAY_S) >= PID_REUSE_DELAY_S
        return client

    @rule(client=clients)
    def rejoin(self, client: Replica) -> None:
        """Join again after a loss, or before the relay has noticed it."""
        world = self.home[client]
        own_pid = world.keys.get(client.key or "")
        seat_kept = any(own_pid == p.pid and p.name == client.name for p in world.room.participants)
        if self.connect(client, world) and seat_kept:
            assert client.pid == own_pid, "the same seat"

    @rule(client=clients, guess=st.sampled_from(["key-0", "", "none"]))
    def guess_a_key(self, client: Replica, guess: str) -> None:
        """A wrong key affects no seat of another participant."""
        world = self.home[client]
        before = {p.pid: p for p in world.room.participants}
        thief = Replica(f"{world.tag}-thief")
        thief.key = guess
        other_subject = Replica(f"{world.tag}-thief")
        other_subject.key = client.key
        for newcomer in (thief, other_subject):
            self.home[newcomer] = world
            if self.connect(newcomer, world):
                assert newcomer.pid not in before
                self.leave(newcomer)
        left = before.keys() - {p.pid for p in world.room.participants}
        assert all(before[pid].away for pid in left), "only a participant who was away may be evicted"

    @rule(client=clients)
    def lose(self, client: Replica) -> None:
        world = self.home[client]
        if world.connected.get(client.pid) is client:
            pid = client.pid
            del world.connected[pid]
            client.lose_connection()
            self.carry_out(world, world.room.lose(pid, self.now))

    @rule(client=clients)
    def leave(self, client: Replica) -> None:
        world = self.home[client]
        if world.connected.get(client.pid) is client:
            pid = client.pid
            del world.connected[pid]
            client.lose_connection()
            world.left_at[pid] = self.now
            self.carry_out(world, world.room.leave(pid, self.now))

    @rule(client=clients, x=st.integers(-3, 3))
    def spawn(self, client: Replica, x: int) -> None:
        tag = self.home[client].tag
        self.send(client, Spawn(x + 3, f"{tag}-chair", Point((float(x), 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)), 1.0))

    @rule(client=clients, object_id=st.integers(1, 6))
    def grab(self, client: Replica, object_id: int) -> None:
        self.send(client, Grab(object_id))

    @rule(client=clients, object_id=st.integers(1, 6), late=st.integers(0, 1), x=st.sampled_from([7.0, 40.0]))
    def release(self, client: Replica, object_id: int, late: int, x: float) -> None:
        epoch = client.objects[object_id].epoch if object_id in client.objects else 1
        self.send(client, Release(object_id, epoch - late, Point((x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))))

    @rule(client=clients, object_id=st.integers(1, 6))
    def delete(self, client: Replica, object_id: int) -> None:
        self.send(client, Delete(object_id))

    @rule(client=clients, object_id=st.integers(1, 6), late=st.integers(-1, 1), x=st.sampled_from([0.1, 0.2, 50.0]))
    def move(self, client: Replica, object_id: int, late: int, x: float) -> None:
        epoch = max(0, client.objects[object_id].epoch - late) if object_id in client.objects else 1
        flags, point = pack_point(Point((x, 1.0, 0.0), POSE.q))
        before = {obj.id: obj for obj in self.home[client].room.objects.snapshot()}.get(object_id)
        self.send(client, Moves(0, (Move(object_id, epoch, flags, 0, point),)))
        after = {obj.id: obj for obj in self.home[client].room.objects.snapshot()}.get(object_id)
        if before != after:
            assert before
            assert (before.owner, before.epoch) == (client.pid, epoch), "only the holder moves an object"

    @rule(client=clients, color=st.sampled_from(["#00ff00", "#0000ff"]))
    def repaint(self, client: Replica, color: str) -> None:
        if self.home[client].connected.get(client.pid) is client:
            self.send(client, Update(color=color))

    @rule(client=clients, to=st.integers(1, 6))
    def signal(self, client: Replica, to: int) -> None:
        with contextlib.suppress(ProtocolError):  # above the allowed rate
            self.send(client, Signal(to, f"{self.home[client].tag}-offer" + "." * 8000))

    @rule(client=clients, controls=st.integers(0, 4), moves=st.integers(0, 2))
    def read(self, client: Replica, controls: int, moves: int) -> None:
        for _ in range(min(moves, len(client.moves))):
            client.read_moves()
        for _ in range(min(controls, len(client.controls))):
            client.read_control()

    @rule(
        elapsed=st.sampled_from([0.0, 0.033, 1.0, LEASE_S, 29.9, 61.0]),
        stalled=st.sets(st.integers(1, 8), max_size=3),
    )
    def tick(self, elapsed: float, stalled: set[int]) -> None:
        self.now += elapsed
        for world in self.worlds:
            before = {p.pid for p in world.room.participants}
            self.carry_out(world, world.room.advance(self.now))
            for pid in before - {p.pid for p in world.room.participants}:
                assert pid not in world.connected, "connected participants keep their seats"
                world.left_at[pid] = self.now
            tick_ms = to_tick_ms(self.now)
            frame = world.room.objects.tick(self.now, tick_ms)
            for pid, replica in world.connected.items():
                keyframe = world.room.objects.keyframe(self.now, tick_ms)
                offered = keyframe if replica.needs_keyframe else frame
                replica.needs_keyframe = pid in stalled
                if offered and not replica.needs_keyframe:
                    replica.moves.append(offered)

    @rule(index=st.sampled_from([0, 1]))
    def restart(self, index: int) -> None:
        """Restart the relay from its saved state."""
        world = self.worlds[index]
        for replica in world.connected.values():
            replica.lose_connection()
        objects = world.room.objects
        saved = SavedRoom(objects.rev, world.last_id, objects.snapshot())
        world.room = Room(LIMITS, 30, SharedObjects(LIMITS.objects, saved), new_key=self.next_key)
        world.connected.clear()
        world.left_at.clear()
        world.keys.clear()
        assert all(obj.owner is None for obj in world.room.objects.snapshot())

    @rule()
    def settle(self) -> None:
        """After a tick that reaches everyone, with no messages under way, all clients have the state of the room."""
        self.tick(1.0, set())
        for world in self.worlds:
            truth = comparable({obj.id: obj for obj in world.room.objects.snapshot()})
            seats = {p.pid: p for p in world.room.participants}
            for pid, replica in world.connected.items():
                while replica.controls:
                    replica.read_control()
                while replica.moves:
                    replica.read_moves()
                assert comparable(replica.objects) == truth
                assert replica.rev == world.room.objects.rev
                assert replica.profiles == {other: profile for other, profile in seats.items() if other != pid}

    @invariant()
    def holders_are_participants_and_limits_hold(self) -> None:
        for world in self.worlds:
            seated = {p.pid for p in world.room.participants}
            for obj in world.room.objects.snapshot():
                assert obj.owner is None or obj.owner in seated
                if obj.owner is not None:
                    assert world.owners[obj.id, obj.epoch] == obj.owner
            assert len(world.room) <= SEATS
            assert len(world.room.objects) <= LIMITS.objects

    def teardown(self) -> None:
        self.settle()


TestConvergence = RelayMachine.TestCase
TestConvergence.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
