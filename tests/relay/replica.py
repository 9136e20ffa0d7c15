"""A protocol client without a socket, which does exactly what docs/protocol.md requires of a client."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from streamxr.relay.protocol.messages import (
    Deleted,
    Denied,
    Error,
    Grabbed,
    Hello,
    Joined,
    Left,
    Point,
    Profile,
    Released,
    ServerMessage,
    SharedObject,
    SignalFrom,
    Spawned,
    Updated,
    Welcome,
)
from streamxr.relay.protocol.moves import decode_moves
from streamxr.relay.protocol.poses import unpack_point


class Replica:
    """`controls` and `moves` are the messages under way to the client.

    Each of the two queues keeps its order, but there is no order between them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.welcomed = False  # the relay has sent welcome on this connection
        self.key: str | None = None
        self.incarnation: str | None = None
        self.rev: int | None = None
        self.profiles: dict[int, Profile] = {}
        self.objects: dict[int, SharedObject] = {}
        self.controls: deque[ServerMessage] = deque()
        self.moves: deque[bytes] = deque()
        self.needs_keyframe = True
        self.denials: list[Denied] = []
        self.signals: list[SignalFrom] = []

    def hello(self) -> Hello:
        return Hello(1, self.name, "#123456", None, self.key, self.incarnation, self.rev)

    def lose_connection(self) -> None:
        """Drop all messages under way."""
        self.controls.clear()
        self.moves.clear()
        self.profiles.clear()
        self.needs_keyframe = True
        self.welcomed = False
        self.pid = 0

    def read_control(self) -> None:
        message = self.controls.popleft()
        match message:
            case Welcome():
                self.pid, self.key, self.incarnation = message.pid, message.resume, message.incarnation
                self.profiles = {profile.pid: profile for profile in message.participants}
                if message.objects is not None:
                    self.objects = {obj.id: obj for obj in message.objects}
                else:
                    assert message.rev == self.rev, "without a snapshot, `rev` is that of hello"
                self.rev = message.rev
            case Joined(pid=pid, name=name, color=color):
                assert pid not in self.profiles, "joined twice"
                self.profiles[pid] = Profile(pid, name, color)
            case Updated(pid=pid, name=name, color=color, away=away):
                if pid != self.pid:
                    assert pid in self.profiles, "an update of an unknown participant"
                    self.profiles[pid] = Profile(pid, name, color, away)
            case Left(pid=pid):
                del self.profiles[pid]
            case Spawned() | Grabbed() | Released() | Deleted():
                assert self.rev is not None, "no event arrives before welcome"
                assert message.rev == self.rev + 1, "no event is missing, repeated or out of order"
                self.rev = message.rev
                self._apply(message)
            case Denied():
                self.denials.append(message)
            case SignalFrom():
                self.signals.append(message)
            case Error():
                pass

    def read_moves(self) -> None:
        for move in decode_moves(self.moves.popleft()).records:
            obj = self.objects.get(move.id)
            # A move may arrive before its grab or after its release.
            if obj is None or obj.owner is None or obj.epoch != move.epoch:
                continue
            self.objects[obj.id] = replace(obj, pose=rounded(unpack_point(move.flags, move.point)))

    def _apply(self, event: Spawned | Grabbed | Released | Deleted) -> None:
        match event:
            case Spawned():
                assert event.id not in self.objects
                self.objects[event.id] = SharedObject(event.id, event.asset, event.pose, event.scale, None, 0)
            case Grabbed():
                before = self.objects[event.id]
                assert event.epoch == before.epoch + 1
                self.objects[event.id] = replace(before, owner=event.owner, epoch=event.epoch)
            case Released():
                before = self.objects[event.id]
                assert before.owner is not None
                assert event.epoch == before.epoch
                self.objects[event.id] = replace(before, owner=None, pose=event.pose)
            case Deleted():
                del self.objects[event.id]


def rounded(point: Point) -> Point:
    """A pose for comparison. Poses from JSON and from packed frames differ in their last digits."""
    x, y, z = (round(c, 5) for c in point.p)
    a, b, c, d = (round(c, 5) for c in point.q)
    return Point((x, y, z), (a, b, c, d))


def comparable(objects: dict[int, SharedObject]) -> dict[int, SharedObject]:
    """Objects with rounded poses."""
    return {object_id: replace(obj, pose=rounded(obj.pose)) for object_id, obj in objects.items()}
