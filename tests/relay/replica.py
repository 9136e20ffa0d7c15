"""A client of the protocol without a socket: what docs/protocol.md tells a client to do, and nothing else."""

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
    """`controls` and `moves` are what is under way to it: two queues, each in order, with no order between them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.welcomed = False  # the relay has sent it a welcome over this line
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

    def lose_line(self) -> None:
        """What was under way never arrives."""
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
                    self.objects = {one.id: one for one in message.objects}
                else:
                    assert message.rev == self.rev, "what was known still holds"
                self.rev = message.rev
            case Joined(pid=pid, name=name, color=color):
                assert pid not in self.profiles, "joined twice"
                self.profiles[pid] = Profile(pid, name, color)
            case Updated(pid=pid, name=name, color=color, away=away):
                if pid != self.pid:
                    assert pid in self.profiles, "a ghost"
                    self.profiles[pid] = Profile(pid, name, color, away)
            case Left(pid=pid):
                del self.profiles[pid]
            case Spawned() | Grabbed() | Released() | Deleted():
                assert self.rev is not None, "nothing is heard before welcome"
                assert message.rev == self.rev + 1, "no event is missing, twice, or out of order"
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
            one = self.objects.get(move.id)
            # A move may come before its grab or after its release.
            if one is None or one.owner is None or one.epoch != move.epoch:
                continue
            self.objects[one.id] = replace(one, pose=rounded(unpack_point(move.flags, move.point)))

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
    """Poses as they can be compared: what came as floats and what came packed differ in the last digits."""
    x, y, z = (round(c, 5) for c in point.p)
    a, b, c, d = (round(c, 5) for c in point.q)
    return Point((x, y, z), (a, b, c, d))


def comparable(objects: dict[int, SharedObject]) -> dict[int, SharedObject]:
    return {key: replace(one, pose=rounded(one.pose)) for key, one in objects.items()}
